"""A coarser lattice has the same pixels whoever takes them: an array at once, others by rows."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.geo.raster import RasterArray
from crosslook.geo.spread import evenly, read_rows
from crosslook.types import Window


@pytest.mark.parametrize(("count", "length"), [(1, 1), (3, 7), (7, 7), (5, 1000), (9, 4)])
def test_positions_lie_inside_and_are_spread_evenly(count: int, length: int) -> None:
    found = evenly(count, length)
    assert found.shape == (count,)
    assert found[0] >= 0
    assert found[-1] < length
    step = length / count
    np.testing.assert_array_equal(found, [int((k + 0.5) * step) for k in range(count)])


def test_rows_read_one_by_one_are_those_of_the_whole() -> None:
    source = RasterArray.of(np.arange(2 * 23 * 31, dtype=np.float32).reshape(2, 23, 31))
    window, shape = Window(-2, 5, 20, 40), (6, 9)
    whole = source.read(window, (2, 1), shape)
    asked: list[Window] = []

    def read(line: Window, bands: tuple[int, ...]) -> np.ndarray:
        asked.append(line)
        return source.read(line, bands)

    np.testing.assert_array_equal(read_rows(read, window, (2, 1), shape), whole)
    assert {(one.height, one.width) for one in asked} == {(1, 40)}
    assert np.isnan(whole).any()
    assert np.isfinite(whole).any()
