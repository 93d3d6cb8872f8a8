"""A scene at its own resolution: tiles, inliers, geometry, verdict. Start here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from crosslook.errors import CrosslookError
from crosslook.match.engine import Engine
from crosslook.match.matchers import open_features
from crosslook.match.relief import known_view, view_geometry
from crosslook.match.result import MatchResult
from crosslook.match.scene.consensus import Nodes, find_inliers
from crosslook.match.scene.field import Geometry, View, fit_geometry
from crosslook.match.scene.plan import ScenePlan, factors_of, plan_scene
from crosslook.match.scene.result import SceneMatch
from crosslook.match.scene.store import tile_store
from crosslook.match.scene.terrain import heights_of, predicted_terrain
from crosslook.match.scene.tiles import TileJob, match_stack
from crosslook.match.scene.verdict import quality_of, tiles_of
from crosslook.match.settings import RegisterSettings
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import LatticeField, Transform, flat
from crosslook.match.working_grid import WorkingGrid
from crosslook.progress import timer, timings
from crosslook.types import Array, FloatArray, Window

LATTICE_PX = 8
"""Pixels of the matched grid between the nodes of the displacement that is written."""

_SHOWN = ("match", "uncertain")


def match_scene(
    found: MatchResult,
    settings: RegisterSettings,
    out: Path | None = None,
    engine: Engine | None = None,
) -> MatchResult:
    """Follow in tiles what the one map of a pair leaves, where the pair is larger than that saw.

    Parameters
    ----------
    found : MatchResult
        Of the working grid.
    settings : RegisterSettings
        With ``spacing`` every pair is matched in tiles.
    out : Path, optional
        Folder of the result, in which tiles wait for the others; a run that was stopped goes on.
    engine : Engine, optional

    Returns
    -------
    MatchResult
        ``found`` itself where the working grid has shown all there is, or nothing was found.
    """
    [result] = match_scenes([found], settings, [out], engine)
    if isinstance(result, CrosslookError):
        raise result
    return result


def match_scenes(
    founds: Sequence[MatchResult],
    settings: RegisterSettings,
    outs: Sequence[Path | None],
    engine: Engine | None = None,
) -> list[MatchResult | CrosslookError]:
    """Follow several dates in tiles, as :func:`match_scene` does one; errors stand for results.

    Those on one optical image share what is read and computed of it, tile by tile.
    """
    engine = engine or Engine()
    with timings() as seconds, ExitStack() as stores:
        extractor = open_features(settings.extractor, settings)
        jobs: dict[int, TileJob] = {}
        with timer("tiles"):
            for number, (found, out) in enumerate(zip(founds, outs, strict=True)):
                plan = _plan_of(found, settings)
                if plan is not None:
                    store = stores.enter_context(tile_store(out))
                    jobs[number] = TileJob.of(plan, extractor, settings, store)
            tiles = dict(zip(jobs, match_stack([*jobs.values()], engine), strict=True))
        results: list[MatchResult | CrosslookError] = list(founds)
        with timer("field"), engine.resting(settings.threads):
            for number, job in jobs.items():
                try:
                    followed = follow(job.plan, *tiles[number], settings)
                    results[number] = _assembled(founds[number], followed)
                except CrosslookError as error:
                    results[number] = error
    for number in jobs:
        result = results[number]
        if isinstance(result, MatchResult):
            spent = {name: value for name, value in result.timings.items() if name != "total"}
            spent |= {name: value / len(jobs) for name, value in seconds.items()}
            results[number] = replace(result, timings={**spent, "total": sum(spent.values())})
    return results


def _plan_of(found: MatchResult, settings: RegisterSettings) -> ScenePlan | None:
    """How a pair is cut; None where the working grid has shown all there is, or nothing at all."""
    start = found.transform
    if start is None or found.verdict not in _SHOWN or found.window is not None:
        return None
    images = found.sar, found.optical
    factor, _ = factors_of(images, start.without_field)
    if settings.spacing is None and found.working_pixel < 2 * factor:
        return None
    return plan_scene(images, start, settings.spacing)


@dataclass(frozen=True, eq=False)
class Followed:
    """What the tiles of a scene say.

    Attributes
    ----------
    transform : Transform
        SAR pixels to optical pixels, the field included.
    points : TiePoints
        In pixels of the files.
    scene : SceneMatch
    held_out : float64 array, shape (n,)
        How far inliers lie from the map that was fitted without their block, optical pixels.
    """

    transform: Transform
    points: TiePoints
    scene: SceneMatch
    held_out: Array


def follow(
    plan: ScenePlan,
    values: FloatArray,
    failed: dict[int, str],
    settings: RegisterSettings,
) -> Followed | None:
    """The map of a scene from the displacements of all nodes; None where no two tie points agree.

    Parameters
    ----------
    plan : ScenePlan
    values : float32 array, shape (h, w, fields)
        As :func:`~crosslook.match.scene.tiles.match_tiles` gives it.
    failed : dict of int to str
        Tiles that could not be read, and why.
    settings : RegisterSettings
    """
    nodes = find_inliers(values, plan)
    if not nodes.inlier.any():
        return None
    at = (plan.positions(Window.whole(plan.shape)) - plan.window.corner) / plan.factor
    heights = None if settings.dem is None else heights_of(plan, settings.dem, plan.step)
    known = None if heights is None else known_view(plan.sar, plan.optical.grid, settings)
    predicted = None if known is None else predicted_terrain(plan, known)
    view = View(_direction(plan, settings), heights, predicted)
    geometry = fit_geometry(nodes, at, plan.spacing, settings.model, view)
    base, linear = _corrected(plan, geometry)
    transform = base
    if geometry.kind != "map":
        transform = Transform((*base.maps, _lattice(plan, geometry, linear, settings.dem)), "field")
    tiles = tiles_of(plan, nodes, geometry, failed)
    scene = SceneMatch(
        base, plan.factor, quality_of(plan, nodes, geometry, linear), tiles, geometry.summary
    )
    held = geometry.held_out[np.isfinite(geometry.held_out)] * plan.factor
    return Followed(transform, _tie_points(plan, nodes), scene, held)


def _assembled(found: MatchResult, followed: Followed | None) -> MatchResult:
    """The result of the scene; that of the working grid where tiles say nothing."""
    if followed is None:
        return found
    result = replace(
        found,
        transform=followed.transform,
        tie_points=followed.points,
        scene=followed.scene,
    )
    if all(tile.verdict != "match" for tile in followed.scene.tiles):
        return result
    return replace(
        result,
        expected_error_px=round(float(np.quantile(followed.held_out, 0.68)), 3),
        error_bound_px=round(float(np.quantile(followed.held_out, 0.95)), 3),
    )


def _direction(plan: ScenePlan, settings: RegisterSettings) -> float | None:
    """Of the range, where a file or an option tells it: degrees from the columns to the rows."""
    whole = Window.whole(plan.sar.shape)
    grid = WorkingGrid(
        plan.sar, plan.optical, plan.base, whole, plan.window, plan.sar_factor, plan.factor
    )
    return view_geometry(grid, settings).direction


def _corrected(plan: ScenePlan, geometry: Geometry) -> tuple[Transform, Array]:
    """The one map of the scene as its tie points have it, and the linear part of the correction.

    The ground at q is displaced by a(q) = A q + t and the field v(q) from u, where the former
    map puts it: q = u + a(q) + v(q). So q = F(u) + (I - A)^-1 v(q), F(u) = (I - A)^-1 (u + t).
    """
    linear = np.asarray(np.linalg.inv(np.eye(2) - geometry.matrix[:, :2]), np.float64)
    corner = np.array(plan.window.corner, np.float64)
    # In optical pixels, from the corner of the image: a(q) counts q from that of the window.
    shift = geometry.matrix[:, 2] * plan.factor - geometry.matrix[:, :2] @ corner
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = linear, linear @ shift
    return Transform(flat(matrix), "affine") @ plan.base, linear


def _lattice(
    plan: ScenePlan, geometry: Geometry, linear: Array, dem: str | Path | None
) -> LatticeField:
    """The field on a finer lattice, cubic between the nodes; what heights predict is as fine."""
    rows, cols = (n * plan.spacing // LATTICE_PX + 1 for n in plan.shape)
    at = [(np.arange(n) * LATTICE_PX / plan.spacing - 0.5).astype(np.float32) for n in (rows, cols)]
    grid = np.meshgrid(at[1], at[0])
    field, terrain = geometry.field, geometry.terrain
    if terrain is not None:
        at_nodes = plan.positions(Window.whole(plan.shape)) - plan.window.corner
        known = heights_of(plan, dem or "", plan.step)
        field = field - terrain.displacement(known, at_nodes / plan.factor)
    moved = (field @ linear.T).astype(np.float32)
    fine = [
        cv2.remap(np.ascontiguousarray(moved[..., k]), *grid, cv2.INTER_CUBIC,
                  borderMode=cv2.BORDER_REPLICATE)
        for k in (0, 1)
    ]  # fmt: skip
    step = LATTICE_PX * plan.factor
    values = np.stack(fine, axis=-1).astype(np.float64)
    if terrain is not None:
        places = np.stack(np.meshgrid(*(np.arange(n) * LATTICE_PX for n in (rows, cols)),
                                      indexing="ij"), axis=-1).astype(np.float64)  # fmt: skip
        heights = heights_of(plan, dem or "", step, centred=False)[:rows, :cols]
        values += terrain.displacement(heights, places) @ linear.T
    row, col = plan.window.corner
    return LatticeField.on_lattice(values * plan.factor, step, (float(row), float(col)))


def _tie_points(plan: ScenePlan, nodes: Nodes) -> TiePoints:
    """All nodes with a peak, in pixels of the files; those that are believed are inliers."""
    at = plan.positions(Window.whole(plan.shape))[nodes.measured]
    moved = at - nodes.displacement[nodes.measured] * plan.factor
    return TiePoints(
        sar=plan.base.inverse(moved),
        optical=at,
        score=nodes.score[nodes.measured],
        ratio=nodes.ratio[nodes.measured],
        inlier=nodes.inlier[nodes.measured],
        std=nodes.std[nodes.measured] * plan.factor,
    )
