"""Many files on one grid: mixed types, turned, over the 180th meridian, in any CRS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.transform import from_origin

from crosslook.errors import GridError, InputError, SettingError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.grid import crs_of, crs_text, pixel_size, shape_of, to_lonlat
from crosslook.geo.mosaic import fingerprint, plan_mosaic, read_window
from crosslook.geo.raster import RasterFile
from tests.helpers.kinds import CRS, PLACE, SIDE, ground, save


def whole(places: list[Path], **options: Any) -> tuple[np.ndarray, np.ndarray, GeoBox]:
    mosaic = plan_mosaic(places, **options)
    bands, valid = read_window(mosaic.maps, mosaic.grid, (0, 0), shape_of(mosaic.grid))
    return bands, valid, mosaic.grid


def test_types_mix_and_the_seam_is_within_the_noise(tmp_path: Path) -> None:
    """The same ground in 8 and 16 bits, side by side: no step between them."""
    left = save(tmp_path / "a.tif", np.stack([ground()[:, :96]] * 3))
    sixteen = ground()[:, 96:].astype(np.uint16) * 12 + 1000
    right = save(tmp_path / "b.tif", np.stack([sixteen] * 3), PLACE @ Affine.translation(96, 0))
    bands, valid, _ = whole([left, right])
    assert bands.shape == (3, SIDE, SIDE)
    assert valid.all()
    tones = [bands[0, :, part].ravel() for part in (slice(0, 96), slice(96, None))]
    truth = [ground()[:, part].ravel() for part in (slice(0, 96), slice(96, None))]
    for tone, true in zip(tones, truth, strict=True):
        assert np.corrcoef(tone, true)[0, 1] > 0.99
    assert np.std(tones[1]) > 0.5 * np.std(tones[0]), "a stretch for all would leave it flat"


def test_tiles_of_one_product_share_their_limits_and_others_keep_theirs(tmp_path: Path) -> None:
    scaled = ground().astype(np.uint16) * 12 + 1000
    tiles = [
        save(tmp_path / "a.tif", scaled[:, :96]),
        save(tmp_path / "b.tif", scaled[:, 96:], PLACE @ Affine.translation(96, 0)),
    ]
    bands, _, _ = whole(list(tiles))
    joined = bands[0].astype(float)
    fitted = np.polyfit(scaled.ravel(), joined.ravel(), 1)
    inside = (joined > 1) & (joined < 255)
    assert np.abs(np.polyval(fitted, scaled) - joined)[inside].max() < 6, "one line for both"
    bright = save(tmp_path / "c.tif", scaled * 14, PLACE @ Affine.translation(192, 0))
    maps = plan_mosaic([*tiles, bright]).maps
    assert maps[0].image.stretch != maps[2].image.stretch


def test_colour_and_grey_together_are_grey(tmp_path: Path) -> None:
    colours = np.stack([ground(), ground() // 2, ground() // 4])
    files = [
        save(tmp_path / "a.tif", colours),
        save(tmp_path / "b.tif", ground(), PLACE @ Affine.translation(SIDE, 0)),
    ]
    bands, _, _ = whole(list(files))
    assert len(bands) == 1
    np.testing.assert_allclose(bands[0, :, :SIDE], colours.mean(axis=0), atol=1)
    np.testing.assert_array_equal(bands[0, :, SIDE:], ground())


def test_a_rotated_file_keeps_its_pixel_size(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", ground(), PLACE @ Affine.rotation(130))
    bands, valid, grid = whole([path])
    assert pixel_size(grid, crs_of(grid)) == pytest.approx((10, 10))
    assert valid.mean() == pytest.approx(SIDE**2 / valid.size, rel=0.03)
    assert np.std(bands[0][valid]) == pytest.approx(np.std(ground()), rel=0.15)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32701", "EPSG:32660"])
def test_a_mosaic_goes_over_the_180th_meridian(tmp_path: Path, crs: str) -> None:
    """Halves on either side in degrees, the far one counted from -180: they join."""
    files = [
        save(tmp_path / name, part, from_origin(lon, -17, 1e-4, 1e-4), crs="EPSG:4326")
        for name, part, lon in (
            ("west.tif", ground()[:, :96], 179.9904),
            ("east.tif", ground()[:, 96:], -180.0),
        )
    ]
    bands, valid, grid = whole(list(files), crs=crs)
    height, width = shape_of(grid)
    assert width < 300
    assert valid[20:-20, 20:-20].mean() > 0.98
    lonlat = to_lonlat(grid, np.array([[height / 2, width / 2]]))[0]
    assert abs(abs(lonlat[0]) - 180) < 0.003
    if crs == "EPSG:4326":
        np.testing.assert_array_equal(bands[0], ground())


def test_near_a_pole(tmp_path: Path) -> None:
    polar = from_origin(-1000, 1000, 10, 10)
    path = save(tmp_path / "a.tif", ground(), polar, crs="EPSG:3413")
    bands, valid, grid = whole([path])
    np.testing.assert_array_equal(bands[0], ground())
    assert valid.all()
    lon, lat = to_lonlat(grid, np.array([[100.0, 100.0]]))[0]
    assert lat > 89.9
    there = Transformer.from_crs("EPSG:4326", "EPSG:3413", always_xy=True).transform(lon, lat)
    np.testing.assert_allclose(there, polar @ (100, 100), atol=1e-3)


def test_holes_do_not_spread(tmp_path: Path) -> None:
    """One pixel in ten thousand of a 1 m image is missing; at 10 m nothing is."""
    fine = np.repeat(np.repeat(ground(), 5, 0), 5, 1).astype(np.float32) * 10
    fine[np.random.default_rng(0).random(fine.shape) < 1e-4] = np.nan
    path = save(tmp_path / "a.tif", fine, from_origin(5e5, 5e6, 1, 1), nodata=np.nan)
    _, valid, _ = whole([path], resolution=5.0)
    assert valid[1:-1, 1:-1].all()


def test_grids_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", ground())
    with pytest.raises(SettingError, match=r"degrees.*10 m are about 9e-05"):
        plan_mosaic([path], crs="EPSG:4326", resolution=10.0)
    with pytest.raises(SettingError, match="is no CRS"):
        plan_mosaic([path], crs="EPSG:99")
    plain = save(tmp_path / "b.tif", ground(), None)
    with pytest.raises(GridError, match="no georeference"):
        plan_mosaic([plain])
    with pytest.raises(InputError, match="no basemap"):
        find_basemaps([tmp_path / "none.tif"])
    assert crs_text(plan_mosaic([path], crs="EPSG:3857").grid) == "EPSG:3857"


def test_the_fingerprint_of_a_virtual_raster_knows_its_parts(tmp_path: Path) -> None:
    from rasterio.shutil import copy

    part = save(tmp_path / "part.tif", ground())
    copy(part, tmp_path / "a.vrt", driver="VRT")
    before = fingerprint([tmp_path / "a.vrt"])
    assert [line[0] for line in before] == ["a.vrt", "part.tif"]
    save(part, ground()[:, ::-1])
    assert fingerprint([tmp_path / "a.vrt"]) != before
    assert RasterFile(tmp_path / "a.vrt").header.grid.crs == CRS
