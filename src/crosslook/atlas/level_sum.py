"""Statistics of a level over all blocks, added up one block at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.atlas.levels import Level
from crosslook.atlas.manifest import LevelStatistics
from crosslook.errors import InputError

_HALVES = 1 << 15
"""How many bit patterns a float16 that is not negative has."""


class LevelSum:
    """Sums over blocks; its memory does not grow with their number.

    The spread of a cell is a float16, of which there are few: counted value
    by value, their median is exact.
    """

    def __init__(self, level: Level) -> None:
        self.level = level
        self.cells = 0
        self._sum: NDArray[np.float64] | float = 0.0
        self._square: NDArray[np.float64] | float = 0.0
        self._spreads = np.zeros(_HALVES, np.int64)

    def add(self, part: dict[str, Any]) -> None:
        """Add the statistics of one block, as ``block.json`` holds them."""
        self.cells += part["cells"]
        self._sum = self._sum + np.array(part["sum"], np.float64)
        self._square = self._square + np.array(part["square"], np.float64)
        bits = np.array(part["spread"], np.float16).view(np.uint16)
        self._spreads += np.bincount(bits, minlength=_HALVES)

    def statistics(self) -> LevelStatistics:
        """Mean and deviation per channel, and the median spread.

        Raises
        ------
        InputError
            If no cell is free of nodata.
        """
        if not self.cells:
            raise InputError(
                f"no cell of {self.level.cell} px is free of nodata. "
                "Use a smaller cell or another basemap."
            )
        mean = np.asarray(self._sum / self.cells)
        variance = np.asarray(self._square / self.cells) - mean**2
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        return LevelStatistics(
            mean.astype(np.float32), deviation.astype(np.float32), self._median()
        )

    def _median(self) -> float:
        reached = np.cumsum(self._spreads)
        middle = [(reached[-1] - 1) // 2, reached[-1] // 2]
        bits = np.searchsorted(reached, middle, side="right").astype(np.uint16)
        return float(bits.view(np.float16).astype(np.float64).mean())
