"""Words and keys on images: what a panel shows, in a strip above it, and a legend below."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

INK: Colour = (27, 36, 38)
PAPER: Colour = (255, 255, 255)
BAD: Colour = (179, 48, 44)
UNSURE: Colour = (168, 98, 0)
GOOD: Colour = (29, 122, 70)
_SIZE, _PAD = 17, 9
_LEAST_SIDE = 420  # smaller images are enlarged, so that words have room


@lru_cache(maxsize=4)
def _font(size: int) -> Any:
    from PIL import ImageFont

    package = find_spec("matplotlib")  # its font alone; it is slow to import
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def enlarged(image: Pixels) -> tuple[Pixels, int]:
    """A small image in whole multiples of its pixels, and the multiple."""
    times = max(1, -(-_LEAST_SIDE // max(image.shape[:2])))
    return np.ascontiguousarray(image.repeat(times, 0).repeat(times, 1)), times


def titled(image: Pixels, title: str, colour: Colour = INK) -> Pixels:
    """The image (H, W, 3) under a strip with a title, cut where it is too long."""
    return np.vstack([_strip(image.shape[1], [(None, title)], colour), image])


def with_legend(image: Pixels, entries: Sequence[tuple[Colour | None, str]]) -> Pixels:
    """The image (H, W, 3) above a strip of colours and what they mean."""
    return np.vstack([image, _strip(image.shape[1], entries, INK)])


def _strip(width: int, entries: Sequence[tuple[Colour | None, str]], ink: Colour) -> Pixels:
    """Words, each after a square of its colour, in as many lines as they need."""
    from PIL import Image, ImageDraw

    font, line = _font(_SIZE), _SIZE + _PAD
    lines: list[list[tuple[int, Colour | None, str]]] = [[]]
    at = _PAD
    for colour, text in entries:
        room = width - 2 * _PAD
        for part in _wrapped(text, room - (_SIZE + _PAD if colour else 0), font):
            needed = int(font.getlength(part)) + (_SIZE + _PAD if colour else 0)
            if at > _PAD and at + needed > width - _PAD:
                lines.append([])
                at = _PAD
            lines[-1].append((at, colour, part))
            at += needed + 2 * _PAD
    canvas = Image.new("RGB", (width, len(lines) * line + _PAD), PAPER)
    draw = ImageDraw.Draw(canvas)
    for number, words in enumerate(lines):
        top = _PAD // 2 + 2 + number * line
        for left, colour, text in words:
            if colour is not None:
                box = (left, top + 3, left + _SIZE - 4, top + _SIZE - 1)
                draw.rectangle(box, fill=colour, outline=INK)
            start = left + (_SIZE + _PAD if colour else 0)
            draw.text((start, top), text, fill=ink, font=font)
    return np.asarray(canvas, np.uint8)


def _wrapped(text: str, room: int, font: Any) -> list[str]:
    """A text in lines that fit; a word that does not fit alone is cut."""
    lines, now = [], ""
    for word in text.split():
        longer = f"{now} {word}".strip()
        if now and font.getlength(longer) > room:
            lines.append(now)
            longer = word
        while len(longer) > 1 and font.getlength(longer) > room:
            longer = longer[:-1]
        now = longer
    return [*lines, now] if now else lines or [""]
