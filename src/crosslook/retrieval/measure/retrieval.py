"""Patch retrieval: the rank of a query's partner in the gallery."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.measure.base import PAIRED, Definition, Measure
from crosslook.retrieval.measure.resampling import (
    DRAWS,
    bootstrap_fraction,
    bootstrap_mean,
    bootstrap_median,
)
from crosslook.types import Direction, Indices, Metric, Patch

RECALL_AT = (1, 5, 10, 50)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The ranks of the partners in one direction, under one setup.

    Attributes
    ----------
    ranks : int64 array, shape (Nq,)
        Rank of the partner, 1 the best.
    clusters : int64 array, shape (Nq,)
        Cluster of each query; the bootstrap draws clusters.
    n_gallery : int
        Items that were searched.
    direction : str
    seed, draws : int
        Of the bootstrap.
    accepted : int64 array, shape (Nq,), optional
        How many items count as found for each query; 1 by default.
    tolerant : bool
        Whether neighbours are among them, not only the same ground.
    """

    ranks: Indices
    clusters: Indices
    n_gallery: int
    direction: Direction
    seed: int
    draws: int = DRAWS
    accepted: Indices | None = None
    tolerant: bool = False


class Retrieval(Measure[Ranking]):
    """Recall at 1, 5, 10, 50 (as far as the gallery reaches), reciprocal and median rank."""

    name = "retrieval"
    title = "Retrieval"
    how = (
        "Each patch of one sensor looks for its partner among all measured patches of the "
        "other. Compare with chance, and with the uncalibrated line of the same extractor. "
        "The comparison that represents an extractor was chosen on the calibration set, "
        "which is not measured; the best of all on these very queries is marked, since "
        "picking it makes it a little optimistic."
    )
    sees = Ranking
    definitions: ClassVar[Mapping[str, Definition]] = {
        "recall": Definition(
            "Recall at k",
            "fraction of queries whose partner has a rank of at most k",
            "Manning et al., Introduction to Information Retrieval, 2008",
            "Ties are pessimistic: what scores the same as the partner is ranked before it.",
        ),
        "recall-loss": Definition(
            "Recall that an approximate index loses",
            "mean over queries of [exactly right at k] - [right at k through the index]",
            PAIRED,
            "On a seeded sample of at most 2,000 queries. 0: the index costs nothing.",
            low=-1.0,
            better="lower",
            chance=0.0,
        ),
        "nearest-found": Definition(
            "Nearest items that an approximate index finds",
            "mean over queries of |exact best k and best k of the index| / k",
            "Aumüller et al., ANN-Benchmarks, Information Systems 2020",
            "Below 1 the index misses neighbours, whether they are partners or not.",
        ),
        "mrr": Definition(
            "Mean reciprocal rank",
            "mean of 1 / rank of the partner",
            "Voorhees, TREC-8, 1999",
            "Between recall at 1 and recall over all ranks.",
        ),
        "median-rank": Definition(
            "Median rank",
            "lower median of the rank of the partner",
            "Karpathy and Fei-Fei, CVPR 2015",
            "Half of the queries find their partner at this rank or better.",
            low=1.0,
            high=math.inf,
            better="lower",
        ),
        "gain-over-best-member": Definition(
            "Gain of a fusion over its best member",
            "mean over queries of [fusion right at rank 1] - [best member right at rank 1]",
            PAIRED,
            (
                "The fusion is better only where the interval lies above zero. The best member is "
                "the one with the most right answers on the measured queries, which favours the "
                "member."
            ),
            low=-1.0,
            chance=0.0,
        ),
        "tolerant-recall": Definition(
            "Tolerant recall at k",
            (
                "fraction of queries of which the partner or a neighbour within the tolerance has "
                "a rank of at most k; other accepted items do not count against it"
            ),
            "Arandjelovic et al., CVPR 2016",
            "The right neighbourhood counts, not only the exact patch.",
        ),
        "tolerant-mrr": Definition(
            "Tolerant mean reciprocal rank",
            "mean of 1 / best rank of an accepted item",
            "Voorhees, TREC-8, 1999",
            "As the mean reciprocal rank, with neighbours within the tolerance accepted.",
        ),
        "tolerant-median-rank": Definition(
            "Tolerant median rank",
            "lower median of the best rank of an accepted item",
            "Karpathy and Fei-Fei, CVPR 2015",
            "As the median rank, with neighbours within the tolerance accepted.",
            low=1.0,
            high=math.inf,
            better="lower",
        ),
    }

    def __call__(self, view: Ranking) -> list[Metric]:
        """Summarise the ranks; tolerant metrics are named so."""
        ranks, size = view.ranks, view.n_gallery
        resample = view.clusters, view.seed, view.draws
        counts = np.ones(len(ranks), np.int64) if view.accepted is None else view.accepted
        beyond = chance_beyond(size, counts)
        estimates = [
            ("recall", k, bootstrap_fraction(ranks <= k, *resample), 1.0 - beyond[k])
            for k in RECALL_AT
            if k <= size
        ]
        reciprocal = bootstrap_mean(1.0 / ranks, *resample)
        estimates.append(("mrr", 0, reciprocal, chance_mrr(beyond)))
        median = bootstrap_median(ranks, *resample)
        estimates.append(("median-rank", 0, median, chance_median(beyond)))
        prefix = "tolerant-" if view.tolerant else ""
        return [
            self.metric(
                prefix + name,
                estimate,
                len(ranks),
                size,
                chance=chance,
                direction=view.direction,
                k=k,
            )
            for name, k, estimate, chance in estimates
        ]


def match_curve(ranks: Indices, n_gallery: int) -> NDArray[np.float64]:
    """Return recall at every k from 1 to ``n_gallery``: the cumulative match curve."""
    counts = np.bincount(ranks, minlength=n_gallery + 1)[1 : n_gallery + 1]
    return np.asarray(np.cumsum(counts) / len(ranks), np.float64)


def chance_beyond(n_gallery: int, counts: Indices) -> NDArray[np.float64]:
    """Probability that the best accepted item of a random order has a rank above ``r``.

    ``C(N - m, r) / C(N, r)`` of a query with ``m`` accepted items among ``N``
    (negative hypergeometric), averaged over the queries.

    Parameters
    ----------
    n_gallery : int
    counts : int64 array, shape (Nq,)
        Accepted items of each query, at least 1.

    Returns
    -------
    float64 array, shape (n_gallery + 1,)
        By ``r`` from 0; the last one is 0.
    """
    place = np.arange(n_gallery, dtype=np.float64)
    total = np.zeros(n_gallery + 1)
    for accepted, queries in zip(*np.unique(counts, return_counts=True), strict=True):
        missed = np.maximum(n_gallery - accepted - place, 0.0) / (n_gallery - place)
        total += queries * np.append(1.0, np.cumprod(missed))
    return np.asarray(total / max(1, len(counts)), np.float64)


def chance_mrr(beyond: NDArray[np.float64]) -> float:
    """Expected reciprocal rank of a random order (see :func:`chance_beyond`).

    ``H(N) / N`` where each query has one accepted item.
    """
    return float((-np.diff(beyond) / np.arange(1, len(beyond))).sum())


def chance_median(beyond: NDArray[np.float64]) -> float:
    """Lower median of the rank in a random order: the first that half of the queries reach."""
    return float(np.argmax(beyond <= 0.5 + 1e-12))


def accepted_neighbours(patches: Sequence[Patch], distance: float) -> list[Indices]:
    """List, for every patch, the patches of its scene within ``distance`` pixels.

    Distance is between centres, in pixels of the optical grid, the larger of
    rows and columns; a patch itself is always listed.
    """
    from scipy.spatial import KDTree

    centres = np.array(
        [(p.window.row + p.window.height / 2, p.window.col + p.window.width / 2) for p in patches]
    )
    members: dict[str, list[int]] = {}
    for at, patch in enumerate(patches):
        members.setdefault(patch.scene, []).append(at)
    out: list[Indices] = [np.empty(0, np.int64)] * len(patches)
    for own in members.values():
        tree = KDTree(centres[own])
        near = tree.query_ball_point(centres[own], distance, p=np.inf, return_sorted=True)
        for at, neighbours in zip(own, near, strict=True):
            out[at] = np.asarray(own, np.int64)[neighbours]
    return out
