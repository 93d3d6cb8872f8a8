"""Patch retrieval: where the partner of a query stands in the gallery."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.measure.resampling import DRAWS, bootstrap_mean, bootstrap_median
from crosslook.types import Estimate, Indices, Metric, Patch

RECALL_AT = (1, 5, 10, 50)


def measure_retrieval(
    ranks: Indices,
    scenes: Indices,
    n_gallery: int,
    direction: str,
    seed: int,
    *,
    draws: int = DRAWS,
    accept_counts: Indices | None = None,
) -> list[Metric]:
    """Summarise ranks; definitions and sources are in ``definitions.py``.

    Parameters
    ----------
    ranks : int64 array, shape (Nq,)
        Rank of the partner, 1 the best.
    scenes : int64 array, shape (Nq,)
        Scene of each query, the unit of the bootstrap.
    n_gallery : int
        Items that were searched.
    direction : str
        ``sar->optical`` or ``optical->sar``.
    seed, draws : int
        Of the bootstrap.
    accept_counts : int64 array, shape (Nq,), optional
        How many items count as found for each query; turns the metrics into
        the tolerant ones.

    Returns
    -------
    list of Metric
        Recall at 1, 5, 10, 50 (as far as the gallery reaches), mean
        reciprocal rank and median rank.
    """
    counts = np.ones(len(ranks), np.int64) if accept_counts is None else accept_counts
    prefix = "" if accept_counts is None else "tolerant-"
    found: list[tuple[str, int, Estimate, float]] = []
    for k in RECALL_AT:
        if k <= n_gallery:
            estimate = bootstrap_mean(ranks <= k, scenes, seed, draws)
            chance = float(np.mean([chance_recall(k, n_gallery, int(c)) for c in counts]))
            found.append(("recall", k, estimate, chance))
    reciprocal = bootstrap_mean(1.0 / ranks, scenes, seed, draws)
    found.append(("mrr", 0, reciprocal, chance_mrr(n_gallery, float(counts.mean()))))
    median = bootstrap_median(ranks, scenes, seed, draws)
    found.append(("median-rank", 0, median, (n_gallery + 1) / (float(counts.mean()) + 1)))
    return [
        Metric("retrieval", prefix + name, estimate, len(ranks), n_gallery, chance, direction, k)
        for name, k, estimate, chance in found
    ]


def match_curve(ranks: Indices, n_gallery: int) -> NDArray[np.float64]:
    """Return recall at every k from 1 to ``n_gallery``: the cumulative match curve."""
    counts = np.bincount(ranks, minlength=n_gallery + 1)[1 : n_gallery + 1]
    return np.asarray(np.cumsum(counts) / len(ranks), np.float64)


def chance_recall(k: int, n_gallery: int, accepted: int = 1) -> float:
    """Recall at k of a random order: 1 - C(N - m, k) / C(N, k) for m accepted items."""
    missed = 1.0
    for i in range(k):
        missed *= max(0, n_gallery - accepted - i) / (n_gallery - i)
    return 1.0 - missed


def chance_mrr(n_gallery: int, accepted: float = 1.0) -> float:
    """Expected reciprocal rank of a random order; H(N) / N for one accepted item."""
    m = max(1, round(accepted))
    # P(best rank > r) = prod (N - m - i) / (N - i); summed by parts.
    survival, expected = 1.0, 0.0
    for r in range(1, n_gallery - m + 2):
        following = survival * (n_gallery - m - r + 1) / (n_gallery - r + 1)
        expected += (survival - following) / r
        survival = following
    return expected


def accepted_neighbours(patches: Sequence[Patch], distance: float) -> list[Indices]:
    """List, for every patch, the patches of its scene within ``distance`` pixels.

    Distance is between centres, in pixels of the optical grid, the larger of
    rows and columns; a patch itself is always listed.
    """
    centres = np.array(
        [(p.window.row + p.window.height / 2, p.window.col + p.window.width / 2) for p in patches]
    )
    scenes = np.unique([p.scene for p in patches], return_inverse=True)[1]
    out: list[Indices] = [np.empty(0, np.int64)] * len(patches)
    for scene in range(int(scenes.max()) + 1 if len(patches) else 0):
        members = np.flatnonzero(scenes == scene)
        for at in members:
            apart = np.abs(centres[members] - centres[at]).max(axis=1)
            out[at] = members[apart <= distance]
    return out
