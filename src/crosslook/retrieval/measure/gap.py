"""The modality gap: how far apart two sensors lie in feature space.

Raw paired cosine flatters features that crowd into a cone, so it stands
beside measures that do not move when all vectors are shifted alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.compare.similarity import paired_cosines
from crosslook.retrieval.measure.hubness import occurrences
from crosslook.retrieval.measure.resampling import (
    DRAWS,
    bootstrap_fraction,
    bootstrap_mean,
    jackknife,
    sample,
)
from crosslook.types import DIRECTIONS, Estimate, FloatArray, Indices, Metric

_FOLDS = 5
_RIDGE = 1e-2
_PERMUTATIONS = 20
_FEWEST_FOR_CKA = 4


def probe_accuracy(
    sar: FloatArray, optical: FloatArray, units: NDArray[np.int64], seed: int
) -> Estimate:
    """Cross-validate a ridge classifier of the modality, by unit.

    All patches of a unit, of both sensors, are in the same fold, so the probe
    cannot know a place. 0.5: the sensors cannot be told apart linearly; 1.0:
    they always can (Alain and Bengio, ICLR workshop 2017). The ridge solution
    is computed from the Gram matrix, so the length of a descriptor hardly
    matters.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
    units : int64 array, shape (N,)
    seed : int
        Deals units to folds and draws the interval.
    """
    names, which = np.unique(units, return_inverse=True)
    if len(names) < 2:
        return Estimate(float("nan"), float("nan"), float("nan"))
    folds = np.random.default_rng(seed).permutation(len(names)) % min(_FOLDS, len(names))
    fold = np.tile(folds[which], 2)
    both = np.concatenate([sar, optical])
    label = np.repeat([1.0, -1.0], len(sar))
    gram = (both @ both.T).astype(np.float64) + 1.0  # the 1 is the intercept
    ridge = _RIDGE * float(np.mean(np.diagonal(gram)))
    right = np.empty(len(both))
    for number in range(int(folds.max()) + 1):
        test = fold == number
        train = ~test
        inner = gram[np.ix_(train, train)]
        inner[np.diag_indices_from(inner)] += ridge
        weights = np.linalg.solve(inner, label[train])
        right[test] = (gram[np.ix_(test, train)] @ weights > 0) == (label[test] > 0)
    return bootstrap_fraction(right, np.tile(which, 2), seed)


MOST_ITEMS = 1000
"""Pairs used where every pair meets every other; more are sampled by the seed."""

SKEW_AT = 10
"""Neighbours whose occurrences are counted for the skew."""


@dataclass(frozen=True)
class PairHistogram:
    """Counts of cosines of pairs and of non-pairs over the same bins."""

    edges: NDArray[np.float64]
    pairs: Indices
    non_pairs: Indices


@dataclass(frozen=True)
class Grams:
    """Products of all SAR and optical descriptors with each other, each (N, N)."""

    sar: FloatArray
    between: FloatArray
    optical: FloatArray

    def at(self, items: Indices) -> Grams:
        """Keep only these items."""
        chosen = np.ix_(items, items)
        return Grams(self.sar[chosen], self.between[chosen], self.optical[chosen])


def measure_gap(
    sar: FloatArray, optical: FloatArray, units: Indices, seed: int, draws: int = DRAWS
) -> list[Metric]:
    """Measure the gap; definitions and sources are in ``definitions.py``.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
        Unit rows; row i of both is one pair.
    units : int64 array, shape (N,)
        Unit of each pair.
    seed, draws : int
        Of the intervals, and of the sample where N exceeds ``MOST_ITEMS``.
    """
    cosine = paired_cosines(sar, optical)
    paired = bootstrap_mean(1 - cosine, units, seed, draws)
    at = sample(len(sar), MOST_ITEMS, seed)
    s, o, where = sar[at], optical[at], units[at]
    # Everything below follows from products, so a longer descriptor costs little.
    grams = Grams(s @ s.T, s @ o.T, o @ o.T)
    scores = grams.between
    cone = (0.0, np.inf)
    statistics: list[tuple[str, Estimate, float]] = [
        ("pair-distance", paired, float("nan")),
        ("non-pair-distance", _non_pair_distance(scores, where, seed, draws), float("nan")),
        ("pair-auroc", _pair_auroc(scores, where, seed, draws), 0.5),
        ("centroid-distance", _over_units(grams, centroid_distance, where, seed, (0.0, 2.0)), 0.0),
        ("relative-gap", _over_units(grams, relative_gap, where, seed, cone), 0.0),
        ("modality-probe", probe_accuracy(s, o, where, seed), 0.5),
        (
            "linear-cka",
            _over_units(grams, linear_cka, where, seed, (-1.0, 1.0)),
            cka_chance(grams, seed),
        ),
        (
            "mutual-nearest-neighbours",
            jackknife(
                lambda i: mutual_nearest(grams.between[np.ix_(i, i)]),
                where,
                seed,
                bounds=(0.0, 1.0),
                bounded=True,
            ),
            1.0 / (2 * len(at) - 1),
        ),
    ]
    metrics = [
        Metric(
            "gap", name, estimate, len(sar) if name == "pair-distance" else len(at), len(at), chance
        )
        for name, estimate, chance in statistics
    ]
    for direction in DIRECTIONS:
        counts = occurrences(*((s, o) if direction == "sar->optical" else (o, s)), SKEW_AT)
        estimate = jackknife(lambda i, c=counts: skewness(c[i]), where, seed)  # type: ignore[misc]
        chance = 1 / float(np.sqrt(SKEW_AT))  # a Poisson count of that mean
        metrics.append(
            Metric("gap", "occurrence-skew", estimate, len(at), len(at), chance, direction, SKEW_AT)
        )
    return metrics


def _over_units(
    grams: Grams,
    statistic: Callable[[Grams], float],
    units: Indices,
    seed: int,
    bounds: tuple[float, float],
) -> Estimate:
    return jackknife(lambda i: statistic(grams.at(i)), units, seed, bounds=bounds)


def centroid_distance(grams: Grams) -> float:
    """Euclidean distance between the means of the vectors, 0..2 for unit ones."""
    squared = grams.sar.mean() + grams.optical.mean() - 2 * grams.between.mean()
    return float(np.sqrt(max(float(squared), 0.0)))


def relative_gap(grams: Grams) -> float:
    """Centroid distance over the root mean square distance to the own centroid."""
    scatter = [
        np.sqrt(max(float(gram.diagonal().mean() - gram.mean()), 0.0))
        for gram in (grams.sar, grams.optical)
    ]
    return centroid_distance(grams) / max(float(np.mean(scatter)), 1e-12)


def linear_cka(grams: Grams) -> float:
    """Debiased linear centred kernel alignment from the N x N Gram matrices.

    Of the unbiased estimators of the Hilbert-Schmidt independence criterion
    (Song et al., JMLR 2012; for CKA: Nguyen et al., ICLR 2021, and Murphy et
    al., 2024): 0 in expectation for independent features, however long they
    are, where the plain form nears 1; at most 1, and below 0 by chance. NaN of
    fewer than four pairs, or where one side does not vary.
    """
    return _alignment(_u_centre(grams.sar), _u_centre(grams.optical))


def cka_chance(grams: Grams, seed: int) -> float:
    """Alignment when partners are dealt at random: mean over seeded permutations."""
    sar, optical = _u_centre(grams.sar), _u_centre(grams.optical)
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(len(sar)) for _ in range(_PERMUTATIONS))
    return float(np.mean([_alignment(sar, optical[np.ix_(order, order)]) for order in orders]))


def _alignment(sar: NDArray[np.float64], optical: NDArray[np.float64]) -> float:
    if len(sar) < _FEWEST_FOR_CKA:
        return float("nan")
    own = float((sar * sar).sum()) * float((optical * optical).sum())
    return float((sar * optical).sum()) / float(np.sqrt(own)) if own > 0 else float("nan")


def _u_centre(gram: FloatArray) -> NDArray[np.float64]:
    """U-centred matrix, diagonal zero: its products are unbiased (Szekely and Rizzo 2014)."""
    exact = gram.astype(np.float64)
    count = len(exact)
    if count < _FEWEST_FOR_CKA:
        return exact
    np.fill_diagonal(exact, 0.0)
    sums = exact.sum(axis=0) / (count - 2)
    exact += exact.sum() / ((count - 1) * (count - 2)) - sums - sums[:, None]
    np.fill_diagonal(exact, 0.0)
    return exact


def mutual_nearest(scores: FloatArray) -> float:
    """Fraction of pairs of which each is the other's nearest neighbour."""
    here = np.arange(len(scores))
    return float(np.mean((scores.argmax(axis=1) == here) & (scores.argmax(axis=0) == here)))


def skewness(counts: Indices) -> float:
    """Third standardised moment; 0 where all counts are the same."""
    centred = counts - counts.mean()
    std = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / std**3) if std > 0 else 0.0


def pair_histograms(
    sar: FloatArray, optical: FloatArray, seed: int, bins: int = 80
) -> PairHistogram:
    """Count the cosines of pairs and of non-pairs over -1..1, of a seeded sample."""
    at = sample(len(sar), MOST_ITEMS, seed)
    scores = np.clip(sar[at] @ optical[at].T, -1.0, 1.0)
    edges = np.linspace(-1.0, 1.0, bins + 1)
    pairs = np.histogram(scores.diagonal(), edges)[0].astype(np.int64)
    everything = np.histogram(scores, edges)[0].astype(np.int64)
    return PairHistogram(edges, pairs, everything - pairs)


def _non_pair_distance(scores: FloatArray, units: Indices, seed: int, draws: int) -> Estimate:
    others = (scores.sum(axis=1) - scores.diagonal()) / max(len(scores) - 1, 1)
    return bootstrap_mean(1 - others, units, seed, draws)


def _pair_auroc(scores: FloatArray, units: Indices, seed: int, draws: int) -> Estimate:
    """Probability that a pair scores above a non-pair; ties count half."""
    apart = np.sort(scores[~np.eye(len(scores), dtype=bool)])
    pairs = scores.diagonal()
    below = np.searchsorted(apart, pairs, "left") + np.searchsorted(apart, pairs, "right")
    return bootstrap_mean(below / (2 * max(len(apart), 1)), units, seed, draws)
