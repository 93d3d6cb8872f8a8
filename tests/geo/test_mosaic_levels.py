"""Coarse pixels of many JPEG 2000 from their levels are those of the mosaic's own pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from crosslook.geo.image import Image, ImageFile
from crosslook.geo.mosaic_file import MosaicFile, open_optical
from crosslook.types import FloatArray, Mask, Window
from tests.geo.test_levels import LOSSLESS, LOSSY, ground

TILES = {"a": (0, 0, 455, 500), "b": (0, 487, 448, 547), "c": (431, 0, 469, 421)}
"""Row, column, rows and columns of tiles that overlap, at odd pixels."""
FOURTH = (473, 452, 427, 582)
"""Beyond a gap on two sides."""
FACTORS = [6, 7, 13]


def tile(path: Path, values: FloatArray, at: tuple[int, int, int, int], **made: Any) -> Path:
    row, col, height, width = at
    options = {
        "driver": "JP2OpenJPEG", "crs": "EPSG:32633", "BLOCKXSIZE": "256", "BLOCKYSIZE": "256",
        "transform": from_origin(4e5 + 10 * col, 5.5e6 - 10 * row, 10, 10), **LOSSY, **made,
    }  # fmt: skip
    part = values[row : row + height, col : col + width].astype(np.uint16)
    with rasterio.open(
        path, "w", count=1, dtype="uint16", height=height, width=width, **options
    ) as file:
        file.write(part, 1)
    return path


def quarters(folder: Path, values: FloatArray, **made: Any) -> ImageFile:
    for name, at in (TILES | {"d": FOURTH}).items():
        tile(folder / f"{name}.jp2", values, at, **made)
    return opened(folder)


def opened(folder: Path) -> ImageFile:
    image = open_optical(folder)
    assert isinstance(image.source, MosaicFile)
    return image


def both(
    image: ImageFile, factor: int, patch: pytest.MonkeyPatch, window: Window | None = None
) -> tuple[Image, Image]:
    """A reduced read by levels, and by pixels."""
    source = image.source
    assert isinstance(source, MosaicFile)
    assert source.block_reader((1,), factor) is not None
    by_level = image.read(window, factor)
    with patch.context() as without:
        without.setattr(ImageFile, "level", lambda *_: 0)
        assert source.block_reader((1,), factor) is None
        return by_level, image.read(window, factor)


def at_joints(shape: tuple[int, int], factor: int) -> Mask:
    """Blocks that an edge of a tile goes through, and those beside them."""
    out = np.zeros(shape, np.bool_)
    for row, col, height, width in (*TILES.values(), FOURTH):
        for edge in (row, row + height):
            out[max(0, edge // factor - 1) : edge // factor + 2] = True
        for edge in (col, col + width):
            out[:, max(0, edge // factor - 1) : edge // factor + 2] = True
    return out


@pytest.mark.parametrize("made", [LOSSY, LOSSLESS], ids=["lossy", "lossless"])
@pytest.mark.parametrize("factor", FACTORS)
def test_tiles_with_a_gap_are_read_as_their_pixels(
    factor: int, made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, expected = both(quarters(tmp_path, ground(), **made), factor, monkeypatch)
    assert found.grid == expected.grid
    assert not (found.valid & ~expected.valid).any()
    assert (expected.valid & ~found.valid).mean() < 0.002
    assert not expected.valid.all()
    here, there = (one.values[0].astype(np.float64) for one in (found, expected))
    seen, off = found.valid, here - there
    joints = at_joints(found.shape, factor)
    for where in (seen, seen & joints, seen & ~joints):
        assert np.abs(off[where].mean()) < 0.03 * there[seen].std()
        assert off[where].std() < 0.25 * there[seen].std()
    down, right = np.gradient(there)
    inner = seen & ~joints
    slopes = np.column_stack([down[inner], right[inner]])
    moved = np.linalg.lstsq(slopes, off[inner], rcond=None)[0]
    assert np.abs(moved).max() < 0.05


@pytest.mark.parametrize("factor", FACTORS)
def test_the_first_of_two_wins_to_the_pixel(
    factor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of their own grey each: a block between them is mixed by where the joint lies."""
    for number, (name, at) in enumerate((TILES | {"d": FOURTH}).items()):
        flat = np.full((900, 1034), 1000 * (number + 1), np.float32)
        tile(tmp_path / f"{name}.jp2", flat, at, **LOSSLESS)
    found, expected = both(opened(tmp_path), factor, monkeypatch)
    assert not (found.valid & ~expected.valid).any()
    assert np.abs(found.values - expected.values)[:, found.valid].max() < 0.02


@pytest.mark.parametrize("made", [LOSSY, LOSSLESS], ids=["lossy", "lossless"])
@pytest.mark.parametrize("factor", [6, 13])
def test_a_border_leaks_nowhere_and_what_lies_behind_it_shows(
    factor: int, made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, cols = np.indices((900, 1034), np.float32)
    slope = 1000 + 2 * rows + cols
    cut = np.where(cols + rows // 3 < 300, np.float32(0.0), slope)
    tile(tmp_path / "a.jp2", cut, (0, 0, 700, 1034), **made)
    tile(tmp_path / "b.jp2", slope, (400, 0, 500, 1034), **made)
    image = opened(tmp_path)
    found, expected = both(image, factor, monkeypatch)
    assert not (found.valid & ~expected.valid).any()
    assert (expected.valid & ~found.valid).mean() < 0.06
    assert found.valid[420 // factor + 1 :].all()
    source = image.source
    assert isinstance(source, MosaicFile)
    limits = source.maps[0].image.stretch
    down, across = ((np.arange(n) + 0.5) * factor - 0.5 for n in found.shape)
    truth = (1000 + 2 * down[:, None] + across - limits.low[0]) / (limits.high[0] - limits.low[0])
    unit = (found.values[0] * 255 - 1) / 254
    off = (unit - np.clip(truth, 0, 1)) * (limits.high[0] - limits.low[0])
    # The mean of half a block lies so far from that of all of it; a fiftieth of zeros would too.
    assert np.abs(off[found.valid]).max() < 4 + 1.5 * factor


@pytest.mark.parametrize("made", [LOSSY, LOSSLESS], ids=["lossy", "lossless"])
@pytest.mark.parametrize("factor", FACTORS)
def test_no_gap_opens_where_two_files_meet_without_data_in_either(
    factor: int, made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tile cut in two by time, each part with zeros for the other."""
    rows, cols = np.indices((900, 1034))
    left = cols + rows // 3 < 600
    paths = []
    for name, values in (("a", np.where(left, ground(), 0)), ("b", np.where(left, 0, ground()))):
        (tmp_path / name).mkdir()
        part = values.astype(np.float32)
        paths.append(tile(tmp_path / name / "part.jp2", part, (0, 0, 900, 1034), **made))
    found, expected = both(open_optical(paths), factor, monkeypatch)
    assert expected.valid.mean() > 0.995
    assert (found.valid == expected.valid).all()
    off = (found.values - expected.values)[0][found.valid]
    assert off.std() < 0.25 * expected.values[0][expected.valid].std()


def test_a_window_is_a_part_of_the_whole_and_may_reach_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = quarters(tmp_path, ground())
    whole = image.read(None, 6)
    part = image.read(Window(300, 360, 300, 420), 6)
    assert part.values == pytest.approx(whole.values[:, 50:100, 60:130], abs=1e-5)
    assert (part.valid == whole.valid[50:100, 60:130]).all()
    beyond, expected = both(image, 6, monkeypatch, Window(-60, 700, 600, 600))
    assert not beyond.valid[:10].any()
    assert (beyond.valid == expected.valid).all()
    assert not image.read(Window(0, 5000, 60, 60), 6).valid.any()


@pytest.mark.parametrize("kind", ["tif", "nodata", "zone", "half a pixel"])
def test_what_has_no_levels_there_is_read_by_its_pixels(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = ground()
    names = [tile(tmp_path / f"{name}.jp2", values, at) for name, at in TILES.items()]
    profile = {
        "driver": "GTiff", "count": 1, "dtype": "uint16", "crs": "EPSG:32633",
        "transform": from_origin(4e5 + 4870, 5.5e6 - 4310, 10, 10), "height": 469, "width": 547,
    }  # fmt: skip
    profile |= {"nodata": 0} if kind == "nodata" else {}
    if kind == "half a pixel":
        profile |= {"transform": from_origin(4e5 + 4875, 5.5e6 - 4315, 10, 10)}
    if kind == "zone":
        # Its place on the others' grid is at no whole pixel, nor are then theirs.
        profile |= {"crs": "EPSG:32632", "transform": from_origin(837_000, 5_520_000, 10, 10)}
    jpeg = {"driver": "JP2OpenJPEG", **LOSSLESS} if kind in ("zone", "half a pixel") else {}
    path = tmp_path / ("d.jp2" if jpeg else "d.tif")
    with rasterio.open(path, "w", **(profile | jpeg)) as file:
        file.write(values[431:, 487:].astype(np.uint16), 1)
    image = open_optical([*names, path])
    source = image.source
    assert isinstance(source, MosaicFile)
    found, expected = both(image, 6, monkeypatch)
    assert not (found.valid & ~expected.valid).any()
    assert (expected.valid & ~found.valid).mean() < 0.002
    off = (found.values - expected.values)[0][found.valid]
    assert off.std() < 0.25 * expected.values[0][expected.valid].std()
    if kind != "zone":  # far inside the fourth nothing differs
        assert found.values[:, 90:140, 90:160] == pytest.approx(
            expected.values[:, 90:140, 90:160], abs=1e-5
        )


def test_other_formats_and_masked_mosaics_have_no_levels(tmp_path: Path) -> None:
    (tmp_path / "tif").mkdir()
    for name, at in TILES.items():
        row, col, height, width = at
        with rasterio.open(
            tmp_path / "tif" / f"{name}.tif", "w", driver="GTiff", count=1, dtype="uint16",
            height=height, width=width, crs="EPSG:32633",
            transform=from_origin(4e5 + 10 * col, 5.5e6 - 10 * row, 10, 10),
        ) as file:  # fmt: skip
            file.write(ground()[row : row + height, col : col + width].astype(np.uint16), 1)
    assert opened(tmp_path / "tif")._reader(12) is None
    (tmp_path / "jp2").mkdir()
    image = quarters(tmp_path / "jp2", ground())
    assert image._reader(12) is not None
    assert image._reader(5) is None
    mask = tmp_path / "mask.tif"
    with rasterio.open(
        mask, "w", driver="GTiff", count=1, dtype="uint8", height=image.shape[0],
        width=image.shape[1], crs="EPSG:32633", transform=image.grid.affine,
    ) as file:  # fmt: skip
        file.write(np.ones(image.shape, np.uint8), 1)
    assert image.masked(mask)._reader(12) is None


def test_grey_and_colour_are_grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = ground()
    names = [tile(tmp_path / f"{name}.jp2", values, at) for name, at in TILES.items()]
    row, col, height, width = FOURTH
    part = values[row : row + height, col : col + width].astype(np.uint16)
    path = tmp_path / "d.jp2"
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=3, dtype="uint16", height=height, width=width,
        crs="EPSG:32633", transform=from_origin(4e5 + 10 * col, 5.5e6 - 10 * row, 10, 10), **LOSSY,
    ) as file:  # fmt: skip
        file.write(np.stack([part, part // 2, part // 3]))
    found, expected = both(open_optical([*names, path]), 6, monkeypatch)
    assert found.values.shape[0] == 1
    off = (found.values - expected.values)[0][found.valid]
    assert off.std() < 0.25 * expected.values[0][expected.valid].std()


def test_a_tile_that_cannot_be_read_is_left_open(tmp_path: Path) -> None:
    image = quarters(tmp_path, ground())
    (tmp_path / "d.jp2").unlink()
    seen = image.read(None, 6)
    assert any("d.jp2 is left open" in note for note in image.notes)
    assert not seen.valid[90:140, 90:160].any()
    assert seen.valid[5:60, 5:160].all()
