"""Dense scores over shifts: exact, symmetric, and indifferent to small offsets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.errors import MatchError
from crosslook.retrieval.compare.pooling import (
    Shifts,
    dense_scores,
    fit_maps,
    radius_in_cells,
    shifts,
)
from crosslook.retrieval.measure.two_stage import regrid
from crosslook.types import FloatArray


def maps(count: int, seed: int, side: int = 7, channels: int = 3) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, channels, side, side)).astype(np.float32)


def cosine_by_loops(query: FloatArray, other: FloatArray, radius: int) -> float:
    _, height, width = query.shape
    best = -1.0
    for row in range(-radius, radius + 1):
        for col in range(-radius, radius + 1):
            a, b = [], []
            for i in range(height):
                for j in range(width):
                    if 0 <= i + row < height and 0 <= j + col < width:
                        a.append(query[:, i, j])
                        b.append(other[:, i + row, j + col])
            x, y = np.ravel(a), np.ravel(b)
            best = max(best, float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)))
    return best


def test_scores_are_those_of_plain_loops() -> None:
    queries, gallery = maps(3, 0), maps(4, 1)
    expected = [[cosine_by_loops(q, g, 2) for g in gallery] for q in queries]
    np.testing.assert_allclose(dense_scores(queries, gallery, 2), expected, atol=1e-5)


@given(row=st.integers(-2, 2), col=st.integers(-2, 2), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_an_offset_within_the_radius_costs_nothing(row: int, col: int, seed: int) -> None:
    scene = maps(5, seed, side=12)
    gallery = scene[:, :, 2:10, 2:10]
    queries = scene[:, :, 2 + row : 10 + row, 2 + col : 10 + col]
    scores = dense_scores(queries, gallery, 2)
    np.testing.assert_allclose(np.diagonal(scores), 1.0, atol=1e-5)
    assert (scores - 2 * np.eye(5)).max() < 0.9


def test_without_a_radius_an_offset_is_fatal() -> None:
    scene = maps(5, 3, side=12)
    scores = dense_scores(scene[:, :, 2:10, 2:10], scene[:, :, 4:12, 2:10], 0)
    assert np.abs(scores).max() < 0.5


def test_swapping_the_sides_transposes_the_scores() -> None:
    a, b = maps(4, 5), maps(6, 6)
    np.testing.assert_allclose(dense_scores(a, b, 2), dense_scores(b, a, 2).T, atol=1e-6)


def test_calibration_removes_what_a_sensor_adds() -> None:
    optical = maps(40, 7)
    gain = np.array([2.0, 0.1, 30.0], np.float32)[:, None, None]
    level = np.random.default_rng(1).normal(size=(40, 3, 1, 1)).astype(np.float32) * 50
    sar = optical * gain + level
    fitted = fit_maps(sar[:20], optical[:20])
    np.testing.assert_allclose(
        fitted.apply(sar[20:], "sar"), fitted.apply(optical[20:], "optical"), atol=2e-3
    )


def test_many_channels_are_reduced_without_changing_what_matters() -> None:
    small = maps(30, 8, channels=4)
    scatter = np.random.default_rng(2).normal(size=(4, 50)).astype(np.float32)
    wide = np.einsum("nchw,cd->ndhw", small, scatter)
    full, kept = fit_maps(wide, wide, 50), fit_maps(wide, wide, 4)
    assert kept.apply(wide, "sar").shape[1] == 4
    first, second = (f.apply(wide, "sar") for f in (full, kept))
    np.testing.assert_allclose(
        dense_scores(first, first, 1), dense_scores(second, second, 1), atol=1e-3
    )


def test_costs_and_radii() -> None:
    assert Shifts((2, 4, 5), 0).multiplications == 40
    assert Shifts((1, 3, 3), 1).multiplications == 9 + 4 * 6 + 4 * 4
    assert shifts(9, (4, 4))[0] == (0, 0)
    assert len(shifts(9, (4, 4))) == 25  # half of a side is always shared
    assert [radius_in_cells(24, s) for s in (8, 16, 32)] == [3, 1, 1]
    assert radius_in_cells(0, 8) == 0


def test_regrid_takes_area_means() -> None:
    x = maps(2, 9, side=6)
    expected = x.reshape(2, 3, 3, 2, 3, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(regrid(x, 3), expected, atol=1e-6)


def test_what_cannot_be_shifted_is_refused() -> None:
    with pytest.raises(MatchError, match="channels"):
        dense_scores(maps(2, 0, 5), maps(2, 0, 6), 1)
    with pytest.raises(MatchError, match="several cells"):
        fit_maps(maps(2, 0, 1), maps(2, 0, 1))
