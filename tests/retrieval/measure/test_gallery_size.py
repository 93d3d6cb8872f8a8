"""Recall over the gallery size: exact below, a checked model above."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from crosslook.retrieval.measure.robustness import (
    fit_beta_binomial,
    gallery_curve,
    subsampled,
)


@pytest.mark.parametrize("beaten", range(6))
def test_subsampling_is_the_mean_over_all_sub_galleries(beaten: int) -> None:
    impostors = [1] * beaten + [0] * (6 - beaten)
    for size in range(2, 8):
        drawn = [not any(chosen) for chosen in combinations(impostors, size - 1)]
        assert subsampled(np.array([beaten]), 7, size)[0] == pytest.approx(np.mean(drawn))


def test_rows_are_marked_and_fall_with_the_size() -> None:
    rng = np.random.default_rng(0)
    ranks = 1 + rng.binomial(499, rng.beta(0.2, 40, 400))
    curve = list(gallery_curve(ranks, 500))
    assert [(name, size) for name, size, _ in curve] == [
        *(("recall@1/gallery", k) for k in (10, 30, 100, 300, 500)),
        *(("recall@1/gallery-extrapolated", k) for k in (1_000, 10_000, 100_000, 1_000_000)),
    ]
    recalls = [values.mean() for _, _, values in curve]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[4] == np.mean(ranks == 1)


@pytest.mark.parametrize("parameters", [(0.2, 40.0), (0.5, 200.0), (0.1, 5.0)])
def test_the_model_foretells_galleries_twenty_times_as_large(
    parameters: tuple[float, float],
) -> None:
    rng = np.random.default_rng(1)
    chance = rng.beta(*parameters, 4000)
    seen = rng.binomial(499, chance)
    later = seen + rng.binomial(9500, chance)
    model = fit_beta_binomial(seen, 499)
    foretold = np.mean(seen == 0) * model.survival(499, 9500)
    assert foretold == pytest.approx(np.mean(later == 0), abs=0.03)


def test_perfect_ranks_stay_finite() -> None:
    recalls = [values.mean() for _, _, values in gallery_curve(np.ones(50, int), 50)]
    assert recalls[0] == 1.0
    assert all(0 < recall <= 1 for recall in recalls)
    assert list(gallery_curve(np.ones(1, int), 1)) == []
