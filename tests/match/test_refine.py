"""The last two pixels: what mutual information looks at, and how far it is followed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.pair import CachedImage, ImagePair
from crosslook.match.refine import (
    InformationMeasure,
    fraction_of,
    information_measure,
    mutual_information,
    refine,
)
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.transform import identity, similarity
from crosslook.match.warp import warp_array
from crosslook.types import FloatArray


def levels(seed: int, side: int = 120) -> FloatArray:
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), 3)
    return np.asarray((soft - soft.min()) / np.ptp(soft) * 30.9, np.float32)


def test_every_second_pixel_is_looked_at_where_it_lies() -> None:
    sar = levels(0)
    optical = np.round(sar + levels(1) * 0.2).clip(0, 31).astype(np.int64)
    move = similarity((3.3, -2.1), 1.5, 1.01, (60.0, 60.0))
    sparse = InformationMeasure(sar, optical, every=2)(move)
    moved = warp_array(sar, move, (120, 120), cv2.INTER_LINEAR, outside=-1e5)
    # The same pixels as an image of their own, unmoved.
    dense = InformationMeasure(np.ascontiguousarray(moved[::2, ::2]), optical[::2, ::2])
    # Positions are rounded to 1/32 px on either way.
    assert sparse == pytest.approx(dense(identity()), rel=0.02)
    assert sparse != pytest.approx(InformationMeasure(sar, optical, 32)(move), rel=1e-6)


def test_large_images_are_looked_at_in_part() -> None:
    rng = np.random.default_rng(3)
    image = CachedImage(rng.random((512, 512), np.float32), np.ones((512, 512), np.bool_))
    small = CachedImage(image.values[:200, :200], image.valid[:200, :200])
    assert information_measure(image, image, 0.0, sparse=True).every == 2
    assert information_measure(small, small, 0.0, sparse=True).every == 1
    large = CachedImage(rng.random((2048, 2048), np.float32), np.ones((2048, 2048), np.bool_))
    assert information_measure(large, large, 0.0, sparse=True).every == 4
    assert information_measure(image, image, 0.0).every == 1  # evidence and audits look at all


def test_the_less_tie_points_scatter_the_less_is_left_to_grey_levels() -> None:
    assert fraction_of(0.0) == 0.0
    assert fraction_of(1.5) == pytest.approx(0.5)  # as far off as the optimum
    assert fraction_of(0.75) == pytest.approx(0.2)


def test_a_known_shift_is_gone_as_far_as_asked_for() -> None:
    sar = levels(5, 256) / np.float32(31)
    whole = np.ones(sar.shape, np.bool_)
    inverted = np.asarray(1 - sar**2, np.float32)
    extractor = open_extractor(DEFAULT_EXTRACTOR)
    pair = ImagePair.of(GreyImage(sar, whole), GreyImage(inverted, whole), extractor)
    start = similarity((1.6, -1.2))
    half = refine(pair, start, fraction=0.5)
    full = refine(pair, start, fraction=1.0)
    assert half.moved == pytest.approx(2.0, abs=0.2)  # to the optimum, however far is gone
    centre = np.array([128.0, 128.0])
    np.testing.assert_allclose(full.transform(centre), centre, atol=0.15)
    np.testing.assert_allclose(half.transform(centre), centre + np.array([0.8, -0.6]), atol=0.15)


def test_levels_are_counted_as_one_by_one() -> None:
    rng = np.random.default_rng(4)
    sar = rng.uniform(0, 31, (300, 90)).astype(np.float32)  # more than are counted at once
    optical = rng.integers(-1, 32, (300, 90))  # -1: invalid
    sar[rng.random(sar.shape) < 0.1] = -1e5
    counts = np.zeros((32, 32))
    for moved, fixed in zip(sar.ravel(), optical.ravel(), strict=True):
        if moved >= 0 and fixed >= 0:
            low = min(int(moved), 30)
            counts[low, fixed] += 1 - (moved - low)
            counts[low + 1, fixed] += moved - low
    weights = np.array([1.0, 4.0, 1.0]) / 6
    padded = np.pad(counts, 1, mode="edge")
    soft = sum(
        weights[i] * weights[j] * padded[i : i + 32, j : j + 32] for i in range(3) for j in range(3)
    )
    measured = InformationMeasure(sar, optical)(identity())
    assert measured == pytest.approx(mutual_information(np.asarray(soft)), rel=1e-6)
