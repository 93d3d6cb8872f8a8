"""Compiled loops of histograms of oriented gradients; imported where one is about to run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crosslook.compiled import compiled
from crosslook.types import FloatArray


@compiled
def gather_cells(
    magnitude: FloatArray,
    angle: FloatArray,
    bins: int,
    rows: tuple[NDArray[np.int64], FloatArray],
    cols: tuple[NDArray[np.int64], FloatArray],
    cells: FloatArray,
) -> None:
    """Add the gradients of an image to the histograms of cells.

    Parameters
    ----------
    magnitude, angle : float32 arrays, shape (H, W)
        Of the gradients; radians in 0..2 pi.
    bins : int
        Orientations over half a turn; a pixel is shared by the two nearest.
    rows, cols : (int64 array (n,), float32 array (2, n))
        For each row and column of the image the first of two neighbouring cells that share
        it, and what either takes.
    cells : float32 array, shape (h + 2, bins, w + 2)
        What is added to: the cells, and a rim that is not used.
    """
    per_radian = np.float32(bins / np.pi)
    first, across = cols
    wide = cells.shape[2]
    line = np.empty(bins * wide, np.float32)
    for row in range(magnitude.shape[0]):
        line[:] = 0.0
        for col in range(magnitude.shape[1]):
            position = angle[row, col] * per_radian
            # Half a turn is the same orientation.
            if position >= bins:
                position -= bins
            low = min(int(position), bins - 1)
            upper = magnitude[row, col] * (position - low)
            lower = magnitude[row, col] - upper
            near, far = across[0, col], across[1, col]
            at = low * wide + first[col]
            line[at] += near * lower
            line[at + 1] += far * lower
            at = at + wide if low + 1 < bins else first[col]
            line[at] += near * upper
            line[at + 1] += far * upper
        for side in range(2):
            share = rows[1][side, row]
            if share > 0.0:
                there = cells[rows[0][row] + side].reshape(-1)
                for index in range(line.shape[0]):
                    there[index] += share * line[index]


@compiled
def normalise_blocks(cells: FloatArray, clip: float, epsilon: float, result: FloatArray) -> None:
    """Histograms over the norm of each 2 x 2 block around a cell, clipped; the mean of the four.

    ``cells`` are those of :func:`gather_cells`, ``result`` is a float32 array (bins, h, w).
    """
    bins, height, width = result.shape
    energy = np.zeros((height + 2, width + 2), np.float32)
    for row in range(1, height + 1):
        for one in range(bins):
            line = cells[row, one]
            for col in range(width + 2):
                energy[row, col] += line[col] * line[col]
        # The rim is as the cells beside it.
        energy[row, 0], energy[row, width + 1] = energy[row, 1], energy[row, width]
    energy[0], energy[height + 1] = energy[1], energy[height]
    inverse = np.empty((height + 1, width + 1), np.float32)
    for row in range(height + 1):
        above, below, line = energy[row], energy[row + 1], inverse[row]
        for col in range(width + 1):
            block = above[col] + above[col + 1] + below[col] + below[col + 1]
            line[col] = np.float32(1.0) / np.sqrt(block + np.float32(epsilon))
    most, quarter = np.float32(clip), np.float32(0.25)
    for row in range(height):
        above, below = inverse[row], inverse[row + 1]
        for one in range(bins):
            line, out = cells[row + 1, one, 1:], result[one, row]
            for col in range(width):
                value = line[col]
                total = min(value * above[col], most) + min(value * above[col + 1], most)
                total += min(value * below[col], most) + min(value * below[col + 1], most)
                out[col] = quarter * total
