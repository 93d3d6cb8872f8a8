"""The report of a scene: one page to look at, that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from crosslook.atomic import write_text
from crosslook.geo.grid import is_placed, mean_metres
from crosslook.geo.image import ImageFile
from crosslook.match.scene.plots import cumulative, histogram
from crosslook.match.scene.result import SceneMatch, SceneTile
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, scaling, shift_by
from crosslook.match.warp import covered_window, warp_array
from crosslook.types import Array, Window

Pixels = NDArray[np.uint8]

_TEMPLATE = Path(__file__).with_name("report.html")
_ACROSS = 42  # vectors drawn along the longer side
_ARROW = 26.0  # pixels of a map of 600 that a long displacement is drawn with
_WORST, _CHIP = 10, 288  # tiles with images, and pixels along a side of each
_DRAWS = 400  # of the bootstrap over tiles
_MOST_STD = 2.0
_GEOMETRIES = {
    "map": "one map",
    "relief": "one map, and relief along the range",
    "field": "a smooth field",
}


@dataclass(frozen=True, eq=False)
class SceneReport:
    """What a report shows.

    Attributes
    ----------
    sar, optical : ImageFile
    transform : Transform
        SAR pixels to optical pixels.
    points : TiePoints
        In pixels of either image.
    scene : SceneMatch
    panels : tuple of uint8 array, shape (H, W, 3)
        The optical image under the SAR image, and that warped onto it.
    verdict, confidence : str
    notes : sequence of str
    former : str
        What the map is called that ``scene.base`` is.
    badge : str
        What is written beside the title; verdict and confidence where it is empty.
    """

    sar: ImageFile
    optical: ImageFile
    transform: Transform
    points: TiePoints
    scene: SceneMatch
    panels: tuple[Pixels, Pixels]
    verdict: str
    confidence: str
    notes: Sequence[str] = ()
    former: str = "One map"
    badge: str = ""

    @property
    def window(self) -> Window:
        """What the panels show, in optical pixels."""
        return covered_window(self.transform, self.sar.grid, self.optical.shape)

    @property
    def direction(self) -> tuple[tuple[str, str], Array]:
        """What both axes are called, and their unit vectors (row, column), shape (2, 2)."""
        degrees = self.scene.geometry.get("direction_degrees")
        if degrees is None:  # nothing says how the sensor looked
            return ("down the rows", "along the columns"), np.eye(2)
        down, right = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        return ("along the range", "across the range"), np.array([[down, right], [right, -down]])


def write_report(path: Path, report: SceneReport) -> None:
    """Write the page: maps of displacements, errors, candidates and the worst tiles."""
    from jinja2 import Template

    used = report.points.inlier
    sar, optical = report.points.sar[used], report.points.optical[used]
    before, after = optical - report.scene.base(sar), optical - report.transform(sar)
    tile = _tile_of(report.scene.tiles, optical)
    chips = _chips(report, optical, before, tile)
    data = _data(report, optical, before, after) | {"chips": chips}
    names, axes = report.direction
    plots = [
        {
            "title": f"Displacements {name}",
            "svg": Markup(histogram(before @ axis, after @ axis)),
            "before": _spread(before @ axis),
            "after": _spread(after @ axis),
        }
        for name, axis in zip(names, axes, strict=True)
    ]
    lengths = [np.linalg.norm(part, axis=1) for part in (before, after)]
    plots.append(
        {
            "title": "Tie points within a distance",
            "svg": Markup(cumulative(*lengths)),
            **dict(zip(("before", "after"), map(_within, lengths), strict=True)),
        }
    )
    text = Template(_TEMPLATE.read_text(encoding="utf-8"), autoescape=True).render(
        title=f"{report.sar.name} on {report.optical.name}",
        verdict=report.verdict,
        badge=report.badge or f"{report.verdict}, confidence {report.confidence}",
        former=report.former,
        figures=_figures(report, lengths, tile),
        words=dict(zip(("before", "after"), (_median(one, tile) for one in lengths), strict=True)),
        plots=plots,
        candidates=_candidates(report.scene),
        chips=chips,
        notes=report.notes,
        data=data,
        foot=_foot(report),
    )
    write_text(path, text + "\n")


def _foot(report: SceneReport) -> str:
    return (
        f"Optical pixels throughout. Intervals are 95 % of {_DRAWS} draws of tiles. "
        "A displacement is where a tie point lies, less where the map puts it. "
        f"The SAR image is {_by(report.sar.shape)} px, the optical one "
        f"{_by(report.optical.shape)} px."
    )


def _by(shape: tuple[int, int]) -> str:
    return f"{shape[0]:,} x {shape[1]:,}"


def _figures(report: SceneReport, lengths: Sequence[Array], tile: Array) -> list[dict[str, str]]:
    """The numbers at the top of the page."""
    scene, labels = report.scene, [one.verdict for one in report.scene.tiles]
    held_out = [one.held_out_px for one in scene.tiles if np.isfinite(one.held_out_px)]
    metres = ""
    if held_out and is_placed(report.optical.grid):
        centre = np.array([report.optical.shape], np.float64) / 2
        metres = f", {np.median(held_out) * mean_metres(report.optical.grid, centre):.1f} m"
    total, agree = len(report.points), int(report.points.inlier.sum())
    known = np.isfinite(scene.quality.std)
    rows = [
        ("Tie points", f"{agree:,}", f"of {total:,} found agree with their neighbours"),
        (f"{report.former} leaves", _px(lengths[0]), "median distance of tie points"),
        ("The map taken leaves", _px(lengths[1]), "of tie points that it was fitted to"),
        (
            "Held-out tie points",
            f"{np.median(held_out):.2f} px" if held_out else "not known",
            f"median over {len(held_out)} tiles{metres}" if held_out else "no tile has enough",
        ),
        ("Covered", f"{known.mean():.0%}", f"of {known.size:,} places say where they are"),
        (
            "Tiles",
            f"{labels.count('match')} of {len(labels)} sure",
            f"{labels.count('uncertain')} uncertain, {labels.count('no match')} without a match",
        ),
    ]
    return [{"name": name, "value": value, "more": more} for name, value, more in rows]


def _px(lengths: Array) -> str:
    return f"{np.median(lengths):.2f} px" if len(lengths) else "not known"


def _median(lengths: Array, tile: Array) -> str:
    """The median of distances with its interval over tiles."""
    if not len(lengths):
        return "no tie points"
    groups = [lengths[tile == number] for number in np.unique(tile)]
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(groups), len(groups)) for _ in range(_DRAWS))
    low, high = np.quantile(
        [np.median(np.concatenate([groups[k] for k in picks])) for picks in drawn], (0.025, 0.975)
    )
    return f"median {np.median(lengths):.2f} px ({low:.2f} to {high:.2f})"


def _spread(values: Array) -> str:
    if not len(values):
        return "no tie points"
    return f"{np.median(values):+.2f} px, half within {_half(values):.2f} px of it"


def _half(values: Array) -> float:
    return float(np.median(np.abs(values - np.median(values))))


def _within(lengths: Array) -> str:
    if not len(lengths):
        return "no tie points"
    return ", ".join(f"{(lengths <= most).mean():.0%} within {most} px" for most in (1, 2, 5))


def _candidates(scene: SceneMatch) -> list[dict[str, Any]]:
    """What the geometry was chosen from: name, median of held-out tie points, whether taken."""
    medians = scene.geometry.get("held_out_median_px") or {}
    return [
        {
            "name": _GEOMETRIES.get(kind, kind),
            "median": "not known" if median is None else f"{median * scene.pixel:.2f} px",
            "taken": kind == scene.geometry.get("selected"),
        }
        for kind, median in medians.items()
    ]


def _tile_of(tiles: Sequence[SceneTile], points: Array) -> Array:
    """The number of the tile that each position (n, 2) lies in; -1 in none."""
    out = np.full(len(points), -1.0)
    for number, tile in enumerate(tiles):
        at = tile.window
        inside = (points >= at.corner).all(axis=1) & (points < (at.bottom, at.right)).all(axis=1)
        out[inside] = number
    return out


def _data(report: SceneReport, optical: Array, before: Array, after: Array) -> dict[str, Any]:
    """What the page draws; places in pixels of the panels."""
    window, panel = report.window, report.panels[0]
    scale = panel.shape[1] / window.width
    at = (optical - window.corner) * scale
    cell = max(panel.shape[:2]) / _ACROSS
    _, first, of_cell = np.unique(
        np.floor(at / cell).astype(int), axis=0, return_index=True, return_inverse=True
    )
    of_cell = of_cell.ravel()
    vectors = []
    for number, index in enumerate(first):
        group = of_cell == number
        spot, one, two = (np.median(part[group], axis=0) for part in (at, before, after))
        numbers = [*spot[::-1], *one[::-1], *two[::-1]]
        vectors.append([round(float(value), 2) for value in numbers])
        del index
    long = np.quantile(np.linalg.norm(before, axis=1), 0.9) if len(before) else 1.0
    tiles = [
        [*(np.array([*t.window.corner[::-1]]) - window.corner[::-1]) * scale,
         t.window.width * scale, t.window.height * scale, t.verdict]
        for t in report.scene.tiles
    ]  # fmt: skip
    quality = report.scene.quality
    corner = (np.array(quality.corner) - window.corner) * scale
    sides = np.array(quality.shape) * quality.spacing * scale
    return {
        "width": int(panel.shape[1]),
        "height": int(panel.shape[0]),
        "vectors": vectors,
        "stretch": float(_ARROW / max(long, 0.5)),
        "tiles": [[round(float(v), 1) if not isinstance(v, str) else v for v in t] for t in tiles],
        "cells": [round(float(v), 1) for v in (*corner[::-1], *sides[::-1])],
        "most_std": _MOST_STD,
        "images": {
            "optical": _jpeg(report.panels[0]),
            "sar": _jpeg(report.panels[1]),
            "std": _png_of_std(quality.std),
        },
    }


def _chips(report: SceneReport, optical: Array, before: Array, tile: Array) -> list[dict[str, Any]]:
    """Images of the tiles that fit least, under one map and under the map taken."""
    chips = []
    for number in _worst(report.scene.tiles):
        one = report.scene.tiles[number]
        mine = tile == number
        centre = np.array(one.window.corner) + np.array(one.window.shape) / 2
        if mine.any():  # where displacements are large, but not only by chance
            lengths = np.linalg.norm(before[mine], axis=1)
            centre = optical[mine][np.argsort(lengths)[int(0.9 * (len(lengths) - 1))]]
        side = _CHIP * report.scene.pixel
        low = np.floor(centre - side / 2).astype(int)
        low = np.clip(low, 0, np.maximum(np.array(report.optical.shape) - side, 0))
        window = Window(int(low[0]), int(low[1]), side, side).clip(report.optical.shape)
        ground = report.optical.read(window, report.scene.pixel)
        bands = ground.values[:3] if len(ground.values) >= 3 else ground.values[[0, 0, 0]]
        colours = (np.clip(bands, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        chips.append(
            {
                "tile": number,
                "name": f"row {one.window.row:,}, column {one.window.col:,}",
                "verdict": one.verdict,
                "words": _words_of(one),
                "optical": _jpeg(np.ascontiguousarray(colours)),
                "before": _jpeg(_warped(report, report.scene.base, window, ground.shape)),
                "after": _jpeg(_warped(report, report.transform, window, ground.shape)),
            }
        )
    return chips


def _worst(tiles: Sequence[SceneTile]) -> list[int]:
    """Numbers of the tiles whose held-out tie points lie farthest, then of those with no match.

    What has no ground, as sea, is left out: nothing is to be seen there.
    """

    def rank(number: int) -> tuple[bool, float]:
        error = tiles[number].held_out_px
        return not np.isfinite(error), -error if np.isfinite(error) else -tiles[number].confidence

    seen = [number for number, one in enumerate(tiles) if one.ground > 0 and one.points]
    return sorted(seen, key=rank)[:_WORST]


def _words_of(tile: SceneTile) -> str:
    parts = [f"{tile.inliers} of {tile.points} tie points agree"]
    if np.isfinite(tile.held_out_px):
        parts.insert(0, f"held-out tie points {tile.held_out_px:.2f} px")
    if tile.reason:
        parts.append(tile.reason)
    return "; ".join(parts)


def _warped(
    report: SceneReport, transform: Transform, window: Window, shape: tuple[int, int]
) -> Pixels:
    """The SAR image on a window of the optical one, grey (h, w, 3); black where there is none."""
    rows, cols = (np.linspace(low, high, 9) for low, high in (
        (window.row, window.bottom), (window.col, window.right)))  # fmt: skip
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    seen = transform.inverse(grid)
    part = Window.around(seen.min(axis=0), seen.max(axis=0)).pad(4).clip(report.sar.shape)
    if part.is_empty:
        return np.zeros((*shape, 3), np.uint8)
    pixel = report.scene.pixel
    centre = np.array(part.corner, np.float64) + np.array(part.shape) / 2
    finer = max(1, round(pixel / transform.local_scale(centre)))
    image = report.sar.read(part, finer)
    onto = scaling(pixel).inverse @ transform.within(window)
    onto = onto @ shift_by(part.row, part.col) @ scaling(finer)
    grey = np.where(image.valid, image.grey("sar"), 0).astype(np.float32)
    values = warp_array(grey, onto, shape, cv2.INTER_LINEAR)
    return np.repeat((np.clip(values, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def _jpeg(image: Pixels) -> str:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 82]
    coded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
    return "data:image/jpeg;base64," + base64.b64encode(coded.tobytes()).decode("ascii")


def _png_of_std(std: NDArray[np.float32]) -> str:
    """Standard deviations (h, w) in colours, transparent where there are none."""
    known = np.isfinite(std)
    level = np.clip(np.where(known, std, 0) / _MOST_STD * 255, 0, 255).astype(np.uint8)
    colours = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)
    alpha = (known * 255).astype(np.uint8)
    coded = cv2.imencode(".png", np.dstack([colours, alpha]))[1]
    return "data:image/png;base64," + base64.b64encode(coded.tobytes()).decode("ascii")
