"""Fewer rows and columns of a window, evenly spread over it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crosslook.types import FloatArray, Window


def evenly(count: int, length: int) -> NDArray[np.intp]:
    """Whole positions (count,) spread evenly over 0..length-1, each in the middle of its share."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)


def read_rows(
    read: Callable[[Window, tuple[int, ...]], FloatArray],
    window: Window,
    bands: tuple[int, ...],
    shape: tuple[int, int],
) -> FloatArray:
    """Take the nearest pixels to a coarser lattice, a row at a time: memory is that of a row.

    Parameters
    ----------
    read : callable
        Gives values (bands, h, w) of a window.
    window : Window
    bands : tuple of int
    shape : (int, int)
        Rows and columns that are taken of the window.

    Returns
    -------
    float32 array, shape (bands, rows, columns)
    """
    rows, cols = (evenly(n, full) for n, full in zip(shape, window.shape, strict=True))
    out = np.empty((len(bands), *shape), np.float32)
    for number, row in enumerate(rows):
        line = Window(window.row + int(row), window.col, 1, window.width)
        out[:, number] = read(line, bands)[:, 0][:, cols]
    return out
