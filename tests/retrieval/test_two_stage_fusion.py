"""Fusion of extractors: exact scores, weights that know what helps."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from crosslook.errors import CalibrationError, InputError
from crosslook.retrieval.compare import fusion as fusion_weights
from crosslook.retrieval.compare.fusion import (
    FusedScores,
    Fusion,
    Member,
    fit_fusions,
    fit_weights,
)
from crosslook.retrieval.compare.similarity import Ranks, fit_scoring, normalise, rank
from crosslook.types import DIRECTIONS, Direction

SCENES = np.repeat([f"s{i:02}" for i in range(20)], 10)
FIT, MEASURED = np.arange(60), np.arange(60, 200)


def member(seed: int, noise: float, width: int = 24) -> Member:
    """Descriptors that agree up to ``noise``; infinite noise knows nothing."""
    rng = np.random.default_rng(seed)
    place, first, second = rng.normal(size=(3, len(SCENES), width))
    if np.isinf(noise):
        place, noise = 0 * place, 1.0
    sar, optical = (normalise((place + noise * n).astype(np.float32)) for n in (first, second))
    return Member(f"m{seed}", sar, optical)


def fused_ranks(fused: Fusion) -> Ranks:
    [[ranks]] = rank(FusedScores([fused], MEASURED), np.arange(len(MEASURED)))
    return ranks


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_fusion_of_two_is_better_than_either(direction: Direction) -> None:
    members = [member(0, 1.3), member(1, 1.3)]
    _, fused = fit_fusions(members, FIT, SCENES, direction=direction)
    alone = []
    for one in members:
        queries, gallery = one.sides(direction)
        offsets = fit_scoring("csls", queries[FIT], gallery[FIT]).offsets(
            queries[MEASURED], gallery[MEASURED]
        )
        scores = 2 * queries[MEASURED] @ gallery[MEASURED].T
        scores -= offsets.query[:, None] + offsets.gallery
        alone.append((scores.argmax(axis=1) == np.arange(len(MEASURED))).mean())
    assert (fused_ranks(fused).rank == 1).mean() > max(alone) + 0.1
    assert fused.name == "m0+m1"


def test_a_member_that_knows_nothing_gets_next_to_no_weight() -> None:
    members = [member(0, 1.0), member(1, np.inf), member(2, 1.0), member(3, np.inf)]
    equal, fused = fit_fusions(members, FIT, SCENES)
    assert fused.weights.sum() == pytest.approx(1.0)
    assert fused.weights[[1, 3]].max() < 0.06
    assert fused.weights[[0, 2]].min() > 0.3
    np.testing.assert_allclose(equal.weights, 0.25)
    fitted, plain = ((fused_ranks(f).rank == 1).mean() for f in (fused, equal))
    assert fitted > plain


def test_units_of_a_member_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    noisy = (np.eye(30) * 3 + rng.normal(size=(30, 30)) for _ in range(2))
    base = [one.astype(np.float32) for one in noisy]
    members = [member(5, 1.0), member(6, 1.0)]
    (fused,) = fit_fusions(members, FIT, SCENES, weights=("equal",), scoring="cosine")
    expected = np.zeros((len(MEASURED), len(MEASURED)))
    for one in members:
        known = one.sar[FIT] @ one.optical[FIT].T
        unit = known[~np.eye(len(FIT), dtype=bool)].std()
        expected += 0.5 / unit * one.sar[MEASURED] @ one.optical[MEASURED].T
    (rows, [block]), *more = FusedScores([fused], MEASURED).blocks(slice(0, len(MEASURED)))
    assert not more
    assert rows == slice(0, len(MEASURED))
    np.testing.assert_allclose(block, expected, atol=1e-3)
    assert fit_weights(base).sum() == pytest.approx(1)


def test_small_blocks_give_the_same_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fused = fit_fusions([member(0, 1.3), member(1, 1.3)], FIT, SCENES)
    whole = fused_ranks(fused)
    monkeypatch.setattr("crosslook.retrieval.compare.similarity.MOST_ROWS", 9)
    scores = FusedScores([fused], MEASURED)
    assert len(list(scores.blocks(slice(0, len(MEASURED))))) == 16
    parts = fused_ranks(fused)
    np.testing.assert_array_equal(whole.rank, parts.rank)
    np.testing.assert_array_equal(whole.top_indices, parts.top_indices)


def test_the_slope_of_the_loss_is_its_derivative() -> None:
    stack = np.random.default_rng(0).normal(size=(3, 12, 12))
    at = np.array([0.3, 1.1, 0.6])
    slope = fusion_weights._loss(at, stack)[1]
    numeric = approx_fprime(at, lambda w: fusion_weights._loss(w, stack)[0])
    np.testing.assert_allclose(slope, numeric, atol=1e-5)


def test_where_nothing_is_known_weights_stay_equal() -> None:
    reversed_truth = -np.eye(20, dtype=np.float32) * 5
    np.testing.assert_allclose(fit_weights([reversed_truth, reversed_truth]), 0.5)


def test_unfit_fusions_are_refused() -> None:
    one, two = member(0, 1.0), member(1, 1.0)
    with pytest.raises(InputError, match="same patches"):
        fit_fusions([one, Member("x", two.sar[:5], two.optical[:5])], FIT, SCENES)
    with pytest.raises(CalibrationError, match="two"):
        fit_fusions([one, two], FIT[:10], SCENES)
