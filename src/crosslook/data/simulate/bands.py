"""The images of a scene a few rows at a time, so that memory does not grow with their size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.optical import render_optical
from crosslook.data.simulate.scene import SceneSettings, render_sar, seen_window, truth_matrix
from crosslook.types import Window

Render = Callable[[Window], NDArray[Any]]

_TILE = 512
"""Side of what is rendered at once of an optical image: what shades it is rendered too."""
_BAND_PIXELS = 1 << 22
"""Of a band of the SAR image."""
_WHOLE_PIXELS = 48_000_000
"""A SAR image that is resampled from so many pixels is made in one piece."""


def optical_bands(settings: SceneSettings, rows: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield the first row and the pixels, uint8 (3, h, size), of bands of the optical image.

    Parameters
    ----------
    settings : SceneSettings
    rows : int
        Of a strip of the file; bands are whole strips.
    """

    def render(at: Window) -> NDArray[np.uint8]:
        row, col = settings.origin[0] + at.row, settings.origin[1] + at.col
        place = Window(row, col, at.height, at.width)
        return render_optical(settings.world, place, settings.optical)

    yield from _bands(settings.size, rows, (_TILE, _TILE), render)


def sar_bands(settings: SceneSettings, rows: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the first row and the pixels, float32 (1, h, size), of bands of the SAR image."""
    matrix, size = truth_matrix(settings), settings.size
    deep = max(1, _BAND_PIXELS // size)

    def render(at: Window) -> NDArray[np.float32]:
        return render_sar(settings, at)[None]

    if np.array_equal(matrix, np.eye(3)):  # rows are rendered one by one
        yield from _bands(size, rows, (deep, size), render)
        return
    seen = seen_window(matrix, Window(0, 0, size, size))
    if seen.height * seen.width <= _WHOLE_PIXELS:
        yield 0, render(Window(0, 0, size, size))
        return
    yield from _bands(size, rows, (deep, 2 * _TILE), render)


def _bands(
    size: int, strip: int, tile: tuple[int, int], render: Render
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Bands of whole strips, each put together from tiles of about so many rows and columns."""
    deep, width = max(strip, min(size, tile[0]) // strip * strip), tile[1]
    for top in range(0, size, deep):
        height = min(deep, size - top)
        tiles = [
            render(Window(top, left, height, min(width, size - left)))
            for left in range(0, size, width)
        ]
        yield top, tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=2)
