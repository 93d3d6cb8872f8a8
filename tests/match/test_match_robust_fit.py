"""Robust fits against planted transforms and outliers."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from crosslook.match.kernels_ncc import agreements
from crosslook.match.robust_fit import MINIMUM, fit_robust, magsac_weight
from crosslook.match.settings import Model
from crosslook.match.transform import Transform, grid_points, mean_distance, similarity

GRID = grid_points(512, 512)
MODELS: tuple[Model, ...] = get_args(Model)


def planted(model: str) -> Transform:
    if model == "shift":
        return similarity((5.0, -7.0))
    rotated = similarity((5.0, -7.0), 1.5, 1.01, (256, 256)).matrix.copy()
    if model in ("affine", "homography", "tps"):
        rotated[0, 1] += 0.01
    if model == "homography":
        rotated[2, 1] = 2e-5
    return Transform(rotated, "homography")


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_recovered_from_half_outliers(model: Model) -> None:
    rng = np.random.default_rng(1)
    truth = planted(model)
    source = rng.uniform(0, 512, (120, 2))
    target = truth(source) + rng.normal(0, 0.3, (120, 2))
    target[::2] += rng.uniform(-60, 60, (60, 2))
    fit = fit_robust(source, target, model, 3.0)
    assert fit is not None
    assert mean_distance(fit.transform, truth, GRID) < (1.0 if model == "tps" else 0.4)
    assert fit.inlier[1::2].mean() > 0.95
    assert fit.residual < 1.5
    assert fit.transform.model == model


def test_the_same_seed_gives_the_same_fit() -> None:
    rng = np.random.default_rng(2)
    source, target = rng.uniform(0, 512, (2, 90, 2))
    one, two = (fit_robust(source, target, "similarity", seed=5) for _ in range(2))
    assert (one is None) == (two is None)
    if one is not None and two is not None:
        np.testing.assert_array_equal(one.transform.matrix, two.transform.matrix)


@pytest.mark.parametrize("model", MODELS)
def test_too_few_points_give_no_fit(model: Model) -> None:
    few = np.random.default_rng(0).uniform(0, 99, (MINIMUM[model] - 1, 2))
    assert fit_robust(few, few, model) is None


def test_a_mirrored_image_is_not_a_match() -> None:
    source = np.random.default_rng(0).uniform(0, 512, (50, 2))
    assert fit_robust(source, source[:, ::-1], "affine") is None


def test_magsac_weight_falls_from_one_to_zero_at_the_threshold() -> None:
    weight = magsac_weight(np.array([0.0, 1.0, 2.0, 3.0, 9.0]), 3.0)
    assert weight[0] == pytest.approx(1.0)
    assert (np.diff(weight) <= 0).all()
    assert weight[3] == pytest.approx(0.0, abs=1e-12)
    assert weight[4] == 0.0


def test_agreement_is_the_sum_of_weights_over_all_points() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(0.0, 40.0, (2, 60)) + 1j * rng.normal(0.0, 40.0, (2, 60))
    turned = 1.0 + rng.normal(0.0, 0.05, 30) + 1j * rng.normal(0.0, 0.05, 30)
    factor = np.asarray(turned, np.complex128)
    target[:40] = source[:40] * 1.01 + 3.0 + rng.normal(0.0, 1.0, 40)
    moved, weight = 3.0 + rng.normal(0.0, 1.0, 30), rng.uniform(0.1, 2.0, 60)
    shift = np.asarray(moved, np.complex128)
    table = magsac_weight(np.linspace(0.0, 8.0, 1025), 8.0)
    summed = agreements((factor, shift), (source, target, weight), 8.0, table)
    distance = np.abs(factor[:, None] * source + shift[:, None] - target)
    expected = (magsac_weight(distance, 8.0) * weight).sum(axis=1)
    assert expected.max() > 5.0
    np.testing.assert_allclose(summed, expected, atol=1e-4)
