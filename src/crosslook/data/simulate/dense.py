"""The truth of every place of a scene: where the SAR image shows it, what it is, its height."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.areas import above_level
from crosslook.data.simulate.geometry import beyond_seam, centres, to_sar
from crosslook.data.simulate.ground import WATER, make_landcover, terrain_at
from crosslook.data.simulate.noise import Metres, stream
from crosslook.data.simulate.optical import cloud_cover, cloud_shadow
from crosslook.data.simulate.sar import relief_displacement
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import Array, FloatArray, Mask, Window

STEP = 3
"""Pixels of the optical image along a side of a cell, of which the central pixel is measured."""

OUTSIDE, LAND, OPEN_WATER, CLOUD, CHANGED, HIDDEN = range(6)
STATES = ("outside", "land", "water", "cloud", "changed", "hidden")
"""What a place is: not in the SAR image; land that both images show; water; under a cloud or its
shadow; land that has changed between the two; in layover or in the radar's shadow."""
_OPAQUE = 0.2  # of a cloud or its shadow, from which the ground is not counted


@dataclass(frozen=True, eq=False)
class DenseTruth:
    """The truth of cells of the optical image; arrays are (h, w).

    Attributes
    ----------
    displacement : float32, shape (h, w, 2)
        Rows and columns: what the optical image shows at ``p``, the SAR image shows at
        ``p + displacement``, both in pixels of their own grid.
    state : uint8
        Index into :data:`STATES`.
    """

    displacement: FloatArray
    state: NDArray[np.uint8]


def cells_of(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of cells whose centre lies in a scene of ``shape``."""
    rows, cols = (len(range(STEP // 2, side, STEP)) for side in shape)
    return rows, cols


def heights(scene: SceneOptions, window: Window) -> FloatArray:
    """Metres of the terrain at the centres of cells, (h, w): no houses, trees or seams.

    ``window`` is one of the scene, in pixels; it begins with a cell.
    """
    y, x = _metres(scene, *centres(window, STEP, STEP // 2))
    return terrain_at(scene, y, x).height


def dense_truth(scene: SceneOptions, window: Window) -> DenseTruth:
    """Where the SAR image shows each cell of a window of the optical image, and what lies there.

    Heights count, houses and trees on them do not. ``window`` is one of the scene, in pixels;
    it begins with a cell.
    """
    rows, cols = centres(window, STEP, STEP // 2)
    second = beyond_seam(scene, rows, cols)
    sides = [(second, scene.seam)] if second.any() else []
    sides += [(~second, (0, 0))] if not second.all() else []
    displacement = np.zeros((*second.shape, 2), np.float32)
    state = np.zeros(second.shape, np.uint8)
    for side, (down, right) in sides:  # of a seam: the ground is seen moved
        moved, found = _of_ground(scene, window.shifted(-down, -right))
        displacement[side], state[side] = moved[side] + (-down, -right), found[side]
    if scene.clouds:
        y, x = _metres(scene, rows, cols)
        cover = np.maximum(cloud_cover(scene, y, x), cloud_shadow(scene, y, x))
        state[(cover > _OPAQUE) & (state != OUTSIDE)] = CLOUD
    return DenseTruth(displacement, state)


def _of_ground(scene: SceneOptions, window: Window) -> tuple[Array, NDArray[np.uint8]]:
    """From places of the ground to the SAR image, (h, w, 2), and what they are."""
    rows, cols = centres(window, STEP, STEP // 2)
    y, x = _metres(scene, rows, cols)
    terrain = terrain_at(scene, y, x)
    columns = np.zeros(terrain.height.shape, np.float32)
    hidden = np.zeros(columns.shape, np.bool_)
    if scene.uncorrected:
        moved, unseen = relief_displacement(scene, y, window.shifted(*scene.origin))
        columns, hidden = moved[:, STEP // 2 :: STEP], unseen[:, STEP // 2 :: STEP]
    ground = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    seen = to_sar(scene, ground.reshape(-1, 2), columns.ravel()).reshape(ground.shape)
    state = np.full(columns.shape, LAND, np.uint8)
    state[_changed(scene, y, x)] = CHANGED
    state[hidden] = HIDDEN
    cover = make_landcover(stream(scene.seed, "landcover"), y, x, scene.gsd, terrain)
    state[cover.label == WATER] = OPEN_WATER
    inside = (seen >= 0) & (seen < np.array(scene.shape))
    state[~inside.all(axis=-1)] = OUTSIDE
    return seen - ground, state


def _changed(scene: SceneOptions, y: Metres, x: Metres) -> Mask:
    if not scene.changed:
        return np.zeros((len(y), len(x)), np.bool_)
    return np.asarray(above_level(scene, "changed", y, x) < 0)


def _metres(scene: SceneOptions, rows: Array, cols: Array) -> tuple[Metres, Metres]:
    """Positions of a scene as metres in the world."""
    return (rows + scene.origin[0]) * scene.gsd, (cols + scene.origin[1]) * scene.gsd
