"""``register`` beyond its start: as requested, by itself, or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.geo.raster import RasterArray
from crosslook.match.register import register
from crosslook.match.transform import Transform, grid_points, mean_distance, similarity
from tests.helpers.textured import textured_pair

SIDE = 256


def pair(truth: Transform, seed: int = 0) -> tuple[RasterArray, RasterArray]:
    """The pair that all tests of this file search."""
    return textured_pair(truth, seed, SIDE, coarse=6.0)


def rotated(degrees: float, scale: float = 1.0) -> Transform:
    return similarity((6.0, -9.0), degrees, scale, (SIDE / 2, SIDE / 2))


def error(transform: Transform | None, truth: Transform) -> float:
    assert transform is not None
    return mean_distance(transform, truth, grid_points(SIDE, SIDE))


def test_a_start_within_reach_is_not_searched_from() -> None:
    result = register(*pair(rotated(1.0)))
    assert (result.verdict, result.search, result.reason) == ("match", "initial", "")
    assert error(result.transform, rotated(1.0)) < 2.0
    assert result.expected_error_px is not None
    assert result.error_bound_px is not None
    assert result.expected_error_px <= result.error_bound_px


def test_a_start_out_of_reach_is_expanded_and_says_so() -> None:
    truth = rotated(21.0)
    images = pair(truth)
    result = register(*images)
    assert (result.verdict, result.search) == ("match", "expanded")
    assert error(result.transform, truth) < 3.0
    assert result.to_dict()["search"] == "expanded"
    near = register(*images, near_only=True)
    assert near.verdict == "no match"
    assert near.search == "initial"
    assert "--near-only" in near.reason
    assert near.centre is None
    assert near.expected_error_px is None


@pytest.mark.parametrize(("degrees", "scale"), [(75.0, 1.25), (-140.0, 0.85)])
def test_what_is_requested_is_searched(degrees: float, scale: float) -> None:
    truth = rotated(degrees, scale)
    sar, optical = pair(truth)
    result = register(sar, optical, rotation=abs(degrees) + 10.0, scale=(0.8, 1.3))
    assert (result.verdict, result.search) == ("match", "requested")
    assert error(result.transform, truth) < 3.0


def test_pixels_that_are_not_square_are_found_where_they_may_be() -> None:
    stretch = Transform(np.diag([1.25, 0.9, 1.0]), "affine")
    truth = rotated(20.0) @ stretch
    sar, optical = pair(truth)
    result = register(sar, optical, rotation=24.0, aspect="1.2:1.5")
    assert (result.verdict, result.search) == ("match", "requested")
    assert error(result.transform, truth) < 3.0


def test_a_mirror_image_is_found_where_it_may_be_one() -> None:
    sar, optical = pair(rotated(0.0))
    mirror = RasterArray.of(sar.stored[:, :, ::-1].copy(), sar.valid[:, ::-1].copy(), name="sar")
    result = register(mirror, optical, flip=True)
    assert result.verdict == "match"
    assert result.transform is not None
    assert np.linalg.det(result.transform.matrix[:2, :2]) < 0


def test_different_places_are_no_match_with_a_reason() -> None:
    sar, _ = pair(rotated(0.0), 1)
    _, optical = pair(rotated(0.0), 2)
    result = register(sar, optical)
    assert result.verdict == "no match"
    assert result.search == "expanded"
    assert "different places" in result.reason
