"""Random values that depend on a seed and a position alone.

Every value is a hash of its position, so any part of an endless world can be
made by itself and equals the same part of a larger one, bit for bit. Only
element-wise arithmetic is used, which does not depend on the array's size.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crosslook.types import FloatArray, Window

Hash = NDArray[np.uint32]
Metres = NDArray[np.float64]

_TABLE_BITS = 16


def mix(*parts: NDArray[np.generic] | int) -> Hash:
    """Hash integers (negative ones too) to uniform 32 bits; arrays broadcast.

    The finaliser is that of MurmurHash3 (public domain, A. Appleby).
    """
    state: Hash = np.zeros((), np.uint32)
    with np.errstate(over="ignore"):
        for part in parts:
            word = np.asarray(part).astype(np.int64).astype(np.uint32)
            state = (state ^ word) * np.uint32(0x9E3779B1) + np.uint32(0x7F4A7C15)
            state = (state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B)
            state = (state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35)
            state = state ^ (state >> np.uint32(16))
    return state


def uniform(bits: Hash) -> FloatArray:
    """Turn hashes into float32 in 0..1 (1 excluded)."""
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def stream(seed: int, name: str) -> int:
    """A seed of its own for each purpose."""
    return int(mix(seed & 0xFFFFFFFF, seed >> 32, *name.encode()))


def lattice_noise(seed: int, y: Metres, x: Metres, wavelength: float) -> FloatArray:
    """Value noise in -1..1, shape (len(y), len(x)).

    Random values on a lattice of ``wavelength``, joined by the quintic of
    Perlin, "Improving noise", SIGGRAPH 2002.
    """
    row, row_weight = _split(y / wavelength)
    col, col_weight = _split(x / wavelength)
    rows = np.arange(row.min(), row.max() + 2)
    cols = np.arange(col.min(), col.max() + 2)
    lattice = uniform(mix(seed, rows[:, None], cols[None, :])) * np.float32(2) - np.float32(1)
    i, j = row - rows[0], col - cols[0]
    across = lattice[:, j] + (lattice[:, j + 1] - lattice[:, j]) * col_weight[None, :]
    low = across[i]
    return np.asarray(low + (across[i + 1] - low) * row_weight[:, None], np.float32)


def fractal_noise(
    seed: int, y: Metres, x: Metres, wavelength: float, octaves: int, gain: float = 0.5
) -> FloatArray:
    """Sum of value noise at halved wavelengths and falling amplitudes, about -1..1."""
    total = np.zeros((len(y), len(x)), np.float32)
    amplitude, weight = 1.0, 0.0
    for octave in range(octaves):
        part = lattice_noise(seed + 7919 * (octave + 1), y, x, wavelength / 2**octave)
        total += np.float32(amplitude) * part
        weight += amplitude**2
        amplitude *= gain
    return np.asarray(total / np.float32(weight**0.5), np.float32)


def pixel_hash(seed: int, window: Window) -> Hash:
    """One hash per pixel of a window of the world, shape (height, width)."""
    rows = mix(seed, np.arange(window.row, window.bottom))
    return mix(rows[:, None], np.arange(window.col, window.right)[None, :])


def gamma_noise(bits: Hash, looks: float) -> FloatArray:
    """Gamma distributed values of mean 1 and variance ``1 / looks``."""
    return np.take(_gamma_table(looks), bits >> np.uint32(32 - _TABLE_BITS))


def normal_noise(bits: Hash) -> FloatArray:
    """Normally distributed values of mean 0 and variance 1."""
    return np.take(_normal_table(), bits >> np.uint32(32 - _TABLE_BITS))


def blur(image: FloatArray, sigma: float, radius: int) -> FloatArray:
    """Gaussian blur of the last two axes; loses ``radius`` pixels on each side."""
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    kernel = (weights / weights.sum()).astype(np.float32)
    height, width = (side - 2 * radius for side in image.shape[-2:])
    down = sum(w * image[..., i : i + height, :] for i, w in enumerate(kernel))
    return np.asarray(
        sum(w * np.asarray(down)[..., i : i + width] for i, w in enumerate(kernel)), np.float32
    )


def _split(position: Metres) -> tuple[NDArray[np.int64], FloatArray]:
    whole = np.floor(position)
    t = position - whole
    weight = t * t * t * (t * (t * 6 - 15) + 10)
    return whole.astype(np.int64), weight.astype(np.float32)


def _probabilities() -> Metres:
    return np.asarray((np.arange(2**_TABLE_BITS) + 0.5) / 2**_TABLE_BITS, np.float64)


@lru_cache(maxsize=8)
def _gamma_table(looks: float) -> FloatArray:
    from scipy.special import gammaincinv

    values = gammaincinv(looks, _probabilities())
    return np.asarray(values / values.mean(), np.float32)


@lru_cache(maxsize=1)
def _normal_table() -> FloatArray:
    from scipy.special import ndtri

    return np.asarray(ndtri(_probabilities()), np.float32)
