"""Stripes and seams of no data: what lies between them is matched."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage, make_grey_image, over_gaps
from crosslook.geo.raster import RasterArray
from crosslook.match.cached_image import reduce_image
from crosslook.match.channels import dense_channels
from crosslook.match.register import register
from crosslook.match.transform import Transform, identity, translation
from crosslook.match.warp import warp
from tests.helpers.textured import textured_pair

SIDE = 256


def striped(kind: str, gap: int, period: int = 33, side: int = SIDE) -> np.ndarray:
    """Valid pixels between stripes."""
    rows, cols = np.mgrid[:side, :side]
    count = {"rows": rows, "columns": cols, "slanted": rows + cols // 4}[kind]
    valid: np.ndarray = count % period >= gap
    return valid


def masked(one: RasterArray, valid: np.ndarray) -> RasterArray:
    return RasterArray.of(np.where(valid, one.stored, 0), one.valid & valid, name=one.header.name)


@pytest.mark.parametrize(
    ("kind", "gap", "period", "side"),
    [
        ("rows", 4, 33, "sar"),
        ("columns", 8, 33, "optical"),
        ("slanted", 8, 33, "both"),
        ("columns", 1, 6, "sar"),
        ("rows", 1, 6, "both"),
    ],
)
def test_a_pair_with_stripes_is_matched(kind: str, gap: int, period: int, side: str) -> None:
    truth = Transform(translation(3.0, -2.0), "shift")
    sar, optical = textured_pair(truth, side=SIDE)
    valid = striped(kind, gap, period)
    sar = masked(sar, valid) if side != "optical" else sar
    optical = masked(optical, valid) if side != "sar" else optical
    result = register(sar, optical, near_only=True)
    assert result.verdict == "match"
    assert result.transform is not None
    at = np.array([[80.0, 80.0], [160, 240], [240, 100]])
    assert np.linalg.norm(result.transform(at) - truth(at), axis=1).max() < 2.0


@pytest.mark.parametrize(("kind", "gap", "period"), [("columns", 8, 33)])
def test_stripes_that_both_have_make_no_match(kind: str, gap: int, period: int) -> None:
    sar, _ = textured_pair(identity(), seed=1, side=SIDE)
    _, optical = textured_pair(identity(), seed=2, side=SIDE)
    valid = striped(kind, gap, period)
    result = register(masked(sar, valid), masked(optical, valid), near_only=True)
    assert result.verdict == "no match"
    assert result.confidence < 0.1


def test_gaps_are_thin_and_not_at_the_border() -> None:
    values = np.tile(np.linspace(0, 1, 200, dtype=np.float32), (200, 1))
    valid = np.ones((200, 200), bool)
    valid[:, 90:100] = False  # a seam
    valid[120:160, 20:60] = False  # a cloud
    valid[:7] = False  # a rim
    grey = over_gaps(np.where(valid, values, np.float32(9.0)), valid)
    assert grey.gaps is not None
    assert grey.gaps[7:, 90:100].all()
    assert not grey.gaps[:7].any()
    assert not grey.gaps[120:160, 20:60].any()
    assert not (grey.valid & grey.gaps).any()
    assert np.abs(grey.values - values)[7:, 90:100].max() < 0.05

    moved = warp(grey, Transform(translation(0.25, 0.0), "shift"), (200, 200))
    assert moved.gaps is not None
    assert moved.gaps[20:, 91:99].all()
    small = reduce_image(grey, 4)
    assert small.valid[10:20, :22].all()
    assert not small.valid[10:20, 23:25].any()


def test_an_image_without_gaps_has_none() -> None:
    noise = np.random.default_rng(0).random((96, 96), np.float32)
    assert make_grey_image(noise).gaps is None
    half = np.ones((96, 96), bool)
    half[:, :40] = False
    assert make_grey_image(noise, half).gaps is None


def test_cells_beside_gaps_are_valid_and_of_mean_zero() -> None:
    noise = np.random.default_rng(0).random((200, 200), np.float32)
    valid = striped("columns", 8, side=200)
    extractor = open_extractor("hog:cell=3,blur=1")
    channels = dense_channels(over_gaps(noise.copy(), valid), extractor)
    hard = dense_channels(GreyImage(noise, valid), extractor)
    assert hard.valid.mean() < 0.55 < channels.valid.mean()
    beside = channels.valid & ~hard.valid
    assert np.abs(channels.values[:, beside].mean(axis=1)).max() < 0.1
