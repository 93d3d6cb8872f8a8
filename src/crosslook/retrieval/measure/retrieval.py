"""Patch retrieval: where the partner of a query stands in the gallery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.measure.resampling import (
    DRAWS,
    bootstrap_fraction,
    bootstrap_mean,
    bootstrap_median,
)
from crosslook.types import Estimate, Indices, Metric, Patch

RECALL_AT = (1, 5, 10, 50)


def measure_retrieval(
    ranks: Indices,
    units: Indices,
    n_gallery: int,
    direction: str,
    seed: int,
    *,
    draws: int = DRAWS,
    accept_counts: Indices | None = None,
    tolerant: bool | None = None,
) -> list[Metric]:
    """Summarise ranks; definitions and sources are in ``definitions.py``.

    Parameters
    ----------
    ranks : int64 array, shape (Nq,)
        Rank of the partner, 1 the best.
    units : int64 array, shape (Nq,)
        Unit of each query; the bootstrap draws units.
    n_gallery : int
        Items that were searched.
    direction : str
        ``sar->optical`` or ``optical->sar``.
    seed, draws : int
        Of the bootstrap.
    accept_counts : int64 array, shape (Nq,), optional
        How many items count as found for each query; 1 by default.
    tolerant : bool, optional
        Name the metrics tolerant: neighbours are accepted, not only the same
        ground. By default where counts are given.

    Returns
    -------
    list of Metric
        Recall at 1, 5, 10, 50 (as far as the gallery reaches), mean
        reciprocal rank and median rank.
    """
    counts = np.ones(len(ranks), np.int64) if accept_counts is None else accept_counts
    neighbours = accept_counts is not None if tolerant is None else tolerant
    prefix = "tolerant-" if neighbours else ""
    beyond = chance_beyond(n_gallery, counts)
    estimates: list[tuple[str, int, Estimate, float]] = []
    for k in RECALL_AT:
        if k <= n_gallery:
            estimate = bootstrap_fraction(ranks <= k, units, seed, draws)
            estimates.append(("recall", k, estimate, 1.0 - float(beyond[k])))
    reciprocal = bootstrap_mean(1.0 / ranks, units, seed, draws)
    estimates.append(("mrr", 0, reciprocal, chance_mrr(beyond)))
    median = bootstrap_median(ranks, units, seed, draws)
    estimates.append(("median-rank", 0, median, chance_median(beyond)))
    return [
        Metric("retrieval", prefix + name, estimate, len(ranks), n_gallery, chance, direction, k)
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
