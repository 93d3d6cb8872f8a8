"""The single measures, against other libraries and values worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from crosslook.retrieval.measure.gap import occurrences
from crosslook.retrieval.measure.resampling import jackknife
from crosslook.retrieval.measure.structure import (
    agreement,
    cosine_distances,
    effective_rank,
    heat_map,
    joint_labels,
    mean_cosine,
    pair_scatter,
    principal_scores,
    scatter_ratio,
    silhouettes,
    unevenness,
)


def test_silhouettes_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    labels = rng.integers(0, 6, 60)
    labels[7] = 99  # one that occurs once
    expected = silhouette_samples(x, labels, metric="cosine")
    np.testing.assert_allclose(silhouettes(cosine_distances(x), labels), expected, atol=1e-5)


def rank_of(rows: np.ndarray) -> float:
    return effective_rank(rows.astype(np.float64) @ rows.T)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_equal_singular_values_have_their_count_as_effective_rank(rank: int) -> None:
    axes = np.vstack([np.eye(rank, 9), -np.eye(rank, 9)])
    assert rank_of(axes) == pytest.approx(rank, rel=1e-6)


def test_effective_rank_of_unequal_values_by_hand() -> None:
    x = np.diag([3.0, 1.0])
    p = np.array([0.75, 0.25])
    assert rank_of(np.vstack([x, -x])) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert rank_of(np.ones((5, 3))) == 0.0


def test_anisotropy_leaves_the_item_itself_out() -> None:
    x = np.array([[1, 0], [1, 0], [0, 1]], np.float64)
    assert mean_cosine(x) == pytest.approx(1 / 3)  # one pair agrees, two do not


def test_the_fisher_ratio_of_three_pairs_worked_by_hand() -> None:
    # On the circle: partners 0.2 radians apart, places a third of a turn apart.
    angle = np.arange(3) * 2 * np.pi / 3
    sar = np.column_stack([np.cos(angle - 0.1), np.sin(angle - 0.1)]).astype(np.float32)
    optical = np.column_stack([np.cos(angle + 0.1), np.sin(angle + 0.1)]).astype(np.float32)
    between = 2 * 3 * np.cos(0.1) ** 2 / 2
    within = (2 * np.sin(0.1)) ** 2 / 2
    ratio = scatter_ratio(*pair_scatter(sar, optical))
    assert ratio == pytest.approx(between / within, rel=1e-4)


def test_agreement_by_hand() -> None:
    scores = agreement(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1]))
    assert scores["purity"] == pytest.approx(5 / 6)
    # 7 of the pairs agree together or apart beyond chance: (4 - 42/15) / (6.5 - 42/15)
    assert scores["ari"] == pytest.approx((4 - 42 / 15) / (6.5 - 42 / 15))
    assert agreement(np.array([5, 5, 2, 2]), np.array([0, 0, 1, 1]))["nmi"] == pytest.approx(1)


def test_a_hub_is_seen() -> None:
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(40, 6)).astype(np.float32) + 3
    gallery = rng.normal(size=(40, 6)).astype(np.float32)
    gallery[5] = 3.0  # the centre of the queries
    assert occurrences(queries, gallery, 1)[5] > 30
    assert unevenness(queries, queries, 1).mean() == 0.0
    assert unevenness(queries, gallery, 1).mean() > 0.7


def test_principal_axes_agree_for_wide_and_tall_matrices() -> None:
    x = np.random.default_rng(2).normal(size=(30, 8)).astype(np.float32)
    wide = np.hstack([x, np.zeros((30, 40), np.float32)])
    np.testing.assert_allclose(principal_scores(x), principal_scores(wide)[:, :8], atol=1e-4)


def test_heat_map_blocks_are_means_of_cosines() -> None:
    rng = np.random.default_rng(3)
    sar = rng.normal(size=(23, 4)).astype(np.float32)
    optical = rng.normal(size=(23, 4)).astype(np.float32)
    labels = rng.integers(0, 3, 23)
    full = heat_map(sar, optical, labels, "scene")
    small = heat_map(sar, optical, labels, "scene", side=5)
    starts = np.arange(5) * 23 // 5
    edges = np.append(starts, 23)
    for i in range(5):
        for j in range(5):
            block = full.values[edges[i] : edges[i + 1], edges[j] : edges[j + 1]]
            assert small.values[i, j] == pytest.approx(block.mean(), abs=1e-6)
    assert np.all(np.diff(labels[full.order]) >= 0)


def test_labels_that_repeat_the_scene_are_left_out() -> None:
    scenes = ["a", "a", "b", "b"]
    assert set(joint_labels(scenes, ["x", "x", "y", "y"])) == {"modality", "unit"}
    assert set(joint_labels(scenes, ["x", "y", "x", "y"])) == {"modality", "unit", "label"}
    assert set(joint_labels(["a"] * 4)) == {"modality"}


def test_jackknife_of_a_mean_has_the_known_error() -> None:
    values = np.random.default_rng(4).normal(size=10)
    estimate = jackknife(lambda items: float(values[items].mean()), np.arange(10), 0)
    error = values.std(ddof=1) / math.sqrt(10)
    assert estimate.high - estimate.value == pytest.approx(2.2621572 * error, rel=1e-6)
    alone = jackknife(lambda items: float(values[items].mean()), np.zeros(10), 0)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
