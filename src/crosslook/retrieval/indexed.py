"""Ranking through an approximate index, and what that loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.compare.approximate import ApproximateIndex, rank_through_index
from crosslook.retrieval.compare.similarity import Offsets, Ranks, rank_partners
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.retrieval.measure.retrieval import RECALL_AT
from crosslook.types import Direction, FloatArray, Indices, Metric

LOSS_QUERIES = 2000
"""Queries that are searched exactly too, to say what the index loses."""


@dataclass(frozen=True)
class Ranked:
    """Ranks of the partners, with neighbours accepted too, and the loss of an index."""

    ranks: Ranks
    tolerant: Ranks | None = None
    loss: list[Metric] = field(default_factory=list)


@dataclass(frozen=True)
class Sides:
    """Unit queries and gallery (n, D) whose partners have the same number.

    ``units`` (n,) are drawn by intervals; ``same`` lists per query the items
    that show the same ground, where some do.
    """

    query: FloatArray
    gallery: FloatArray
    offsets: Offsets
    units: NDArray[np.int64]
    direction: Direction
    same: Sequence[Indices] | None = None


def rank_indexed(
    kind: str, sides: Sides, accept: Sequence[Indices] | None, seed: int, draws: int
) -> Ranked:
    """Rank through an index, and compare with exact search on a seeded sample.

    Returns
    -------
    Ranked
        Its loss holds ``recall-loss/<kind>`` at every k of the recall that
        the index reaches, and ``nearest-found/<kind>``.
    """
    index = ApproximateIndex(kind, sides.gallery, sides.offsets)
    partner = np.arange(len(sides.query))
    ranks = rank_through_index(index, sides.query, partner, accept=sides.same)
    tolerant = None
    if accept is not None:
        tolerant = rank_through_index(index, sides.query, partner, accept=accept)
    return Ranked(ranks, tolerant, _loss(kind, sides, ranks, seed, draws))


def known_metrics(metrics: Sequence[Metric], kind: str) -> list[Metric]:
    """Recall alone, named after its index: what needs every rank is not known."""
    return [
        replace(one, metric=f"{one.metric}/{kind}")
        for one in metrics
        if one.metric.endswith("recall")
    ]


def _loss(kind: str, sides: Sides, ranks: Ranks, seed: int, draws: int) -> list[Metric]:
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(sides.query))[:LOSS_QUERIES])
    offsets = replace(sides.offsets, query=sides.offsets.query[chosen])
    same = None if sides.same is None else [sides.same[i] for i in chosen]
    exact = rank_partners(sides.query[chosen], sides.gallery, chosen, offsets, accept=same)
    units, count = sides.units[chosen], len(sides.gallery)

    def metric(name: str, k: int, values: NDArray[Any], chance: float) -> Metric:
        estimate = bootstrap_mean(values, units, seed, draws)
        text = f"{name}/{kind}"
        return Metric("retrieval", text, estimate, len(chosen), count, chance, sides.direction, k)

    losses = [
        metric("recall-loss", k, (exact.rank <= k) * 1.0 - (ranks.rank[chosen] <= k), 0.0)
        for k in RECALL_AT
        if k <= (ranks.depth or count)
    ]
    best = exact.top_indices.shape[1]
    shared = [
        len(np.intersect1d(a, b)) / best
        for a, b in zip(exact.top_indices, ranks.top_indices[chosen], strict=True)
    ]
    return [*losses, metric("nearest-found", best, np.array(shared), best / count)]
