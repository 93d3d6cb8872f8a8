"""Approximate search by faiss: a choice for galleries too large for every product.

An index proposes a shortlist, whose scores are then computed exactly, so what
is lost is lost by the shortlist alone. Indexes are known to fail where queries
come from another distribution than the gallery, as SAR queries do among
optical items (Jaiswal et al., "OOD-DiskANN", arXiv:2211.12850): measure the
loss before relying on one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import InputError, MissingExtraError, SettingError, did_you_mean
from crosslook.retrieval.compare.similarity import (
    Offsets,
    Ranks,
    best_of,
    rank_partners,
    similarity_blocks,
)
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.retrieval.measure.retrieval import RECALL_AT
from crosslook.types import Direction, FloatArray, Indices, Metric

INDEXES = ("exact", "hnsw", "ivf-pq")
DEPTH = 100
"""Length of the shortlist: ranks beyond it are not known."""

_LINKS, _BUILD_EFFORT, _SEARCH_EFFORT = 32, 80, 200
_CODE_BYTES = 64
_TRAIN_PER_CENTROID = 39  # what faiss asks for, below which it warns
LOSS_QUERIES = 2000
"""Queries that are searched exactly too, to say what the index loses."""
_FAISS_THREADS = threading.Lock()


class ApproximateIndex:
    """An index over a gallery under one score correction.

    ``hnsw`` is a graph of 32 links an item (Malkov and Yashunin, PAMI 2020);
    ``ivf-pq`` keeps 64 bytes an item in inverted lists of which an eighth is
    visited (Jégou et al., PAMI 2011). Score corrections travel as one more
    dimension, so the index sees the very scores that are ranked.

    Parameters
    ----------
    kind : str
        ``hnsw`` or ``ivf-pq``.
    gallery : float32 array, shape (Ng, D)
        Unit rows.
    offsets : Offsets, optional
        Score correction (CSLS, inverted softmax).

    Raises
    ------
    SettingError
        If the kind is unknown.
    InputError
        If the gallery is empty.
    MissingExtraError
        If faiss is not installed.
    """

    def __init__(self, kind: str, gallery: FloatArray, offsets: Offsets | None = None) -> None:
        if kind not in INDEXES[1:]:
            raise SettingError(
                f"unknown index '{kind}'; allowed are: {', '.join(INDEXES)}."
                + did_you_mean(kind, INDEXES)
            )
        if len(gallery) == 0:
            raise InputError("the gallery is empty; there is nothing to index.")
        self.gallery, self.offsets = gallery, offsets
        # One thread: a graph built by several differs from run to run.
        with _one_thread() as faiss:
            self._index = _build(faiss, kind, self._items())

    def search(self, query: FloatArray, top: int = DEPTH) -> tuple[Indices, FloatArray]:
        """Propose the best items of every query and score them exactly.

        Parameters
        ----------
        query : float32 array, shape (Nq, D)
            Unit rows.
        top : int
            Length of the shortlist; at most Ng is taken.

        Returns
        -------
        indices : int64 array, shape (Nq, top)
            Best first. A query for which the index proposes fewer is
            searched exactly.
        scores : float32 array, shape (Nq, top)
            Without the query's own offset, which changes no order.
        """
        count, widened = min(top, len(self.gallery)), query
        if self.offsets is not None:
            widened = np.column_stack([query, np.ones(len(query), np.float32)])
        _, neighbours = self._index.search(_widened(widened, self._index.d), count)
        short = np.flatnonzero((neighbours < 0).any(axis=1))
        if len(short):
            neighbours[short] = self._exactly(query[short], count)
        scores = np.array([self.score(*pair) for pair in zip(query, neighbours, strict=True)])
        order = np.lexsort((neighbours, -scores), axis=1)
        return np.take_along_axis(neighbours, order, 1), np.take_along_axis(scores, order, 1)

    def score(self, query: FloatArray, items: Indices) -> FloatArray:
        """Score some items exactly for one query, without the query's own offset."""
        scores: FloatArray = self.gallery[items] @ query
        if self.offsets is not None:
            scores = scores * np.float32(self.offsets.scale) - self.offsets.gallery[items]
        return scores

    def _exactly(self, query: FloatArray, count: int) -> Indices:
        bare = None
        if self.offsets is not None:
            bare = replace(self.offsets, query=np.zeros(len(query), np.float32))
        blocks = similarity_blocks(query, self.gallery, bare)
        return np.concatenate([best_of(scores, count)[0] for _, scores in blocks])

    def _items(self) -> FloatArray:
        if self.offsets is None:
            return self.gallery
        scaled = self.gallery * np.float32(self.offsets.scale)
        return np.column_stack([scaled, -self.offsets.gallery]).astype(np.float32)


def rank_through_index(
    kind: str,
    query: FloatArray,
    gallery: FloatArray,
    partner: Indices,
    offsets: Sequence[Offsets] | None = None,
    accepts: Sequence[Sequence[Indices] | None] = (None,),
) -> list[list[Ranks]]:
    """Rank the partner of every query among what an index proposes.

    Arguments and result are those of :func:`~crosslook.retrieval.compare.similarity.rank`. A
    partner that the shortlist lacks has the rank after its end; its score is exact all the same.
    """
    how = [Offsets.none(len(query), len(gallery))] if offsets is None else offsets
    return [
        rank_shortlists(ApproximateIndex(kind, gallery, one), query, partner, accepts)
        for one in how
    ]


def rank_shortlists(
    index: ApproximateIndex,
    query: FloatArray,
    partner: Indices,
    accepts: Sequence[Sequence[Indices] | None] = (None,),
    top: int = 10,
) -> list[Ranks]:
    """Rank among the shortlists of one index: the rest of the gallery is never looked at."""
    items, scores = index.search(query)
    own = np.array([index.score(*pair)[0] for pair in zip(query, partner[:, None], strict=True)])
    ranks = [_ranks_in(items, scores, partner[:, None] if a is None else a) for a in accepts]
    if index.offsets is not None:
        scores, own = scores - index.offsets.query[:, None], own - index.offsets.query
    best = items[:, :top], scores[:, :top]
    return [Ranks(rank, own.astype(np.float32), *best, items.shape[1]) for rank in ranks]


def _ranks_in(items: Indices, scores: FloatArray, accept: Sequence[Indices] | Indices) -> Indices:
    ranks = np.full(len(items), items.shape[1] + 1, np.int64)
    for row, (found, values) in enumerate(zip(items, scores, strict=True)):
        mine = np.isin(found, accept[row])
        if mine.any():
            ranks[row] = 1 + np.count_nonzero((values >= values[mine].max()) & ~mine)
    return ranks


@dataclass(frozen=True)
class Sides:
    """Unit queries and gallery (n, D) whose partners have the same number.

    ``clusters`` (n,) are drawn by intervals; ``same`` lists per query the items
    that are duplicates, where some are.
    """

    query: FloatArray
    gallery: FloatArray
    offsets: Offsets
    clusters: NDArray[np.int64]
    direction: Direction
    same: Sequence[Indices] | None = None


def known_metrics(metrics: Sequence[Metric], kind: str) -> list[Metric]:
    """Recall alone, named after its index: what needs every rank is not known."""
    known = (one for one in metrics if one.metric.endswith("recall"))
    return [replace(one, metric=f"{one.metric}/{kind}") for one in known]


def measure_loss(kind: str, sides: Sides, ranks: Ranks, seed: int, draws: int) -> list[Metric]:
    """Compare ranks through an index with exact search on a seeded sample of queries.

    Gives ``recall-loss/<kind>`` at every k of the recall that the index reaches,
    and ``nearest-found/<kind>``.
    """
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(sides.query))[:LOSS_QUERIES])
    same = None if sides.same is None else [sides.same[i] for i in chosen]
    exact = rank_partners(
        sides.query[chosen], sides.gallery, chosen, sides.offsets.at(chosen), accept=same
    )
    clusters, count = sides.clusters[chosen], len(sides.gallery)

    def metric(name: str, k: int, values: NDArray[Any], chance: float) -> Metric:
        estimate = bootstrap_mean(values, clusters, seed, draws)
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


def _build(faiss: Any, kind: str, items: FloatArray) -> Any:
    count, dimensions = items.shape
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimensions, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _BUILD_EFFORT
        index.hnsw.efSearch = _SEARCH_EFFORT
        index.add(np.ascontiguousarray(items))
        return index
    # Dimensions must divide into the parts of a code; zeros change no product.
    width = -(-dimensions // _CODE_BYTES) * _CODE_BYTES
    lists = max(1, min(int(4 * np.sqrt(count)), count // _TRAIN_PER_CENTROID))
    bits = int(np.clip(np.log2(max(2, count / _TRAIN_PER_CENTROID)), 1, 8))
    coarse = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFPQ(coarse, width, lists, _CODE_BYTES, bits, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = max(1, lists // 8)
    widened = _widened(items, width)
    index.train(widened)
    index.add(widened)
    return index


def _widened(values: FloatArray, width: int) -> FloatArray:
    extra = width - values.shape[1]
    wide = np.pad(values, ((0, 0), (0, extra))) if extra else values
    return np.ascontiguousarray(wide, np.float32)


def load_faiss() -> Any:
    """Import faiss.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise MissingExtraError(
            "an approximate index needs faiss: pip install 'crosslook[faiss]', "
            "or use --index exact."
        ) from None
    return faiss


@contextmanager
def _one_thread() -> Iterator[Any]:
    faiss = load_faiss()
    with _FAISS_THREADS:
        before = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            yield faiss
        finally:
            faiss.omp_set_num_threads(before)
