"""Pixel, map and longitude/latitude agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from crosslook.errors import GridError
from crosslook.geo.grid import (
    change_crs,
    crs_text,
    from_lonlat,
    from_map,
    make_grid,
    metres_per_pixel,
    to_lonlat,
    to_map,
)


def place(crs: str, *affine: float) -> GeoBox:
    return make_grid(crs, affine, 100, 100)


GRIDS = {
    "mercator": make_grid(
        "EPSG:3395", (10.0, 0.0, -13_170_000.0, 0.0, -10.0, 4_030_000.0), 100, 100
    ),
    "utm, turned": place("EPSG:32631", *(8.0, 2.0, 500_000.0, 2.0, -8.0, 5_400_000.0)),
    "degrees": place("EPSG:4326", *(1e-4, 0.0, 5.0, 0.0, -1e-4, 52.0)),
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@given(row=st.floats(-2000, 40_000), col=st.floats(-2000, 40_000))
def test_positions_agree_in_all_three_forms(grid: GeoBox, row: float, col: float) -> None:
    pixel = np.array([[row, col]])
    np.testing.assert_allclose(from_map(grid, to_map(grid, pixel)), pixel, atol=1e-6)
    np.testing.assert_allclose(from_lonlat(grid, to_lonlat(grid, pixel)), pixel, atol=1e-6)
    via_map = change_crs(to_map(grid, pixel), crs_text(grid) or "", "OGC:CRS84")
    np.testing.assert_allclose(via_map, to_lonlat(grid, pixel), atol=1e-12)


def test_longitude_comes_first_whatever_the_crs_says() -> None:
    lon, lat = to_lonlat(GRIDS["degrees"], np.array([[0.0, 0.0]]))[0]
    assert (lon, lat) == pytest.approx((5.0, 52.0))


def test_ground_length_of_a_mercator_pixel_shrinks_with_latitude() -> None:
    length = metres_per_pixel(GRIDS["mercator"], np.array([0.0, 0.0]))[0]
    assert length == pytest.approx(10 * np.cos(np.radians(34.1)), rel=0.01)


def test_positions_without_a_place_are_an_error() -> None:
    with pytest.raises(GridError, match="CRS"):
        change_crs(np.array([[5.0, 95.0]]), "OGC:CRS84", "EPSG:3395")
