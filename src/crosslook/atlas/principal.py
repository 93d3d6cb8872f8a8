"""The few directions of a level's channels that a search needs."""

from __future__ import annotations

import numpy as np

from crosslook.atlas.store import Atlas
from crosslook.types import FloatArray

SHARE = 0.9
"""Share of the energy that is kept. Neighbouring orientations say much the same."""

_BLOCKS = 8
_CELLS = 4096


def principal_channels(atlas: Atlas, level: int) -> FloatArray:
    """Principal directions of the calibrated features of a level (Hotelling, 1933).

    Products of features, and so a correlation, hardly change when both are
    projected on the directions that hold most of their energy, while its cost
    and its memory fall with the number of channels. Taken from cells of eight
    blocks spread evenly over the atlas, always the same ones.

    Parameters
    ----------
    atlas : Atlas
    level : int

    Returns
    -------
    float32 array, shape (K, C)
        The fewest orthonormal rows that hold 90 per cent of the energy.
    """
    side = atlas.grid.block // atlas.manifest.levels[level].cell
    blocks = sorted(atlas.manifest.blocks)
    chosen = np.unique(np.linspace(0, len(blocks) - 1, _BLOCKS).round().astype(int))
    channels = len(atlas.manifest.statistics[level].mean)
    moments = np.zeros((channels, channels), np.float64)
    for row, col in (blocks[n] for n in chosen):
        values = atlas.features(level, (row * side, col * side), (side, side)).values
        cells = values.reshape(channels, -1)[:, :: max(1, side * side // _CELLS)]
        moments += cells.astype(np.float64) @ cells.T
    energies, directions = np.linalg.eigh(moments)
    held = np.cumsum(energies[::-1])
    if not held[-1] > 0:  # all sampled blocks are flat
        return np.eye(channels, dtype=np.float32)
    count = int(np.searchsorted(held, SHARE * held[-1])) + 1
    return np.ascontiguousarray(directions[:, ::-1][:, :count].T, np.float32)
