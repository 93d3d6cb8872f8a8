"""Perturbations do what they say, and nothing at their first level."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.errors import InputError
from crosslook.retrieval.measure.perturbations import PERTURBATIONS, centre, speckle


def blob(row: float, col: float, side: int) -> np.ndarray:
    """A smooth spot at a position (row, col) of an image (1, 3, side, side)."""
    at = np.arange(side) + 0.5
    spot = np.exp(-((at[:, None] - row) ** 2 + (at[None, :] - col) ** 2) / (2 * 3.0**2))
    return np.repeat(spot[None, None], 3, axis=1).astype(np.float32)


def place(image: np.ndarray) -> np.ndarray:
    """Centre of mass (row, col) of a spot."""
    at = np.arange(image.shape[-1]) + 0.5
    mass = image[0, 0].astype(float)
    moments = np.array([(mass.sum(1) * at).sum(), (mass.sum(0) * at).sum()])
    centre: np.ndarray = moments / mass.sum()
    return centre


@pytest.mark.parametrize("name", list(PERTURBATIONS))
def test_the_first_level_changes_nothing_and_each_other_does(name: str) -> None:
    perturbation = PERTURBATIONS[name]
    context = np.random.default_rng(0).random((2, 3, 128, 128), np.float32)
    for level in perturbation.levels:
        out = perturbation.apply(context, 48, level, np.random.default_rng(1))
        assert out.shape == (2, 3, 48, 48)
        assert out.dtype == np.float32
        assert out.min() >= 0
        assert out.max() <= 1
        same = np.array_equal(out, centre(context, 48))
        assert same == (level == perturbation.levels[0]), level


@settings(max_examples=20, deadline=None)
@given(level=st.integers(0, 32), seed=st.integers(0, 1000))
def test_offset_moves_by_its_length(level: int, seed: int) -> None:
    context = blob(64.0, 64.0, 128)
    out = PERTURBATIONS["offset"].apply(context, 64, level, np.random.default_rng(seed))
    peak = np.array(np.unravel_index(out[0, 0].argmax(), out.shape[2:])) - 31.5
    assert abs(np.hypot(*peak) - level) <= 1.5


@settings(max_examples=20, deadline=None)
@given(level=st.floats(0.5, 20), seed=st.integers(0, 1000))
def test_rotation_is_about_the_centre(level: float, seed: int) -> None:
    context = blob(64.0, 64.0 + 16.0, 128)
    out = PERTURBATIONS["rotation"].apply(context, 64, level, np.random.default_rng(seed))
    row, col = place(out) - 32
    assert math.hypot(row, col) == pytest.approx(16.0, abs=0.1)
    assert abs(math.degrees(math.atan2(row, col))) == pytest.approx(level, abs=0.3)


def test_scale_shows_more_or_less_ground() -> None:
    context = np.concatenate([blob(64.0, 64.0 + 16.0, 128)] * 40)
    out = PERTURBATIONS["scale"].apply(context, 64, 1.2, np.random.default_rng(0))
    far = {round(float(place(image[None])[1] - 32), 1) for image in out}
    assert far == {round(16 / 1.2, 1), round(16 * 1.2, 1)}


@pytest.mark.parametrize("looks", [2.0, 16.0])
def test_speckle_has_its_looks(looks: float) -> None:
    flat = np.full((1, 3, 256, 256), 0.2, np.float32)
    rng = np.random.default_rng(0)
    power = (speckle().apply(flat, 256, looks, rng)[0, 0] / 0.2).astype(float) ** 2
    assert power.mean() ** 2 / power.var() == pytest.approx(looks, rel=0.05)
    logged = (
        speckle("log", 0.0, 40.0).apply(flat + np.float32(0.4), 256, looks, rng)[0, 0].astype(float)
    )
    power = 10 ** ((logged - 0.6) * 40 / 10)
    assert power.mean() ** 2 / power.var() == pytest.approx(looks, rel=0.05)


def test_too_little_context_is_refused() -> None:
    context = np.zeros((1, 3, 70, 70), np.float32)
    with pytest.raises(InputError, match="8 px are needed"):
        PERTURBATIONS["offset"].apply(context, 64, 8, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["rotation", "scale", "offset"])
def test_the_stated_margin_suffices(name: str) -> None:
    perturbation = PERTURBATIONS[name]
    for level in perturbation.levels:
        margin = perturbation.margin(64, level)
        context = np.ones((20, 3, 64 + 2 * margin, 64 + 2 * margin), np.float32)
        out = perturbation.apply(context, 64, level, np.random.default_rng(0))
        assert out.min() > 0.999, "a border was invented"
