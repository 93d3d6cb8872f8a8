"""Jobs that match, and what the page shows of a match beyond the files of the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.atlas.locate import locate, locate_from, surface_of
from crosslook.atlas.settings import LocateSettings
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.atomic import write_bytes, write_text
from crosslook.errors import MatchError, SettingError
from crosslook.explore.images import jpeg_of, open_upload, png_of, reading_of
from crosslook.geo.image import ImageFile
from crosslook.match.evidence import sentences
from crosslook.match.files import tie_point_rows
from crosslook.match.previews import colours_of, on_footprint
from crosslook.match.register import register, register_from
from crosslook.match.result import MatchResult, write_match
from crosslook.match.robust_fit import fit_exact
from crosslook.match.settings import RegisterSettings
from crosslook.match.transform import Transform
from crosslook.progress import stage
from crosslook.types import FloatArray, Window

_SURFACE_CELLS = 192
_MOST_SIDE = 1600
_AROUND = 0.15  # of the footprint, shown on each side of it
_CARD = 220
_OPEN: dict[str, Atlas] = {}


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


def atlas_of(place: str) -> Atlas:
    """An atlas opened once per process: its transformed blocks serve all queries."""
    if place not in _OPEN:
        _OPEN.clear()  # one at a time: transformed blocks are large
        _OPEN[place] = open_atlas(place)
    return _OPEN[place]


def locate_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Locate an uploaded image on an atlas."""
    settings = LocateSettings(**work["settings"])
    atlas = atlas_of(work["atlas"])
    query = open_upload(work["query"], "sar", reading_of(work["settings"]), work["max_pixels"])
    result = locate(query, atlas, **_given(settings))
    extra = draw_search(result, atlas, settings, folder)
    return _finish(result, work, folder, extra)


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


def register_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Register an uploaded SAR image on an uploaded optical one."""
    settings = RegisterSettings(**work["settings"])
    sar, optical = _pair(work)
    result = register(sar, optical, **_given(settings))
    return _finish(result, work, folder, {})


def refit_task(work: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Match again from two or three tie points that a person set."""
    points = np.array(work["points"], np.float64)
    if points.ndim != 2 or points.shape[1] != 4 or not 2 <= len(points) <= 3:
        raise SettingError(
            "two or three tie points of four numbers each are needed: SAR row and column, "
            "optical row and column."
        )
    if min(_apart(points[:, :2]), _apart(points[:, 2:])) < 1.0:
        raise MatchError("two of the tie points are the same; set them farther apart.")
    start = fit_exact(points[:, :2], points[:, 2:], "similarity" if len(points) == 2 else "affine")
    if "atlas" in work:
        atlas = atlas_of(work["atlas"])
        query = open_upload(work["query"], "sar", reading_of(work["settings"]), work["max_pixels"])
        result = locate_from(query, atlas, start, LocateSettings(**work["settings"]))
    else:
        sar, optical = _pair(work)
        result = register_from(sar, optical, start, RegisterSettings(**work["settings"]))
    return _finish(result, work, folder, {})


def _given(settings: LocateSettings | RegisterSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.model_fields_set}


def _pair(work: dict[str, Any]) -> tuple[ImageFile, ImageFile]:
    reading = reading_of(work["settings"])
    return (
        open_upload(work["sar"], "sar", reading, work["max_pixels"]),
        open_upload(work["optical"], "optical", reading, work["max_pixels"]),
    )


def _apart(points: NDArray[np.float64]) -> float:
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    return float(distance[~np.eye(len(points), dtype=bool)].min())


def _finish(
    result: MatchResult, work: dict[str, Any], folder: Path, extra: dict[str, Any]
) -> dict[str, Any]:
    """Write the files of the command line and those of the page; the result as the API tells it."""
    stage("writing")
    rows = tie_point_rows(result.tie_points, result.transform, result.optical.grid)
    write_place(result, rows, folder, extra)
    # Last: its match.json says that the rest is there.
    write_match(result, folder / "files", force=bool(work.get("force")))
    content = json.loads((folder / "files" / "match.json").read_text(encoding="utf-8"))
    return {"match": content, "words": sentences(content)}


def write_place(
    match: Drawable, rows: list[dict[str, Any]], folder: Path, extra: dict[str, Any]
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
        What stands in ``place.json`` beside.
    """
    place = {"sar_shape": list(match.sar.shape), **_draw(match, folder), **extra}
    origin = place["origin"]
    place["tie_points"] = [
        [r["sar_row"], r["sar_col"], r["optical_row"] + origin[0], r["optical_col"] + origin[1],
         r["residual_px"], r["inlier"], r["score"]]
        for r in rows
    ]  # fmt: skip
    write_text(folder / "view" / "place.json", json.dumps(place) + "\n")


def _draw(result: Drawable, folder: Path) -> dict[str, Any]:
    """The SAR image where it lies, and for a registration the optical one around it.

    Positions that the page gets are pixels of the whole optical image or
    atlas; ``origin`` is where the image of the match begins in it.
    """
    view = folder / "view"
    window = result.window
    origin = (0, 0) if window is None else (window.row, window.col)
    out: dict[str, Any] = {"origin": list(origin), "shape": list(result.optical.shape)}
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
        part = _around(result.optical, out.get("sar"))
        factor = max(1, -(-max(part.height, part.width) // _MOST_SIDE))
        ground = result.optical.read(part, factor)
        write_bytes(view / "optical.png", png_of(colours_of(ground), ground.valid))
        rows, cols = (length * factor for length in ground.shape)
        out["optical"] = [part.row, part.col, rows, cols]
    radar = result.sar.read(None, max(1, -(-max(result.sar.shape) // _MOST_SIDE)))
    write_bytes(view / "query.png", png_of(colours_of(radar), radar.valid))
    return out


def _around(optical: ImageFile, sar: list[int] | None) -> Window:
    """The part of an optical image that is shown: around the SAR image, else all of it."""
    height, width = optical.shape
    if sar is None:
        return Window(0, 0, height, width)
    row, col, rows, cols = sar
    edge = round(_AROUND * max(rows, cols))
    top, left = max(0, row - edge), max(0, col - edge)
    bottom, right = min(height, row + rows + edge), min(width, col + cols + edge)
    return Window(top, left, bottom - top, right - left)


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
    height, width = result.sar.shape
    for number, other in enumerate(result.alternatives):
        row, col = other["atlas_pixel"]
        scale = _atlas_pixels_per_query_pixel(result)
        half = max(height, width) * scale * 0.5
        corner = (round(row - half), round(col - half))
        side = max(8, round(2 * half))
        part = atlas.image(corner, (side, side)).read(None, max(1, side // _CARD))
        write_bytes(folder / "view" / f"alternative-{number}.jpg", jpeg_of(colours_of(part)))
        total = other["coarse"] + other["fine"] + other["parts"]
        cards.append({**other, "total": round(total, 4), "half": half})
    return cards


def _atlas_pixels_per_query_pixel(result: Drawable) -> float:
    if result.transform is None:
        return 1.0
    return float(result.transform.local_scale(np.array(result.sar.shape) / 2))


def transform_of(match: dict[str, Any]) -> Transform | None:
    """The transform of a ``match.json``."""
    transform = match.get("transform")
    return None if transform is None else Transform.from_dict(transform)
