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
from dataclasses import replace
from typing import Any

import numpy as np

from crosslook.errors import InputError, MissingExtraError, SettingError, did_you_mean
from crosslook.retrieval.compare.similarity import Offsets, Ranks, best_of, similarity_blocks
from crosslook.types import FloatArray, Indices

INDEXES = ("exact", "hnsw", "ivf-pq")
DEPTH = 100
"""Length of the shortlist: ranks beyond it are not known."""

_LINKS, _BUILD_EFFORT, _SEARCH_EFFORT = 32, 80, 200
_CODE_BYTES = 64
_TRAIN_PER_CENTROID = 39  # what faiss asks for, below which it warns
_BATCH = 1024
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
        self.kind = kind
        self.gallery = gallery
        self.offsets = offsets
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
        count = min(top, len(self.gallery))
        indices = np.empty((len(query), count), np.int64)
        scores = np.empty((len(query), count), np.float32)
        for start in range(0, len(query), _BATCH):
            part = slice(start, start + _BATCH)
            indices[part], scores[part] = self._shortlist(query[part], count)
        return indices, scores

    def score(self, query: FloatArray, items: Indices) -> FloatArray:
        """Score some items exactly for one query, without the query's own offset."""
        scores: FloatArray = self.gallery[items] @ query
        if self.offsets is not None:
            scores = scores * np.float32(self.offsets.scale) - self.offsets.gallery[items]
        return scores

    def _shortlist(self, query: FloatArray, count: int) -> tuple[Indices, FloatArray]:
        widened = query
        if self.offsets is not None:
            widened = np.column_stack([query, np.ones(len(query), np.float32)])
        _, neighbours = self._index.search(_widened(widened, self._index.d), count)
        short = np.flatnonzero((neighbours < 0).any(axis=1))
        if len(short):
            neighbours[short] = self._exactly(query[short], count)
        scores = np.empty(neighbours.shape, np.float32)
        for row, items in enumerate(neighbours):
            scores[row] = self.score(query[row], items)
        order = np.lexsort((neighbours, -scores), axis=1)
        return np.take_along_axis(neighbours, order, 1), np.take_along_axis(scores, order, 1)

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
    index: ApproximateIndex,
    query: FloatArray,
    partner: Indices,
    top: int = 10,
    accept: Sequence[Indices] | None = None,
) -> Ranks:
    """Rank the partner of every query among the shortlist of an index.

    Parameters and result are those of
    :func:`~crosslook.retrieval.compare.similarity.rank_partners`. A partner that the
    shortlist lacks has the rank after its end; its score is exact all the same.
    """
    indices, scores = index.search(query)
    rank = np.empty(len(query), np.int64)
    own = np.empty(len(query), np.float32)
    for row, (items, values) in enumerate(zip(indices, scores, strict=True)):
        wanted = partner[row : row + 1] if accept is None else accept[row]
        mine = np.isin(items, wanted)
        own[row] = values[mine].max() if mine.any() else index.score(query[row], wanted).max()
        ahead = int(np.count_nonzero((values >= own[row]) & ~mine))
        rank[row] = 1 + ahead if mine.any() else len(items) + 1
    if index.offsets is not None:
        scores = scores - index.offsets.query[:, None]
        own = own - index.offsets.query
    best = min(top, indices.shape[1])
    return Ranks(rank, own, indices[:, :best], scores[:, :best], indices.shape[1])


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
