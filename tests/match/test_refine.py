"""The last two pixels: what mutual information looks at, and how far it is followed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.cached_image import CachedImage
from crosslook.match.pair import ImagePair
from crosslook.match.refine import (
    InformationMeasure,
    fraction_of,
    information_measure,
    refine,
)
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.transform import Transform, identity, similarity, translation
from crosslook.match.warp import warp_array
from crosslook.types import FloatArray


def levels(seed: int, side: int = 120) -> FloatArray:
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), 3)
    return np.asarray((soft - soft.min()) / np.ptp(soft) * 30.9, np.float32)


def image_of(values: FloatArray, valid: NDArray[np.bool_] | None = None) -> CachedImage:
    return CachedImage(values, np.ones(values.shape, np.bool_) if valid is None else valid)


def by_tables(measure: InformationMeasure, transform: Transform) -> float:
    """Mutual information in plain numpy: a warped image, its joint histogram, Shannon's sum."""
    own, every = measure.sar[:-2, :-1], measure.every
    shape = tuple(length * every for length in measure.optical.shape)
    moved = warp_array(own, transform, shape, cv2.INTER_LINEAR, outside=-1e5)[::every, ::every]
    counts = np.zeros((33, 32))
    inside = (moved >= 0) & (measure.optical < 32)
    level, fixed = moved[inside], measure.optical[inside]
    low = level.astype(np.int64)
    np.add.at(counts, (low, fixed), 1 - (level - low))
    np.add.at(counts, (low + 1, fixed), level - low)
    weights = np.array([1.0, 4.0, 1.0]) / 6
    padded = np.pad(counts[:32], 1, mode="edge")
    soft = sum(
        weights[i] * weights[j] * padded[i : i + 32, j : j + 32] for i in range(3) for j in range(3)
    )
    p = np.asarray(soft) / np.sum(soft)
    apart = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    return float((p[p > 0] * np.log(p[p > 0] / apart[p > 0])).sum())


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    "move",
    [
        identity(),
        similarity((3.3, -2.1), 1.5, 1.01, (60.0, 60.0)),
        similarity((-9.0, 14.0), 80.0, 0.8, (60.0, 60.0)),
        similarity((30.5, 0.25), 180.0, 1.2, (60.0, 60.0)),
        Transform(
            np.array([[1.0, 0.02, 3.0], [0.01, 1.1, -2.0], [2e-4, -3e-4, 1.0]]), "homography"
        ),
    ],
)
def test_a_compiled_histogram_gives_what_tables_give(move: Transform, every: int) -> None:
    rng = np.random.default_rng(4)
    sar, known = levels(0), rng.random((120, 120)) > 0.02
    optical = np.asarray(sar + levels(1) * 0.2, np.float32)
    measure = information_measure(image_of(sar, known), image_of(optical, known[::-1]), 0.0)
    measure = replace(measure, optical=measure.optical[::every, ::every].copy(), every=every)
    # Positions are rounded to 1/32 px where an image is warped.
    assert measure(move) == pytest.approx(
        by_tables(measure, move), abs=1e-3 if every == 1 else 1e-2
    )
    assert measure(move) > 0.01


def test_a_position_that_rounding_puts_before_the_first_pixel_counts_as_that_pixel() -> None:
    from crosslook.match.kernels_information import joint_histogram

    moving = np.full((18, 17), -1e5, np.float32)  # two rows and a column more than the image
    moving[:-2, 0] = 20.0  # and what lies beside the first pixel is not valid
    fixed = np.full((16, 16), 7, np.uint8)
    rounded = np.eye(3)
    rounded[1, 2] = -5e-4
    counts = joint_histogram(moving.reshape(-1), 17, fixed, rounded)
    assert counts.sum() == counts[20, 7] == 16


def test_images_that_hardly_overlap_share_nothing() -> None:
    image = image_of(levels(0))
    measure = information_measure(image, image, 0.0)
    assert measure(Transform(translation(119.0, 119.0), "shift")) == 0.0
    assert measure(identity()) > 2.0


def test_large_images_are_looked_at_in_part() -> None:
    rng = np.random.default_rng(3)
    image = CachedImage(rng.random((512, 512), np.float32), np.ones((512, 512), np.bool_))
    small = CachedImage(image.values[:200, :200], image.valid[:200, :200])
    assert information_measure(image, image, 0.0, sparse=True).every == 2
    assert information_measure(small, small, 0.0, sparse=True).every == 1
    large = CachedImage(rng.random((2048, 2048), np.float32), np.ones((2048, 2048), np.bool_))
    assert information_measure(large, large, 0.0, sparse=True).every == 8
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
