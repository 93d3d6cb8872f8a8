"""A scene as matching it in tiles would give, made from the truth of a simulated pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crosslook.data.simulate.dense import LAND, STEP, dense_truth
from crosslook.data.simulate.scene import SceneSettings
from crosslook.data.simulate.write import write_pairs
from crosslook.geo.image import open_image
from crosslook.match.files import side_by_side
from crosslook.match.scene.report import SceneReport
from crosslook.match.scene.result import Quality, SceneMatch, SceneTile
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import LatticeField, Transform, translation
from crosslook.types import Window

_CELLS = 4  # of the truth, between nodes of the field
_TILE = 128


def made_report(folder: Path, size: int = 512, every: int = 6, **options: Any) -> SceneReport:
    """Write a pair, and describe how it would be matched: tie points of its truth, with noise."""
    settings = {"uncorrected": True, "relief": 60.0, "wander": 3.0, "sea": 0.15, "seed": 4}
    made = {"size": size, **settings, **options}
    write_pairs(folder, 1, **made)
    sar, optical = (open_image(folder / k / "sim-0000.tif", k) for k in ("sar", "optical"))
    scene = SceneSettings(**made)
    truth = dense_truth(scene, Window.whole(scene.shape))
    rng = np.random.default_rng(0)
    rows, cols = (np.arange(0, n, every) for n in truth.state.shape)
    cells = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    land = truth.state[tuple(cells.T)] == LAND
    places = cells[land] * STEP + STEP / 2
    std = rng.uniform(0.1, 0.6, len(places))
    moved = truth.displacement[tuple(cells[land].T)]
    seen = places + moved + rng.normal(0, 1, places.shape) * std[:, None]
    inlier = rng.random(len(places)) > 0.1
    seen[~inlier] += rng.uniform(-12, 12, (int((~inlier).sum()), 2))
    points = TiePoints.of(seen, places, rng.uniform(0.3, 0.9, len(places)), std).marked(inlier)
    nodes = -truth.displacement[::_CELLS, ::_CELLS].astype(np.float64)
    field = LatticeField.on_lattice(nodes, STEP * _CELLS, (STEP / 2, STEP / 2))
    base = Transform(translation(*-np.median(moved, axis=0)), "shift")
    transform = Transform(field, "field")
    spacing = STEP * every
    state = truth.state[::every, ::every]
    sure = np.where(state == LAND, 1.0, np.nan).astype(np.float32)
    quality = Quality(
        (0, 0), spacing, np.zeros((*state.shape, 2), np.float32),
        sure * rng.uniform(0.1, 0.8, state.shape).astype(np.float32), sure, sure,
    )  # fmt: skip
    tiles = tuple(
        _tile(window, points, transform) for window in Window.whole(scene.shape).tiles(_TILE)
    )
    geometry = {
        "selected": "field",
        "held_out_median_px": {"map": 6.1, "relief": 1.2, "field": 0.48},
        "direction_degrees": 0.0,
    }
    match = SceneMatch(base, 1, quality, tiles, geometry)
    panels = side_by_side(sar, optical, transform)
    return SceneReport(
        sar, optical, transform, points, match, panels, "match", "0.98", ("A note.",)
    )


def _tile(window: Window, points: TiePoints, transform: Transform) -> SceneTile:
    inside = (points.optical >= window.corner).all(axis=1)
    inside &= (points.optical < (window.bottom, window.right)).all(axis=1)
    agree = inside & points.inlier
    if agree.sum() < 5:
        few = (int(inside.sum()), int(agree.sum()), 0.1, np.nan, np.nan, "no structure: water")
        return SceneTile(window, "no match", 0.05, None, *few)
    left = np.linalg.norm(transform(points.sar[agree]) - points.optical[agree], axis=1)
    error = float(np.median(left))
    return SceneTile(
        window,
        "match",
        0.97,
        2 * error,
        int(inside.sum()),
        int(agree.sum()),
        1.0,
        error,
        1.2 * error,
    )
