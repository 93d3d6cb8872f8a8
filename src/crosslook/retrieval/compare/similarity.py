"""Score corrections against hubs: items that are near to everything.

Both corrections have the form ``scale * cosine - query - gallery`` with one
number per query and per gallery item, so they cost no second matrix. Their
banks are descriptors of the calibration units, never the measured ones.

Exact similarity and ranks, in one pass over blocks of queries.

The whole matrix is never held: a block of queries meets the whole gallery,
and only ranks and the best few stay. The size of a block follows from the
size of the gallery alone, so the same input gives the same bits whatever
memory a machine has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from crosslook.errors import CalibrationError, InputError, SettingError, did_you_mean
from crosslook.extract.runtime import available_cores
from crosslook.retrieval.compare.shifts import ShiftedGallery, Shifts
from crosslook.types import FloatArray, Indices

BLOCK_SCORES = 2**24
"""Scores of a block at most: 64 MiB."""
MOST_ROWS = 256
"""Queries per block: few enough that a block is read again from the cache."""
MOST_THREADS = 4
"""Blocks ranked at once; each holds its scores and a mask of them."""
_GROUPS = 128
_PAIRS_AT_ONCE = 1024


@dataclass(frozen=True)
class Offsets:
    """A score correction: ``scale * cosine - query[:, None] - gallery[None, :]``."""

    scale: float
    query: FloatArray
    gallery: FloatArray

    @classmethod
    def none(cls, queries: int, items: int) -> Offsets:
        """No correction: the cosine itself."""
        return cls(1.0, np.zeros(queries, np.float32), np.zeros(items, np.float32))

    @property
    def reversed(self) -> Offsets:
        """Those of the other direction, where a correction treats both sides alike."""
        return Offsets(self.scale, self.gallery, self.query)

    def apply(self, scores: FloatArray) -> FloatArray:
        """Correct cosines (Nq, Ng) where they lie, and return them."""
        scores *= np.float32(self.scale)
        scores -= self.query[:, None]
        scores -= self.gallery[None, :]
        return scores


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
    depth : int or None
        How far ranks are known, where an approximate index gave them; a
        partner beyond has the rank ``depth + 1``.
    """

    rank: Indices
    partner_score: FloatArray
    top_indices: Indices
    top_scores: FloatArray
    depth: int | None = None


def normalise(descriptors: FloatArray) -> FloatArray:
    """Scale rows to length 1; a row of zeros stays zero."""
    length = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return np.asarray(descriptors / np.maximum(length, 1e-12), np.float32)


def paired_cosines(sar: FloatArray, optical: FloatArray) -> FloatArray:
    """Cosine of each pair of unit rows (n, D), a part at a time: shape (n,)."""
    out = np.empty(len(sar), np.float32)
    for start in range(0, len(sar), _PAIRS_AT_ONCE):
        rows = slice(start, start + _PAIRS_AT_ONCE)
        out[rows] = (sar[rows] * optical[rows]).sum(axis=1)
    return out


def similarity_blocks(
    query: FloatArray,
    gallery: FloatArray,
    offsets: Offsets | None = None,
    shifts: Shifts | None = None,
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield (query rows, scores against the whole gallery) block by block.

    The scores are overwritten when the next block is asked for.

    Parameters
    ----------
    query, gallery : float32 arrays, shapes (Nq, D) and (Ng, D)
        Unit rows, so that a product is a cosine.
    offsets : Offsets, optional
    shifts : Shifts, optional
        The rows are maps, whose greatest cosine over small shifts is the score.

    Raises
    ------
    InputError
        If the two have different dimensions or the gallery is empty.
    """
    moved = None if shifts is None else ShiftedGallery(gallery, shifts)
    for rows, scores in _products(query, gallery, moved):
        if offsets is not None:
            replace(offsets, query=offsets.query[rows]).apply(scores)
        yield rows, scores


def _products(
    query: FloatArray, gallery: FloatArray, moved: ShiftedGallery | None
) -> Iterator[tuple[slice, FloatArray]]:
    if query.shape[1] != gallery.shape[1] or len(gallery) == 0:
        raise InputError(f"queries {query.shape} do not fit a gallery {gallery.shape}.")
    step = _rows_per_block(gallery)
    # One buffer for all blocks: fresh pages would cost as much as ranking does.
    product = np.empty((min(step, len(query)), len(gallery)), np.float32)
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        scores = product[: rows.stop - start]
        if moved is None:
            np.matmul(query[rows], gallery.T, out=scores)
        else:
            moved.best(query[rows], scores)
        yield rows, scores


def rank_partners(
    query: FloatArray,
    gallery: FloatArray,
    partner: Indices,
    offsets: Offsets | None = None,
    top: int = 10,
    accept: Sequence[Indices] | None = None,
    shifts: Shifts | None = None,
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
    shifts : Shifts, optional
        As in :func:`similarity_blocks`.
    """
    how = [Offsets.none(len(query), len(gallery)) if offsets is None else offsets]
    [[ranks]] = rank_all(query, gallery, partner, how, [accept], top, shifts)
    return ranks


def rank_all(
    query: FloatArray,
    gallery: FloatArray,
    partner: Indices,
    offsets: Sequence[Offsets],
    accepts: Sequence[Sequence[Indices] | None] = (None,),
    top: int = 10,
    shifts: Shifts | None = None,
) -> list[list[Ranks]]:
    """Rank under several score corrections and several rules of what is found.

    The products are made once for all of them; arguments are those of
    :func:`rank_partners`.

    Returns
    -------
    list of list of Ranks
        Per correction, per rule.
    """
    count, best = len(query), min(top, len(gallery))
    results = [[empty_ranks(count, best) for _ in accepts] for _ in offsets]
    moved = None if shifts is None else ShiftedGallery(gallery, shifts)

    def fill(part: slice) -> None:
        for inner, cosines in _products(query[part], gallery, moved):
            rows = slice(part.start + inner.start, part.start + inner.stop)
            for number, (how, ranks) in enumerate(zip(offsets, results, strict=True)):
                # The last correction may overwrite what no one reads any more.
                block = cosines if number == len(offsets) - 1 else cosines.copy()
                replace(how, query=how.query[rows]).apply(block)
                _fill_ranks(ranks, accepts, rows, block, partner)

    _in_threads(fill, count, _rows_per_block(gallery))
    return results


def empty_ranks(count: int, best: int) -> Ranks:
    """Ranks of ``count`` queries to be filled, with room for the ``best`` items of each."""
    return Ranks(
        np.empty(count, np.int64),
        np.empty(count, np.float32),
        np.empty((count, best), np.int64),
        np.empty((count, best), np.float32),
    )


def _fill_ranks(
    ranks: Sequence[Ranks],
    accepts: Sequence[Sequence[Indices] | None],
    rows: slice,
    block: FloatArray,
    partner: Indices,
) -> None:
    # The partner's score is read from the block it is compared in:
    # products of another shape may differ in the last bit.
    own = block[np.arange(len(block)), partner[rows]]
    best = best_of(block, ranks[0].top_indices.shape[1])
    for one, accept in zip(ranks, accepts, strict=True):
        one.partner_score[rows] = own
        one.top_indices[rows], one.top_scores[rows] = best
        one.rank[rows] = rank_in(block, own, None if accept is None else accept[rows])


def _rows_per_block(gallery: FloatArray) -> int:
    return int(np.clip(BLOCK_SCORES // max(1, len(gallery)), 1, MOST_ROWS))


def _in_threads(work: Callable[[slice], None], count: int, step: int) -> None:
    """Give every thread whole blocks of queries, so that no bit depends on how many there are.

    A thread ranks while another multiplies; in a row, both cores would wait
    for the ranking of each block.
    """
    cores = available_cores()
    threads = max(1, min(cores, MOST_THREADS, -(-count // step)))
    size = max(1, -(-count // (threads * step))) * step
    parts = [slice(start, min(start + size, count)) for start in range(0, max(1, count), size)]
    with (
        threadpool_limits(max(1, cores // threads), "blas"),
        ThreadPoolExecutor(threads) as pool,
    ):
        list(pool.map(work, parts))


def best_of(scores: FloatArray, count: int) -> tuple[Indices, FloatArray]:
    """Return indices and scores (n, count) of the best per row, best first.

    Of equal scores the lower index comes first.
    """
    # Everything that ties with the last one kept competes by its index.
    rows, cols = np.divmod(np.flatnonzero(scores >= _low_bar(scores, count)), scores.shape[1])
    values = scores[rows, cols]
    order = np.lexsort((cols, -values, rows))
    starts = np.searchsorted(rows, np.arange(len(scores)))
    picked = order[starts[:, None] + np.arange(count)]
    return cols[picked].astype(np.int64), values[picked]


def _low_bar(scores: FloatArray, count: int) -> FloatArray:
    """A score (n, 1) per row that at least ``count`` of its scores reach, and few others.

    The ``count``-th best of the maxima of 128 groups of columns: a maximum is
    found in one pass, a partition of the row needs several.
    """
    rows, cols = scores.shape
    depth = cols // _GROUPS
    if count > _GROUPS // 4 or depth < 2:
        return np.partition(scores, cols - count, axis=1)[:, cols - count, None]
    groups = scores[:, : depth * _GROUPS].reshape(rows, depth, _GROUPS).max(axis=1)
    return np.partition(groups, _GROUPS - count, axis=1)[:, _GROUPS - count, None]


def rank_in(block: FloatArray, own: FloatArray, accept: Sequence[Indices] | None) -> Indices:
    """Rank of the partner, or of the best accepted item, in each row of scores.

    Parameters
    ----------
    block : float32 array, shape (n, Ng)
    own : float32 array, shape (n,)
        The partner's score, read from the block.
    accept : sequence of int64 arrays, optional
        As in :func:`rank_partners`.
    """
    ranks: Indices = np.count_nonzero(block >= own[:, None], axis=1).astype(np.int64)
    for row, items in enumerate(accept or ()):
        if len(items) > 1:
            scores = block[row]
            best = scores[items].max()
            ranks[row] = 1 + (scores >= best).sum() - (scores[items] >= best).sum()
    return ranks


SCORINGS = ("cosine", "csls", "inverted-softmax")
SYMMETRIC = ("cosine", "csls")
"""Scorings whose correction of one direction is that of the other, sides exchanged."""
CSLS_SCALE = 2.0


def csls_offsets(to_bank: FloatArray, from_bank: FloatArray, neighbours: int) -> Offsets:
    """CSLS of scores that are no products of descriptors, as those of maps over shifts.

    Parameters
    ----------
    to_bank : float32 array, shape (Nq, m)
        Scores of the queries against the bank of the gallery's side.
    from_bank : float32 array, shape (n, Ng)
        Scores of the bank of the queries' side against the gallery.
    neighbours : int
        The mean of so many best is taken; at most the size of a bank.
    """
    return Offsets(
        CSLS_SCALE, mean_of_best(to_bank, neighbours), mean_of_best(from_bank.T, neighbours)
    )


def mean_of_best(scores: FloatArray, count: int) -> FloatArray:
    """Mean of the ``count`` best scores of each row, at most all of them; shape (n,)."""
    kept = min(count, scores.shape[1])
    return np.asarray(np.partition(scores, -kept, axis=1)[:, -kept:].mean(axis=1), np.float32)


@dataclass(frozen=True)
class Scoring:
    """A scoring with its banks of unit descriptors (n, D) of both sides."""

    name: str
    query_bank: FloatArray
    gallery_bank: FloatArray
    neighbours: int
    temperature: float
    shifts: Shifts | None = None

    def offsets(self, query: FloatArray, gallery: FloatArray) -> Offsets:
        """Return the correction of unit queries (Nq, D) and gallery (Ng, D).

        ``csls``: ``2 cos(q, g) - r(q) - r(g)``, where ``r`` is the mean cosine
        to the ``neighbours`` nearest items of the bank of the other side
        (Conneau et al., ICLR 2018).
        ``inverted-softmax``: ``cos(q, g) / T - log sum_b exp(cos(b, g) / T)``
        over the bank ``b`` of queries (Smith et al., ICLR 2017).
        """
        if self.name == "csls":
            return Offsets(
                CSLS_SCALE,
                _mean_of_nearest(query, self.gallery_bank, self.neighbours, self.shifts),
                _mean_of_nearest(gallery, self.query_bank, self.neighbours, self.shifts),
            )
        if self.name == "inverted-softmax":
            scale, zeros = 1.0 / self.temperature, np.zeros(len(query), np.float32)
            softmax = _log_sum_exp(gallery, self.query_bank, scale, self.shifts)
            return Offsets(scale, zeros, softmax)
        return Offsets.none(len(query), len(gallery))


def fit_scoring(
    name: str,
    query_bank: FloatArray,
    gallery_bank: FloatArray,
    *,
    neighbours: int = 10,
    temperature: float = 0.05,
    shifts: Shifts | None = None,
) -> Scoring:
    """Make a scoring from banks of unit descriptors.

    Parameters
    ----------
    name : str
        ``cosine``, ``csls`` or ``inverted-softmax``.
    query_bank, gallery_bank : float32 arrays, shapes (n, D) and (m, D)
        Calibrated descriptors of the calibration units.
    neighbours : int
        For ``csls``; at most the size of a bank is used.
    temperature : float
        For ``inverted-softmax``; above 0.
    shifts : Shifts, optional
        As in :func:`similarity_blocks`.

    Raises
    ------
    SettingError
        If the name is unknown or a number is out of range.
    CalibrationError
        If a bank is empty.
    """
    if name not in SCORINGS:
        raise SettingError(
            f"unknown scoring '{name}'; allowed are: {', '.join(SCORINGS)}."
            + did_you_mean(name, SCORINGS)
        )
    if neighbours < 1 or not temperature > 0:
        raise SettingError(
            f"neighbours is {neighbours} and temperature {temperature}; "
            "the first must be at least 1, the second above 0."
        )
    if name != "cosine" and min(len(query_bank), len(gallery_bank)) == 0:
        raise CalibrationError(f"scoring '{name}' has an empty bank; set more scenes aside.")
    return Scoring(name, query_bank, gallery_bank, neighbours, temperature, shifts)


def _mean_of_nearest(
    items: FloatArray, bank: FloatArray, count: int, shifts: Shifts | None
) -> FloatArray:
    out = np.empty(len(items), np.float32)
    for rows, scores in similarity_blocks(items, bank, None, shifts):
        out[rows] = mean_of_best(scores, count)
    return out


def _log_sum_exp(
    items: FloatArray, bank: FloatArray, scale: float, shifts: Shifts | None
) -> FloatArray:
    out = np.empty(len(items), np.float32)
    for rows, scores in similarity_blocks(items, bank, None, shifts):
        scores *= np.float32(scale)
        top = scores.max(axis=1, keepdims=True)
        out[rows] = (top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True)))[:, 0]
    return out
