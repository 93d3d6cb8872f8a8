"""The ground that both sensors look at, for any window of a world: terrain, water, land cover."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.areas import above_level
from crosslook.data.simulate.noise import (
    Hash,
    Metres,
    fractal_noise,
    lattice_noise,
    mix,
    pixel_hash,
    stream,
    uniform,
)
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import FloatArray, Mask, Window

_WAVELENGTH = 6000.0
_LAKE_LEVEL = -0.9
_RIVER_WAVELENGTH = 4000.0
_RIVER_WIDTH = 0.02
_COAST = 0.2  # of the noise that makes the sea: over what the land rises


@dataclass(frozen=True)
class Terrain:
    """Height of the ground in metres, and where lakes and rivers are; all (H, W)."""

    height: FloatArray
    lake: Mask
    river: Mask


def make_terrain(seed: int, y: Metres, x: Metres, relief: float) -> Terrain:
    """Evaluate the terrain at world positions.

    Parameters
    ----------
    seed : int
    y, x : float64 arrays, shapes (H,) and (W,)
        Metres, of pixel centres; y grows southward, x eastward.
    relief : float
        Scale of the heights in metres; hills differ by about twice as much.

    Notes
    -----
    Fractional Brownian motion by summed octaves (Musgrave, in Ebert et al.,
    "Texturing and modeling", 2003). Lakes fill what lies below a level;
    rivers follow a zero line of slow noise where the ground is low.
    """
    shape = fractal_noise(seed, y, x, _WAVELENGTH, octaves=7)
    course = fractal_noise(seed + 1, y, x, _RIVER_WAVELENGTH, octaves=3, gain=0.35)
    low = lattice_noise(seed + 2, y, x, 2 * _WAVELENGTH) < 0.3
    river = (np.abs(course) < _RIVER_WIDTH) & low
    lake = shape < _LAKE_LEVEL
    height = np.maximum(shape, np.float32(_LAKE_LEVEL)) * np.float32(relief)
    return Terrain(height, lake, river)


Laid = tuple[NDArray[np.uint8], Hash, FloatArray]

_FIELD, _GRASS, _ROAD, _BUILDING, _YARD = 1, 2, 4, 5, 6
_BLOCK = (136.0, 204.0)
_STREET_HALF_WIDTH = 8.0
_LOT = 34.0
_TRACK_HALF_WIDTH = 3.0
_ANGLES = 60


def plough(district: Hash, y: FloatArray, x: FloatArray, gsd: float) -> Laid:
    """Lay fields: strips of one depth per district, cut at lengths of their own.

    Parameters
    ----------
    district : uint32 array, shape (n,)
        Random bits of the district of each pixel.
    y, x : float32 arrays, shape (n,)
        Metres from the district's centre.
    gsd : float
        Metres per pixel; nothing is drawn narrower.

    Returns
    -------
    tuple
        Label, parcel bits and object height, each of shape (n,).
    """
    v, u = _rotate(district, y, x)
    depth = 130 + 220 * uniform(mix(district, 3))
    strip = np.floor(v / depth)
    key = mix(district, strip.astype(np.int32))
    length = 160 + 420 * uniform(mix(key, 4))
    place = u / length + uniform(mix(key, 5))
    parcel = mix(key, np.floor(place).astype(np.int32))
    label = np.where(uniform(mix(parcel, 6)) < 0.18, _GRASS, _FIELD).astype(np.uint8)
    edge = v - strip * depth
    label[edge < 2 * max(_TRACK_HALF_WIDTH, 0.5 * gsd)] = _ROAD
    return label, parcel, np.zeros(len(v), np.float32)


def settle(district: Hash, y: FloatArray, x: FloatArray, gsd: float) -> Laid:
    """Lay a town: streets around blocks, houses of one height each on lots.

    Parameters and result are those of :func:`plough`. Some districts are
    industrial: their lots are larger and their halls wider.
    """
    v, u = _rotate(district, y, x)
    label = np.full(len(v), _YARD, np.uint8)
    industrial = uniform(mix(district, 7)) < 0.3
    lot = np.where(industrial, np.float32(2.2 * _LOT), np.float32(_LOT))
    row, col = np.floor(v / lot), np.floor(u / lot)
    parcel = mix(district, row.astype(np.int32), col.astype(np.int32))
    inside = np.ones(len(v), bool)
    for along, index, side in ((v, row, 8), (u, col, 9)):
        place = along / lot - index
        low = 0.08 + 0.2 * uniform(mix(parcel, side))
        high = 0.75 + 0.2 * uniform(mix(parcel, side + 10))
        inside &= (place > low) & (place < high)
    built = inside & (uniform(mix(parcel, 12)) < 0.7)
    label[built] = _BUILDING
    street = max(_STREET_HALF_WIDTH, 0.5 * gsd)
    for along, block in ((v, _BLOCK[0]), (u, _BLOCK[1])):
        apart = np.abs(along / block - np.round(along / block)) * np.float32(block)
        label[apart < street] = _ROAD
    floors = uniform(mix(parcel, 13))
    height = np.where(label == _BUILDING, 5 + 28 * floors * floors * floors, 0.0)
    return label, parcel, height.astype(np.float32)


def _rotate(district: Hash, y: FloatArray, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    # A table keeps the result independent of how many pixels are worked on.
    angles = np.arange(_ANGLES) * (np.pi / _ANGLES)
    angle = mix(district, 14) % np.uint32(_ANGLES)
    cos, sin = np.cos(angles).astype(np.float32)[angle], np.sin(angles).astype(np.float32)[angle]
    return y * cos - x * sin, y * sin + x * cos


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
    """What lies on the ground; all arrays are (H, W).

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
    whether it is farmland, forest or town and at which angle its parcels lie.
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


@dataclass(frozen=True)
class Ground:
    """Terrain and land cover of a window; arrays are (H, W).

    ``texture`` is fine detail in about -1..1, common to both sensors, and
    ``grain`` random bits per pixel.
    """

    terrain: Terrain
    cover: LandCover
    texture: FloatArray
    grain: Hash

    @property
    def surface(self) -> FloatArray:
        """Metres of terrain and the objects on it."""
        return self.terrain.height + self.cover.height


def make_ground(scene: SceneOptions, window: Window, *, later: bool = False) -> Ground:
    """Evaluate the ground of a window of a world; equal to that part of any larger one.

    Parameters
    ----------
    scene : SceneOptions
    window : Window
        Pixels of the world.
    later : bool
        As the SAR image finds it: where land has changed, other things lie on it.
    """
    y, x = (
        np.asarray((start + np.arange(count) + 0.5) * scene.gsd, np.float64)
        for start, count in ((window.row, window.height), (window.col, window.width))
    )
    terrain = terrain_at(scene, y, x)
    cover, texture = _cover_at(scene, "", y, x, terrain)
    if later and scene.changed:
        new = above_level(scene, "changed", y, x) < 0
        if new.any():
            other, fine = _cover_at(scene, " later", y, x, terrain)
            cover = LandCover(
                np.where(new, other.label, cover.label),
                np.where(new, other.parcel, cover.parcel),
                np.where(new, other.height, cover.height),
            )
            texture = np.where(new, fine, texture)
    return Ground(terrain, cover, texture, pixel_hash(stream(scene.seed, "grain"), window))


def terrain_at(scene: SceneOptions, y: Metres, x: Metres) -> Terrain:
    """The terrain of a scene at world positions: land falls to the level of the lakes at a coast.

    ``y`` and ``x`` are as for :func:`make_terrain`.
    """
    land = make_terrain(stream(scene.seed, "terrain"), y, x, scene.relief)
    if not scene.sea:
        return land
    inland = above_level(scene, "sea", y, x)
    level = np.float32(_LAKE_LEVEL * scene.relief)
    rise = np.clip(inland / np.float32(_COAST), 0, 1)
    return Terrain(level + (land.height - level) * rise, land.lake | (inland < 0), land.river)


def _cover_at(
    scene: SceneOptions, when: str, y: Metres, x: Metres, terrain: Terrain
) -> tuple[LandCover, FloatArray]:
    """Land cover and fine detail; of another world for another word of ``when``."""
    cover = make_landcover(stream(scene.seed, f"landcover{when}"), y, x, scene.gsd, terrain)
    if scene.objects != 1.0:
        cover = replace(cover, height=cover.height * np.float32(scene.objects))
    name = f"texture{when}"
    return cover, fractal_noise(stream(scene.seed, name), y, x, 160.0, octaves=3, gain=0.8)
