"""The modality gap: how far apart two sensors lie in feature space.

Raw paired cosine flatters features that crowd into a cone, so it comes
with measures that do not move when all vectors are shifted alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crosslook.retrieval.compare.similarity import normalise, paired_cosines
from crosslook.retrieval.measure.base import Definition, Measure, Pairs
from crosslook.retrieval.measure.resampling import (
    bootstrap_fraction,
    bootstrap_mean,
    jackknife,
    sample,
)
from crosslook.types import DIRECTIONS, Array, Estimate, FloatArray, Indices, Metric

MOST_ITEMS = 1000
"""Pairs used where every pair meets every other; more are sampled by the seed."""

SKEW_AT = 10
"""Neighbours whose occurrences are counted for the skew."""

_FOLDS = 5
_RIDGE = 1e-2
_PERMUTATIONS = 20
_FEWEST_FOR_CKA = 4
INF = math.inf


class Gap(Measure[Pairs]):
    """How far apart the sensors lie, beside what a mere shift of all vectors would give."""

    name = "gap"
    title = "Modality gap"
    how = (
        "A small distance of pairs means nothing by itself: look at how far the pairs lie "
        "from the non-pairs, before and after calibration."
    )
    sees = Pairs
    definitions: ClassVar[Mapping[str, Definition]] = {
        "pair-distance": Definition(
            "Mean cosine distance of pairs",
            "mean_i (1 - cos(s_i, o_i))",
            (
                "the figure of the published five-extractor study; Salton and McGill 1983 for the "
                "cosine"
            ),
            "Small values alone prove nothing: features that all point one way have it too.",
            high=2.0,
            better="lower",
        ),
        "non-pair-distance": Definition(
            "Mean cosine distance of non-pairs",
            "mean_{i != j} (1 - cos(s_i, o_j))",
            "Liang et al., NeurIPS 2022",
            "Only its distance from that of pairs separates right from wrong matches.",
            high=2.0,
        ),
        "pair-auroc": Definition(
            "AUROC of pairs against non-pairs",
            "P(cos of a pair > cos of a non-pair) + P(equal) / 2",
            "Fawcett, Pattern Recognition Letters 2006",
            "0.5: the cosine of a pair tells nothing; 1: every pair is above every non-pair.",
            chance=0.5,
        ),
        "centroid-distance": Definition(
            "Distance of the centroids",
            "|| mean_i s_i - mean_i o_i ||",
            "Liang et al., NeurIPS 2022",
            "The shift between the sensors that centring removes.",
            high=2.0,
            better="lower",
            chance=0.0,
        ),
        "relative-gap": Definition(
            "Gap relative to the scatter within a modality",
            "centroid distance / mean over modalities of sqrt(mean_i || x_i - mean x ||^2)",
            "Liang et al., NeurIPS 2022, divided by the within-modality scatter",
            "Above 1 the sensors lie further apart than the places within a sensor.",
            high=INF,
            better="lower",
            chance=0.0,
        ),
        "modality-probe": Definition(
            "Accuracy of a linear modality probe",
            "cross-validated accuracy of a ridge classifier of the sensor, folds by cluster",
            "Alain and Bengio, ICLR workshop 2017",
            "0.5: the sensors cannot be separated; 1: a plane separates them.",
            better="lower",
            chance=0.5,
        ),
        "linear-cka": Definition(
            "Debiased linear centred kernel alignment",
            "<K_s, K_o> / (||K_s|| ||K_o||), K the U-centred Gram matrices (diagonal 0)",
            (
                "Kornblith et al., ICML 2019; unbiased by Song et al., JMLR 2012, and Nguyen et "
                "al., ICLR 2021; chance is the mean over 20 permutations of the partners"
            ),
            (
                "1: both sensors see the same similarities between places. 0: independent "
                "features, of any length; the plain form, which is not shown, nears 1 for long "
                "ones."
            ),
            low=-1.0,
        ),
        "mutual-nearest-neighbours": Definition(
            "Mutual nearest neighbours",
            "fraction of pairs in which each is the other's nearest neighbour",
            "Haghighi et al., CVPR 2018, on cross-modal pairs",
            "A match that holds in both directions at once; chance is 1 / (2N - 1).",
        ),
        "occurrence-skew": Definition(
            "Skew of the k-occurrence",
            "third standardised moment of how often an item is among the k nearest of a query",
            "Radovanovic et al., JMLR 2010",
            "High: a few hubs answer most queries. A random gallery has 1 / sqrt(k).",
            low=-INF,
            high=INF,
            better="lower",
        ),
    }

    def __call__(self, view: Pairs) -> list[Metric]:
        """Measure all pairs by their distance, and at most ``MOST_ITEMS`` by the rest."""
        seed, draws, count = view.seed, view.draws, len(view.sar)
        distance = 1 - paired_cosines(view.sar, view.optical)
        paired = bootstrap_mean(distance, view.clusters, seed, draws)
        at = sample(count, MOST_ITEMS, seed)
        sar, optical, clusters = view.sar[at], view.optical[at], view.clusters[at]
        # Everything below follows from products, so a longer descriptor costs little.
        grams = Grams(sar @ sar.T, sar @ optical.T, optical @ optical.T)
        scores = grams.between
        estimates = {
            "non-pair-distance": _non_pair_distance(scores, clusters, seed, draws),
            "pair-auroc": _pair_auroc(scores, clusters, seed, draws),
            "modality-probe": probe_accuracy(sar, optical, clusters, seed),
            "mutual-nearest-neighbours": jackknife(
                lambda items: mutual_nearest(scores[np.ix_(items, items)]),
                clusters,
                seed,
                bounds=(0.0, 1.0),
                bounded=True,
            ),
        }
        for name, statistic in _STATISTICS.items():
            estimates[name] = jackknife(
                lambda items, statistic=statistic: statistic(grams.at(items)),  # type: ignore[misc]
                clusters,
                seed,
                bounds=self.define(name).bounds,
            )
        chances = {
            "linear-cka": cka_chance(grams, seed),
            "mutual-nearest-neighbours": 1.0 / (2 * len(at) - 1),
        }
        metrics = [self.metric("pair-distance", paired, count, len(at))]
        metrics += [
            self.metric(name, estimate, len(at), chance=chances.get(name))
            for name, estimate in estimates.items()
        ]
        for direction in DIRECTIONS:
            sides = (sar, optical) if direction == "sar->optical" else (optical, sar)
            counts = occurrences(*sides, SKEW_AT)
            skew = jackknife(lambda i, c=counts: skewness(c[i]), clusters, seed)  # type: ignore[misc]
            chance = 1 / float(np.sqrt(SKEW_AT))  # a Poisson count of that mean
            metrics.append(
                self.metric(
                    "occurrence-skew", skew, len(at), chance=chance, direction=direction, k=SKEW_AT
                )
            )
        return metrics


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


def probe_accuracy(sar: FloatArray, optical: FloatArray, clusters: Indices, seed: int) -> Estimate:
    """Cross-validate a ridge classifier of the modality, by cluster.

    All patches of a cluster, of both sensors, are in the same fold, so the probe
    cannot know a place. 0.5: the sensors cannot be separated linearly; 1.0:
    they always can (Alain and Bengio, ICLR workshop 2017). The ridge solution
    is computed from the Gram matrix, so the length of a descriptor hardly
    matters.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
    clusters : int64 array, shape (N,)
    seed : int
        Deals clusters to folds and draws the interval.
    """
    names, which = np.unique(clusters, return_inverse=True)
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


def occurrences(queries: FloatArray, gallery: FloatArray, k: int) -> Indices:
    """How often each gallery item is among the ``k`` nearest of a query, shape (Ng,).

    Cosine; ties go to the lower index.
    """
    similarity = normalise(queries) @ normalise(gallery).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.bincount(nearest.ravel(), minlength=len(gallery)).astype(np.int64)


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


_STATISTICS = {
    "centroid-distance": centroid_distance,
    "relative-gap": relative_gap,
    "linear-cka": linear_cka,
}


def cka_chance(grams: Grams, seed: int) -> float:
    """Alignment when partners are dealt at random: mean over seeded permutations."""
    sar, optical = _u_centre(grams.sar), _u_centre(grams.optical)
    rng = np.random.default_rng(seed)
    orders = (rng.permutation(len(sar)) for _ in range(_PERMUTATIONS))
    return float(np.mean([_alignment(sar, optical[np.ix_(order, order)]) for order in orders]))


def _alignment(sar: Array, optical: Array) -> float:
    if len(sar) < _FEWEST_FOR_CKA:
        return float("nan")
    own = float((sar * sar).sum()) * float((optical * optical).sum())
    return float((sar * optical).sum()) / float(np.sqrt(own)) if own > 0 else float("nan")


def _u_centre(gram: FloatArray) -> Array:
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


def pair_histograms(view: Pairs, bins: int = 80) -> tuple[Array, Indices, Indices]:
    """Edges of bins over -1..1, and the cosines of pairs and of non-pairs counted in them."""
    at = sample(len(view.sar), MOST_ITEMS, view.seed)
    scores = np.clip(view.sar[at] @ view.optical[at].T, -1.0, 1.0)
    edges = np.linspace(-1.0, 1.0, bins + 1)
    pairs = np.histogram(scores.diagonal(), edges)[0].astype(np.int64)
    everything = np.histogram(scores, edges)[0].astype(np.int64)
    return edges, pairs, everything - pairs


def _non_pair_distance(scores: FloatArray, clusters: Indices, seed: int, draws: int) -> Estimate:
    others = (scores.sum(axis=1) - scores.diagonal()) / max(len(scores) - 1, 1)
    return bootstrap_mean(1 - others, clusters, seed, draws)


def _pair_auroc(scores: FloatArray, clusters: Indices, seed: int, draws: int) -> Estimate:
    """Probability that a pair scores above a non-pair; ties count half."""
    apart = np.sort(scores[~np.eye(len(scores), dtype=bool)])
    pairs = scores.diagonal()
    below = np.searchsorted(apart, pairs, "left") + np.searchsorted(apart, pairs, "right")
    return bootstrap_mean(below / (2 * max(len(apart), 1)), clusters, seed, draws)
