"""The geometry of a scene: one map, one map and relief along the range, or a free field.

What is taken predicts tie points in blocks that were left out clearly better than what is
simpler. A field is smooth as those blocks say, back at the one map where the data are silent,
and never folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook import threads
from crosslook.match.relief import Relief, direction_of, measure_relief
from crosslook.match.scene.consensus import Nodes
from crosslook.match.scene.smooth import ROUGHLY, TOLERANCE, Smoothness, Surface
from crosslook.match.scene.terrain import Terrain, fit_terrain
from crosslook.match.settings import RegisterModel
from crosslook.types import Array, Window

_LENGTHS_PX = (150.0, 300.0, 600.0, 1500.0)
_RATIOS = (0.5, 1.0, 2.5)  # standard deviation of the field over the spread of what it follows
_BLOCK_PX, _RIM_PX = 192.0, 48.0
_CAP_PX = 6.0
_CLEARLY = 0.9
_LEAST_POINTS = 30
_SITE, _MOST_SITES = 128, 4
_ROUNDS = 10
_SOFT = 2.0
_SAMPLE = 4000
_LEAST_JACOBIAN = 0.1
_CORRELATED = 4.0  # templates overlap: that many nodes say what one would


@dataclass(frozen=True, eq=False)
class View:
    """What is known of a scene beforehand.

    Attributes
    ----------
    direction : float or None
        Of the range, degrees from the columns towards the rows.
    heights : float64 array, shape (h, w), or None
        Metres at the nodes, NaN where not known.
    predicted : Terrain or None
        Displacement by a metre of height, as the product has it.
    """

    direction: float | None = None
    heights: Array | None = None
    predicted: Terrain | None = None


@dataclass(frozen=True, eq=False)
class Geometry:
    """What was chosen.

    Attributes
    ----------
    kind : str
        ``map``, ``relief`` or ``field``.
    matrix : float64 array, shape (2, 3)
        Displacement by the one map, (row, column, 1) of the matched grid to pixels.
    field : float64 array, shape (h, w, 2)
        What is added to it at the nodes, pixels; zero for ``map``.
    held_out : float64 array, shape (h, w)
        Distance of each inlier from where a geometry puts it that was fitted without its block;
        NaN elsewhere.
    summary : dict
        For ``match.json``.
    terrain : Terrain or None
        What heights predict; ``field`` at the nodes contains it.
    """

    kind: str
    matrix: Array
    field: Array
    held_out: Array
    summary: dict[str, Any]
    terrain: Terrain | None = None


def fit_geometry(
    nodes: Nodes,
    at: Array,
    spacing: float,
    request: RegisterModel = "auto",
    view: View | None = None,
) -> Geometry:
    """Choose the geometry of a scene and fit it.

    Parameters
    ----------
    nodes : Nodes
    at : float64 array, shape (h, w, 2)
        Positions of the nodes, pixels of the matched grid.
    spacing : float
        Pixels between nodes.
    request : str
        ``auto`` compares; ``relief`` and ``field`` are taken as they are, anything else is one
        map.
    view : View, optional
        What is known of the ground and of the range; the rest is found.
    """
    view = view or View()
    if request in ("auto", "relief", "field") and view.heights is not None:
        by_heights = fit_terrain(nodes, at, view.heights, view.predicted)
        if by_heights is not None:
            return _over_terrain(nodes, at, spacing, request, (view, *by_heights))
    matrix = _fit_map(nodes, at)
    rest = np.where(nodes.inlier[..., None], nodes.displacement - _by(matrix, at), 0.0)
    flat = Geometry("map", matrix, np.zeros(rest.shape), _distance(rest, nodes.inlier), {})
    if int(nodes.inlier.sum()) < _LEAST_POINTS or request not in ("auto", "relief", "field"):
        return replace(flat, summary=_summary("map", {"map": flat.held_out}, None))
    degrees = _line(rest[nodes.inlier]) if view.direction is None else view.direction
    axes = direction_of(0.0 if degrees is None else degrees)
    along = rest @ axes.T
    blocks = _blocks(nodes.shape, spacing)
    parts = threads.run(lambda k: _component(nodes, along[..., k], blocks, spacing), (0, 1))
    fields = {
        "map": flat.field,
        "relief": parts[0][0][..., None] * axes[0],
        "field": parts[0][0][..., None] * axes[0] + parts[1][0][..., None] * axes[1],
    }
    predicted = {
        "map": along * 0.0,
        "relief": np.stack([parts[0][1], np.zeros(nodes.shape)], axis=-1),
        "field": np.stack([parts[0][1], parts[1][1]], axis=-1),
    }
    judged = nodes.inlier & blocks.judged
    errors = {kind: _distance(along - one, judged) for kind, one in predicted.items()}
    if degrees is None:
        errors.pop("relief")
    kind = _choice(errors) if request == "auto" else str(request)
    every = _distance(along - predicted[kind], nodes.inlier)
    said = {"direction_degrees": degrees, "smoothness_px": [
        None if one[2] is None else round(one[2].length * spacing, 1) for one in parts
    ]}  # fmt: skip
    return Geometry(
        kind, matrix, without_folds(fields[kind], spacing), every, _summary(kind, errors, said)
    )


def _over_terrain(
    nodes: Nodes,
    at: Array,
    spacing: float,
    request: RegisterModel,
    known: tuple[View, Array, Terrain],
) -> Geometry:
    """What is left of the displacements once heights have explained theirs."""
    view, matrix, terrain = known
    heights = cast(Array, view.heights)
    moved = terrain.displacement(heights, at)
    explained = moved + _by(matrix, at)
    left = replace(nodes, displacement=nodes.displacement - explained)
    rest = fit_geometry(left, at, spacing, request, View(direction=view.direction))
    degrees = float(np.degrees(np.arctan2(*terrain.coefficients[:, 0])))
    summary = {
        **rest.summary,
        "terrain": {
            "px_per_metre": round(float(np.hypot(*terrain.coefficients[:, 0])), 5),
            "direction_degrees": round(degrees, 2),
            **terrain.origin,
        },
    }
    kind = "relief" if rest.kind == "map" else rest.kind
    return Geometry(kind, matrix + rest.matrix, rest.field + moved, rest.held_out, summary, terrain)


def _summary(kind: str, errors: dict[str, Array], said: dict[str, Any] | None) -> dict[str, Any]:
    medians = {
        name: round(float(np.nanmedian(one)), 3) if np.isfinite(one).any() else None
        for name, one in errors.items()
    }
    return {"selected": kind, "held_out_median_px": medians, **(said or {})}


def _choice(errors: dict[str, Array]) -> str:
    """The simplest that is not clearly beaten by what comes after it."""
    means = {kind: float(np.nanmean(np.minimum(one, _CAP_PX))) for kind, one in errors.items()}
    best = "map"
    for kind in ("relief", "field"):
        if kind in means and means[kind] < _CLEARLY * means[best]:
            best = kind
    return best


def _line(rest: Array) -> float | None:
    """Direction of the line along which displacements spread; None where there is none."""
    found: Relief | None = measure_relief(rest[:: max(1, len(rest) // _SAMPLE)])
    return None if found is None or np.isnan(found.degrees) else float(found.degrees)


def _fit_map(nodes: Nodes, at: Array) -> Array:
    """The affine map of displacements (2, 3), robustly."""
    known = nodes.inlier
    if int(known.sum()) < _LEAST_POINTS:
        level = np.median(nodes.displacement[known], axis=0) if known.any() else np.zeros(2)
        return np.column_stack([np.zeros((2, 2)), level])
    scale = float(np.abs(at).max())
    design = np.column_stack([at[known] / scale, np.ones(int(known.sum()))])
    target, weight = nodes.displacement[known], 1.0 / nodes.std[known] ** 2
    solved = np.zeros((3, 2))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)[:, None]
        solved = np.linalg.lstsq(design * root, target * root, rcond=None)[0]
        off = np.linalg.norm(design @ solved - target, axis=1)
        soft = max(_SOFT, float(np.median(off)))
        weight = 1.0 / nodes.std[known] ** 2 / (1.0 + (off / soft) ** 2)
    matrix = solved.T.copy()
    matrix[:, :2] /= scale
    return np.asarray(matrix)


def _by(matrix: Array, at: Array) -> Array:
    """Displacements (h, w, 2) by the one map."""
    return np.asarray(at @ matrix[:, :2].T + matrix[:, 2])


def _distance(rest: Array, known: NDArray[np.bool_]) -> Array:
    return np.where(known, np.linalg.norm(rest, axis=-1), np.nan)


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Which nodes are left out together: the colours of a checkerboard.

    Attributes
    ----------
    colour : int64 array, shape (h, w)
    judged : bool array, shape (h, w)
        False at the rim of a block, where a template shares pixels with one outside.
    """

    colour: NDArray[np.int64]
    judged: NDArray[np.bool_]

    def within(self, window: Window) -> _Blocks:
        return _Blocks(self.colour[window.slices], self.judged[window.slices])


def _blocks(shape: tuple[int, int], spacing: float) -> _Blocks:
    side, rim = max(3, round(_BLOCK_PX / spacing)), round(_RIM_PX / spacing)
    rim = min(rim, (side - 1) // 2)
    rows, cols = np.indices(shape)
    colour = (rows // side + cols // side) % 2
    inner = [(one % side >= rim) & (one % side < side - rim) for one in (rows, cols)]
    return _Blocks(colour, inner[0] & inner[1])


def _component(
    nodes: Nodes, values: Array, blocks: _Blocks, spacing: float
) -> tuple[Array, Array, Smoothness | None]:
    """One component of the field (h, w), as predicted for blocks left out, and how smooth it is.

    Zero, and None, where no smoothness predicts the blocks better than nothing at all.
    """
    precision = np.where(nodes.inlier, 1.0 / np.maximum(nodes.std, 0.1) ** 2, 0.0) / _CORRELATED
    spread = max(0.3, 1.5 * float(np.median(np.abs(values[nodes.inlier]))))
    best, least = None, np.inf
    flat = _error(np.zeros(values.shape), values, nodes.inlier & blocks.judged)
    sites = list(_sites(nodes))
    for length, ratio in product(_LENGTHS_PX, _RATIOS):
        smooth = Smoothness(length / spacing, ratio * spread)
        total, count = 0.0, 0
        for site in sites:
            part, known = blocks.within(site), nodes.inlier[site.slices]
            at = known & part.judged
            found = _predicted(
                values[site.slices], precision[site.slices], smooth, part, tolerance=ROUGHLY
            )
            total += _error(found, values[site.slices], at) * int(at.sum())
            count += int(at.sum())
        if count and total / count < least:
            best, least = smooth, total / count
    if best is None or not least < flat:
        return np.zeros(values.shape), np.zeros(values.shape), None
    surface = Surface.on(nodes.shape, best)
    # Robustly: what the field does not follow counts little.
    whole = np.zeros(values.shape)
    weight = np.ones(values.shape)
    for _ in range(3):
        whole = surface.fit(values, precision * weight, whole)
        weight = 1.0 / (1.0 + ((values - whole) / _SOFT) ** 2)
    held = _predicted(values, precision * weight, best, blocks, whole)
    return whole, held, best


def _predicted(
    values: Array,
    precision: Array,
    smooth: Smoothness,
    blocks: _Blocks,
    start: Array | None = None,
    tolerance: float = TOLERANCE,
) -> Array:
    """The component (h, w), that of each colour as fitted to the other."""
    surface = Surface.on((int(values.shape[0]), int(values.shape[1])), smooth)
    out = np.zeros(values.shape)
    for colour in (0, 1):
        inside = blocks.colour == colour
        known = np.where(inside, 0.0, precision)
        out[inside] = surface.fit(values, known, start, tolerance)[inside]
    return out


def _error(found: Array, values: Array, at: NDArray[np.bool_]) -> float:
    """Mean distance, where what is far counts as 6 px."""
    if not at.any():
        return 0.0
    return float(np.minimum(np.abs(found - values)[at], _CAP_PX).mean())


def _sites(nodes: Nodes) -> Iterator[Window]:
    """Parts of the lattice by which the smoothness is chosen: those with the most inliers."""
    whole = Window.whole(nodes.shape)
    tiles = [one for one in whole.tiles(_SITE) if nodes.inlier[one.slices].any()]
    tiles.sort(key=lambda one: (-int(nodes.inlier[one.slices].sum()), one.row, one.col))
    yield from tiles[:_MOST_SITES]


def without_folds(field: Array, spacing: float) -> Array:
    """The field (h, w, 2), smoothed where and until the ground keeps its order."""
    out, blur = field.copy(), 1.0
    for _ in range(12):
        bad = _jacobian(out, spacing) < _LEAST_JACOBIAN
        if not bad.any():
            break
        near = cv2.GaussianBlur(
            cv2.dilate(bad.astype(np.float64), np.ones((5, 5), np.uint8)), (0, 0), blur
        )[..., None]
        soft = cv2.GaussianBlur(out, (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
        near = np.clip(2.0 * near, 0.0, 1.0)
        out = out * (1.0 - near) + soft * near
        blur *= 1.5
    return out


def _jacobian(values: Array, spacing: float) -> Array:
    """Area (h, w) to which a pixel of the ground shrinks in the SAR image."""
    if min(values.shape[:2]) < 2:
        return np.ones(values.shape[:2])
    down, right = (np.gradient(values, spacing, axis=k) for k in (0, 1))
    return np.asarray((1 - down[..., 0]) * (1 - right[..., 1]) - down[..., 1] * right[..., 0])
