"""Pooling, calibration, scoring and ranks against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.errors import CalibrationError, InputError, SettingError
from crosslook.retrieval.compare import similarity
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.compare.similarity import best_of, fit_scoring, normalise, rank_partners
from crosslook.types import FeatureMap


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_poolings_of_a_map_worked_by_hand() -> None:
    values = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    features = FeatureMap(values, 8.0, np.array([[7.0]], np.float32))
    assert pool(features, "flatten").tolist() == [list(range(16))]
    assert pool(features, "mean").tolist() == [[7.5]]
    assert pool(features, "grid:2").tolist() == [[2.5, 4.5, 10.5, 12.5]]
    assert pool(features, "grid:1").tolist() == [[7.5]]
    assert pool(features, "vector").tolist() == [[7.0]]
    assert pool(features, "gem")[0, 0] == pytest.approx((values**3).mean() ** (1 / 3))
    assert pool(features, "gem:1")[0, 0] == pytest.approx(7.5)


def test_a_grid_shares_cells_by_area() -> None:
    values = np.array([[[[1.0, 2.0, 4.0]]]], np.float32).repeat(3, axis=2)
    pooled = pool(FeatureMap(values, 1.0), "grid:2")
    assert pooled.reshape(2, 2)[0] == pytest.approx([(1 + 1) / 1.5, (1 + 4) / 1.5])


@pytest.mark.parametrize(
    "bad", ["flat", "grid:9", "grid:1.5", "grid:x", "gem:-1", "vector", "grid"]
)
def test_poolings_of_no_use_are_refused(bad: str) -> None:
    with pytest.raises(SettingError):
        pool(FeatureMap(random((2, 3, 4, 4)), 1.0), bad)


def test_centring_removes_a_planted_shift() -> None:
    places = random((200, 30))
    sar, optical = places + 5, places - 3
    calibration = fit_calibration("center", sar, optical)
    moved = calibration.apply(sar, "sar") - calibration.apply(optical, "optical")
    assert np.abs(moved).max() < 1e-4


def test_standardizing_removes_a_planted_scale_and_a_constant_dimension() -> None:
    sar = random((300, 6)) * np.array([1, 10, 100, 0.1, 1, 0]) + 4
    sar = sar.astype(np.float32)
    out = fit_calibration("standardize", sar, sar).apply(sar, "sar")
    np.testing.assert_allclose(out[:, :5].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(out[:, :5].std(axis=0), 1, rtol=1e-3)
    assert np.abs(out[:, 5]).max() == 0


@pytest.mark.parametrize("shape", [(400, 20), (15, 40)])
def test_whitening_equals_the_dense_formula(shape: tuple[int, int]) -> None:
    x = random(shape) @ random((shape[1], shape[1]), 1)
    centred = (x - x.mean(axis=0)).astype(np.float64)
    covariance = centred.T @ centred / len(x)
    shrunk = 0.9 * covariance + 0.1 * np.trace(covariance) / shape[1] * np.eye(shape[1])
    values, vectors = np.linalg.eigh(shrunk)
    expected = centred @ vectors @ np.diag(values**-0.5) @ vectors.T
    got = fit_calibration("whiten", x, x, shrinkage=0.1).apply(x, "sar")
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_whitening_with_little_shrinkage_gives_the_identity() -> None:
    x = random((2000, 5)) @ random((5, 5), 2)
    out = fit_calibration("whiten", x, x, shrinkage=1e-6).apply(x, "sar")
    np.testing.assert_allclose(np.cov(out.T), np.eye(5), atol=0.01)


def test_modalities_are_fitted_apart() -> None:
    sar, optical = random((50, 4)), random((50, 4), 1) + 9
    calibration = fit_calibration("center", sar, optical)
    assert np.abs(calibration.apply(optical, "sar").mean()) > 5


def test_calibrations_of_no_use_are_refused() -> None:
    x = random((5, 4))
    with pytest.raises(SettingError, match="Did you mean 'center'"):
        fit_calibration("centre", x, x)
    with pytest.raises(CalibrationError):
        fit_calibration("center", x[:1], x)
    with pytest.raises(CalibrationError):
        fit_calibration("center", np.ones((5, 4), np.float32), x)
    with pytest.raises(CalibrationError, match="NaN"):
        fit_calibration("center", np.full((5, 4), np.nan, np.float32), x)
    with pytest.raises(SettingError):
        fit_calibration("whiten", x, x, shrinkage=0.0)


def test_csls_equals_the_formula() -> None:
    query, gallery = normalise(random((7, 5))), normalise(random((9, 5), 1))
    bank_q, bank_g = normalise(random((6, 5), 2)), normalise(random((8, 5), 3))
    offsets = fit_scoring("csls", bank_q, bank_g, neighbours=3).offsets(query, gallery)
    near_q = np.sort(query @ bank_g.T, axis=1)[:, -3:].mean(axis=1)
    near_g = np.sort(gallery @ bank_q.T, axis=1)[:, -3:].mean(axis=1)
    expected = 2 * query @ gallery.T - near_q[:, None] - near_g[None]
    [(_, got)] = similarity.similarity_blocks(query, gallery, offsets)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_inverted_softmax_equals_the_formula() -> None:
    query, gallery = normalise(random((7, 5))), normalise(random((9, 5), 1))
    bank = normalise(random((6, 5), 2))
    offsets = fit_scoring("inverted-softmax", bank, bank, temperature=0.1).offsets(query, gallery)
    total = np.exp(bank @ gallery.T / 0.1).sum(axis=0)
    expected = query @ gallery.T / 0.1 - np.log(total)[None]
    [(_, got)] = similarity.similarity_blocks(query, gallery, offsets)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_scorings_of_no_use_are_refused() -> None:
    x = normalise(random((4, 3)))
    with pytest.raises(SettingError, match="csls"):
        fit_scoring("csl", x, x)
    with pytest.raises(CalibrationError):
        fit_scoring("csls", x[:0], x)
    with pytest.raises(SettingError):
        fit_scoring("inverted-softmax", x, x, temperature=float("nan"))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5), st.integers(1, 2000))
def test_ranks_equal_a_sorted_list(queries: int, items: int, seed: int, block: int) -> None:
    # Small whole numbers make many exact ties.
    rng = np.random.default_rng(seed)
    query = rng.integers(-2, 3, (queries, 3)).astype(np.float32)
    gallery = rng.integers(-2, 3, (items, 3)).astype(np.float32)
    partner = rng.integers(0, items, queries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "BLOCK_SCORES", block)
        ranks = rank_partners(query, gallery, partner, top=5)
    scores = query @ gallery.T
    for row in range(queries):
        own = scores[row, partner[row]]
        assert ranks.rank[row] == (scores[row] >= own).sum()
        assert ranks.partner_score[row] == own
        order = sorted(range(items), key=lambda j: (-scores[row, j], j))[:5]
        assert ranks.top_indices[row].tolist() == order


def test_tolerant_ranks_let_neighbours_count_and_stand_aside() -> None:
    query = np.eye(4, dtype=np.float32)[:1]
    gallery = np.array([[0.9, 0, 0, 0], [0.8, 0, 0, 0], [0.7, 0, 0, 0], [0.1, 0, 0, 0]], np.float32)
    plain = rank_partners(query, gallery, np.array([2]))
    tolerant = rank_partners(query, gallery, np.array([2]), accept=[np.array([1, 2])])
    assert plain.rank.tolist() == [3]
    assert tolerant.rank.tolist() == [2]


def test_best_of_breaks_ties_by_index() -> None:
    scores = np.array([[1, 3, 3, 2, 3], [0, 0, 0, 0, 0]], np.float32)
    indices, values = best_of(scores, 2)
    assert indices.tolist() == [[1, 2], [0, 1]]
    assert values.tolist() == [[3, 3], [0, 0]]
    assert best_of(scores, 5)[0][0].tolist() == [1, 2, 4, 3, 0]


def test_blocks_give_the_same_bits() -> None:
    query, gallery = normalise(random((100, 64))), normalise(random((80, 64), 1))
    one = rank_partners(query, gallery, np.arange(80).repeat(2)[:100])
    two = rank_partners(query, gallery, np.arange(80).repeat(2)[:100])
    assert np.array_equal(one.top_scores, two.top_scores)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError):
        rank_partners(random((2, 3)), random((2, 4)), np.arange(2))
    with pytest.raises(InputError):
        rank_partners(random((2, 3)), random((0, 3)), np.arange(2))
