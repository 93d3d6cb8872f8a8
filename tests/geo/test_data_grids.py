"""Two grids of a pair: equal, brought together, or refused with both named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from rasterio.transform import from_origin
from test_data_raster import UTM, write

from crosslook.errors import GridError, SettingError
from crosslook.geo.grids import onto_optical, overlap
from crosslook.geo.raster import Grid, read_raster, read_window
from crosslook.types import Window


def test_equal_grids_are_read_as_they_lie(tmp_path: Path) -> None:
    image = np.ones((1, 20, 20), np.uint8)
    sar, optical = (read_raster(write(tmp_path / n, image)) for n in ("s.tif", "o.tif"))
    assert onto_optical(sar, optical).onto is None


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_another_grid_is_resampled_window_by_window(tmp_path: Path, dtype: str) -> None:
    """The SAR image is the plane row + 2 column, so bilinear values are known."""
    rows, cols = np.mgrid[0:40, 0:40]
    plane = (rows + 2 * cols)[None].astype(dtype)
    sar = read_raster(write(tmp_path / "s.tif", plane))
    # 15 px down and 10 px right of the SAR image's corner, half as large pixels.
    shifted = from_origin(5e5 + 100, 5e6 - 150, 5, 5)
    optical = read_raster(
        write(tmp_path / "o.tif", np.ones((1, 80, 80), np.uint8), transform=shifted)
    )
    source = onto_optical(sar, optical)
    read = read_window(source, Window(10, 20, 6, 8))
    r, c = np.mgrid[10:16, 20:28] + 0.5
    expected = (15 + r / 2 - 0.5) + 2 * (10 + c / 2 - 0.5)
    np.testing.assert_allclose(read[0], expected, atol=0.51 if dtype == "uint8" else 1e-3)
    assert np.isnan(read_window(source, Window(70, 0, 10, 80))).all()


def test_another_crs_is_brought_onto_the_optical_grid(tmp_path: Path) -> None:
    image = np.full((1, 60, 60), 7, np.float32)
    sar = read_raster(write(tmp_path / "s.tif", image))
    # The same ground in geographic degrees (15 E is the meridian of zone 33).
    degrees = from_origin(15.001, 45.152, 1e-4, 1e-4)
    optical = read_raster(write(tmp_path / "o.tif", image, "EPSG:4326", transform=degrees))
    assert overlap(sar.grid, optical.grid)
    read = read_window(onto_optical(sar, optical))
    assert np.nanmax(read) == np.nanmin(read) == 7


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
    tmp_path: Path, sar: tuple, optical: tuple, words: list[str]
) -> None:
    rasters = []
    for name, size, (crs, transform) in (("s", 20, sar), ("o", 30, optical)):
        extra = {} if transform is None else {"transform": transform}
        path = write(tmp_path / f"{name}.tif", np.ones((1, size, size), np.uint8), crs, **extra)
        rasters.append(read_raster(path))
    with pytest.raises(GridError) as caught:
        onto_optical(*rasters)
    for word in [*words, "s.tif", "o.tif"]:
        assert word in str(caught.value)


def test_an_unknown_resampling_is_refused(tmp_path: Path) -> None:
    raster = read_raster(write(tmp_path / "a.tif", np.ones((1, 9, 9), np.uint8)))
    with pytest.raises(SettingError, match="Did you mean 'bilinear'"):
        onto_optical(raster, raster, "bilinaer")


def test_no_inverse_is_told() -> None:
    assert not Grid(UTM, Affine(1, 0, 0, 2, 0, 0), 5, 5).invertible
