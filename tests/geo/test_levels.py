"""Reduced pixels of JPEG 2000 from its levels are the means of its pixels, in their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from crosslook.geo.image import Image, ImageFile, open_image
from crosslook.types import FloatArray, Modality, Window

SHAPE = (900, 1034)
"""No multiple of what a level halves."""
LOSSY = {"QUALITY": "25", "REVERSIBLE": "NO"}
LOSSLESS = {"QUALITY": "100", "REVERSIBLE": "YES"}


def ground(border: int = 0) -> FloatArray:
    """Reflectance times 10,000, with structure from a pixel up; 0 in a slanted border."""
    rng = np.random.default_rng(7)
    out = np.zeros(SHAPE, np.float32)
    for size in (1, 3, 9, 40):
        coarse = rng.random((SHAPE[0] // size + 2, SHAPE[1] // size + 2)).astype(np.float32)
        whole = cv2.resize(coarse, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
        out += whole[: SHAPE[0], : SHAPE[1]] * 500
    out += 1000
    rows, cols = np.indices(SHAPE)
    out[cols + rows // 3 < border] = 0
    return out


def jpeg2000(path: Path, values: FloatArray, **made: str) -> Path:
    options = {"BLOCKXSIZE": "256", "BLOCKYSIZE": "256", **(made or LOSSY)}
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=1, dtype="uint16", height=SHAPE[0],
        width=SHAPE[1], crs="EPSG:32633", transform=from_origin(4e5, 5.5e6, 10, 10), **options,
    ) as file:  # fmt: skip
        file.write(values.astype(np.uint16), 1)
    return path


def both(
    image: ImageFile, factor: int, patch: pytest.MonkeyPatch, window: Window | None = None
) -> tuple[Image, Image]:
    """A reduced read by levels, and by pixels."""
    assert image.level(factor) > 0
    by_level = image.read(window, factor)
    assert image.level(5) == 0, "the filter of a level would show"
    with patch.context() as without:
        without.setattr(ImageFile, "level", lambda *_: 0)
        return by_level, image.read(window, factor)


@pytest.mark.parametrize("made", [LOSSY, LOSSLESS], ids=["lossy", "lossless"])
@pytest.mark.parametrize("factor", [6, 7, 13])
def test_levels_give_the_means_of_the_pixels_in_their_place(
    factor: int, made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(jpeg2000(tmp_path / "a.jp2", ground(), **made), "optical")
    found, expected = both(image, factor, monkeypatch)
    assert found.grid == expected.grid
    assert found.valid.all()
    here, there = (one.values[0][1:-1, 1:-1].astype(np.float64) for one in (found, expected))
    off = here - there
    assert np.abs(off.mean()) < 0.02 * there.std()
    assert off.std() < 0.25 * there.std()
    # A level taken as if its pixels stood at the centres of blocks is off by a quarter or more.
    down, right = np.gradient(there)
    slopes = np.column_stack([down.ravel(), right.ravel()])
    moved = np.linalg.lstsq(slopes, off.ravel(), rcond=None)[0]
    assert np.abs(moved).max() < 0.05


@pytest.mark.parametrize("made", [LOSSY, LOSSLESS], ids=["lossy", "lossless"])
@pytest.mark.parametrize("factor", [6, 13])
def test_a_border_without_data_leaks_nowhere(
    factor: int, made: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, cols = np.indices(SHAPE, np.float32)
    level = 1000 + 2 * rows + cols
    values = np.where(cols + rows // 3 < 250, np.float32(0.0), level)
    image = open_image(jpeg2000(tmp_path / "a.jp2", values, **made), "optical")
    assert image.survey.outside is not None
    found, expected = both(image, factor, monkeypatch)
    assert not (found.valid & ~expected.valid).any()
    assert 0.0 <= expected.valid.mean() - found.valid.mean() < 0.06
    limits = image.stretch
    seen = found.values[0] * (limits.high[0] - limits.low[0]) + limits.low[0]
    there = [(np.arange(n) + 0.5) * factor - 0.5 for n in seen.shape]
    off = seen - (1000 + 2 * there[0][:, None] + there[1])
    # The mean of half a block lies so far from that of all of it; a fiftieth of zeros would too.
    assert np.abs(off[found.valid]).max() < 4 + 1.5 * factor


def test_a_window_is_a_part_of_the_whole_and_may_reach_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(jpeg2000(tmp_path / "a.jp2", ground(250)), "optical")
    whole = image.read(None, 6)
    part = image.read(Window(300, 360, 300, 420), 6)
    assert part.values == pytest.approx(whole.values[:, 50:100, 60:130], abs=1e-5)
    assert (part.valid == whole.valid[50:100, 60:130]).all()
    beyond, expected = both(image, 6, monkeypatch, Window(-60, 700, 600, 600))
    assert not beyond.valid[:10].any()
    assert not beyond.valid[:, 57:].any()
    assert beyond.valid.mean() == pytest.approx(expected.valid.mean(), abs=0.01)
    nowhere = image.read(Window(0, 5000, 60, 60), 6)
    assert not nowhere.valid.any()


def _as_sar(path: Path) -> ImageFile:
    return open_image(path, "sar")


def _masked(path: Path) -> ImageFile:
    image = open_image(path, "optical")
    mask = path.with_name("mask.tif")
    with rasterio.open(
        mask, "w", driver="GTiff", count=1, dtype="uint8", height=SHAPE[0], width=SHAPE[1],
        crs="EPSG:32633", transform=from_origin(4e5, 5.5e6, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.ones(SHAPE, np.uint8), 1)
    return image.masked(mask)


def _cut(path: Path) -> ImageFile:
    """A virtual raster that begins at an odd pixel, so that no level begins where it does."""
    text = (
        f'<VRTDataset rasterXSize="{SHAPE[1] - 3}" rasterYSize="{SHAPE[0] - 3}">'
        "<GeoTransform>400030,10,0,5499970,0,-10</GeoTransform><SRS>EPSG:32633</SRS>"
        '<VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{path.name}</SourceFilename>'
        f'<SrcRect xOff="3" yOff="3" xSize="{SHAPE[1] - 3}" ySize="{SHAPE[0] - 3}"/>'
        f'<DstRect xOff="0" yOff="0" xSize="{SHAPE[1] - 3}" ySize="{SHAPE[0] - 3}"/>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    path.with_suffix(".vrt").write_text(text)
    return open_image(path.with_suffix(".vrt"), "optical")


def _with_fill(path: Path) -> ImageFile:
    values = ground()
    values[200:400, 300:600] = 65535
    return open_image(jpeg2000(path, values, **LOSSLESS), "optical")


@pytest.mark.parametrize("kind", [_as_sar, _masked, _cut, _with_fill])
def test_where_a_mean_of_levels_would_be_another_pixels_are_read(
    kind: Callable[[Path], ImageFile], tmp_path: Path
) -> None:
    assert kind(jpeg2000(tmp_path / "a.jp2", ground())).level(12) == 0


@pytest.mark.parametrize("modality", ["sar", "optical"])
def test_other_formats_have_no_levels(modality: Modality, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint16", height=SHAPE[0], width=SHAPE[1]
    ) as file:
        file.write(ground().astype(np.uint16), 1)
    assert open_image(path, modality).level(12) == 0


def test_bands_of_a_product_are_read_from_their_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "S2A_MSIL2A_20260101.SAFE/GRANULE/L2A_T33UVP/IMG_DATA/R10m"
    inside.mkdir(parents=True)
    for band in ("B02", "B03", "B04"):
        jpeg2000(inside / f"T33UVP_20260101T100000_{band}_10m.jp2", ground(250))
    image = open_image(tmp_path / "S2A_MSIL2A_20260101.SAFE", "optical")
    found, expected = both(image, 6, monkeypatch)
    assert found.values.shape[0] == 3
    assert not (found.valid & ~expected.valid).any()
    off = (found.values - expected.values)[:, found.valid]
    assert off.std() < 0.25 * expected.values[:, found.valid].std()
