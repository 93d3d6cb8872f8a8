"""Many optical files are read as one: the pixels of the whole, what is damaged, what is missing."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

import crosslook
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import InputError, RasterError
from crosslook.geo.image import open_image
from crosslook.geo.mosaic_file import MosaicFile, open_basemap, open_optical
from crosslook.match.result import MatchResult
from crosslook.types import Window
from tests.geo.test_products import sentinel_2

SIDE, PART = 480, 200


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    write_pairs(folder, 1, size=SIDE, seed=4, shift=(5.0, -7.0), relief=20.0)
    return folder


def cut(pair: Path, folder: Path, **more: Any) -> Path:
    """Write the optical image in nine parts."""
    folder.mkdir(parents=True, exist_ok=True)
    with rasterio.open(pair / "optical" / "sim-0000.tif") as file:
        for window in Window.whole(file.shape).tiles(PART):
            at = rasterio.windows.Window.from_slices(*window.slices)
            profile = file.profile | {"height": window.height, "width": window.width, **more}
            profile |= {"transform": file.window_transform(at)}
            target = folder / f"part-{window.row}-{window.col}.tif"
            with rasterio.open(target, "w", **profile) as part:
                part.write(file.read(window=at))
    return folder


def pixels(image: Any, window: Window | None = None) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    seen = image.read(window)
    return np.rint(seen.values * 255), seen.valid


def test_parts_are_read_as_the_whole(pair: Path, tmp_path: Path) -> None:
    one = open_image(pair / "optical" / "sim-0000.tif", "optical")
    many = open_optical(cut(pair, tmp_path / "parts"))
    assert many.shape == one.shape
    assert many.grid.affine == one.grid.affine
    stored = one.source.read(None, (1, 2, 3))
    for window in (None, Window(150, 170, 100, 90), Window(-20, 390, 120, 120)):
        values, valid = pixels(many, window)
        inside = (window or Window.whole(one.shape)).clip(one.shape)
        here = inside.within(window).slices if window else inside.slices
        np.testing.assert_array_equal(values[:, *here], stored[:, *inside.slices])
        assert valid[here].all()
        assert valid.sum() == inside.height * inside.width
    assert any("9 files are one basemap" in note for note in many.notes)
    listed = open_optical(sorted((tmp_path / "parts").glob("*.tif")))
    np.testing.assert_array_equal(listed.read().values, many.read().values)


def test_a_list_of_one_and_a_product_are_what_they_are(pair: Path, tmp_path: Path) -> None:
    path = pair / "optical" / "sim-0000.tif"
    assert open_optical([path]).source == open_image(path, "optical").source
    product = sentinel_2(tmp_path, "L2A")
    assert not isinstance(open_optical(product).source, MosaicFile)


def damaged(pair: Path, folder: Path) -> Path:
    """Nine parts, the blocks of the central one of which are noise, its header whole."""
    parts = cut(pair, folder, compress="deflate", tiled=True, blockxsize=64, blockysize=64)
    path = parts / f"part-{PART}-{PART}.tif"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3)
        file.write(np.random.default_rng(0).bytes(size // 2))
    with rasterio.open(path) as whole:
        assert whole.width == PART
    return parts


def rest() -> NDArray[np.bool_]:
    """Pixels of the parts around the central one."""
    out = np.ones((SIDE, SIDE), bool)
    out[PART : 2 * PART, PART : 2 * PART] = False
    return out


def test_a_damaged_part_is_left_open_and_named(pair: Path, tmp_path: Path) -> None:
    many = open_optical(damaged(pair, tmp_path / "parts"))
    values, valid = pixels(many)
    whole = open_image(pair / "optical" / "sim-0000.tif", "optical").source.read(None, (1, 2, 3))
    assert valid[rest()].all()
    assert not valid[~rest()].all()
    np.testing.assert_array_equal(values[:, rest()], whole[:, rest()])
    (note,) = [note for note in many.notes if "left open" in note]
    assert f"part-{PART}-{PART}.tif" in note
    assert "damaged or cut off" in note


def test_a_part_that_is_no_raster_at_all_is_named_too(pair: Path, tmp_path: Path) -> None:
    parts = cut(pair, tmp_path / "parts")
    (parts / f"part-{PART}-{PART}.tif").write_bytes(b"no raster")
    many = open_optical(parts)
    assert many.read().valid[rest()].all()
    assert any(f"part-{PART}-{PART}.tif is left open" in note for note in many.notes)
    for path in parts.glob("*.tif"):
        path.write_bytes(b"no raster")
    with pytest.raises(RasterError, match="no file of the basemap can be read"):
        open_optical(parts)


def test_a_gap_is_no_data(pair: Path, tmp_path: Path) -> None:
    parts = cut(pair, tmp_path / "parts")
    (parts / f"part-{PART}-{PART}.tif").unlink()
    np.testing.assert_array_equal(open_optical(parts).read().valid, rest())


def test_it_goes_to_other_processes(pair: Path, tmp_path: Path) -> None:
    many = open_optical(cut(pair, tmp_path / "parts"))
    again = pickle.loads(pickle.dumps(many))
    window = Window(100, 100, 200, 200)
    np.testing.assert_array_equal(again.read(window).values, many.read(window).values)
    assert isinstance(many.source, MosaicFile)
    assert len(many.source.parts()) == 9


@pytest.mark.parametrize("how", ["whole", "damaged", "gap"])
def test_register_on_a_folder(pair: Path, tmp_path: Path, how: str) -> None:
    parts = (damaged if how == "damaged" else cut)(pair, tmp_path / "parts")
    if how == "gap":
        (parts / f"part-{PART}-{PART}.tif").unlink()
    result = crosslook.register(pair / "sar" / "sim-0000.tif", parts, out=tmp_path / "out")
    assert isinstance(result, MatchResult)
    assert result.verdict == "match"
    assert result.transform is not None
    off = result.transform(np.array([[200.0, 200.0]])) - (205.0, 193.0)
    assert np.abs(off).max() < 1.5
    assert any("left open" in note for note in result.notes) == (how == "damaged")
    with rasterio.open(tmp_path / "out" / "aligned.tif") as file:
        assert file.transform == from_origin(300_000, 5_500_000, 10, 10)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no basemap"):
        open_basemap([tmp_path / "none"])


@pytest.mark.parametrize("factor", [1, 3])
def test_squares_and_strips_are_the_same_pixels(
    factor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wide mosaic is read in squares, so that a block of JPEG 2000 is decoded once or twice."""
    rng = np.random.default_rng(0)
    for number in (0, 1):
        pixels = rng.integers(1, 255, (3, 200, 300)).astype(np.uint8)
        pixels[:, 40:43, 50:53] = 0  # a small hole, at whatever rim
        profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "height": 200, "width": 300,
                   "crs": "EPSG:32633", "nodata": 0}  # fmt: skip
        at = from_origin(5e5 + 3000 * number, 5e6, 10, 10)
        with rasterio.open(tmp_path / f"{number}.tif", "w", transform=at, **profile) as file:
            file.write(pixels)
    image = open_optical(tmp_path)
    whole = image.read(None, factor)
    monkeypatch.setattr("crosslook.geo.image._PIECE_PIXELS", 9000)
    monkeypatch.setattr("crosslook.geo.image._LEAST_ROWS", 60)
    parts = image.read(None, factor)
    np.testing.assert_array_equal(parts.valid, whole.valid)
    np.testing.assert_array_equal(parts.values, whole.values)
