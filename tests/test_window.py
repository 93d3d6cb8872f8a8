"""Verbs of a window against an array that is indexed with them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crosslook.types import Window

windows = st.builds(
    Window, st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 30), st.integers(1, 30)
)
SHAPE = (17, 23)


def pixels(window: Window) -> set[tuple[int, int]]:
    rows, cols = range(window.row, window.bottom), range(window.col, window.right)
    return {(row, col) for row in rows for col in cols}


@given(windows, windows)
def test_what_two_windows_share(first: Window, second: Window) -> None:
    both = first.intersect(second)
    assert pixels(both) == pixels(first) & pixels(second)
    assert both.is_empty == (not pixels(first) & pixels(second))


@given(windows)
def test_what_of_it_lies_in_an_image(window: Window) -> None:
    image = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE)
    inside = window.clip(SHAPE)
    out = np.full(window.shape, -1)
    if not inside.is_empty:
        out[inside.within(window).slices] = image[inside.slices]
    for row, col in pixels(window):
        there = 0 <= row < SHAPE[0] and 0 <= col < SHAPE[1]
        expected = image[row, col] if there else -1
        assert out[row - window.row, col - window.col] == expected


@given(windows, st.integers(1, 9), st.integers(1, 9))
def test_tiles_cover_it_once(window: Window, height: int, width: int) -> None:
    tiles = list(window.tiles(height, width))
    assert sum(tile.height * tile.width for tile in tiles) == window.height * window.width
    assert set().union(*map(pixels, tiles)) == pixels(window)
    assert max(tile.height for tile in tiles) <= height
    assert max(tile.width for tile in tiles) <= width


@given(windows, st.integers(0, 5))
def test_padding_is_undone_by_clipping(window: Window, margin: int) -> None:
    wide = window.pad(margin)
    assert wide.shape == (window.height + 2 * margin, window.width + 2 * margin)
    assert wide.intersect(window) == window
    assert window.pad(0, margin).height == window.height


def test_a_window_around_positions_holds_them_whole() -> None:
    assert Window.around(np.array([-0.5, 2.0]), np.array([3.2, 4.0])) == Window(-1, 2, 5, 2)
    assert Window.whole((3, 4)).corner == (0, 0)
