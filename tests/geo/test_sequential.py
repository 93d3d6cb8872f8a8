"""Images that can only be read from their beginning are decoded once, to the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from crosslook.errors import RasterError
from crosslook.geo import opening
from crosslook.geo.image import open_image
from crosslook.geo.opening import OPEN
from crosslook.geo.products.vrt import quiet
from crosslook.geo.recipe import Recipe
from crosslook.types import Window
from tests.helpers.rasters import write

SIDE = 96
_RNG = np.random.default_rng(5)
_GREY = _RNG.integers(20, 250, (1, SIDE, SIDE)).astype(np.uint8)
_COMPLEX = (_RNG.normal(0, 90, (1, SIDE, SIDE)) + 50j).astype(np.complex64)


def _png(path: Path) -> None:
    write(path, _GREY, driver="PNG", crs=None)


def _transparent(path: Path) -> None:
    alpha = np.full((1, SIDE, SIDE), 255, np.uint8)
    alpha[:, :30] = 0
    write(path, np.concatenate([_GREY, _GREY, _GREY, alpha]), driver="PNG", crs=None)


def _palette(path: Path) -> None:
    colours = {n: (n, n, n, 0 if n == 3 else 255) for n in range(256)}
    with rasterio.open(
        path, "w", driver="PNG", width=SIDE, height=SIDE, count=1, dtype="uint8"
    ) as file:
        file.write(np.where(np.arange(SIDE) < 40, 3, _GREY).astype(np.uint8))
        file.write_colormap(1, colours)


def _jpeg(path: Path) -> None:
    write(path, _GREY, driver="JPEG", crs=None)


def _one_strip(path: Path) -> None:
    write(path, _GREY, driver="GTiff", compress="deflate", blockysize=SIDE, nodata=30, crs=None)


def _complex(path: Path) -> None:
    write(path, _COMPLEX, driver="GTiff", compress="lzw", blockysize=SIDE, crs=None)


KINDS = {f.__name__[1:]: f for f in (_png, _transparent, _palette, _jpeg, _one_strip, _complex)}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is decoded whole; even small files are."""
    names: list[str] = []
    whole = opening.decode_whole

    def decode(data: Any, name: str) -> Any:
        names.append(name)
        return whole(data, name)

    monkeypatch.setattr(opening, "_CACHED_BYTES", 0)
    monkeypatch.setattr(opening, "_LARGE_BLOCK_BYTES", 0)
    monkeypatch.setattr(opening, "decode_whole", decode)
    return names


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_decoded_once_to_the_same_pixels(
    kind: str, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.x"
    KINDS[kind](path)
    image = open_image(path, "sar")
    for row in (70, 0, 40, 10):
        image.read(Window(row, 5, 20, 20))
    whole = image.read()
    assert decoded == ["image.x"]
    OPEN.close()
    monkeypatch.setattr(opening, "_CACHED_BYTES", 1 << 30)
    plain = open_image(path, "sar").read()
    assert decoded == ["image.x"]
    np.testing.assert_array_equal(whole.values, plain.values)
    np.testing.assert_array_equal(whole.valid, plain.valid)
    assert plain.valid.any()


def test_a_header_decodes_nothing(tmp_path: Path, decoded: list[str]) -> None:
    path = tmp_path / "image.png"
    _png(path)
    source = Recipe(path)
    with OPEN.use(source) as (_, data):
        assert data.colorinterp[0] is ColorInterp.gray
    assert decoded == []
    with OPEN.use(source, pixels=True) as (_, data):
        assert data.driver == "GTiff"
    assert decoded == ["image.png"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"driver": "PNG"}, True),
        ({"driver": "JPEG"}, True),
        ({"driver": "GTiff", "compress": "deflate", "blockysize": SIDE}, True),
        ({"driver": "GTiff", "compress": "deflate", "blockysize": 16}, False),
        ({"driver": "GTiff", "blockysize": SIDE}, False),
        ({"driver": "GTiff", "compress": "deflate", "tiled": True, "blockxsize": 32,
          "blockysize": 32}, False),
    ],
)  # fmt: skip
def test_which_have_no_way_to_their_middle(
    options: dict[str, Any], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GDAL reads one strip in lines where it is large: 4,096 rows of 2,600 bytes are.
    path = tmp_path / "image.x"
    monkeypatch.setattr(opening, "_CACHED_BYTES", 0)
    pixels = np.zeros((1, 4096, 2600), np.uint8)
    if options.get("blockysize") == SIDE:
        options = {**options, "blockysize": 4096}
    write(path, pixels, **options, crs=None)
    with quiet(), rasterio.open(path) as data:
        assert opening.must_decode_whole(data) is expected


def test_a_damaged_one_is_refused_in_words(tmp_path: Path, decoded: list[str]) -> None:
    path = tmp_path / "image.tif"
    _one_strip(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(RasterError, match=r"image\.tif cannot be decoded to the end"):
        open_image(path, "sar")


def test_blocks_that_were_decoded_are_kept(tmp_path: Path) -> None:
    """The cache of GDAL is set in bytes: of 64 nothing was kept, and rows took a block each."""
    from rasterio._env import get_gdal_config

    with opening.reading(tmp_path / "any.tif"):
        assert 32 << 20 <= int(get_gdal_config("GDAL_CACHEMAX")) <= 512 << 20
