"""Fractal terrain with water in the low ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.noise import Metres, fractal_noise, lattice_noise
from crosslook.types import FloatArray

_WAVELENGTH = 6000.0
_LAKE_LEVEL = -0.9
_RIVER_WAVELENGTH = 4000.0
_RIVER_WIDTH = 0.02


@dataclass(frozen=True)
class Terrain:
    """Height of the ground in metres, and where lakes and rivers are; all (H, W)."""

    height: FloatArray
    lake: NDArray[np.bool_]
    river: NDArray[np.bool_]


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
