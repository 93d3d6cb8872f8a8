"""Grids: positions, exact maps between CRSs, and two images of a pair brought together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from rasterio.transform import from_origin

from crosslook.errors import GridError, SettingError
from crosslook.geo.grid import (
    between,
    bounds_on,
    from_lonlat,
    from_map,
    ground_axes,
    is_invertible,
    make_grid,
    metres_per_pixel,
    parse_crs,
    pixel_size,
    rim,
    same_grid,
    to_lonlat,
    to_map,
    window_of,
    zoomed,
)
from crosslook.geo.image import ImageFile, on_optical_grid, open_image
from crosslook.match.placement import placement
from crosslook.match.transform import Transform, scaling
from crosslook.types import Modality, Window
from tests.helpers.rasters import UTM, write

Placed = tuple[str | None, Affine | None]
"""CRS of an image and its transform, where that is not the usual one."""

NORTH_UP = from_origin(5e5, 5e6, 10, 10)


def grid(affine: Affine = NORTH_UP, crs: str | None = UTM, side: int = 100) -> GeoBox:
    return make_grid(crs, affine, side, side)


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.1, 100),
    row=st.floats(-1e4, 1e4),
    col=st.floats(-1e4, 1e4),
)
def test_map_positions_return_to_their_pixel(
    angle: float, scale: float, row: float, col: float
) -> None:
    cos, sin = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    rotated = grid(Affine(cos, sin, 5e5, sin, -cos, 5e6))
    at = np.array([[row, col]])
    np.testing.assert_allclose(from_map(rotated, to_map(rotated, at)), at, atol=1e-4)


def test_the_centre_of_the_first_pixel_is_half_a_pixel_in() -> None:
    np.testing.assert_allclose(to_map(grid(), np.array([[0.5, 0.5]])), [[5e5 + 5, 5e6 - 5]])


def test_windows_and_zooms_keep_the_place() -> None:
    part = window_of(grid(), Window(7, -3, 20, 30))
    np.testing.assert_allclose(
        to_map(part, np.array([[0.0, 0.0]])), to_map(grid(), np.array([[7.0, -3.0]]))
    )
    coarse = zoomed(part, 4)
    assert coarse.shape == (5, 7)
    np.testing.assert_allclose(
        to_map(coarse, np.array([[2.0, 3.0]])), to_map(part, np.array([[8.0, 12.0]]))
    )


def test_grids_agree_within_the_tolerance_only() -> None:
    near, far = (grid(from_origin(5e5 + by, 5e6, 10, 10)) for by in (0.05, 5))
    assert same_grid(grid(), near)
    assert not same_grid(grid(), far)
    assert same_grid(grid(), far, tolerance=0.6)
    assert not same_grid(grid(), grid(crs="EPSG:32634"))
    assert not same_grid(grid(), grid(side=101))
    assert same_grid(grid(), grid(crs=CRS.from_epsg(32633).to_wkt()))


def test_no_inverse_is_told() -> None:
    assert not is_invertible(grid(Affine(1, 0, 0, 2, 0, 0)))


def test_an_unknown_crs_is_refused() -> None:
    with pytest.raises(SettingError, match="is no CRS"):
        parse_crs("EPSG:1")


@pytest.mark.parametrize("latitude", [34.0, 50.0, 65.0, -50.0])
@pytest.mark.parametrize("target", ["EPSG:3857", "EPSG:4326"])
def test_a_whole_tile_lies_exactly_where_its_projection_puts_it(
    latitude: float, target: str
) -> None:
    """Acceptance: under 0.1 px everywhere on a UTM scene of 10,980 px, here and back."""
    zone = "EPSG:32633" if latitude > 0 else "EPSG:32733"
    x, y = Transformer.from_crs("EPSG:4326", zone, always_xy=True).transform(17.5, latitude)
    tile = make_grid(zone, from_origin(x, y, 10, 10), 10_980, 10_980)
    left, bottom, right, top = bounds_on(tile, CRS.from_user_input(target))
    across, down = pixel_size(tile, CRS.from_user_input(target))
    shape = int((top - bottom) / down), int((right - left) / across)
    other = make_grid(target, from_origin(left, top, across, down), *shape)
    placed = placement(tile, other)
    at = rim(tile, 37)
    lonlat = Transformer.from_crs(zone, "EPSG:4326", always_xy=True).transform(*to_map(tile, at).T)
    truth = Transformer.from_crs("EPSG:4326", target, always_xy=True).transform(*lonlat)
    expected = from_map(other, np.column_stack(truth))
    assert np.abs(placed(at) - expected).max() < 0.1
    assert np.abs(placed.inverse(placed(at)) - at).max() < 0.1
    scaled = placed @ scaling(4)  # positions of a SAR image reduced by four
    assert np.abs(scaled(at / 4) - expected).max() < 0.1
    assert np.abs(Transform.from_dict(placed.to_dict())(at) - expected).max() < 0.1
    flat = np.linalg.lstsq(np.column_stack([at, np.ones(len(at))]), expected, rcond=None)[0]
    bent = np.abs(np.column_stack([at, np.ones(len(at))]) @ flat - expected).max()
    assert bent > 1, "one affine map would do here, so the test shows nothing"


def test_pixels_of_a_rotated_grid_keep_their_size() -> None:
    rotated = grid(NORTH_UP * Affine.rotation(37))
    assert pixel_size(rotated, CRS.from_user_input(UTM)) == pytest.approx((10, 10))
    down, along = metres_per_pixel(rotated, np.array([50.0, 50.0]))
    assert (down, along) == pytest.approx((10, 10), rel=1e-3)


def test_degrees_have_the_metres_of_their_latitude_along_each_axis() -> None:
    degrees = grid(from_origin(15, 60, 1e-4, 1e-4), "EPSG:4326")
    down, along = metres_per_pixel(degrees, np.array([50.0, 50.0]))
    assert down == pytest.approx(11.14, abs=0.02)
    assert along == pytest.approx(5.58, abs=0.02)
    axes = ground_axes(degrees, np.array([50.0, 50.0]))
    np.testing.assert_allclose(axes, [[0, along], [-down, 0]], atol=1e-3)


def test_longitudes_go_on_over_the_180th_meridian() -> None:
    over = grid(from_origin(179.99, -17, 1e-3, 1e-3), "EPSG:4326", 20)
    at = np.array([[0.0, 0.0], [10.0, 15.0]])
    lonlat = to_lonlat(over, at)
    np.testing.assert_allclose(lonlat[:, 0], [179.99, -179.995])
    np.testing.assert_allclose(from_lonlat(over, lonlat), at, atol=1e-6)
    utm = make_grid("EPSG:32701", from_origin(1.8e5, 8.12e6, 10, 10), 500, 3000)
    west, _, east, _ = bounds_on(utm, CRS.from_epsg(4326))
    assert 0 < east - west < 1
    np.testing.assert_allclose(
        between(over, utm, between(utm, over, rim(utm))), rim(utm), atol=1e-3
    )


def opened(path: Path, modality: Modality = "sar") -> ImageFile:
    return open_image(path, modality)


def test_equal_grids_are_read_as_they_lie(tmp_path: Path) -> None:
    image = np.arange(400, dtype=np.uint8).reshape(1, 20, 20)
    sar, optical = (opened(write(tmp_path / n, image)) for n in ("s.tif", "o.tif"))
    assert on_optical_grid(sar, optical) is sar


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_another_grid_is_resampled_window_by_window(tmp_path: Path, dtype: str) -> None:
    """The SAR image is the plane row + 2 column, so bilinear values are known."""
    rows, cols = np.mgrid[0:40, 0:40]
    plane = (rows + 2 * cols + 1)[None].astype(dtype)
    # 15 px down and 10 px right of the SAR image's corner, half as large pixels.
    shifted = from_origin(5e5 + 100, 5e6 - 150, 5, 5)
    ground = write(tmp_path / "o.tif", plane.repeat(2, 1).repeat(2, 2), transform=shifted)
    sar, optical = opened(write(tmp_path / "s.tif", plane)), opened(ground, "optical")
    source = on_optical_grid(sar, optical).source
    resampled = source.read(Window(10, 20, 6, 8), (1,))
    r, c = np.mgrid[10:16, 20:28] + 0.5
    expected = (15 + r / 2 - 0.5) + 2 * (10 + c / 2 - 0.5) + 1
    np.testing.assert_allclose(resampled[0], expected, atol=0.51 if dtype == "uint8" else 1e-3)
    assert np.isnan(source.read(Window(70, 0, 10, 80), (1,))).all()


def test_finer_sar_pixels_are_averaged(tmp_path: Path) -> None:
    fine = np.tile(np.array([[1, 3], [5, 7]], np.float32), (40, 40))[None]
    sar = opened(write(tmp_path / "s.tif", fine, transform=from_origin(5e5, 5e6, 5, 5)))
    optical = opened(write(tmp_path / "o.tif", fine[:, :40, :40]), "optical")
    resampled = on_optical_grid(sar, optical).source.read(Window(5, 5, 20, 20), (1,))
    np.testing.assert_allclose(resampled, 4.0, atol=1e-4)


def test_another_crs_is_brought_onto_the_optical_grid(tmp_path: Path) -> None:
    image = np.linspace(7, 8, 3600, dtype=np.float32).reshape(1, 60, 60)
    # The same ground in geographic degrees (15 E is the meridian of zone 33).
    degrees = from_origin(15.001, 45.152, 1e-4, 1e-4)
    sar = opened(write(tmp_path / "s.tif", image))
    optical = opened(write(tmp_path / "o.tif", image, "EPSG:4326", transform=degrees), "optical")
    resampled = on_optical_grid(sar, optical).source.read(None, (1,))
    assert np.isfinite(resampled).mean() > 0.3
    assert np.nanmin(resampled) >= 7
    assert np.nanmax(resampled) <= 8


@pytest.mark.parametrize(
    ("sar", "optical", "words"),
    [
        ((UTM, None), ("EPSG:32701", None), ["EPSG:32633", "EPSG:32701", "overlap"]),
        ((UTM, None), (UTM, from_origin(9e5, 5e6, 10, 10)), ["500000", "900000", "overlap"]),
        ((None, None), (UTM, None), ["no georeference", "EPSG:32633", "equal"]),
        ((None, None), (None, None), ["20 x 20", "30 x 30", "equal"]),
        ((UTM, Affine(10, 0, 5e5, 0, 0, 5e6)), (UTM, None), ["inverse"]),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, sar: Placed, optical: Placed, words: list[str]
) -> None:
    images = []
    for name, size, (crs, transform) in (("s", 20, sar), ("o", 30, optical)):
        extra = {} if transform is None else {"transform": transform}
        data = np.arange(size * size, dtype=np.uint8).reshape(1, size, size)
        images.append(opened(write(tmp_path / f"{name}.tif", data, crs, **extra)))
    with pytest.raises(GridError) as caught:
        on_optical_grid(*images)
    for word in [*words, "s.tif", "o.tif"]:
        assert word in str(caught.value)
