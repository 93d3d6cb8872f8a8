"""Images of a match: checkerboard, edges, and a page with a swipe."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.atomic import write_bytes, write_text
from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import rim
from crosslook.geo.image import Image, ImageFile
from crosslook.match.transform import Transform, scaling, translation
from crosslook.match.warp import warp
from crosslook.types import Window
from crosslook.written import MARK

Pixels = NDArray[np.uint8]
_MAX_SIDE = 1200
_PNG_HEADER = 33  # bytes of the signature and the first chunk
_SQUARES = 8
_EDGE_COLOUR = (255, 220, 0)
_TEMPLATE = Path(__file__).with_name("swipe.html")


def write_overlay(target: Path, optical: Pixels, sar: Pixels) -> None:
    """Write :func:`overlay` as PNG."""
    write_bytes(target, _encode(overlay(optical, sar), ".png"))


def overlay(optical: Pixels, sar: Pixels) -> Pixels:
    """Left a checkerboard of both (H, W, 3), right the SAR image's edges over the optical one."""
    board = checkerboard(optical, sar)
    edges = edges_over(optical, sar)
    gap = np.full((board.shape[0], 8, 3), 255, np.uint8)
    return np.hstack([board, gap, edges])


def jpeg_of(image: Pixels) -> bytes:
    """An image (H, W, 3) as JPEG."""
    return _encode(image, ".jpg")


def write_swipe(target: Path, optical: Pixels, sar: Pixels, title: str, verdict: str) -> None:
    """One HTML file that needs nothing else: drag, or use the arrow keys."""
    values = {
        "title": title,
        "verdict": verdict,
        "sar": _data_url(sar),
        "optical": _data_url(optical),
        "width": str(optical.shape[1]),
        "height": str(optical.shape[0]),
    }
    page = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", html.escape(value))
    write_text(target, page)


def checkerboard(first: Pixels, second: Pixels) -> Pixels:
    """Squares of two images (H, W, 3) in turn."""
    height, width = first.shape[:2]
    side = max(1, min(height, width) // _SQUARES)
    odd = (np.arange(height)[:, None] // side + np.arange(width)[None] // side) % 2 == 1
    return np.where(odd[..., None], second, first)


def edges_over(base: Pixels, other: Pixels) -> Pixels:
    """The edges of ``other`` (H, W, 3) in yellow over a pale ``base``."""
    grey = cv2.cvtColor(cv2.GaussianBlur(other, (0, 0), 3.5), cv2.COLOR_RGB2GRAY)
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    high = float(np.percentile(gradient, 94))
    lines = cv2.Canny(grey, high * 0.4, max(high, 1.0), L2gradient=True)
    out = (base * 0.7).astype(np.uint8)
    out[lines > 0] = _EDGE_COLOUR
    return out


def side_by_side(sar: ImageFile, optical: ImageFile, transform: Transform) -> tuple[Pixels, Pixels]:
    """Optical and warped SAR as RGB (H, W, 3), cut to the SAR footprint."""
    _, ground, moved = on_footprint(sar, optical, transform)
    grey = np.where(moved.valid, moved.values * 255, 0).astype(np.uint8)
    return colours_of(ground), np.repeat(grey[..., None], 3, axis=2)


def on_footprint(
    sar: ImageFile, optical: ImageFile, transform: Transform, most: int = _MAX_SIDE
) -> tuple[Window, Image, GreyImage]:
    """The optical pixels under a SAR image, and the SAR image warped onto them.

    Returns
    -------
    window : Window
        What is covered, in optical pixels.
    ground : Image
        At most ``most`` pixels along a side.
    moved : GreyImage
        The SAR image on the same pixels.
    """
    height, width = optical.shape
    ring = transform(rim(sar.grid))
    top, left = np.clip(np.floor(ring.min(axis=0)).astype(int), 0, (height - 1, width - 1))
    bottom, right = np.clip(np.ceil(ring.max(axis=0)).astype(int), 1, (height, width))
    window = Window(int(top), int(left), max(1, int(bottom - top)), max(1, int(right - left)))
    factor = max(1, -(-max(window.height, window.width) // most))
    ground = optical.read(window, factor)
    finer = max(1, round(factor / transform.local_scale(np.array(sar.shape) / 2)))
    radar = sar.read(None, finer)
    cornered = transform.shifted((0.0, 0.0), (-float(window.row), -float(window.col)))
    cut = scaling(factor).inverse @ cornered @ scaling(finer)
    return window, ground, warp(radar.grey_image("sar"), cut, ground.shape)


def colours_of(image: Image) -> Pixels:
    """Red, green and blue (H, W, 3) of an image; its grey three times where it has one band."""
    bands = np.clip(image.values[:3] if len(image.values) >= 3 else image.values[[0, 0, 0]], 0, 1)
    return np.ascontiguousarray((bands * 255).round().astype(np.uint8).transpose(1, 2, 0))


def _data_url(image: Pixels) -> str:
    data = base64.b64encode(jpeg_of(image)).decode("ascii")
    return f"data:image/jpeg;base64,{data}"


def _encode(image: Pixels, suffix: str) -> bytes:
    data = bytes(cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])
    return _marked(data) if suffix == ".png" else data


def _marked(png: bytes) -> bytes:
    """A PNG that says who wrote it, in a text chunk behind its header."""
    chunk = b"tEXtSoftware\0" + MARK.encode("ascii")
    text = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:_PNG_HEADER] + text + png[_PNG_HEADER:]


def shift_preview(sar: GreyImage, optical: Image, shift: tuple[float, float]) -> bytes:
    """PNG: edges of the SAR image as published, and moved by ``shift``, over the optical."""
    base = colours_of(optical)
    panels = []
    for move in ((0.0, 0.0), shift):
        moved = warp(sar, Transform(translation(*move), "shift"), optical.shape)
        grey = (moved.values * 255).astype(np.uint8)
        panels.append(edges_over(base, np.repeat(grey[..., None], 3, axis=2)))
    gap = np.full((base.shape[0], 8, 3), 255, np.uint8)
    return _encode(np.hstack([panels[0], gap, panels[1]]), ".png")
