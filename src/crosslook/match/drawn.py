"""Images of a match for the eye: before, after, both over each other, residuals, a page to swipe.

After a no match they show the best that was tried, and say on themselves that it is refused.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.atomic import write_bytes, write_text
from crosslook.errors import CrosslookError
from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import is_placed, mean_metres, shares_frame
from crosslook.geo.image import ImageFile
from crosslook.match.evidence import Label
from crosslook.match.files import Pixels, checkerboard, colours_of, edges_over, png_of
from crosslook.match.labels import BAD, GOOD, INK, UNSURE, Colour, enlarged, titled, with_legend
from crosslook.match.placement import placement
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, scaling
from crosslook.match.warp import covered_window, warp
from crosslook.types import Array, Mask, Window

_TEMPLATE = Path(__file__).with_name("swipe.html")
_MOST_SIDE = 1200
_LEAST_BEFORE = 0.05  # of the ground, covered by the image as it was placed
EDGES: Colour = (255, 220, 0)
STEPS: tuple[tuple[float, Colour, str], ...] = (
    (1.0, (79, 209, 197), "up to 1 px"),
    (2.0, (181, 232, 83), "up to 2 px"),
    (4.0, (255, 192, 77), "up to 4 px"),
    (float("inf"), (255, 107, 94), "beyond"),
)
"""Colours of residuals, as the explorer has them."""

MOST_ARROWS = 2000
"""About so many are drawn at most."""

_ARROW_PX = 26.0  # of an arrow as long as nine tenths are at most
_NICE = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn.

    Attributes
    ----------
    sar, optical : ImageFile
    transform : Transform
    points : TiePoints
    verdict : str
    confidence, error, reason : str
        In words; ``error`` and ``reason`` may be empty.
    """

    sar: ImageFile
    optical: ImageFile
    transform: Transform
    points: TiePoints
    verdict: Label
    confidence: str
    error: str
    reason: str

    @property
    def title(self) -> str:
        """The verdict in a line, and of no match that it is refused."""
        if self.verdict == "no match":
            return f"REFUSED: no match, confidence {self.confidence}; the best that was tried"
        said = f"After: {self.verdict}, confidence {self.confidence}"
        return f"{said}; look before you use it" if self.verdict == "uncertain" else said

    @property
    def colour(self) -> Colour:
        """Of the title."""
        return {"match": GOOD, "uncertain": UNSURE, "no match": BAD}[self.verdict]


@dataclass(frozen=True, eq=False)
class Panels:
    """Both images on the same pixels.

    Attributes
    ----------
    window : Window
        In optical pixels.
    factor : int
        Optical pixels along a side of a pixel here.
    ground : uint8 array, shape (H, W, 3)
    after, before : GreyImage, or None
        The SAR image where the match and where its georeference puts it.
    """

    window: Window
    factor: int
    ground: Pixels
    after: GreyImage
    before: GreyImage | None

    @property
    def colours(self) -> tuple[Pixels, Pixels]:
        """The optical image, and the SAR image where the match puts it."""
        return self.ground, _grey(self.after)


def write_drawings(out: Path, scene: Scene) -> Panels:
    """Write ``before.png``, ``after.png``, ``overlay.png``, ``residuals.png``, ``swipe.html``.

    ``before.png`` only where the georeference puts the SAR image on the same ground. Returns
    what was read for it.
    """
    panels = make_panels(scene)
    if panels.before is not None:
        board = checkerboard(panels.ground, _grey(panels.before), panels.before.valid)
        title = "Before: where the georeference puts the SAR image"
        write_bytes(out / "before.png", png_of(_finished(board, title, INK, _BOARD)))
    after = checkerboard(panels.ground, _grey(panels.after), panels.after.valid)
    write_bytes(out / "after.png", png_of(_finished(after, scene.title, scene.colour, _BOARD)))
    write_bytes(out / "overlay.png", png_of(_overlay(scene, panels)))
    write_bytes(out / "residuals.png", png_of(_residuals(scene, panels)))
    write_text(out / "swipe.html", _page(scene, panels) + "\n")
    return panels


def make_panels(scene: Scene, most: int = _MOST_SIDE) -> Panels:
    """Read both images over the ground that the match covers, at most so many pixels a side."""
    window = covered_window(scene.transform, scene.sar.grid, scene.optical.shape)
    factor = max(1, -(-max(window.height, window.width) // most))
    ground = scene.optical.read(window, factor)
    finer = max(1, round(factor / scene.transform.local_scale(np.array(scene.sar.shape) / 2)))
    radar = scene.sar.read(None, finer).grey_image("sar")

    def warped(transform: Transform) -> GreyImage:
        onto = scaling(factor).inverse @ transform.within(window) @ scaling(finer)
        return warp(radar, onto, ground.shape)

    before = None
    grids = scene.sar.grid, scene.optical.grid
    if shares_frame(*grids):
        try:
            before = warped(placement(*grids))
        except CrosslookError:  # a place that the other frame does not have
            before = None
        if before is not None and before.valid.mean() < _LEAST_BEFORE:
            before = None
    return Panels(window, factor, colours_of(ground), warped(scene.transform), before)


_BOARD: tuple[tuple[Colour | None, str], ...] = (
    (None, "Squares in grey are the SAR image, the others the optical one."),
)


def _finished(
    image: Pixels, title: str, colour: Colour, legend: tuple[tuple[Colour | None, str], ...]
) -> Pixels:
    return with_legend(titled(enlarged(image)[0], title, colour), legend)


def _overlay(scene: Scene, panels: Panels) -> Pixels:
    """Left a checkerboard of both, right the edges of the SAR image over the optical one."""
    valid = panels.after.valid
    board = checkerboard(panels.ground, _grey(panels.after), valid)
    edges = edges_over(panels.ground, _grey(panels.after), valid)
    halves = [
        titled(enlarged(one)[0], words)
        for one, words in ((board, "Checkerboard of both"), (edges, "Edges over optical"))
    ]
    height = max(one.shape[0] for one in halves)
    gap = np.full((height, 10, 3), 255, np.uint8)
    rows = [
        np.vstack([one, np.full((height - one.shape[0], one.shape[1], 3), 255, np.uint8)])
        for one in halves
    ]
    both = titled(np.hstack([rows[0], gap, rows[1]]), scene.title, scene.colour)
    return with_legend(
        both, ((None, "Left: grey squares are the SAR image."), (EDGES, "edges of the SAR image"))
    )


def _residuals(scene: Scene, panels: Panels) -> Pixels:
    """Each inlier with an arrow to where the transform puts it, many times as long; a key."""
    image, times = enlarged((panels.ground * 0.55).astype(np.uint8))
    at, away = _inliers(scene, panels.window)
    scale = times / panels.factor
    length = np.linalg.norm(away, axis=1)
    longest = max(float(np.percentile(length, 90)) if len(length) else 1.0, 0.05)
    factor = max(1.0, round(_ARROW_PX / (longest * scale), 0))
    few = thinned(at)
    arrows = (at[few] * scale, away[few] * scale * factor, length[few])
    for (row, col), move, far in zip(*arrows, strict=True):
        colour = next(c for limit, c, _ in STEPS if far <= limit)
        _arrow(image, (col, row), (col + move[1], row + move[0]), colour)
    outliers = scene_outliers(scene, panels.window) * scale
    for row, col in outliers[thinned(outliers)]:
        cv2.circle(image, (round(col), round(row)), 3, (190, 190, 190), 1, cv2.LINE_AA)
    nice = max((n for n in _NICE if n * scale * factor <= 0.25 * image.shape[1]), default=_NICE[0])
    median = f"; median {np.median(length):.1f} px" if len(length) else ""
    drawn = "" if len(few) == len(at) else f", {len(few)} of them shown"
    title = f"Residuals of {len(at)} inliers{drawn}, drawn {factor:.0f} times as long{median}"
    whole = titled(image, title, INK if scene.verdict == "match" else scene.colour)
    whole = with_legend(whole, [(colour, text) for _, colour, text in STEPS])
    key = np.full((30, image.shape[1], 3), 255, np.uint8)
    _arrow(key, (10, 15), (10 + nice * scale * factor, 15), INK)
    words = titled(np.zeros((0, image.shape[1], 3), np.uint8), f"This arrow is {nice:g} px long.")
    refused = [titled(np.zeros((0, image.shape[1], 3), np.uint8), scene.title, scene.colour)]
    return np.vstack([*(refused if scene.verdict == "no match" else ()), whole, key, words])


def thinned(at: Array) -> NDArray[np.intp]:
    """Which of many positions (n, 2) are drawn: one of each square, so that arrows can be seen."""
    if len(at) <= MOST_ARROWS:
        return np.arange(len(at))
    low, high = at.min(axis=0), at.max(axis=0)
    side = np.sqrt(max(float(np.prod(high - low)), 1e-9) / MOST_ARROWS)
    squares = np.floor((at - low) / side).astype(np.int64)
    _, first = np.unique(squares, axis=0, return_index=True)
    return np.sort(first)


def _inliers(scene: Scene, window: Window) -> tuple[Array, Array]:
    """Optical positions in the window (n, 2), and from there to where the transform puts them."""
    inside = scene.points.only(scene.points.inlier)
    away = scene.transform(inside.sar) - inside.optical
    return inside.optical - [window.row, window.col], away


def scene_outliers(scene: Scene, window: Window) -> Array:
    """Optical positions of tie points that do not agree, in the window, shape (n, 2)."""
    return scene.points.optical[~scene.points.inlier] - [window.row, window.col]


def _arrow(
    image: Pixels, start: tuple[float, float], end: tuple[float, float], colour: Colour
) -> None:
    first, last = ((round(x), round(y)) for x, y in (start, end))
    if max(abs(a - b) for a, b in zip(first, last, strict=True)) < 2:
        cv2.circle(image, first, 2, colour, -1, cv2.LINE_AA)
        return
    tip = min(0.5, 7.0 / max(1.0, float(np.hypot(end[0] - start[0], end[1] - start[1]))))
    cv2.arrowedLine(image, first, last, colour, 2, cv2.LINE_AA, tipLength=tip)


def _grey(image: GreyImage) -> Pixels:
    """Values 0..1 as RGB (H, W, 3)."""
    values = np.clip(np.where(image.valid, image.values, 0), 0, 1)
    return np.repeat((values * 255).astype(np.uint8)[..., None], 3, axis=2)


def _page(scene: Scene, panels: Panels) -> str:
    """One page that needs nothing else: swipe, blink, opacity, zoom, arrows, a scale bar."""
    from jinja2 import Template

    at, away = _inliers(scene, panels.window)
    few = thinned(at)
    points = np.column_stack([at[few], away[few]]) / panels.factor
    grid, metres = scene.optical.grid, None
    if is_placed(grid):
        centre = np.array([[panels.window.row, panels.window.col]], np.float64)
        centre = centre + np.array(panels.window.shape) / 2
        metres = mean_metres(grid, centre) * panels.factor
    data: dict[str, Any] = {
        "height": panels.ground.shape[0],
        "width": panels.ground.shape[1],
        "metres": metres,
        "factor": panels.factor,
        "points": np.round(points, 2).tolist(),
        "steps": [
            [limit if np.isfinite(limit) else None, f"rgb{colour}", text]
            for limit, colour, text in STEPS
        ],
    }
    layers = {"sar": _layer(panels.after)}
    if panels.before is not None:
        layers["before"] = _layer(panels.before)
    text = Template(_TEMPLATE.read_text(encoding="utf-8"), autoescape=True).render(
        title=f"{scene.sar.name} on {scene.optical.name}",
        verdict=scene.verdict,
        kind=scene.verdict.replace(" ", "-"),
        confidence=scene.confidence,
        error=scene.error,
        reason=scene.reason,
        optical=_url("jpeg", cv2.imencode(".jpg", panels.ground[..., ::-1])[1]),
        data=json.dumps(data),
        **layers,
    )
    return str(text)


def _layer(image: GreyImage) -> str:
    """A SAR image as a data address, transparent where it holds nothing."""
    return _url("webp", _webp(_grey(image), image.valid))


def _webp(colours: Pixels, valid: Mask) -> NDArray[np.uint8]:
    alpha = np.where(valid, 255, 0).astype(np.uint8)
    pixels = np.dstack([colours[..., ::-1], alpha])
    return np.asarray(cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 85])[1], np.uint8)


def _url(kind: str, data: NDArray[np.uint8]) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode('ascii')}"
