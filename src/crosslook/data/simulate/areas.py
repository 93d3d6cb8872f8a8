"""Which parts of a scene are sea, under clouds, or changed between the two images.

Each is where smooth noise of the world is below the level that gives the
fraction asked for. The level is that of the scene: the same seed in another
window of the world has its coasts elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from crosslook.data.simulate.noise import Metres, fractal_noise, stream
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import FloatArray

Area = Literal["sea", "clouds", "changed"]

_NOISE = {"sea": (24_000.0, 6, 0.4), "clouds": (7000.0, 6, 0.55), "changed": (4000.0, 2, 0.4)}
"""Wavelength in metres, octaves and gain of each."""
_SAMPLES = 128  # along a side, from which a level is found


def above_level(scene: SceneOptions, area: Area, y: Metres, x: Metres) -> FloatArray:
    """Noise less the level of an area, (H, W): negative inside it.

    Parameters
    ----------
    scene : SceneOptions
    area : str
    y, x : float64 arrays, shapes (H,) and (W,)
        Metres in the world.
    """
    height, width = scene.shape
    place = (*scene.origin, height, width)
    level = _level(scene.seed, area, getattr(scene, area), place, scene.gsd)
    return _noise(scene.seed, area, y, x) - np.float32(level)


def _noise(seed: int, area: Area, y: Metres, x: Metres) -> FloatArray:
    wavelength, octaves, gain = _NOISE[area]
    return fractal_noise(stream(seed, area), y, x, wavelength, octaves, gain)


@lru_cache(maxsize=32)
def _level(
    seed: int, area: Area, fraction: float, place: tuple[int, int, int, int], gsd: float
) -> float:
    row, col, height, width = place
    step = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    y, x = (row + step * height) * gsd, (col + step * width) * gsd
    return float(np.quantile(_noise(seed, area, y, x), fraction))
