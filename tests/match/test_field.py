"""A field follows smooth displacements, ignores noise, and says the same however it is asked."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.match.field import (
    FLAT,
    Smoothness,
    _left_out,
    choose_smoothness,
    covariance,
    fit_field,
)
from crosslook.types import Array

ALONG_COLUMNS = np.array([[0.0, 1.0], [1.0, 0.0]])


def wave(points: Array) -> Array:
    """Displacements (n, 2) along the columns."""
    return np.column_stack([np.zeros(len(points)), 8 * np.sin(points[:, 1] / 40)])


def test_a_field_follows_a_wave_and_is_level_away_from_points() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 400, (300, 2))
    noise = rng.normal(0, 0.5, (300, 2))
    field = fit_field(points, wave(points) + noise, ALONG_COLUMNS, 40.0)
    inside = rng.uniform(40, 360, (200, 2))
    off = field(inside) - wave(inside)
    assert np.median(np.linalg.norm(off, axis=1)) < 0.8
    assert np.abs(field(np.array([[5000.0, 5000.0]]))).max() < 1e-6


def test_many_positions_are_displaced_as_few_are() -> None:
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 800, (1500, 2))
    field = fit_field(points, wave(points), ALONG_COLUMNS, 60.0)
    asked = np.concatenate([rng.uniform(-100, 900, (3000, 2)), [[9000.0, 0.0], [0.0, -9000.0]]])
    few = np.concatenate([field(part) for part in np.array_split(asked, 60)])
    off = np.abs(field(asked) - few)
    assert off.mean() < 0.05
    assert off.max() < 0.5
    assert np.abs(few).max() > 7.0


@pytest.mark.parametrize("count", [200, 1000])
def test_noise_gets_no_field(count: int) -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 400 * np.sqrt(count / 200), (count, 2))
    values = np.column_stack([rng.normal(0, 1, count), 6 * np.sin(points[:, 0] / 60)])
    across, along = choose_smoothness(points, values, 48.0)
    assert across == FLAT
    assert isinstance(along, Smoothness)
    assert along != FLAT


def test_blocks_that_are_left_out_are_predicted_by_the_others() -> None:
    rng = np.random.default_rng(3)
    points, values = rng.uniform(0, 200, (60, 2)), rng.normal(0, 2, (60, 2)).astype(np.float32)
    whole = covariance(points, points, 50.0)
    blocks = [slice(0, 25), slice(25, 60)]
    errors = _left_out(whole, 0.1, values, blocks)
    for out, kept in (blocks, blocks[::-1]):
        system = whole[kept, kept] + 0.1 * np.eye(kept.stop - kept.start)
        predicted = whole[out, kept] @ np.linalg.solve(system, values[kept])
        assert np.abs(errors[out] - (values[out] - predicted)).max() < 1e-3
