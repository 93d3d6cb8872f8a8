"""Land cover: districts of fields, forest and towns, parted by roads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.noise import Hash, Metres, fractal_noise, mix, uniform
from crosslook.data.simulate.parcels import plough, settle
from crosslook.data.simulate.terrain import Terrain
from crosslook.types import FloatArray

WATER, FIELD, GRASS, FOREST, ROAD, BUILDING, YARD = range(7)
CLASSES = ("water", "field", "grass", "forest", "road", "building", "yard")
MAX_OBJECT_HEIGHT = 40.0
"""Metres; how far shadow and layover can reach follows from it."""

_DISTRICT = 1400.0
_ROAD_HALF_WIDTH = 9.0
_TREES = 13.0

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class LandCover:
    """What stands on the ground; all arrays are (H, W).

    Attributes
    ----------
    label : uint8
        Index into ``CLASSES``.
    parcel : uint32
        Random bits of the parcel (field, house, district) of each pixel.
    height : float32
        Metres of objects above the terrain: houses and trees.
    """

    label: Labels
    parcel: Hash
    height: FloatArray


@dataclass(frozen=True)
class _Districts:
    key: Hash
    y: FloatArray
    x: FloatArray
    border: FloatArray


def make_landcover(seed: int, y: Metres, x: Metres, gsd: float, terrain: Terrain) -> LandCover:
    """Evaluate the land cover at world positions (metres, of pixel centres).

    Districts are the cells of a jittered Voronoi diagram; a hash of each says
    whether it is farmland, forest or town and how its parcels are turned.
    """
    districts = _districts(seed, y, x)
    kind = uniform(mix(districts.key, 11))
    wood = fractal_noise(seed + 30, y, x, 900.0, octaves=4)
    label = np.full(kind.shape, GRASS, np.uint8)
    parcel = districts.key.copy()
    height = np.zeros(kind.shape, np.float32)
    farm, town = kind < 0.62, kind > 0.76
    for area, lay in ((farm, plough), (town, settle)):
        if area.any():
            laid = lay(districts.key[area], districts.y[area], districts.x[area], gsd)
            label[area], parcel[area], height[area] = laid
    forest = ~town & ((wood > 0.75) | (~farm & (wood > -0.4)))
    label[forest] = FOREST
    label[terrain.river] = WATER
    # A road no narrower than a pixel, or sampling at centres would break it.
    half = max(_ROAD_HALF_WIDTH, 0.6 * gsd)
    label[districts.border < half] = ROAD
    label[terrain.lake] = WATER
    height[label != BUILDING] = 0.0
    trees = label == FOREST
    crowns = uniform(mix(seed + 31, _grid(y, 9.0)[:, None], _grid(x, 9.0)[None, :]))
    height[trees] = _TREES * (0.7 + 0.6 * crowns[trees])
    return LandCover(label, parcel, height)


def _grid(position: Metres, side: float) -> NDArray[np.int64]:
    return np.floor(position / side).astype(np.int64)


def _districts(seed: int, y: Metres, x: Metres) -> _Districts:
    """Nearest feature point of each pixel, and the distance to the border."""
    row, col = _grid(y, _DISTRICT), _grid(x, _DISTRICT)
    bend_y = fractal_noise(seed + 20, y, x, 1800.0, octaves=3, gain=0.4) * np.float32(90.0)
    bend_x = fractal_noise(seed + 21, y, x, 1800.0, octaves=3, gain=0.4) * np.float32(90.0)
    in_y = (y - row * _DISTRICT).astype(np.float32)[:, None] + bend_y
    in_x = (x - col * _DISTRICT).astype(np.float32)[None, :] + bend_x
    shape = in_y.shape
    first, second = (np.full(shape, np.inf, np.float32) for _ in range(2))
    key = np.zeros(shape, np.uint32)
    at = [np.zeros(shape, np.float32) for _ in range(4)]
    for d_row in (-1, 0, 1):
        for d_col in (-1, 0, 1):
            bits, to_y, to_x = _point(seed, row + d_row, col + d_col, in_y, in_x, d_row, d_col)
            apart = to_y * to_y + to_x * to_x
            nearer = apart < first
            runner = nearer | (apart < second)
            second = np.where(nearer, first, np.minimum(second, apart))
            at[2] = np.where(nearer, at[0], np.where(runner, to_y, at[2]))
            at[3] = np.where(nearer, at[1], np.where(runner, to_x, at[3]))
            first = np.where(nearer, apart, first)
            key = np.where(nearer, bits, key)
            at[0], at[1] = np.where(nearer, to_y, at[0]), np.where(nearer, to_x, at[1])
    gap = np.sqrt((at[0] - at[2]) ** 2 + (at[1] - at[3]) ** 2)
    return _Districts(key, at[0], at[1], (second - first) / (2 * np.maximum(gap, 1.0)))


def _point(
    seed: int,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    in_y: FloatArray,
    in_x: FloatArray,
    d_row: int,
    d_col: int,
) -> tuple[Hash, FloatArray, FloatArray]:
    """Vector from the feature point of a neighbouring cell to each pixel."""
    rows, i = np.unique(row, return_inverse=True)
    cols, j = np.unique(col, return_inverse=True)
    bits = mix(seed + 22, rows[:, None], cols[None, :])
    jitter_y = (d_row + 0.1 + 0.8 * uniform(mix(bits, 1))) * np.float32(_DISTRICT)
    jitter_x = (d_col + 0.1 + 0.8 * uniform(mix(bits, 2))) * np.float32(_DISTRICT)
    cell = np.ix_(i, j)
    return bits[cell], in_y - jitter_y[cell], in_x - jitter_x[cell]
