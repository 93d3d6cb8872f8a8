"""A query seen as parts that may lie a little beside each other.

Relief moves hills along the range of a side-looking radar, so a right place
fits part by part where the whole does not.
"""

from __future__ import annotations

import cv2
import numpy as np

from crosslook.match.correlation import correlate
from crosslook.match.thin_plate import Array
from crosslook.types import FloatArray

PARTS = 4
"""Parts along a side."""

PLAY = 2
"""Cells by which each part may lie beside the others."""

_LEAST_CELLS = 8


def part_scores(template: FloatArray, windows: FloatArray) -> Array:
    """Score a template in each window with its parts free to move.

    The template is cut into 4 x 4 parts, each correlated over all offsets of
    the window. A part gives every offset the best score within two cells of it;
    the sum over parts, weighted by the root of their energy, is highest at the
    place (deformable parts: Felzenszwalb et al., PAMI 2010).

    Parameters
    ----------
    template : float32 array, shape (C, h, w)
    windows : float32 array, shape (n, C, h + 2 r, w + 2 r)

    Returns
    -------
    float64 array, shape (n,)
        -1..1.
    """
    height, width = template.shape[1:]
    count = max(1, min(PARTS, height // _LEAST_CELLS, width // _LEAST_CELLS))
    rows, cols = height // count, width // count
    spare = (windows.shape[2] - height, windows.shape[3] - width)
    total = np.zeros((len(windows), spare[0] + 1, spare[1] + 1))
    energy = 0.0
    near = np.ones((2 * PLAY + 1, 2 * PLAY + 1), np.uint8)
    for row in range(0, count * rows, rows):
        for col in range(0, count * cols, cols):
            part = np.ascontiguousarray(template[None, :, row : row + rows, col : col + cols])
            area = windows[:, :, row : row + rows + spare[0], col : col + cols + spare[1]]
            maps = correlate(part, np.ascontiguousarray(area))
            weight = float(np.sqrt((part.astype(np.float64) ** 2).sum()))
            total += weight * np.stack([cv2.dilate(one, near) for one in maps])
            energy += weight
    return np.asarray(total.reshape(len(windows), -1).max(axis=1) / max(energy, 1e-12))
