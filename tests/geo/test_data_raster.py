"""Grids, windows, damaged files and the rasters kept open."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from crosslook.errors import RasterError
from crosslook.geo.raster import Grid, OpenRasters, Source, read_grid, read_raster, read_window
from crosslook.types import Window

UTM = "EPSG:32633"


def write(path: Path, data: np.ndarray, crs: str | None = UTM, **profile: object) -> Path:
    georeference = {"crs": crs, "transform": from_origin(5e5, 5e6, 10, 10)} if crs else {}
    shape = {"count": data.shape[0], "height": data.shape[1], "width": data.shape[2]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", dtype=data.dtype.name, **{**shape, **georeference, **profile}
        ) as file:
            file.write(data)
    return path


def ramp(dtype: str, bands: int = 2) -> np.ndarray:
    return np.arange(bands * 30 * 40).reshape(bands, 30, 40).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_pixels_come_back_as_written(tmp_path: Path, dtype: str, suffix: str) -> None:
    if suffix == ".png" and dtype in ("int16", "float32"):
        pytest.skip("PNG holds no such pixels")
    data = ramp(dtype, 3)
    path = write(tmp_path / f"a{suffix}", data, None if suffix == ".png" else UTM)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = read_window(path)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, data.astype(np.float32))


def test_a_window_beyond_the_raster_is_nan_outside(tmp_path: Path) -> None:
    data = ramp("float32")
    path = write(tmp_path / "a.tif", data)
    expected = np.full((1, 40, 50), np.nan, np.float32)
    expected[0, 5:35, 5:45] = data[1]
    np.testing.assert_array_equal(read_window(path, Window(-5, -5, 40, 50), (2,)), expected)
    assert np.isnan(read_window(path, Window(500, 0, 3, 3))).all()


def test_nodata_nan_and_infinity_become_nan(tmp_path: Path) -> None:
    data = ramp("float32", 1)
    data[0, 0, :4] = [-9999, np.nan, np.inf, -np.inf]
    read = read_window(write(tmp_path / "a.tif", data, nodata=-9999))
    assert np.isnan(read[0, 0, :4]).all()
    assert np.isfinite(read).sum() == 30 * 40 - 4


def test_transparent_pixels_are_no_data_and_alpha_is_no_band(tmp_path: Path) -> None:
    data = np.full((4, 30, 40), 9, np.uint8)
    data[3] = 255
    data[3, :10] = 0
    path = write(tmp_path / "a.png", data, None)
    read = read_window(path)
    assert read_raster(path).bands == 3
    assert np.isnan(read[:, :10]).all()
    assert (read[:, 10:] == 9).all()


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 300, 300), dtype=np.uint8)
    path = write(tmp_path / "cut.tif", noise, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RasterError, match=r"cut\.tif.*(damaged|whole)"):
        read_window(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("no raster"), "cannot be opened"),
        (lambda path: write(path, ramp("complex64", 1)), "complex64"),
    ],
)
def test_what_is_no_raster_is_refused(tmp_path: Path, make: object, words: str) -> None:
    path = tmp_path / "a.tif"
    make(path)  # type: ignore[operator]
    with pytest.raises(RasterError, match=words):
        read_raster(path)


def test_a_band_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match=r"no band 3.*1\.\.2"):
        read_window(write(tmp_path / "a.tif", ramp("uint8")), bands=(3,))


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-180, 180),
    scale=st.floats(0.1, 100),
    row=st.floats(-1e4, 1e4),
    col=st.floats(-1e4, 1e4),
)
def test_world_positions_return_to_their_pixel(
    angle: float, scale: float, row: float, col: float
) -> None:
    cos, sin = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    turned = Affine(cos, sin, 5e5, sin, -cos, 5e6)
    grid = Grid(UTM, turned, 100, 100)
    back = grid.row_col(*grid.xy(row, col))
    np.testing.assert_allclose(back, (row, col), atol=1e-4)


def test_the_centre_of_the_first_pixel_is_half_a_pixel_in(tmp_path: Path) -> None:
    grid = read_grid(write(tmp_path / "a.tif", ramp("uint8")))
    assert grid.xy(0.5, 0.5) == (5e5 + 5, 5e6 - 5)
    assert grid.bounds == (5e5, 5e6 - 300, 5e5 + 400, 5e6)


def test_grids_agree_within_the_tolerance_only() -> None:
    grid = Grid(UTM, from_origin(5e5, 5e6, 10, 10), 100, 100)
    near = Grid(UTM, from_origin(5e5 + 0.05, 5e6, 10, 10), 100, 100)
    far = Grid(UTM, from_origin(5e5 + 5, 5e6, 10, 10), 100, 100)
    assert grid.same_as(near)
    assert not grid.same_as(far)
    assert grid.same_as(far, tolerance=0.6)
    assert not grid.same_as(Grid("EPSG:32634", grid.transform, 100, 100))
    assert not grid.same_as(Grid(UTM, grid.transform, 100, 101))
    assert grid.same_as(Grid(rasterio.crs.CRS.from_epsg(32633).to_wkt(), grid.transform, 100, 100))


def test_few_rasters_stay_open_and_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    rasters = OpenRasters(limit=2)
    for name in "abc":
        with rasters.use(Source(write(tmp_path / f"{name}.tif", ramp("uint8")))) as data:
            assert data.count == 2
    assert len(rasters) == 2
    path = tmp_path / "c.tif"
    with rasters.use(Source(path)) as first, rasters.use(Source(tmp_path / "a.tif")):
        assert not first.closed
    write(path, ramp("uint8", 4))
    with rasters.use(Source(path)) as data:
        assert data.count == 4
    rasters.close()
    assert len(rasters) == 0


def test_threads_share_the_open_rasters(tmp_path: Path) -> None:
    rasters = OpenRasters(limit=2)
    paths = [write(tmp_path / f"{i}.tif", np.full((1, 8, 8), i, np.uint8)) for i in range(6)]

    def value(i: int) -> int:
        with rasters.use(Source(paths[i % 6])) as data:
            return int(data.read(1)[0, 0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(value, range(300))) == [i % 6 for i in range(300)]
    assert len(rasters) <= 2
