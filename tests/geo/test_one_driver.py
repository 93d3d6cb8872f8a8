"""A file from outside is opened by the one driver asked for, and leads to no other file."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy

from crosslook.errors import RasterError
from crosslook.geo.image import open_image
from crosslook.geo.products.vrt import quiet
from crosslook.geo.raster import RasterFile
from crosslook.types import Window
from tests.helpers.rasters import write

SIDE = 64
SECRET = 177
_RNG = np.random.default_rng(2)
_OWN = _RNG.integers(1, 100, (1, SIDE, SIDE)).astype(np.uint8)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """Another raster of this machine, which nothing may show."""
    return write(tmp_path / "private" / "canary.tif", np.full((1, SIDE, SIDE), SECRET, np.uint8))


def _virtual(path: Path) -> bytes:
    return (
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><VRTRasterBand dataType="Byte" '
        f'band="1"><SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    ).encode()


FIRST = {
    "GTiff": b"II*\0", "PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff",
    "JP2OpenJPEG": b"\xff\x4f\xff\x51",
}  # fmt: skip


@pytest.mark.parametrize("driver", sorted(FIRST))
@pytest.mark.parametrize("disguised", [True, False])
def test_a_virtual_raster_is_opened_as_nothing_else(
    driver: str, disguised: bool, canary: Path, tmp_path: Path
) -> None:
    upload = tmp_path / "upload" / "image.x"
    upload.parent.mkdir()
    upload.write_bytes((FIRST[driver] if disguised else b"") + _virtual(canary))
    with pytest.raises(RasterError, match="cannot be opened as a raster") as told:
        open_image(RasterFile(upload, driver=driver, label="drop.tif"), "sar")
    assert "private" not in str(told.value)


@pytest.mark.parametrize("name", ["NETCDF:{}:x", "GTIFF_DIR:1:{}", "vrt://{}", "/vsicurl/{}"])
def test_no_name_of_gdal_is_understood(name: str, canary: Path) -> None:
    """A container, a page of a TIFF, a virtual raster, an address: names alone, no files."""
    for place in (name.format(canary), Path(name.format(canary))):
        with pytest.raises(RasterError, match="no file of this machine"):
            RasterFile(place, driver="GTiff")


def test_a_file_called_like_a_name_of_gdal_is_a_file(
    tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "GTIFF_DIR:1:image.tif"
    write(Path("image.tif"), np.full((1, SIDE, SIDE), SECRET, np.uint8), crs=None)
    Path("GTIFF_DIR:1:image.tif").write_bytes(write(tmp_path / "own.tif", _OWN).read_bytes())
    assert RasterFile(name, driver="GTiff").read(None, (1,)).max() < SECRET


@pytest.mark.parametrize("driver", ["GTiff", "JP2OpenJPEG"])
def test_one_that_names_its_overviews_is_refused_unasked(
    driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it names is not even looked for: here an address of this machine."""
    monkeypatch.setenv("GDAL_HTTP_TIMEOUT", "2")
    with socket.create_server(("127.0.0.1", 0)) as heard:
        named = f"/vsicurl/http://127.0.0.1:{heard.getsockname()[1]}/o.tif"
        upload = write(tmp_path / "image.tif", _OWN, crs=None)
        with quiet(), rasterio.open(upload, "r+") as file:
            file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=named)
        if driver != "GTiff":
            with quiet(), rasterio.open(upload) as file:
                upload = tmp_path / "image.jp2"
                copy(file, upload, driver=driver, WRITE_METADATA="YES")
        assert b"OVERVIEW_FILE" in upload.read_bytes()
        source = RasterFile(upload, driver=driver)
        acts: tuple[Callable[[], object], ...] = (lambda: open_image(source, "sar"), source.parts)
        for act in acts:
            with pytest.raises(RasterError, match="names another file that holds its overviews"):
                act()
        heard.settimeout(0.2)
        with pytest.raises(TimeoutError):
            heard.accept()


def test_files_beside_it_are_not_looked_at(tmp_path: Path, canary: Path) -> None:
    upload = write(tmp_path / "image.tif", _OWN, crs=None)
    plain = open_image(RasterFile(upload, driver="GTiff"), "sar").read()
    (tmp_path / "image.tfw").write_text("10\n0\n0\n-10\n500000\n5000000\n")
    (tmp_path / "image.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>50</NoDataValue></PAMRasterBand>'
        "</PAMDataset>"
    )
    os.link(canary, tmp_path / "image.tif.ovr")
    write(tmp_path / "image.tif.msk", np.zeros((1, SIDE, SIDE), np.uint8), None, driver="GTiff")
    source = RasterFile(upload, driver="GTiff")
    os.utime(upload, (1, 1))  # it is opened anew
    assert source.parts() == (str(upload),)
    image = open_image(source, "sar")
    np.testing.assert_array_equal(image.read().values, plain.values)
    assert image.read().valid.all()
    assert image.header.nodata is None
    assert image.header.placed_by == "nothing"
    small = source.read(Window(0, 0, SIDE, SIDE), (1,), (SIDE // 2, SIDE // 2))
    assert small.max() < SECRET


@pytest.mark.parametrize("kind", ["complex", "palette", "plain"])
def test_the_pixels_are_those_of_any_opening(kind: str, tmp_path: Path) -> None:
    path, driver = tmp_path / "image.x", "GTiff"
    if kind == "palette":
        driver = "PNG"
        with rasterio.open(
            path, "w", driver="PNG", width=SIDE, height=SIDE, count=1, dtype="uint8"
        ) as file:
            file.write(_OWN)
            file.write_colormap(1, {n: (n, 255 - n, n // 2, 255) for n in range(256)})
    else:
        pixels = _OWN * np.complex64(1 + 1j) if kind == "complex" else _OWN
        write(path, pixels, driver="GTiff")
    free, bound = (open_image(RasterFile(path, driver=d), "sar") for d in ("", driver))
    np.testing.assert_array_equal(free.read().values, bound.read().values)
    assert free.header == bound.header
