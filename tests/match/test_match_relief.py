"""Relief is told from a shift and from scatter."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.match.relief import is_consistent, measure_relief


def _points(degrees: float, reach: float, wrong: int = 0, seed: int = 0) -> np.ndarray:
    """120 displacements on a line through (3, -2), evenly to ``reach``; ``wrong`` are scattered."""
    rng = np.random.default_rng(seed)
    along = np.linspace(-reach, reach, 120)
    line = np.array([np.sin(np.radians(degrees)), np.cos(np.radians(degrees))])
    points: np.ndarray = (
        np.array([3.0, -2.0]) + along[:, None] * line + rng.normal(0, 0.5, (120, 2))
    )
    points[rng.permutation(120)[:wrong]] = rng.uniform(-24, 24, (wrong, 2))
    return points


@pytest.mark.parametrize("degrees", [0.0, 13.0, 90.0, 171.0])
@pytest.mark.parametrize("wrong", [0, 40])
def test_line_and_extent_are_recovered(degrees: float, wrong: int) -> None:
    relief = measure_relief(_points(degrees, 10.0, wrong))
    assert relief is not None
    apart = abs((relief.degrees - degrees + 90.0) % 180.0 - 90.0)
    assert apart <= 6.0
    assert relief.extent == pytest.approx(16.0, rel=0.15)  # 10 to 90 % of -10..10


def test_one_shift_has_no_direction() -> None:
    relief = measure_relief(_points(30.0, 0.5))
    assert relief is not None
    assert relief.extent < 3.0
    assert np.isnan(relief.degrees)


def test_scatter_and_too_few_points_are_no_relief() -> None:
    scatter = np.random.default_rng(1).uniform(-24, 24, (200, 2))
    assert measure_relief(scatter) is None
    assert measure_relief(_points(0.0, 10.0)[:11]) is None


def test_many_points_are_measured_as_few_are() -> None:
    few = measure_relief(_points(13.0, 10.0))
    many = measure_relief(np.concatenate([_points(13.0, 10.0, seed=n) for n in range(20)]))
    assert few is not None
    assert many is not None
    assert many.extent == pytest.approx(few.extent, rel=0.05)
    assert many.degrees == pytest.approx(few.degrees, abs=3.0)


@pytest.mark.parametrize("wrong", [0.3, 0.5])
def test_wrong_points_near_a_flat_match_are_no_relief(wrong: float) -> None:
    """The last pass of a match looks 12 px far: its wrong points lie all around within that."""
    rng = np.random.default_rng(3)
    position = np.stack(np.meshgrid(np.arange(9) * 24.0, np.arange(9) * 24.0), -1).reshape(-1, 2)
    displacement = rng.normal(0.0, 0.7, position.shape)
    astray = rng.uniform(size=len(position)) < wrong
    displacement[astray] = rng.uniform(-10.5, 10.5, (int(astray.sum()), 2))
    kept = is_consistent(position, displacement)
    assert kept[~astray].mean() > 0.75
    assert kept[astray].mean() < 0.25
    relief = measure_relief(displacement[kept])
    assert relief is not None
    assert relief.extent < 5.0
    assert not is_consistent(position[:5], displacement[:5]).any()
