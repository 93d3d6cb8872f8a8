"""Gap, retrieval and intervals against values worked by hand or another library."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from scipy.stats import t as t_distribution
from sklearn.metrics import roc_auc_score

from crosslook.retrieval.compare.similarity import normalise
from crosslook.retrieval.measure.base import Pairs
from crosslook.retrieval.measure.gap import (
    Gap,
    Grams,
    linear_cka,
    mutual_nearest,
    pair_histograms,
    probe_accuracy,
    relative_gap,
    skewness,
)
from crosslook.retrieval.measure.resampling import (
    bootstrap_fraction,
    bootstrap_mean,
    bootstrap_median,
    jackknife,
    pool_splits,
)
from crosslook.retrieval.measure.retrieval import (
    Ranking,
    Retrieval,
    accepted_neighbours,
    chance_beyond,
    chance_median,
    chance_mrr,
    match_curve,
)
from crosslook.types import Estimate, Metric, Patch, Window


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def grams(sar: np.ndarray, optical: np.ndarray) -> Grams:
    return Grams(sar @ sar.T, sar @ optical.T, optical @ optical.T)


def measured(sar: np.ndarray, optical: np.ndarray, per_cluster: int = 5) -> dict[str, Metric]:
    clusters = np.arange(len(sar)) // per_cluster
    return {m.metric: m for m in Gap()(Pairs(sar, optical, clusters, 0, draws=200))}


def gap_of(sar: np.ndarray, optical: np.ndarray) -> dict[str, Estimate]:
    return {name: metric.estimate for name, metric in measured(sar, optical).items()}


def ranked(
    ranks: np.ndarray, clusters: np.ndarray, n_gallery: int, accepted: np.ndarray | None = None
) -> list[Metric]:
    tolerant = accepted is not None
    view = Ranking(ranks, clusters, n_gallery, "sar->optical", 0, 200, accepted, tolerant)
    return Retrieval()(view)


def test_retrieval_worked_by_hand() -> None:
    ranks = np.array([1, 2, 1, 60, 7, 11])
    rows = ranked(ranks, np.array([0, 0, 1, 1, 2, 2]), 60)
    metrics = {(m.metric, m.k): m for m in rows}
    assert metrics["recall", 1].estimate.value == pytest.approx(2 / 6)
    assert metrics["recall", 5].estimate.value == pytest.approx(3 / 6)
    assert metrics["recall", 10].estimate.value == pytest.approx(4 / 6)
    assert metrics["recall", 50].estimate.value == pytest.approx(5 / 6)
    assert metrics["mrr", 0].estimate.value == pytest.approx(
        (1 + 1 / 2 + 1 + 1 / 60 + 1 / 7 + 1 / 11) / 6
    )
    assert metrics["median-rank", 0].estimate.value == 2
    assert metrics["recall", 10].chance == pytest.approx(10 / 60)
    assert metrics["mrr", 0].chance == pytest.approx(sum(1 / r for r in range(1, 61)) / 60)
    assert metrics["median-rank", 0].chance == 30  # the lower of the two in the centre


def test_recall_beyond_the_gallery_is_left_out() -> None:
    rows = ranked(np.array([1, 2]), np.array([0, 1]), 2)
    assert [m.k for m in rows if m.metric == "recall"] == [1]


def test_the_match_curve_is_recall_at_every_k() -> None:
    assert match_curve(np.array([1, 3, 3, 4]), 5).tolist() == [0.25, 0.25, 0.75, 1.0, 1.0]


def test_chance_of_several_accepted_items() -> None:
    single, three = (chance_beyond(10, np.array([m])) for m in (1, 3))
    assert 1 - single[3] == pytest.approx(0.3)
    assert 1 - three[2] == pytest.approx(1 - math.comb(7, 2) / math.comb(10, 2))
    assert 1 - chance_beyond(10, np.array([1, 3]))[2] == pytest.approx((0.2 + 1 - three[2]) / 2)
    # Exact, by all orders: the best of 3 accepted among 10 has rank r in C(10 - r, 2) of C(10, 3).
    exact = [math.comb(10 - r, 2) / math.comb(10, 3) for r in range(1, 9)]
    assert chance_mrr(three) == pytest.approx(sum(p / r for r, p in enumerate(exact, 1)))


def test_the_chance_of_a_tolerant_median_is_a_median() -> None:
    """Of 10 items 3 are accepted: rank 1, 2, 3 with 36, 28, 21 of 120; a mean would say 2.75."""
    rows = ranked(np.array([1, 2]), np.array([0, 1]), 10, np.array([3, 3]))
    chances = {m.metric: m.chance for m in rows}
    assert chances["tolerant-median-rank"] == 2
    rng = np.random.default_rng(0)
    best = rng.permuted(np.tile(np.arange(1, 101), (20000, 1)), axis=1)
    mixed = np.concatenate([best[:10000, :1].min(axis=1), best[10000:, :9].min(axis=1)])
    beyond = chance_beyond(100, np.array([1, 9]))
    assert chance_median(beyond) == pytest.approx(np.median(mixed), abs=1)
    assert chance_mrr(beyond) == pytest.approx((1 / mixed).mean(), abs=0.005)


def test_neighbours_are_of_the_same_scene_and_near() -> None:
    def patch(scene: str, row: int, col: int) -> Patch:
        return Patch(f"{scene}/{row}_{col}", scene, scene, Window(row, col, 64, 64))

    patches = [patch("a", 0, 0), patch("a", 0, 32), patch("a", 32, 64), patch("b", 0, 0)]
    neighbours = [items.tolist() for items in accepted_neighbours(patches, 32)]
    assert neighbours == [[0, 1], [0, 1, 2], [1, 2], [3]]


def test_the_interval_of_a_mean_covers_it_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        scenes = np.repeat(np.arange(30), 4)
        values = np.repeat(rng.normal(size=30), 4) + rng.normal(size=120)
        estimate = bootstrap_mean(values, scenes, seed, draws=300)
        hits += estimate.low <= 0 <= estimate.high
    assert 0.88 <= hits / 200 <= 0.99


def test_clusters_are_what_is_drawn() -> None:
    values = np.repeat([0.0, 1.0], 500)
    by_cluster = bootstrap_mean(values, np.repeat([0, 1], 500), 0)
    by_item = bootstrap_mean(values, np.arange(1000), 0)
    assert by_cluster.high - by_cluster.low > 5 * (by_item.high - by_item.low)


def test_one_scene_has_no_interval() -> None:
    estimate = bootstrap_mean([0.0, 1.0], [0, 0], 0)
    assert estimate.value == 0.5
    assert math.isnan(estimate.low)
    assert math.isnan(bootstrap_median([1, 2], [0, 0], 0).high)


def test_the_same_seed_gives_the_same_interval() -> None:
    values, scenes = random((50,)), np.arange(50) // 5
    assert bootstrap_mean(values, scenes, 3) == bootstrap_mean(values, scenes, 3)
    assert bootstrap_mean(values, scenes, 3) != bootstrap_mean(values, scenes, 4)


def test_gap_against_plain_formulas_and_sklearn() -> None:
    sar, optical = normalise(random((60, 8))), normalise(random((60, 8)) * 0.5 + random((60, 8), 1))
    gap = gap_of(sar, optical)
    scores = sar @ optical.T
    own, other = scores.diagonal(), scores[~np.eye(60, dtype=bool)]
    assert gap["pair-distance"].value == pytest.approx(1 - own.mean(), abs=1e-5)
    assert gap["non-pair-distance"].value == pytest.approx(1 - other.mean(), abs=1e-5)
    auroc = roc_auc_score(np.r_[np.ones(60), np.zeros(len(other))], np.r_[own, other])
    assert gap["pair-auroc"].value == pytest.approx(auroc, abs=1e-6)
    apart = np.linalg.norm(sar.mean(axis=0) - optical.mean(axis=0))
    assert gap["centroid-distance"].value == pytest.approx(apart, abs=1e-5)
    scatter = [np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()) for x in (sar, optical)]
    assert gap["relative-gap"].value == pytest.approx(apart / np.mean(scatter), abs=1e-4)


def test_cka_of_known_spaces() -> None:
    x = random((80, 6))
    rotation = np.linalg.qr(random((6, 6), 1))[0]
    assert linear_cka(grams(x, (3 * x @ rotation + 2).astype(np.float32))) == pytest.approx(
        1, abs=1e-4
    )
    assert abs(linear_cka(grams(x, random((80, 6), 2)))) < 0.1


def test_independent_features_have_no_alignment_however_long() -> None:
    """The plain form gives .93 here: with more dimensions than pairs everything aligns."""
    sar, optical = normalise(random((60, 800))), normalise(random((60, 800), 1))
    centred = [x - x.mean(axis=0) for x in (sar, optical)]
    plain = [x @ x.T for x in centred]
    biased = (plain[0] * plain[1]).sum() / np.prod([np.linalg.norm(g) for g in plain])
    assert biased > 0.9
    cka = measured(sar, optical)["linear-cka"]
    assert abs(cka.estimate.value) < 0.05
    assert cka.estimate.low < 0 < cka.estimate.high
    assert abs(cka.chance) < 0.02


def test_alignment_is_the_ratio_of_unbiased_criteria() -> None:
    """Song et al. 2012, their sum over all quadruples of different items, by brute force."""
    x, y = random((7, 3)), random((7, 3), 1) + random((7, 3))

    def criterion(k: np.ndarray, other: np.ndarray) -> float:
        terms = [
            k[i, j] * other[i, j] + k[i, j] * other[q, r] - 2 * k[i, j] * other[i, q]
            for i, j, q, r in itertools.permutations(range(len(k)), 4)
        ]
        return float(np.mean(terms))

    k, other = (v.astype(np.float64) @ v.T for v in (x, y))
    expected = criterion(k, other) / np.sqrt(criterion(k, k) * criterion(other, other))
    assert linear_cka(grams(x, y)) == pytest.approx(expected, rel=1e-4)


def test_chance_of_mutual_neighbours_is_met_by_random_features() -> None:
    hits, count = [], 20
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=(count, count)).astype(np.float32)
        hits.append(mutual_nearest(scores))
    sar, optical = normalise(random((count, 30))), normalise(random((count, 30), 1))
    chance = measured(sar, optical, 4)["mutual-nearest-neighbours"].chance
    assert chance == pytest.approx(1 / 39)
    assert np.mean(hits) == pytest.approx(chance, abs=3 * np.std(hits) / np.sqrt(200))


@pytest.mark.parametrize("value", [0, 1])
def test_a_proportion_of_all_or_none_has_the_exact_interval_of_its_clusters(value: int) -> None:
    hits, clusters = np.full(200, value), np.arange(200) // 10
    estimate = bootstrap_fraction(hits, clusters, 0)
    exact = binomtest(20 * value, 20).proportion_ci(method="exact")
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high))
    left_out = jackknife(lambda i: float(hits[i].mean()), clusters, 0, bounds=(0, 1), bounded=True)
    assert left_out == estimate
    rows = ranked(np.full(200, 2 - value), clusters, 60)
    assert rows[0].estimate == bootstrap_fraction(hits, clusters, 0, 200)
    assert bootstrap_fraction(hits == 2, np.zeros(200), 0).value == 0.0  # one cluster: no interval
    assert math.isnan(bootstrap_fraction(hits == 2, np.zeros(200), 0).low)


def test_repeated_splits_by_hand() -> None:
    """Rubin's rules: T = W + (1 + 1/m) B, t with (m - 1) (1 + W / ((1 + 1/m) B))^2 degrees."""
    z = float(norm.ppf(0.975))
    given = [Estimate(v, v - 0.02 * z, v + 0.04 * z) for v in (0.5, 0.6, 0.7)]
    pooled = pool_splits(given, (-9.0, 9.0))
    between = (1 + 1 / 3) * 0.01
    for within, reach in (
        (0.02**2, pooled.value - pooled.low),
        (0.04**2, pooled.high - pooled.value),
    ):
        freedom = 2 * (1 + within / between) ** 2
        assert reach == pytest.approx(
            t_distribution.ppf(0.975, freedom) * np.sqrt(within + between)
        )
    assert pooled.value == pytest.approx(0.6)
    same = pool_splits([given[0]] * 4, (0.0, 1.0))
    assert (same.low, same.high) == pytest.approx((given[0].low, given[0].high))
    assert pool_splits([Estimate(1.0, 0.9, 1.0)] * 3, (0.0, 1.0)).high == 1.0
    assert pool_splits(given[:1], (0.0, 1.0)) == given[0]


def test_the_probe_tells_shifted_sensors_apart_and_not_equal_ones() -> None:
    places, scenes = random((200, 10)), np.arange(200) // 10
    close = (places + 0.01 * random((200, 10), 1)).astype(np.float32)
    same = probe_accuracy(places, close, scenes, 0)
    shifted = probe_accuracy(places, places + 5, scenes, 0)
    assert abs(same.value - 0.5) < 0.12
    assert shifted.value == 1.0


def test_mutual_nearest_and_skew_by_hand() -> None:
    scores = np.array([[3, 1, 0], [2, 1, 0], [0, 0, 1]], np.float32)
    assert mutual_nearest(scores) == pytest.approx(2 / 3)
    assert skewness(np.array([2, 2, 2])) == 0
    assert skewness(np.array([0, 0, 3])) == pytest.approx(1 / math.sqrt(2))


def test_relative_gap_of_two_shifted_clouds() -> None:
    x = random((500, 20))
    shifted = x + np.eye(20, dtype=np.float32)[0] * 10
    assert relative_gap(grams(x, shifted)) == pytest.approx(10 / math.sqrt(20), rel=0.05)


def test_histograms_count_everything_once() -> None:
    sar, optical = normalise(random((30, 4))), normalise(random((30, 4), 1))
    _, pairs, non_pairs = pair_histograms(Pairs(sar, optical, np.arange(30), 0))
    assert pairs.sum() == 30
    assert non_pairs.sum() == 30 * 29
