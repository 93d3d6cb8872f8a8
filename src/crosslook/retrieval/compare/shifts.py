"""Products of maps over small shifts: what ``dense:R`` compares.

A descriptor fails where two images lie some pixels apart; the best cosine over
the shifts within a radius does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crosslook.types import FloatArray

_FLOOR = 1e-6


@dataclass(frozen=True)
class Shifts:
    """Flat descriptors that are maps of ``shape`` (C, h, w), and the radius in cells.

    A score is the greatest cosine over all shifts of at most ``radius`` rows and
    columns; for each, only the cells that both maps share count, in the product
    and in both lengths, so that an offset costs no more than what it cuts off.
    The radius is limited so that half of a side is shared.
    """

    shape: tuple[int, int, int]
    radius: int

    def tried(self) -> list[tuple[int, int]]:
        """Shifts in cells, the shortest first, so that ties stay near zero."""
        return shifts(self.radius, self.shape[1:])

    @property
    def multiplications(self) -> int:
        """Multiplications that one pair of maps costs over all shifts."""
        channels, height, width = self.shape
        return sum(
            channels * (height - abs(down)) * (width - abs(right)) for down, right in self.tried()
        )


def shifts(radius: int, cells: tuple[int, ...]) -> list[tuple[int, int]]:
    """Shifts of at most ``radius`` cells, and of half a side, the shortest first."""
    down, right = (min(radius, side // 2) for side in cells)
    every = [(r, c) for r in range(-down, down + 1) for c in range(-right, right + 1)]
    return sorted(every, key=lambda s: (s[0] ** 2 + s[1] ** 2, s))


class ShiftedGallery:
    """A gallery of flat maps (Ng, D) that blocks of queries are compared with.

    Memory is the gallery as it lies, and its energies: one number per cell.
    """

    def __init__(self, gallery: FloatArray, how: Shifts) -> None:
        self.gallery = gallery
        self.how = how
        energies = cell_energies(gallery, how.shape)
        self._lengths = {shift: _length(energies, (-shift[0], -shift[1])) for shift in how.tried()}

    def each(self, query: FloatArray) -> Iterator[tuple[tuple[int, int], FloatArray]]:
        """Yield every shift with the cosines (n, Ng) of a block of queries (n, D) under it.

        Query cell (i + row, j + column) lies on cell (i, j) of the gallery. The
        cosines are overwritten when the next shift is asked for.
        """
        channels, height, width = self.how.shape
        maps = query.reshape(len(query), channels, height, width)
        energies = cell_energies(query, self.how.shape)
        moved = np.zeros_like(maps)
        scores = np.empty((len(query), len(self.gallery)), np.float32)
        for shift in self.how.tried():
            own, other = _overlap(shift, height, width), _overlap(_back(shift), height, width)
            moved[:] = 0
            moved[:, :, other[0], other[1]] = maps[:, :, own[0], own[1]]
            np.matmul(moved.reshape(len(query), -1), self.gallery.T, out=scores)
            scores /= _length(energies, shift)[:, None]
            scores /= self._lengths[shift]
            yield shift, scores

    def best(self, query: FloatArray, out: FloatArray) -> FloatArray:
        """Greatest cosine over the shifts of a block of queries (n, D), into ``out`` (n, Ng)."""
        out[:] = -1.0
        for _, scores in self.each(query):
            np.maximum(out, scores, out=out)
        return out


def cell_energies(flat: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    """Sum of squares over the channels of flat maps (n, D): float32 (n, h, w)."""
    out = np.empty((len(flat), *shape[1:]), np.float32)
    for start in range(0, len(flat), 256):
        maps = flat[start : start + 256].reshape(-1, *shape)
        out[start : start + 256] = np.einsum("nchw,nchw->nhw", maps, maps)
    return out


def _length(energies: FloatArray, shift: tuple[int, int]) -> FloatArray:
    rows, cols = _overlap(shift, *energies.shape[1:])
    total = energies[:, rows, cols].sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(np.maximum(np.sqrt(total), _FLOOR), np.float32)


def _overlap(shift: tuple[int, int], height: int, width: int) -> tuple[slice, slice]:
    down, right = shift
    return (
        slice(max(0, down), height + min(0, down)),
        slice(max(0, right), width + min(0, right)),
    )


def _back(shift: tuple[int, int]) -> tuple[int, int]:
    return -shift[0], -shift[1]


def radius_in_cells(radius: float, stride: float) -> int:
    """Whole cells within ``radius`` pixels; at least one where it is above 0."""
    return max(1, math.floor(radius / stride)) if radius > 0 else 0
