"""The SAR image: backscatter, layover, shadow, double bounce and speckle.

The sensor looks along the rows. The image is terrain-corrected, so the ground
stays in its place and only the objects on it are displaced towards the sensor;
or it is not, and hills are displaced as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.ground import (
    BUILDING,
    FIELD,
    MAX_OBJECT_HEIGHT,
    Ground,
    make_ground,
    terrain_at,
)
from crosslook.data.simulate.noise import Metres, gamma_noise, mix, pixel_hash, stream, uniform
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import FloatArray, Mask, Window

Pixels = NDArray[np.int32]

_DECIBEL = np.array([-23.0, -12.5, -12.5, -9.5, -16.0, -10.0, -12.0])
_BACKSCATTER = np.asarray(10 ** (_DECIBEL / 10), np.float32)
_CROP_DECIBEL = np.linspace(-14.5, -10.5, 64)
_CROP = np.asarray(10 ** (_CROP_DECIBEL / 10), np.float32)
_TEXTURE = np.array([0.1, 0.15, 0.2, 0.45, 0.1, 0.3, 0.5], np.float32)
_WALL = 0.35
_DOUBLE_BOUNCE = 2.5
_LEAST_WALL = 2.5
_NOISE_FLOOR = 10 ** (-2.6)
_MOST_RELIEF = 2.7  # metres between the lowest and the highest ground, per metre of relief
_PARTS = 8  # of a pixel, so that a stretched slope has no gaps
_WORK_BYTES = 256 << 20  # of the rows that are rendered at once
_ROW_BYTES = 1200  # that a pixel takes meanwhile, of an image that is not terrain-corrected


@dataclass(frozen=True, eq=False)
class Displacement:
    """What an image that is not terrain-corrected does to each pixel of ground; all (H, W).

    Attributes
    ----------
    columns : float32
        What is at (row, col), ground, roof or crown, is seen at column
        ``col - columns`` of the same row.
    layover : bool
        Seen where other ground is seen too.
    shadow : bool
        Not seen at all.
    height : float32
        Metres of the terrain.
    """

    columns: FloatArray
    layover: Mask
    shadow: Mask
    height: FloatArray


def render_backscatter(scene: SceneOptions, window: Window) -> FloatArray:
    """Render the intensity of a window without speckle, linear, float32 (H, W).

    The result for a window equals that part of any larger one. Rows do not
    depend on each other, since the sensor looks along them: they are made a
    few at a time, and memory holds little beside the result.
    """
    out = np.empty(window.shape, np.float32)
    margin = _margin(scene, scene.uncorrected)
    across = (window.width + 2 * margin) * (_ROW_BYTES if scene.uncorrected else _ROW_BYTES // 2)
    for part in window.tiles(max(1, _WORK_BYTES // across), window.width):
        out[part.within(window).slices] = _render_rows(scene, part, margin)
    return out


def _render_rows(scene: SceneOptions, window: Window, margin: int) -> FloatArray:
    """Render rows with a margin on either side, from which something may lie over them."""
    tangent = _tangent(scene)
    layover_reach = math.ceil(MAX_OBJECT_HEIGHT / tangent / scene.gsd) + 1
    ground, away = make_ground(scene, window.pad(0, margin), later=True), _away(scene)
    scattered, surface = _scatter(ground)[:, away], ground.surface[:, away]
    terrain, objects = ground.terrain.height[:, away], ground.cover.height[:, away]
    if scene.uncorrected:
        hidden = _shaded(surface, scene.gsd / tangent)
    else:
        scattered = scattered * _slope_factor(terrain, scene)
        reach = math.ceil(MAX_OBJECT_HEIGHT * tangent / scene.gsd)
        hidden = _hidden(surface, scene.gsd / tangent, reach)
    # What lies high answers nearer to the sensor than its place.
    shift = np.rint(objects / np.float32(tangent * scene.gsd)).astype(np.int32)
    image = np.where(hidden | (shift > 0), 0.0, scattered).astype(np.float32)
    image += _laid_over(np.where(hidden, 0, scattered), shift, layover_reach)
    building = ground.cover.label[:, away] == BUILDING
    image += _walls(objects, building, shift, scene.gsd, layover_reach)
    if scene.uncorrected:
        image = _carried(image, terrain / np.float32(tangent * scene.gsd))
    image = image + np.float32(_NOISE_FLOOR)
    return np.asarray(image[:, away][:, margin:-margin], np.float32)


def terrain_displacement(scene: SceneOptions, window: Window) -> Displacement:
    """Where an image that is not terrain-corrected shows the ground of a window, exactly."""
    tangent = _tangent(scene)
    margin = _margin(scene, uncorrected=True)
    ground, away = make_ground(scene, window.pad(0, margin)), _away(scene)
    height, objects = ground.terrain.height[:, away], ground.cover.height[:, away]
    pixel = np.float32(tangent * scene.gsd)
    moved = height / pixel + np.rint(objects / pixel)
    layover = _laid_together(moved)
    shadow = _shaded(ground.surface[:, away], scene.gsd / tangent)
    columns = -moved if scene.look == "west" else moved
    cut = slice(margin, -margin)
    return Displacement(
        columns[:, away][:, cut],
        layover[:, away][:, cut],
        shadow[:, away][:, cut],
        ground.terrain.height[:, cut],
    )


def relief_displacement(scene: SceneOptions, y: Metres, window: Window) -> tuple[FloatArray, Mask]:
    """What the relief of bare ground does to rows of a window of the world.

    Parameters
    ----------
    scene : SceneOptions
    y : float64 array, shape (h,)
        Metres of the rows, at which heights are taken.
    window : Window
        Its columns count.

    Returns
    -------
    tuple of array
        Columns by which each place is displaced, and where it is hidden in layover or shadow;
        both (h, window.width).
    """
    tangent, margin = _tangent(scene), _margin(scene, uncorrected=True)
    wide = window.pad(0, margin)
    x = (np.arange(wide.col, wide.right, dtype=np.float64) + 0.5) * scene.gsd
    away = _away(scene)
    height = terrain_at(scene, y, x).height[:, away]
    moved = height / np.float32(tangent * scene.gsd)
    hidden = _laid_together(moved) | _shaded(height, scene.gsd / tangent)
    columns = -moved if scene.look == "west" else moved
    cut = slice(margin, -margin)
    return columns[:, away][:, cut], hidden[:, away][:, cut]


def _laid_together(moved: FloatArray) -> Mask:
    """Where ground that is displaced by so many columns is seen together with other ground."""
    seen = np.arange(moved.shape[1], dtype=np.float32) - moved
    beyond = np.maximum.accumulate(seen, axis=1)
    before = np.minimum.accumulate(seen[:, ::-1], axis=1)[:, ::-1]
    layover = np.zeros(seen.shape, bool)
    layover[:, 1:] |= beyond[:, :-1] >= seen[:, 1:]
    layover[:, :-1] |= before[:, 1:] <= seen[:, :-1]
    return layover


def _tangent(scene: SceneOptions) -> float:
    return math.tan(math.radians(scene.incidence))


def _away(scene: SceneOptions) -> slice:
    """Columns from the sensor outward; taken twice, they are as they were."""
    return slice(None, None, -1 if scene.look == "west" else 1)


def _margin(scene: SceneOptions, uncorrected: bool) -> int:
    """Pixels beside a window from which something may lie over it or shade it."""
    high = MAX_OBJECT_HEIGHT + (_MOST_RELIEF * scene.relief if uncorrected else 0.0)
    tangent = _tangent(scene)
    return max(math.ceil(high * tangent / scene.gsd), math.ceil(high / tangent / scene.gsd) + 1) + 2


def _shaded(surface: FloatArray, rise: float) -> Mask:
    """Whether anything nearer to the sensor, however far, lies in the ray's way."""
    level = surface + np.arange(surface.shape[1], dtype=np.float64) * rise
    dark = np.zeros(surface.shape, bool)
    dark[:, 1:] = np.maximum.accumulate(level, axis=1)[:, :-1] > level[:, 1:]
    return dark


def _carried(image: FloatArray, moved: FloatArray) -> FloatArray:
    """Each pixel's power where its terrain answers, ``moved`` columns nearer to the sensor.

    Slopes that face the sensor pile up, and so are bright; the others thin out.
    """
    height, width = image.shape
    at = (np.arange(width * _PARTS) + 0.5) / _PARTS - 0.5
    low = np.clip(np.floor(at).astype(int), 0, width - 2)
    part = (at - low).astype(np.float32)
    shift = moved[:, low] * (1 - part) + moved[:, low + 1] * part
    place = at - shift
    first = np.floor(place).astype(np.int64)
    rest = place - first
    power = np.repeat(image, _PARTS, axis=1) / np.float32(_PARTS)
    out = np.zeros(height * width)
    rows = np.arange(height, dtype=np.int64)[:, None] * width
    for column, fraction in ((first, 1.0 - rest), (first + 1, rest)):
        inside = (column >= 0) & (column < width)
        index = (rows + column)[inside]
        out += np.bincount(index, (power * fraction)[inside], height * width)
    return np.asarray(out.reshape(height, width), np.float32)


def add_speckle(image: FloatArray, scene: SceneOptions, window: Window) -> FloatArray:
    """Multiply by gamma speckle of mean 1 and variance ``1 / scene.looks``.

    ``window`` is that of the image in the sensor's own grid; the speckle of a
    pixel depends on its place and the seed alone.
    Fully developed speckle: Goodman, J. Opt. Soc. Am. 66, 1976.
    """
    if math.isinf(scene.looks):
        return image
    return image * gamma_noise(pixel_hash(stream(scene.seed, "speckle"), window), scene.looks)


def _scatter(ground: Ground) -> FloatArray:
    label, parcel = ground.cover.label, ground.cover.parcel
    crop = _CROP[mix(parcel, 41) % np.uint32(len(_CROP))]
    plain = np.where(label == FIELD, crop, _BACKSCATTER[label])
    grain = uniform(mix(ground.grain, 42)) - np.float32(0.5)
    detail = 1 + _TEXTURE[label] * (ground.texture * np.float32(0.5) + grain)
    return np.asarray(plain * np.maximum(detail, np.float32(0.1)), np.float32)


def _slope_factor(terrain: FloatArray, scene: SceneOptions) -> FloatArray:
    """Brightness of a slope against flat ground: sin(i) / sin(local i), 0.3..4.

    Area projection of Ulander, IEEE TGRS 34, 1996; range grows with columns.
    """
    slope = np.zeros(terrain.shape, np.float32)
    slope[:, 1:-1] = (terrain[:, 2:] - terrain[:, :-2]) / np.float32(2 * scene.gsd)
    angle = math.radians(scene.incidence)
    sine = (math.sin(angle) - np.float32(math.cos(angle)) * slope) / np.sqrt(1 + slope * slope)
    return np.asarray(math.sin(angle) / np.clip(sine, math.sin(angle) / 4, 1.0), np.float32)


def _hidden(surface: FloatArray, rise: float, reach: int) -> Mask:
    """Whether something nearer to the sensor lies in the ray's way."""
    dark = np.zeros(surface.shape, bool)
    for step in range(1, reach + 1):
        dark[:, step:] |= surface[:, :-step] > surface[:, step:] + np.float32(step * rise)
    return dark


def _laid_over(scattered: FloatArray, shift: Pixels, reach: int) -> FloatArray:
    moved = np.zeros(scattered.shape, np.float32)
    for step in range(1, reach + 1):
        at = shift[:, step:] == step
        moved[:, :-step] += np.where(at, scattered[:, step:], 0)
    return moved


def _walls(
    objects: FloatArray, building: Mask, shift: Pixels, gsd: float, reach: int
) -> FloatArray:
    """Single scattering of walls that face the sensor, and the bounce at their foot."""
    wall = np.zeros(objects.shape, np.float32)
    rise = objects[:, 1:] - objects[:, :-1]
    wall[:, 1:] = np.where(building[:, 1:] & (rise > _LEAST_WALL), rise, 0)
    image = np.zeros(objects.shape, np.float32)
    # Wall and ground return together, from the foot: one pixel before the wall.
    image[:, :-1] += np.float32(_DOUBLE_BOUNCE) * wall[:, 1:] / np.float32(gsd)
    extent = np.maximum(shift, 1)
    for step in range(1, reach + 1):
        part = np.where(extent[:, step:] >= step, wall[:, step:], 0) / extent[:, step:]
        image[:, :-step] += np.float32(_WALL / gsd) * part
    return image
