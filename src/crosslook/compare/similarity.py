"""Exact similarity and ranks, in one pass over blocks of queries.

The whole matrix is never held: a block of queries meets the whole gallery,
and only ranks and the best few stay. The size of a block follows from the
size of the gallery alone, so the same input gives the same bits whatever
memory a machine has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import InputError
from crosslook.types import FloatArray

BLOCK_SCORES = 2**25
"""Scores held at once: 128 MiB."""
MOST_ROWS = 1024

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Offsets:
    """A score correction: ``scale * cosine - query[:, None] - gallery[None, :]``."""

    scale: float
    query: FloatArray
    gallery: FloatArray


@dataclass(frozen=True)
class Ranks:
    """Where the partners stand.

    Attributes
    ----------
    rank : int64 array, shape (Nq,)
        1 for a partner that scores higher than everything else. Ties are
        pessimistic: whatever scores the same as the partner stands before it.
    partner_score : float32 array, shape (Nq,)
    top_indices, top_scores : arrays, shape (Nq, top)
        Best gallery items, best first; of equal ones the lower index first.
    """

    rank: Indices
    partner_score: FloatArray
    top_indices: Indices
    top_scores: FloatArray


def normalise(descriptors: FloatArray) -> FloatArray:
    """Scale rows to length 1; a row of zeros stays zero."""
    length = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return np.asarray(descriptors / np.maximum(length, 1e-12), np.float32)


def similarity_blocks(
    query: FloatArray, gallery: FloatArray, offsets: Offsets | None = None
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield (query rows, scores against the whole gallery) block by block.

    Parameters
    ----------
    query, gallery : float32 arrays, shapes (Nq, D) and (Ng, D)
        Unit rows, so that a product is a cosine.

    Raises
    ------
    InputError
        If the two have different dimensions or the gallery is empty.
    """
    if query.shape[1] != gallery.shape[1] or len(gallery) == 0:
        raise InputError(f"queries {query.shape} do not fit a gallery {gallery.shape}.")
    step = int(np.clip(BLOCK_SCORES // len(gallery), 1, MOST_ROWS))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        scores = query[rows] @ gallery.T
        if offsets is not None:
            scores *= np.float32(offsets.scale)
            scores -= offsets.query[rows, None]
            scores -= offsets.gallery[None, :]
        yield rows, scores


def rank_partners(
    query: FloatArray,
    gallery: FloatArray,
    partner: Indices,
    offsets: Offsets | None = None,
    top: int = 10,
    accept: Sequence[Indices] | None = None,
) -> Ranks:
    """Rank the partner of every query among the gallery.

    Parameters
    ----------
    query, gallery : float32 arrays, shapes (Nq, D) and (Ng, D)
        Unit rows.
    partner : int64 array, shape (Nq,)
        Gallery index of the true partner.
    offsets : Offsets, optional
        Score correction (CSLS, inverted softmax).
    top : int
        How many of the best to keep, at most Ng.
    accept : sequence of int64 arrays, optional
        Per query, gallery items that also count as found, the partner among
        them: the best of them is ranked, and the others do not stand in its
        way.
    """
    count, best = len(query), min(top, len(gallery))
    rank = np.empty(count, np.int64)
    found = np.empty(count, np.float32)
    indices = np.empty((count, best), np.int64)
    scores = np.empty((count, best), np.float32)
    for rows, block in similarity_blocks(query, gallery, offsets):
        here = np.arange(len(block))
        # The partner's score is read from the block it is compared in:
        # products of another shape may differ in the last bit.
        found[rows] = block[here, partner[rows]]
        indices[rows], scores[rows] = best_of(block, best)
        if accept is None:
            rank[rows] = (block >= found[rows, None]).sum(axis=1)
        else:
            rank[rows] = _tolerant_ranks(block, accept[rows])
    return Ranks(rank, found, indices, scores)


def best_of(scores: FloatArray, count: int) -> tuple[Indices, FloatArray]:
    """Return indices and scores (n, count) of the best per row, best first.

    Of equal scores the lower index comes first.
    """
    if count < scores.shape[1]:
        # Everything that ties with the last one kept competes by its index.
        last = np.partition(scores, -count, axis=1)[:, -count]
        rows, cols = np.nonzero(scores >= last[:, None])
    else:
        rows, cols = np.nonzero(np.ones(scores.shape, bool))
    values = scores[rows, cols]
    order = np.lexsort((cols, -values, rows))
    starts = np.searchsorted(rows, np.arange(len(scores)))
    picked = order[starts[:, None] + np.arange(count)]
    return cols[picked].astype(np.int64), values[picked]


def _tolerant_ranks(block: FloatArray, accept: Sequence[Indices]) -> Indices:
    ranks = np.empty(len(block), np.int64)
    for row, (scores, items) in enumerate(zip(block, accept, strict=True)):
        best = scores[items].max()
        ranks[row] = 1 + (scores >= best).sum() - (scores[items] >= best).sum()
    return ranks
