"""Grids, windows, damaged files and the rasters kept open."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crosslook.errors import RasterError
from crosslook.geo.grid import make_grid, whole_offset, window_of
from crosslook.geo.opening import OpenRasters
from crosslook.geo.raster import RasterFile
from crosslook.types import Window
from tests.helpers.rasters import UTM, ramp, write


def read(path: Path, window: Window | None = None, bands: tuple[int, ...] = ()) -> np.ndarray:
    source = RasterFile(path)
    return source.read(window, bands or tuple(range(1, source.header.bands + 1)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_pixels_come_back_as_written(tmp_path: Path, dtype: str, suffix: str) -> None:
    if suffix == ".png" and dtype in ("int16", "float32"):
        pytest.skip("PNG holds no such pixels")
    data = ramp(dtype, 3)
    path = write(tmp_path / f"a{suffix}", data, None if suffix == ".png" else UTM)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = read(path)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, data.astype(np.float32))


def test_a_window_beyond_the_raster_is_nan_outside(tmp_path: Path) -> None:
    data = ramp("float32")
    path = write(tmp_path / "a.tif", data)
    expected = np.full((1, 40, 50), np.nan, np.float32)
    expected[0, 5:35, 5:45] = data[1]
    np.testing.assert_array_equal(read(path, Window(-5, -5, 40, 50), (2,)), expected)
    assert np.isnan(read(path, Window(500, 0, 3, 3))).all()


def test_nodata_nan_and_infinity_become_nan(tmp_path: Path) -> None:
    data = ramp("float32", 1)
    data[0, 0, :4] = [-9999, np.nan, np.inf, -np.inf]
    pixels = read(write(tmp_path / "a.tif", data, nodata=-9999))
    assert np.isnan(pixels[0, 0, :4]).all()
    assert np.isfinite(pixels).sum() == 30 * 40 - 4


def test_transparent_pixels_are_no_data_and_alpha_is_no_band(tmp_path: Path) -> None:
    data = np.full((4, 30, 40), 9, np.uint8)
    data[3] = 255
    data[3, :10] = 0
    path = write(tmp_path / "a.png", data, None)
    pixels = read(path)
    assert RasterFile(path).header.bands == 3
    assert np.isnan(pixels[:, :10]).all()
    assert (pixels[:, 10:] == 9).all()


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 300, 300), dtype=np.uint8)
    path = write(tmp_path / "cut.tif", noise, compress="deflate")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RasterError, match=r"cut\.tif.*(damaged|whole)"):
        read(path)


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg"])
def test_an_image_that_was_cut_short_is_not_read_as_dark_ground(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 300, 300), dtype=np.uint8)
    path = write(tmp_path / name, noise, None)
    assert RasterFile(path).header.bands == 1
    whole = path.read_bytes()
    path.write_bytes(whole + b"a note that some program appended")
    assert read(path).shape == (1, 300, 300)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RasterError, match=r"cut\..*cut short.*Get the file again"):
        read(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text("no raster"), "cannot be opened"),
    ],
)
def test_what_is_no_raster_is_refused(
    tmp_path: Path, make: Callable[[Path], object], words: str
) -> None:
    path = tmp_path / "a.tif"
    make(path)
    with pytest.raises(RasterError, match=words):
        assert RasterFile(path).header


def test_a_band_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RasterError, match=r"no band 3.*1\.\.2"):
        read(write(tmp_path / "a.tif", ramp("uint8")), bands=(3,))


def test_few_rasters_stay_open_and_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    rasters = OpenRasters(limit=2)
    for name in "abc":
        with rasters.use(RasterFile(write(tmp_path / f"{name}.tif", ramp("uint8")))) as (_, data):
            assert data.count == 2
    assert len(rasters) == 2
    path = tmp_path / "c.tif"
    with rasters.use(RasterFile(path)) as (first, _), rasters.use(RasterFile(tmp_path / "a.tif")):
        assert not first.closed
    write(path, ramp("uint8", 4))
    with rasters.use(RasterFile(path)) as (data, _):
        assert data.count == 4
    rasters.close()
    assert len(rasters) == 0


def test_threads_share_the_open_rasters(tmp_path: Path) -> None:
    rasters = OpenRasters(limit=2)
    paths = [write(tmp_path / f"{i}.tif", np.full((1, 8, 8), i, np.uint8)) for i in range(6)]

    def value(i: int) -> int:
        with rasters.use(RasterFile(paths[i % 6])) as (_, data):
            return int(data.read(1)[0, 0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(value, range(300))) == [i % 6 for i in range(300)]
    assert len(rasters) <= 2


@pytest.mark.parametrize("missing", [(), (8.0,)])
def test_a_grid_of_the_same_pixels_is_read_without_resampling(
    tmp_path: Path, missing: tuple[float, ...]
) -> None:
    data = ramp("uint8")
    path = write(tmp_path / "a.tif", data, nodata=3)
    own = RasterFile(path)
    moved = window_of(own.header.grid, Window(-4, 6, 50, 30))
    pixels = replace(own.on(moved), missing=missing).read(None, (1, 2))
    expected = np.full((2, 50, 30), np.nan, np.float32)
    expected[:, 4:34] = np.where(np.isin(data, [3, *missing]), np.nan, data)[:, :, 6:36]
    np.testing.assert_array_equal(pixels, expected)
    half = window_of(own.header.grid, Window(0, 0, 30, 40)).translate_pix(0.5, 0.0)
    assert whole_offset(own.header.grid, half) is None
    np.testing.assert_allclose(own.on(half).read(None, (1,))[0, 5, 6:-2], data[0, 5, 6:-2] + 0.5)


def test_pixels_a_little_larger_are_not_the_same(tmp_path: Path) -> None:
    own = RasterFile(write(tmp_path / "a.tif", ramp("uint8"))).header.grid
    assert whole_offset(own, own) == (0, 0)
    for factor, offset in ((1 + 1e-5, (0, 0)), (1 + 1e-3, None)):
        larger = make_grid(UTM, (10 * factor, 0, 5e5, 0, -10 * factor, 5e6), 30, 40)
        assert whole_offset(own, larger) == offset
    assert whole_offset(own, make_grid("EPSG:32634", (10, 0, 5e5, 0, -10, 5e6), 30, 40)) is None


def test_keys_of_a_cloud_cost_local_files_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opening and each read once asked for a session: a study read for 3 times as long."""
    import rasterio.session

    path = write(tmp_path / "a.tif", ramp("uint8"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def ask(*_: object, **__: object) -> None:
        pytest.fail("a session was asked for")

    monkeypatch.setattr(rasterio.session.AWSSession, "__init__", ask)
    np.testing.assert_array_equal(read(path), ramp("uint8"))
