"""A match as the page lays it over a map: both images, before and after, and their places."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crosslook.atlas.locate import surface_of
from crosslook.atlas.settings import LocateSettings
from crosslook.atlas.store import Atlas
from crosslook.atomic import write_bytes, write_text
from crosslook.errors import CrosslookError
from crosslook.explore.images import jpeg_of, png_of
from crosslook.geo.grid import is_placed, mean_metres, shares_frame
from crosslook.geo.image import ImageFile
from crosslook.match.files import colours_of, on_footprint
from crosslook.match.placement import placement
from crosslook.match.result import MatchResult
from crosslook.match.transform import Transform, scaling, shift_by
from crosslook.match.warp import covered_window, warp
from crosslook.types import FloatArray, Window

_SURFACE_CELLS = 192
_MOST_SIDE = 1600
_AROUND = 0.15  # of the footprint, shown on each side of it
_CARD = 220
_LEAST_BEFORE = 8  # pixels of the map along each side, else it lies beside the map
_MOST_BOTH = 9.0  # footprints: the optical image is read around both places where they take less


@dataclass(frozen=True, eq=False)
class PlacedMatch:
    """What is drawn of a match, named as in :class:`~crosslook.match.result.MatchResult`.

    Attributes
    ----------
    sar, optical : ImageFile
    transform : Transform or None
    window : Window or None
    footprint : dict or None
        Its ``pixel`` is used.
    alternatives : tuple of dict
    """

    sar: ImageFile
    optical: ImageFile
    transform: Transform | None
    window: Window | None
    footprint: dict[str, Any] | None
    alternatives: tuple[dict[str, Any], ...]


Drawable = MatchResult | PlacedMatch


def draw_search(
    match: Drawable, atlas: Atlas, settings: LocateSettings, folder: Path
) -> dict[str, Any]:
    """Draw the score surface of a search over an atlas, and the ground at its alternatives."""
    surface, side = surface_of(match.sar, atlas, settings, _SURFACE_CELLS)
    write_bytes(folder / "view" / "surface.png", _heat(surface))
    return {
        "surface": {"side": side, "shape": list(surface.shape), "high": float(surface.max())},
        "cards": _cards(match, atlas, folder),
    }


def write_place(
    match: Drawable,
    rows: list[dict[str, Any]],
    folder: Path,
    extra: dict[str, Any],
    atlas: Atlas | None = None,
) -> None:
    """Draw a match, and write ``view/place.json``, by which the page puts all of it on a map.

    Parameters
    ----------
    match : MatchResult or PlacedMatch
    rows : list of dict
        Tie points, as ``tie_points.csv`` has them.
    folder : Path
        Of the job.
    extra : dict
        What else ``place.json`` holds.
    atlas : Atlas, optional
        On which it was located.
    """
    shape = match.optical.shape if atlas is None else atlas.grid.shape
    before = _draw_before(match, folder, (shape[0], shape[1]))
    place = {"sar_shape": list(match.sar.shape), **_draw(match, folder, before), **extra}
    grid = match.optical.grid
    centre = np.array([match.optical.shape], np.float64) / 2
    place["gsd"] = round(mean_metres(grid, centre), 6) if is_placed(grid) else None
    origin = place["origin"]
    place["tie_points"] = [
        [r["sar_row"], r["sar_col"], r["optical_row"] + origin[0], r["optical_col"] + origin[1],
         r["residual_px"], r["inlier"], r["score"]]
        for r in rows
    ]  # fmt: skip
    if match.transform is not None and rows:
        moved = match.transform(np.array([[r["sar_row"], r["sar_col"]] for r in rows], np.float64))
        place["predicted"] = np.round(moved + origin, 3).tolist()
    write_text(folder / "view" / "place.json", json.dumps(place) + "\n")


def _draw_before(result: Drawable, folder: Path, shape: tuple[int, int]) -> Window | None:
    """The SAR image where its georeference puts it; None where that is not on the map.

    Parameters
    ----------
    result : MatchResult or PlacedMatch
    folder : Path
        Of the job.
    shape : tuple of int
        Of the whole optical image or atlas.

    Returns
    -------
    Window or None
        What it covers, in pixels of the whole optical image or atlas.
    """
    if not shares_frame(result.sar.grid, result.optical.grid):
        return None
    origin = (0, 0) if result.window is None else (result.window.row, result.window.col)
    try:
        start = shift_by(*origin) @ placement(result.sar.grid, result.optical.grid)
        window = covered_window(start, result.sar.grid, shape)
        factor = max(1, -(-max(window.shape) // _MOST_SIDE))
        finer = max(1, round(factor / start.local_scale(np.array(result.sar.shape) / 2)))
    except (CrosslookError, ValueError):  # a place that the other frame does not have
        return None
    radar = result.sar.read(None, finer)
    small = (-(-window.height // factor), -(-window.width // factor))
    onto = scaling(factor).inverse @ start.within(window) @ scaling(finer)
    moved = warp(radar.grey_image("sar"), onto, small)
    if min(window.shape) < _LEAST_BEFORE or not moved.valid.any():
        return None
    grey = (np.clip(moved.values, 0, 1) * 255).astype(np.uint8)
    write_bytes(folder / "view" / "before.png", png_of(np.dstack([grey] * 3), moved.valid))
    return Window(window.row, window.col, small[0] * factor, small[1] * factor)


def _draw(result: Drawable, folder: Path, before: Window | None) -> dict[str, Any]:
    """The SAR image where it lies, and for a registration the optical one around it.

    Positions that the page gets are pixels of the whole optical image or
    atlas; ``origin`` is where the image of the match begins in it.
    """
    view = folder / "view"
    window = result.window
    origin = (0, 0) if window is None else (window.row, window.col)
    out: dict[str, Any] = {"origin": list(origin), "shape": list(result.optical.shape)}
    if before is not None:
        out["before"] = [before.row, before.col, before.height, before.width]
    if result.transform is not None:
        covered, _, moved = on_footprint(result.sar, result.optical, result.transform, _MOST_SIDE)
        grey = (np.clip(moved.values, 0, 1) * 255).astype(np.uint8)
        write_bytes(view / "sar.png", png_of(np.dstack([grey] * 3), moved.valid))
        out["sar"] = [covered.row + origin[0], covered.col + origin[1],
                      covered.height, covered.width]  # fmt: skip
        out["footprint"] = [
            [row + origin[0], col + origin[1]]
            for row, col in (result.footprint or {"pixel": []})["pixel"]
        ]
    if window is None:
        part = Window.whole(result.optical.shape)
        if "sar" in out:
            covered = Window(*out["sar"])
            if before is not None:
                both = Window.around(
                    np.minimum((before.row, before.col), (covered.row, covered.col)),
                    np.maximum((before.bottom, before.right), (covered.bottom, covered.right)),
                )
                if np.prod(both.shape) <= _MOST_BOTH * np.prod(covered.shape):
                    covered = both
            part = covered.pad(round(_AROUND * max(covered.shape))).clip(result.optical.shape)
        factor = max(1, -(-max(part.height, part.width) // _MOST_SIDE))
        ground = result.optical.read(part, factor)
        write_bytes(view / "optical.png", png_of(colours_of(ground), ground.valid))
        rows, cols = (length * factor for length in ground.shape)
        out["optical"] = [part.row, part.col, rows, cols]
    radar = result.sar.read(None, max(1, -(-max(result.sar.shape) // _MOST_SIDE)))
    write_bytes(view / "query.png", png_of(colours_of(radar), radar.valid))
    return out


def _heat(scores: FloatArray) -> bytes:
    """PNG of a score surface: dark and clear where low, bright where high."""
    high = max(float(scores.max()), 1e-6)
    low = float(np.percentile(scores[scores > 0], 50)) if (scores > 0).any() else 0.0
    unit = np.clip((scores - low) / max(high - low, 1e-6), 0, 1)
    colours = cv2.applyColorMap((unit * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = (unit**0.7 * 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", np.dstack([colours, alpha]))[1])


def _cards(result: Drawable, atlas: Atlas, folder: Path) -> list[dict[str, Any]]:
    """An image of the ground at each alternative, with the scores that put it behind."""
    cards = []
    shape, scale = result.sar.shape, 1.0  # atlas pixels per pixel of the SAR image
    if result.transform is not None:
        scale = float(result.transform.local_scale(np.array(shape) / 2))
    half = max(shape) * scale * 0.5
    for number, other in enumerate(result.alternatives):
        row, col = other["atlas_pixel"]
        corner = (round(row - half), round(col - half))
        side = max(8, round(2 * half))
        part = atlas.image(corner, (side, side)).read(None, max(1, side // _CARD))
        write_bytes(folder / "view" / f"alternative-{number}.jpg", jpeg_of(colours_of(part)))
        total = other["coarse"] + other["fine"] + other["parts"]
        cards.append({**other, "total": round(total, 4), "half": half})
    return cards
