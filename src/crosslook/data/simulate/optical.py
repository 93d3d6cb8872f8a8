"""The optical image: albedo, texture, sun, shadow, blur and noise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.areas import above_level
from crosslook.data.simulate.geometry import beyond_seam, centres
from crosslook.data.simulate.ground import BUILDING, FIELD, MAX_OBJECT_HEIGHT, Ground, make_ground
from crosslook.data.simulate.noise import (
    Metres,
    blur,
    fractal_noise,
    mix,
    normal_noise,
    pixel_hash,
    stream,
    uniform,
)
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import FloatArray, Mask, Window

_ALBEDO = np.array(
    [
        [0.035, 0.060, 0.085],  # water
        [0.000, 0.000, 0.000],  # field: by crop
        [0.110, 0.150, 0.080],  # grass
        [0.035, 0.065, 0.035],  # forest
        [0.220, 0.215, 0.205],  # road
        [0.000, 0.000, 0.000],  # building: by roof
        [0.160, 0.165, 0.135],  # yard
    ],
    np.float32,
)
_CROPS = np.array(
    [
        [0.070, 0.130, 0.045],  # young crop
        [0.105, 0.165, 0.060],
        [0.240, 0.205, 0.130],  # stubble
        [0.290, 0.250, 0.150],  # ripe grain
        [0.165, 0.125, 0.090],  # bare soil
        [0.120, 0.095, 0.070],  # wet soil
        [0.150, 0.170, 0.085],
        [0.200, 0.175, 0.120],
    ],
    np.float32,
)
_ROOFS = np.array(
    [[0.33, 0.32, 0.31], [0.24, 0.14, 0.10], [0.13, 0.13, 0.14], [0.50, 0.49, 0.47]], np.float32
)
_TEXTURE = np.array([0.05, 0.12, 0.18, 0.30, 0.05, 0.08, 0.22], np.float32)
_SKYLIGHT = 0.3
_WHITE = 0.36
"""Reflectance that becomes 255."""


_BLUR = 0.6
"""Sigma of the sensor's point spread function, in pixels."""
_BLUR_REACH = math.ceil(3 * _BLUR)
_NOISE = 0.004
"""Standard deviation of additive noise, in reflectance."""
_SECOND_GAIN = 1.06
_CLOUD_HEIGHT = 1500.0  # metres
_RIM = 0.12  # of the noise that makes clouds: over what they become opaque
_SHADE = 0.6


def render_optical(scene: SceneOptions, window: Window) -> NDArray[np.uint8]:
    """Render red, green, blue of a window, uint8 (3, H, W).

    ``window`` is one of the world. The result equals that part of any larger
    one: what lies around it is made too, as far as shadows and blur reach.
    East of a seam the ground is seen moved, and a little brighter, as in a
    mosaic of two images.
    """
    image = _mosaicked(scene, window) if any(scene.seam) else _reflectance(scene, window)
    if scene.clouds:
        image = _clouded(scene, window, image)
    scaled = image * np.float32(255 / _WHITE) + np.float32(0.5)
    return np.asarray(np.clip(scaled, 1, 255), np.uint8)


def _mosaicked(scene: SceneOptions, window: Window) -> FloatArray:
    """What either image of a mosaic shows of a window."""
    rows, cols = centres(window.shifted(-scene.origin[0], -scene.origin[1]))
    second = beyond_seam(scene, rows, cols)
    if not second.any():
        return _reflectance(scene, window)
    down, right = scene.seam
    image = _reflectance(scene, window.shifted(-down, -right)) * np.float32(_SECOND_GAIN)
    if second.all():
        return image
    return np.where(second, image, _reflectance(scene, window))


def _clouded(scene: SceneOptions, window: Window, image: FloatArray) -> FloatArray:
    """The image (3, H, W) with clouds over it, and their shadows beside them."""
    y, x = (
        (np.arange(start, start + count, dtype=np.float64) + 0.5) * scene.gsd
        for start, count in ((window.row, window.height), (window.col, window.width))
    )
    cover, shade = cloud_cover(scene, y, x), cloud_shadow(scene, y, x)
    billows = fractal_noise(stream(scene.seed, "billows"), y, x, 900.0, octaves=4)
    white = np.float32(_WHITE) * (np.float32(0.92) + np.float32(0.08) * billows)
    dark = image * (1 - np.float32(_SHADE) * shade)
    return np.asarray(dark * (1 - cover) + white * cover, np.float32)


def cloud_cover(scene: SceneOptions, y: Metres, x: Metres) -> FloatArray:
    """How opaque the clouds over world positions are, (H, W), 0..1; they fade towards their rim."""
    depth = -above_level(scene, "clouds", y, x)
    return np.asarray(np.clip(depth / np.float32(_RIM), 0, 1), np.float32)


def cloud_shadow(scene: SceneOptions, y: Metres, x: Metres) -> FloatArray:
    """How opaque the clouds between world positions and the sun are, (H, W), 0..1."""
    south, east, up = _sun(scene)
    towards = _CLOUD_HEIGHT / up
    return cloud_cover(scene, y + south * towards, x + east * towards)


def _reflectance(scene: SceneOptions, window: Window) -> FloatArray:
    """Red, green and blue of a window as one acquisition without clouds sees it, (3, H, W)."""
    reach = math.ceil(MAX_OBJECT_HEIGHT / math.tan(math.radians(scene.sun_elevation)) / scene.gsd)
    ground = make_ground(scene, window.pad(reach + _BLUR_REACH + 1))
    light = _sunlight(ground, scene)
    inner = slice(reach, light.shape[0] - reach), slice(reach, light.shape[1] - reach)
    lit = np.where(_shadow(ground.surface, scene, reach), 0.0, light[inner])
    cut = slice(reach + 1, -reach - 1)
    albedo = _albedo(ground)[:, cut, cut]
    brightness = (_SKYLIGHT + (1 - _SKYLIGHT) * lit[1:-1, 1:-1]).astype(np.float32)
    image = blur(albedo * brightness, _BLUR, _BLUR_REACH)
    for band in range(3):
        bits = pixel_hash(stream(scene.seed, f"noise{band}"), window)
        image[band] += np.float32(_NOISE) * normal_noise(bits)
    return image


def _albedo(ground: Ground) -> FloatArray:
    label, parcel = ground.cover.label, ground.cover.parcel
    crop, roof = mix(parcel, 21) % np.uint32(len(_CROPS)), mix(parcel, 22) % np.uint32(len(_ROOFS))
    tone = np.float32(0.85) + np.float32(0.3) * uniform(mix(parcel, 23))
    grain = uniform(ground.grain) - np.float32(0.5)
    detail = 1 + _TEXTURE[label] * (ground.texture * np.float32(0.6) + grain * np.float32(0.6))
    factor = np.where((label == FIELD) | (label == BUILDING), tone, np.float32(1)) * detail
    bands = []
    for band in range(3):
        plain = np.where(label == FIELD, _CROPS[crop, band], _ALBEDO[label, band])
        bands.append(np.where(label == BUILDING, _ROOFS[roof, band], plain) * factor)
    return np.stack(bands).astype(np.float32)


def _sun(scene: SceneOptions) -> tuple[float, float, float]:
    """Unit vector to the sun: south (rows), east (columns), up."""
    azimuth, elevation = math.radians(scene.sun_azimuth), math.radians(scene.sun_elevation)
    flat = math.cos(elevation)
    return -flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)


def _sunlight(ground: Ground, scene: SceneOptions) -> FloatArray:
    """Lambert's cosine of the terrain, 1 on flat ground; edges lack a slope."""
    z = ground.terrain.height
    south, east, up = _sun(scene)
    light = np.ones(z.shape, np.float32)
    dy = (z[2:, 1:-1] - z[:-2, 1:-1]) / np.float32(2 * scene.gsd)
    dx = (z[1:-1, 2:] - z[1:-1, :-2]) / np.float32(2 * scene.gsd)
    cosine = (up - dy * np.float32(south) - dx * np.float32(east)) / np.sqrt(1 + dy * dy + dx * dx)
    light[1:-1, 1:-1] = np.clip(cosine / np.float32(up), 0, 2)
    return light


def _shadow(surface: FloatArray, scene: SceneOptions, reach: int) -> Mask:
    """Whether something towards the sun is higher than the ray; loses ``reach`` a side.

    Only what an object of the greatest height could shade is looked for, so
    mountains cast none.
    """
    south, east, up = _sun(scene)
    flat = math.hypot(south, east)
    height, width = (side - 2 * reach for side in surface.shape)
    here = surface[reach : reach + height, reach : reach + width]
    dark = np.zeros(here.shape, bool)
    for step in range(1, reach + 1):
        row = reach + round(step * south / flat)
        col = reach + round(step * east / flat)
        rise = np.float32(step * scene.gsd * up / flat)
        dark |= surface[row : row + height, col : col + width] > here + rise
    return dark
