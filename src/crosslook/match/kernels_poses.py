"""Compiled loops of the search of poses: features of an image under a pose."""

from __future__ import annotations

import numpy as np

from crosslook.compiled import compiled
from crosslook.types import Array, FloatArray


@compiled
def turn_planes(planes: FloatArray, source: Array, mixing: FloatArray, out: FloatArray) -> None:
    """Write the features of an image under a pose into ``out``, turned by half a turn.

    So turned, a convolution with them is a correlation.

    Parameters
    ----------
    planes : float32 array, shape (h, w, C + 1)
        Features, zero where invalid and at the rim, and where they are valid.
    source : float64 array, shape (3, 3)
        From (row, column, 1) of the cells of the pose to those of ``planes``, whole at centres.
    mixing : float32 array, shape (C, C)
        What a turn does to the features; acts on rows.
    out : float32 array, shape (C + 2, H, W)
        Features, their energy, and 1 where they are valid; 0 elsewhere.
    """
    height, width, channels = planes.shape[0] - 1, planes.shape[1] - 1, planes.shape[2] - 1
    rows, cols = out.shape[1:]
    value = np.empty(channels + 1, np.float32)
    for row in range(rows):
        for col in range(cols):
            i, j = rows - 1 - row, cols - 1 - col
            out[:, i, j] = 0.0
            depth = source[2, 0] * row + source[2, 1] * col + source[2, 2]
            y = (source[0, 0] * row + source[0, 1] * col + source[0, 2]) / depth
            x = (source[1, 0] * row + source[1, 1] * col + source[1, 2]) / depth
            if not (y >= 0.0 and x >= 0.0 and y < height and x < width):
                continue
            top, left = int(y), int(x)
            down, right = np.float32(y - top), np.float32(x - left)
            beside, under = np.float32(1.0) - right, np.float32(1.0) - down
            for k in range(channels + 1):
                above = beside * planes[top, left, k] + right * planes[top, left + 1, k]
                below = beside * planes[top + 1, left, k] + right * planes[top + 1, left + 1, k]
                value[k] = under * above + down * below
            if value[channels] <= 0.5:
                continue
            energy = np.float32(0.0)
            for k in range(channels):
                total = np.float32(0.0)
                for m in range(channels):
                    total += value[m] * mixing[m, k]
                out[k, i, j] = total
                energy += total * total
            out[channels, i, j] = energy
            out[channels + 1, i, j] = 1.0
