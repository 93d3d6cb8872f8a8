"""The optical image: albedo, texture, sun, shadow, blur and noise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.ground import BUILDING, FIELD, MAX_OBJECT_HEIGHT, Ground, make_ground
from crosslook.data.simulate.noise import blur, mix, normal_noise, pixel_hash, stream, uniform
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


def render_optical(scene: SceneOptions, window: Window) -> NDArray[np.uint8]:
    """Render red, green, blue of a window, uint8 (3, H, W).

    The result for a window equals that part of any larger one: what lies
    around it is made too, as far as shadows and blur reach.
    """
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
    scaled = image * np.float32(255 / _WHITE) + np.float32(0.5)
    return np.asarray(np.clip(scaled, 1, 255), np.uint8)


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
