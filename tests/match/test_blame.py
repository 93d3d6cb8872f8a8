"""Errors that name the true culprit, with true numbers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from crosslook.errors import MatchError, RasterError
from crosslook.geo.image import open_image
from crosslook.match.register import register
from crosslook.match.settings import RegisterCall
from crosslook.match.transform import identity
from tests.helpers.kinds import PLACE, save
from tests.helpers.textured import textured_pair

SIDE = 256


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    sar, optical = textured_pair(identity(), side=SIDE)
    there = np.clip(sar.stored, 0, 255).astype(np.uint8)
    return save(folder / "sar.tif", there), save(folder / "optical.tif", optical.stored)


@pytest.mark.parametrize("side", ["mask", "optical_mask"])
@pytest.mark.parametrize("nodata", [None, 0])
def test_a_mask_that_is_0_everywhere_is_named(
    pair: tuple[Path, Path], side: str, nodata: int | None, tmp_path: Path
) -> None:
    mask = save(tmp_path / "clouds.tif", np.zeros((128, 128), np.uint8),
                PLACE * Affine.scale(2), nodata=nodata)  # fmt: skip
    with pytest.raises(MatchError, match=f"--{side.replace('_', '-')} clouds.tif.*0 means not"):
        register(*pair, RegisterCall.model_validate({side: mask}))


@pytest.mark.parametrize("side", ["mask", "optical_mask"])
def test_a_mask_that_lies_elsewhere_is_named(
    pair: tuple[Path, Path], side: str, tmp_path: Path
) -> None:
    mask = save(tmp_path / "clouds.tif", np.ones((128, 128), np.uint8),
                PLACE * Affine.translation(9000, 0))  # fmt: skip
    with pytest.raises(MatchError, match=r"clouds\.tif lies elsewhere"):
        register(*pair, RegisterCall.model_validate({side: mask}))


def test_a_mask_that_leaves_too_little_is_named_with_numbers(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[100:130, 100:140] = 1
    with pytest.raises(MatchError, match="leaves 1,200 of 65,536 pixels"):
        register(*pair, mask=save(tmp_path / "m.tif", values))


def test_a_mask_that_leaves_one_value_is_named(pair: tuple[Path, Path], tmp_path: Path) -> None:
    values, _ = np.full((SIDE, SIDE), 90, np.uint8), None
    values[:128] = np.random.default_rng(0).integers(1, 255, (128, SIDE))
    kept = np.zeros((SIDE, SIDE), np.uint8)
    kept[128:] = 255
    sar = save(tmp_path / "s.tif", values)
    with pytest.raises(MatchError, match=r"--mask m\.tif leaves pixels of one value"):
        register(sar, pair[1], mask=save(tmp_path / "m.tif", kept))


def test_a_constant_image_is_to_blame_itself(pair: tuple[Path, Path], tmp_path: Path) -> None:
    sar = save(tmp_path / "s.tif", np.full((SIDE, SIDE), 90, np.uint8))
    mask = save(tmp_path / "m.tif", np.ones((SIDE, SIDE), np.uint8))
    with pytest.raises(MatchError, match=r"SAR image 's\.tif' is constant"):
        register(sar, pair[1], mask=mask)


@pytest.mark.parametrize("blank", [0, 200])
def test_a_blank_first_page_names_the_others(
    pair: tuple[Path, Path], blank: int, tmp_path: Path
) -> None:
    path = save(tmp_path / "two.tif", np.full((SIDE, SIDE), blank, np.uint8),
                nodata=0 if blank == 0 else None)  # fmt: skip
    save(path, np.ones((SIDE, SIDE), np.uint8), APPEND_SUBDATASET="YES")
    with pytest.raises((MatchError, RasterError), match=r"2 images.*GTIFF_DIR:2"):
        register(pair[0], path)


@pytest.mark.parametrize(("rows", "cols", "said"), [(60, 256, "60 x 256"), (256, 100, "256 x 100")])
def test_too_small_an_overlap_is_told_without_the_margin(
    pair: tuple[Path, Path], rows: int, cols: int, said: str, tmp_path: Path
) -> None:
    values = open_image(pair[0], "sar").source.read(None, (1,))[0].astype(np.uint8)
    strip = save(tmp_path / "s.tif", values[:rows, :cols])
    with pytest.raises(MatchError, match=f"overlap by {said} .*at least 128 x 128"):
        register(strip, pair[1])
    # Neither is small, but they share a corner.
    far = save(tmp_path / "f.tif", values, PLACE * Affine.translation(SIDE - 50, SIDE - 40))
    with pytest.raises(MatchError, match="overlap by 40 x 50 "):
        register(far, pair[1])


def test_sides_of_128_are_enough(pair: tuple[Path, Path], tmp_path: Path) -> None:
    sar, optical = (
        open_image(one, "optical").source.read(None, (1,))[0].astype(np.uint8) for one in pair
    )
    cut = (slice(50, 178), slice(60, 188))
    result = register(
        save(tmp_path / "s.tif", sar[cut]), save(tmp_path / "o.tif", optical[cut]), near_only=True
    )
    assert result.transform is None or result.verdict in ("match", "uncertain", "no match")
    assert len(result.tie_points) > 0


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (7, 9)])
def test_two_values_are_no_constant(
    pair: tuple[Path, Path], values: tuple[int, int], tmp_path: Path
) -> None:
    """A scan, a thresholded map, a water mask."""
    optical = open_image(pair[1], "optical").source.read(None, (1,))[0]
    two = np.where(optical > np.median(optical), *values).astype(np.uint8)
    result = register(pair[0], save(tmp_path / "o.tif", two), near_only=True)
    assert not re.search("constant", result.reason)
    assert result.verdict == "match"
