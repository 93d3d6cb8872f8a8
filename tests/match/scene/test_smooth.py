"""The smooth surface of a scene against the plain solution of its equations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from crosslook.match.scene.smooth import Smoothness, Surface
from crosslook.types import Array

SHAPE = (24, 30)  # of fast transforms, so that no row is added


def solved(surface: Surface, values: Array, precision: Array) -> Array:
    """By the whole matrix: prior and data, each value an unknown."""
    count = values.size
    waves = fft.dctn(np.eye(count).reshape(count, *SHAPE), axes=(1, 2), norm="ortho")
    cosines = waves.reshape(count, count)
    prior = cosines @ np.diag(surface.spectrum.ravel()) @ cosines.T
    right = (precision * values).ravel()
    return np.asarray(np.linalg.solve(prior + np.diag(precision.ravel()), right)).reshape(SHAPE)


def data(silent: float) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    rows, cols = np.indices(SHAPE)
    values = 5.0 * np.sin(rows / 5.0) + 0.2 * cols + rng.normal(0.0, 0.3, SHAPE)
    precision = rng.uniform(0.5, 8.0, SHAPE)
    precision[:, : round(silent * SHAPE[1])] = 0.0
    return values, precision


@pytest.mark.parametrize("length", [4.0, 12.0, 60.0])
@pytest.mark.parametrize("silent", [0.0, 0.6])
def test_it_is_the_solution_of_the_whole_system(length: float, silent: float) -> None:
    values, precision = data(silent)
    surface = Surface.on(SHAPE, Smoothness(length, 4.0))
    found = surface.fit(values, precision, tolerance=1e-7)
    assert np.abs(found - solved(surface, values, precision)).max() < 1e-3


def test_a_guess_changes_nothing() -> None:
    values, precision = data(0.4)
    surface = Surface.on(SHAPE, Smoothness(8.0, 4.0))
    plain = surface.fit(values, precision, tolerance=1e-7)
    begun = surface.fit(values, precision, np.full(SHAPE, 7.0), tolerance=1e-7)
    assert np.abs(begun - plain).max() < 1e-3


def test_the_usual_tolerance_carries_values_into_what_is_silent() -> None:
    values, precision = data(0.6)
    surface = Surface.on(SHAPE, Smoothness(60.0, 4.0))
    assert np.abs(surface.fit(values, precision) - solved(surface, values, precision)).max() < 0.05


def test_a_lattice_of_any_size_is_level_without_values() -> None:
    shape = (23, 31)  # no fast transforms
    surface = Surface.on(shape, Smoothness(6.0, 4.0))
    assert surface.spectrum.shape[0] > 23
    assert not surface.fit(np.ones(shape), np.zeros(shape)).any()
    values = np.tile(np.arange(31.0), (23, 1))
    found = surface.fit(values, np.full(shape, 100.0))
    assert found.shape == shape
    assert np.abs(found - values)[2:-2, 2:-2].max() < 0.05
