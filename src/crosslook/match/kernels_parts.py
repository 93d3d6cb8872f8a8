"""The compiled loop of templates that are compared part by part under small shifts.

To be imported where it is about to run.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crosslook.compiled import compiled
from crosslook.match.kernels_ncc import add_products
from crosslook.types import FloatArray


@compiled
def part_products(
    template: FloatArray, window: FloatArray, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> FloatArray:
    """Products of a template with a wider window under every shift, summed over each part.

    Parameters
    ----------
    template : float32 array, shape (C, h, w)
    window : float32 array, shape (C, h + s - 1, w + t - 1)
    rows, cols : int64 arrays, shapes (m + 1,) and (n + 1,)
        Where the parts begin, and the last of them ends.

    Returns
    -------
    float32 array, shape (m, n, s, t)
    """
    width = template.shape[2]
    down, along = window.shape[1] - template.shape[1] + 1, window.shape[2] - width + 1
    sums = np.zeros((len(rows) - 1, len(cols) - 1, down, along), np.float32)
    total = np.empty(along * width, np.float32)
    for band in range(len(rows) - 1):
        for shift in range(down):
            total[:] = 0.0
            for row in range(rows[band], rows[band + 1]):
                add_products(template, window, row, shift, total)
            for right in range(along):
                line = total[right * width : (right + 1) * width]
                for part in range(len(cols) - 1):
                    value = np.float32(0.0)
                    for col in range(cols[part], cols[part + 1]):
                        value += line[col]
                    sums[band, part, shift, right] = value
    return sums
