"""Overviews that do not answer to the pixels are not read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.shutil import copy
from rasterio.transform import from_origin

from crosslook.geo import image as image_module
from crosslook.geo import valid
from crosslook.geo.grid import make_grid
from crosslook.geo.image import open_image
from crosslook.types import Window
from tests.helpers.kinds import CRS, PLACE, save

SIDE = 2304  # more than is surveyed pixel by pixel


def landscape(dark: bool = False) -> np.ndarray:
    rng = np.random.default_rng(1)
    soft = cv2.resize(rng.random((SIDE // 16,) * 2).astype(np.float32), (SIDE, SIDE))
    noisy = (4 if dark else 60) * soft * rng.gamma(4.0, 0.5, soft.shape) + 1
    whole: np.ndarray = np.clip(noisy, 1, 255).astype(np.uint8)
    return whole


def built(path: Path, how: str, method: Resampling = Resampling.average) -> Path:
    """A file of 8 bits whose overviews are as ``how`` says."""
    whole = landscape(dark=how == "dark and black")
    first = np.zeros_like(whole) if how.endswith(("black", "beside")) else whole
    if how == "of something else":
        first = np.ascontiguousarray(whole[::-1])
    if how == "partly black":
        first = whole.copy()
        first[: SIDE // 4] = 0
    save(path, first, tiled=True)
    with rasterio.Env(TIFF_USE_OVR="beside" in how), rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4, 8], method)
    with rasterio.open(path, "r+") as file:
        if how != "good":
            file.write(whole, 1)
    return path


@pytest.mark.parametrize(
    "how", ["black", "dark and black", "black beside", "of something else", "partly black"]
)
def test_stale_overviews_are_found_and_left_out(how: str, tmp_path: Path) -> None:
    image = open_image(built(tmp_path / "a.tif", how), "sar")
    assert image.header.stale_overviews
    assert "overviews differ" in " ".join(image.notes)
    assert image.survey.fills == ()
    whole = landscape(dark=how == "dark and black")
    assert np.isclose(image.survey.sample.mean(), whole.mean(), rtol=0.02)
    coarse = make_grid(CRS, PLACE * Affine.scale(8), SIDE // 8, SIDE // 8)
    there = image.on(coarse, "average").read(Window(0, 0, SIDE // 8, SIDE // 8))
    assert there.valid.all()
    expected = np.sqrt(whole.reshape(SIDE // 8, 8, SIDE // 8, 8).mean(axis=(1, 3)))
    assert np.corrcoef(there.values[0].ravel(), expected.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    "method", [Resampling.nearest, Resampling.average, Resampling.cubic, Resampling.gauss]
)
def test_good_overviews_are_read(method: Resampling, tmp_path: Path) -> None:
    image = open_image(built(tmp_path / "a.tif", "good", method), "sar")
    assert not image.header.stale_overviews
    assert image.notes == ()


def test_a_virtual_raster_over_stale_overviews_reads_the_pixels(tmp_path: Path) -> None:
    built(tmp_path / "a.tif", "black")
    copy(tmp_path / "a.tif", tmp_path / "a.vrt", driver="VRT")
    image = open_image(tmp_path / "a.vrt", "sar")
    assert image.survey.sample.min() > 0


def jpeg2000(path: Path, side: int) -> Path:
    """Lossless, in blocks of 256 px, with a black border that is no data."""
    rng = np.random.default_rng(2)
    pixels = cv2.resize(rng.integers(20, 250, (side // 8,) * 2).astype(np.uint8), (side, side))
    pixels[:, : side // 10] = 0
    save(path.with_suffix(".tif"), pixels)
    made = {"QUALITY": "100", "REVERSIBLE": "YES", "BLOCKXSIZE": "256", "BLOCKYSIZE": "256"}
    copy(path.with_suffix(".tif"), path, driver="JP2OpenJPEG", **made)
    return path


@pytest.mark.parametrize("virtual", [False, True])
def test_levels_of_a_wavelet_are_surveyed_in_place_of_all_pixels(
    virtual: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jpeg2000(tmp_path / "a.jp2", SIDE)
    if virtual:  # as the bands of a Sentinel-2 product are one raster
        copy(path, tmp_path / "a.vrt", driver="VRT")
        path = tmp_path / "a.vrt"
    monkeypatch.setattr(valid, "_CHEAP_PIXELS", 1)  # as if it were too large to look at whole
    image, plain = open_image(path, "optical"), open_image(tmp_path / "a.tif", "optical")
    assert image.header.has_levels
    assert not plain.header.has_levels
    # A lattice over the image, where a file without levels is looked at in some places.
    assert image.survey.outside is not None
    assert np.isclose(image.survey.sample.mean(), landscape_mean(tmp_path / "a.tif"), rtol=0.02)
    assert not image.read(Window(0, 0, SIDE, SIDE // 10)).valid.any()
    assert image.read(Window(0, SIDE // 5, SIDE, SIDE // 5)).valid.all()


def landscape_mean(path: Path) -> float:
    with rasterio.open(path) as file:
        return float(file.read(1)[:, SIDE // 10 :].mean())


def test_levels_with_overviews_beside_them_are_looked_at(tmp_path: Path) -> None:
    path = jpeg2000(tmp_path / "a.jp2", SIDE)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(tmp_path / "a.tif", "r+") as file:
        file.build_overviews([2, 4], Resampling.average)
    (tmp_path / "a.tif.ovr").rename(tmp_path / "a.jp2.ovr")
    assert not open_image(path, "optical").header.has_levels


@pytest.mark.parametrize("factor", [1, 3])
def test_pieces_of_a_wide_image_are_the_whole(
    factor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 255, (301, 500)).astype(np.uint8)
    pixels[100:103, 200:204] = 0  # a hole that is filled, at a seam of pieces
    pixels[150:200, 250:290] = 0  # one that is not
    image = open_image(save(tmp_path / "a.tif", pixels, nodata=0), "sar")
    whole = image.read(None, factor)
    monkeypatch.setattr(image_module, "_PIECE_PIXELS", 4_080)
    monkeypatch.setattr(image_module, "_LEAST_ROWS", 20)
    parts = image.read(None, factor)
    assert np.array_equal(parts.valid, whole.valid)
    assert np.allclose(parts.values, whole.values, atol=1e-6)


def test_overviews_of_the_format_are_not_compared_through_a_virtual_raster_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of JPEG 2000 are its own wavelets: each comparison would decode whole blocks."""
    from crosslook.geo import integrity

    pixels = np.random.default_rng(0).integers(1, 255, (512, 512)).astype(np.uint8)
    profile = {"count": 1, "dtype": "uint8", "height": 512, "width": 512, "crs": "EPSG:32633",
               "transform": from_origin(5e5, 5e6, 10, 10)}  # fmt: skip
    compared: list[str] = []

    def differ(name: str, _: object) -> bool:
        compared.append(name)
        return False

    monkeypatch.setattr(integrity, "_differ", differ)
    for driver, ending in (("JP2OpenJPEG", "jp2"), ("GTiff", "tif")):
        place = tmp_path / f"a.{ending}"
        with rasterio.open(place, "w", driver=driver, **profile) as file:
            file.write(pixels, 1)
        if ending == "tif":
            with rasterio.open(place, "r+") as file:
                file.build_overviews([2, 4])
        beside = tmp_path / f"{ending}.vrt"
        beside.write_text(_virtual(place.name))
        integrity.are_stale(str(beside), (1, 1))
    assert compared == [str(tmp_path / "tif.vrt")]


def _virtual(name: str) -> str:
    return (
        '<VRTDataset rasterXSize="512" rasterYSize="512"><VRTRasterBand dataType="Byte" band="1">'
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>1'
        "</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
