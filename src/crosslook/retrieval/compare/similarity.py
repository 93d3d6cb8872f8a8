"""Exact similarity and ranks: one ranker over scorers that yield blocks of scores.

The whole matrix is never in memory: a block of queries meets the whole gallery,
and only ranks and the best few stay. The size of a block follows from the
size of the gallery alone, so the same input gives the same bits whatever
memory a machine has. Products of descriptors, maps over shifts, fusions,
shortlists of two stages, approximate indexes and a GPU are scorers;
:func:`rank` is the only place that ranks.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from crosslook import threads
from crosslook.errors import CalibrationError, InputError, SettingError, did_you_mean
from crosslook.extract.runtime import Runtime, exact_products, resolve_runtime
from crosslook.retrieval.compare.pooling import ShiftedGallery, Shifts
from crosslook.types import FloatArray, Indices

BLOCK_SCORES = 2**24
"""Scores of a block at most: 64 MiB."""
DEVICE_BLOCK_SCORES = 2**28
"""Scores of a block on a GPU: 1 GiB, and as much again for each of two copies."""
MOST_ROWS = 256
"""Queries per block: few enough that a block is read again from the cache."""
MOST_THREADS = 4
"""Blocks ranked at once; each holds its scores and a mask of them."""
_GROUPS = 128
_PAIRS_AT_ONCE = 1024
_LOG = logging.getLogger("crosslook")


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

    def at(self, rows: slice | Indices) -> Offsets:
        """Those of some queries."""
        return replace(self, query=self.query[rows])

    def apply(self, scores: FloatArray) -> FloatArray:
        """Correct cosines (Nq, Ng) where they lie, and return them."""
        scores *= np.float32(self.scale)
        scores -= self.query[:, None]
        scores -= self.gallery[None, :]
        return scores


@dataclass(frozen=True)
class Ranks:
    """The ranks of the partners, and what each query found.

    Attributes
    ----------
    rank : int64 array, shape (Nq,)
        1 for a partner that scores higher than everything else. Ties are
        pessimistic: whatever scores the same as the partner is ranked before it.
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


class Scorer(Protocol):
    """Scores of queries against a whole gallery, in one or several variants."""

    shape: tuple[int, int]
    """Queries and items of the gallery."""
    variants: int
    """Matrices of this shape: one per score correction, or per set of weights."""
    step: int
    """Queries of a block."""
    threads: int
    """Blocks that may be scored at once."""

    def blocks(self, part: slice) -> Iterator[tuple[slice, Iterator[Any]]]:
        """Yield the rows of each block of some queries, and their scores by variant.

        Scores are float32 arrays or tensors (n, Ng), which are overwritten by the
        next ones.
        """


def rank(
    scorer: Scorer,
    partner: Indices,
    accepts: Sequence[Sequence[Indices] | None] = (None,),
    top: int = 10,
) -> list[list[Ranks]]:
    """Rank the partner of every query by every variant of the scores.

    Parameters
    ----------
    scorer : Scorer
    partner : int64 array, shape (Nq,)
        Gallery index of the true partner.
    accepts : sequence of sequences of int64 arrays, or None
        Rules of what is found. A rule lists per query the items that also count,
        the partner among them: the best of them is ranked, and the others do not
        count against it. None accepts the partner alone.
    top : int
        How many of the best to keep, at most Ng.

    Returns
    -------
    list of list of Ranks
        Per variant, per rule.
    """
    count, items = scorer.shape
    best = min(top, items)
    results = [[_empty_ranks(count, best) for _ in accepts] for _ in range(scorer.variants)]

    def fill(part: slice) -> None:
        for rows, variants in scorer.blocks(part):
            for scores, ranks in zip(variants, results, strict=True):
                _fill_ranks(ranks, accepts, rows, scores, partner)

    _in_threads(fill, count, scorer.step, scorer.threads)
    return results


def _empty_ranks(count: int, best: int) -> Ranks:
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
    scores: Any,
    partner: Indices,
) -> None:
    # The partner's score is read from the block it is compared in:
    # products of another shape may differ in the last bit.
    own = _host(scores[np.arange(len(scores)), partner[rows]])
    best = best_of(scores, ranks[0].top_indices.shape[1])
    for one, accept in zip(ranks, accepts, strict=True):
        one.partner_score[rows] = own
        one.top_indices[rows], one.top_scores[rows] = best
        one.rank[rows] = (
            _at_least(scores, own) if accept is None else _rank_accepted(scores, accept[rows])
        )


def _rank_accepted(scores: Any, accept: Sequence[Indices]) -> Indices:
    """Rank of the best accepted item of each row, the others not standing in its way."""
    lengths = np.array([len(items) for items in accept])
    starts, row = np.cumsum(lengths) - lengths, np.repeat(np.arange(len(accept)), lengths)
    accepted = _host(scores[row, np.concatenate(accept)])
    highest = np.maximum.reduceat(accepted, starts)
    own = np.add.reduceat((accepted >= highest[row]).astype(np.int64), starts)
    return np.asarray(1 + _at_least(scores, highest) - own, np.int64)


def _at_least(scores: Any, bar: FloatArray) -> Indices:
    """How many scores of each row reach its bar."""
    there = bar if isinstance(scores, np.ndarray) else scores.new_tensor(bar)
    return np.asarray(_host((scores >= there[:, None]).sum(axis=1)), np.int64)


def _host(values: Any) -> Any:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _in_threads(work: Callable[[slice], None], count: int, step: int, most: int) -> None:
    """Give every thread whole blocks of queries, so that no bit depends on how many there are.

    A thread ranks while another multiplies; in a row, both cores would wait
    for the ranking of each block.
    """
    cores = threads.count()
    workers = max(1, min(cores, most, -(-count // step)))
    size = max(1, -(-count // (workers * step))) * step
    parts = [slice(start, min(start + size, count)) for start in range(0, max(1, count), size)]
    with threadpool_limits(max(1, cores // workers), "blas"), ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, parts))


def best_of(scores: Any, count: int) -> tuple[Indices, FloatArray]:
    """Return indices and scores (n, count) of the best per row, best first.

    Of equal scores the lower index comes first.
    """
    if not isinstance(scores, np.ndarray):
        values, at = (_host(part) for part in scores.topk(count, dim=1))
        order = np.lexsort((at, -values), axis=1)
        return np.take_along_axis(at, order, axis=1), np.take_along_axis(values, order, axis=1)
    # Everything that ties with the last one kept is ordered by its index.
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


def row_blocks(part: slice, step: int) -> Iterator[slice]:
    """Cut some rows into blocks."""
    for start in range(part.start, part.stop, step):
        yield slice(start, min(start + step, part.stop))


def rows_per_block(items: int) -> int:
    """Queries that are compared at once with so many items."""
    return int(np.clip(BLOCK_SCORES // max(1, items), 1, MOST_ROWS))


class Similarities:
    """Cosines of unit rows, exactly, under one or several score corrections.

    The products are made once for all corrections.

    Parameters
    ----------
    query, gallery : float32 arrays, shapes (Nq, D) and (Ng, D)
        Unit rows, so that a product is a cosine.
    offsets : sequence of Offsets or None
        One variant of the scores for each; None is the cosine itself.
    shifts : Shifts, optional
        The rows are maps, whose greatest cosine over small shifts is the score.

    Raises
    ------
    InputError
        If the two have different dimensions or the gallery is empty.
    """

    threads = MOST_THREADS

    def __init__(
        self,
        query: FloatArray,
        gallery: FloatArray,
        offsets: Sequence[Offsets | None] = (None,),
        shifts: Shifts | None = None,
    ) -> None:
        if query.shape[1] != gallery.shape[1] or len(gallery) == 0:
            raise InputError(f"queries {query.shape} do not fit a gallery {gallery.shape}.")
        self.query, self.gallery, self.offsets = query, gallery, offsets
        self.shape, self.variants = (len(query), len(gallery)), len(offsets)
        self.step = rows_per_block(len(gallery))
        self._moved = None if shifts is None else ShiftedGallery(gallery, shifts)

    def blocks(self, part: slice) -> Iterator[tuple[slice, Iterator[FloatArray]]]:
        """Yield rows and corrected scores."""
        # One buffer for all blocks: fresh pages would cost as much as ranking does.
        buffer = np.empty((min(self.step, part.stop - part.start), self.shape[1]), np.float32)
        for rows in row_blocks(part, self.step):
            scores = buffer[: rows.stop - rows.start]
            self.cosines(rows, scores)
            yield rows, self._corrected(rows, scores)

    def cosines(self, rows: slice, out: FloatArray) -> None:
        """Write the scores of a block of queries before any correction."""
        if self._moved is None:
            np.matmul(self.query[rows], self.gallery.T, out=out)
        else:
            self._moved.best(self.query[rows], out)

    def _corrected(self, rows: slice, cosines: FloatArray) -> Iterator[FloatArray]:
        for number, how in enumerate(self.offsets):
            # The last correction may overwrite what no one reads any more.
            scores = cosines if number == self.variants - 1 else cosines.copy()
            yield scores if how is None else how.at(rows).apply(scores)


class Matrix:
    """Scores that are known already, shape (Nq, Ng)."""

    threads = 1
    variants = 1

    def __init__(self, scores: FloatArray) -> None:
        self.scores, self.step = scores, rows_per_block(scores.shape[1])
        self.shape = (scores.shape[0], scores.shape[1])

    def blocks(self, part: slice) -> Iterator[tuple[slice, Iterator[FloatArray]]]:
        """Yield rows and their scores."""
        for rows in row_blocks(part, self.step):
            yield rows, iter([self.scores[rows]])


class OnDevice:
    """The same products on a torch device, in blocks of a gigabyte of scores.

    Scores are those of that device, which may differ from those of the processor
    in the last bit. Calibrations stay on the processor: they pass once over
    numbers that lie on disk.
    """

    threads = 1

    def __init__(
        self, device: str, query: FloatArray, gallery: FloatArray, offsets: Sequence[Offsets]
    ) -> None:
        self.device, self.query, self.offsets = device, query, offsets
        self.shape, self.variants = (len(query), len(gallery)), len(offsets)
        self.step = max(1, DEVICE_BLOCK_SCORES // max(1, len(gallery)))
        self._gallery = self._there(gallery)

    def blocks(self, part: slice) -> Iterator[tuple[slice, Iterator[Any]]]:
        """Yield rows and corrected scores, as tensors."""
        import torch

        with torch.inference_mode(), exact_products(Runtime(self.device)):
            for rows in row_blocks(part, self.step):
                cosines = self._there(self.query[rows]) @ self._gallery.T
                yield rows, (self._correct(how.at(rows), cosines) for how in self.offsets)

    def _correct(self, how: Offsets, cosines: Any) -> Any:
        scores = cosines * np.float32(how.scale)
        scores -= self._there(how.query)[:, None]
        scores -= self._there(how.gallery)
        return scores

    def _there(self, values: FloatArray) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)


def search_device(device: str, gallery_bytes: int) -> str | None:
    """The GPU that a gallery of so many bytes is searched on, or None for the processor.

    ``auto`` takes a CUDA GPU where there is one; a gallery that does not fit its
    memory is searched on the processor, with a warning.

    Raises
    ------
    SettingError
        If the GPU that is named is not there.
    """
    # Torch takes seconds to import, so it is asked only where a driver is.
    if device in ("cpu", "mps") or (device == "auto" and shutil.which("nvidia-smi") is None):
        return None
    try:
        runtime = resolve_runtime(device, "float32", None)
    except ImportError:
        return None
    if runtime.kind != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(torch.device(runtime.device))
    if gallery_bytes + 3 * 4 * DEVICE_BLOCK_SCORES > free:
        _LOG.warning(
            "a gallery of %.1f GB does not fit the GPU (%.1f GB free): searched on the CPU. "
            "--pca makes it smaller.",
            gallery_bytes / 1e9,
            free / 1e9,
        )
        return None
    return runtime.device


def exact_scorer(
    device: str,
    query: FloatArray,
    gallery: FloatArray,
    offsets: Sequence[Offsets],
    shifts: Shifts | None = None,
) -> Scorer:
    """Score on a GPU where :func:`search_device` finds one, else on the processor."""
    there = None if shifts else search_device(device, gallery.nbytes)
    if there:
        return OnDevice(there, query, gallery, offsets)
    return Similarities(query, gallery, offsets, shifts)


def normalise(descriptors: FloatArray) -> FloatArray:
    """Scale rows to length 1; a row of zeros stays zero."""
    length = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return np.asarray(descriptors / np.maximum(length, 1e-12), np.float32)


def paired_cosines(sar: FloatArray, optical: FloatArray) -> FloatArray:
    """Cosine of each pair of unit rows (n, D), a part at a time: shape (n,)."""
    out = np.empty(len(sar), np.float32)
    for rows in row_blocks(slice(0, len(sar)), _PAIRS_AT_ONCE):
        out[rows] = (sar[rows] * optical[rows]).sum(axis=1)
    return out


def rank_partners(
    query: FloatArray,
    gallery: FloatArray,
    partner: Indices,
    offsets: Offsets | None = None,
    top: int = 10,
    accept: Sequence[Indices] | None = None,
    shifts: Shifts | None = None,
) -> Ranks:
    """Rank the partner of every query by its cosine, under one correction and one rule.

    Arguments are those of :class:`Similarities` and :func:`rank`.
    """
    [[ranks]] = rank(Similarities(query, gallery, [offsets], shifts), partner, [accept], top)
    return ranks


def similarity_blocks(
    query: FloatArray,
    gallery: FloatArray,
    offsets: Offsets | None = None,
    shifts: Shifts | None = None,
) -> Iterator[tuple[slice, FloatArray]]:
    """Yield (query rows, scores against the whole gallery) block by block.

    The scores are overwritten by those of the next block; arguments are
    those of :class:`Similarities`.
    """
    scorer = Similarities(query, gallery, [offsets], shifts)
    for rows, variants in scorer.blocks(slice(0, len(query))):
        yield rows, next(variants)


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
    """The cosine itself; base of the corrections against hubs, items near to everything.

    Each correction has the form of :class:`Offsets`, one number per query and per
    gallery item, so it costs no second matrix. Banks are unit descriptors of the
    calibration set, never of the test set.

    Attributes
    ----------
    query_bank, gallery_bank : float32 arrays, shapes (n, D) and (m, D)
    shifts : Shifts or None
        As in :class:`Similarities`.
    neighbours : int
        Nearest items that ``csls`` takes; at most the size of a bank.
    temperature : float
        Of ``inverted-softmax``.
    """

    query_bank: FloatArray
    gallery_bank: FloatArray
    shifts: Shifts | None = None
    neighbours: int = 10
    temperature: float = 0.05

    symmetric: ClassVar[bool] = True
    """Whether the correction of one direction is that of the other, sides exchanged."""

    def offsets(self, query: FloatArray, gallery: FloatArray) -> Offsets:
        """Return the correction of unit queries (Nq, D) and gallery (Ng, D)."""
        return Offsets.none(len(query), len(gallery))

    def _per_item(
        self, items: FloatArray, bank: FloatArray, reduce: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        out = np.empty(len(items), np.float32)
        for rows, scores in similarity_blocks(items, bank, None, self.shifts):
            out[rows] = reduce(scores)
        return out


class Csls(Scoring):
    """``2 cos(q, g) - r(q) - r(g)`` (Conneau et al., ICLR 2018).

    ``r`` is the mean cosine to the nearest items of the bank of the other side.
    """

    def offsets(self, query: FloatArray, gallery: FloatArray) -> Offsets:
        """Return the mean cosines to the neighbours."""

        def nearest(scores: FloatArray) -> FloatArray:
            return mean_of_best(scores, self.neighbours)

        return Offsets(
            CSLS_SCALE,
            self._per_item(query, self.gallery_bank, nearest),
            self._per_item(gallery, self.query_bank, nearest),
        )


class InvertedSoftmax(Scoring):
    """``cos(q, g) / T - log sum_b exp(cos(b, g) / T)`` (Smith et al., ICLR 2017).

    The sum goes over the bank ``b`` of queries.
    """

    symmetric = False

    def offsets(self, query: FloatArray, gallery: FloatArray) -> Offsets:
        """Return the logarithms of the sums."""
        scale = 1.0 / self.temperature

        def log_sum(scores: FloatArray) -> FloatArray:
            scores *= np.float32(scale)
            top = scores.max(axis=1, keepdims=True)
            logs = top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
            return np.asarray(logs[:, 0], np.float32)

        zeros = np.zeros(len(query), np.float32)
        return Offsets(scale, zeros, self._per_item(gallery, self.query_bank, log_sum))


SCORINGS: dict[str, type[Scoring]] = {
    "cosine": Scoring,
    "csls": Csls,
    "inverted-softmax": InvertedSoftmax,
}


def fit_scoring(
    name: str,
    query_bank: FloatArray,
    gallery_bank: FloatArray,
    *,
    neighbours: int = 10,
    temperature: float = 0.05,
    shifts: Shifts | None = None,
) -> Scoring:
    """Make the scoring of a name in ``SCORINGS`` from banks of unit descriptors.

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
            + did_you_mean(name, list(SCORINGS))
        )
    if neighbours < 1 or not temperature > 0:
        raise SettingError(
            f"neighbours is {neighbours} and temperature {temperature}; "
            "the first must be at least 1, the second above 0."
        )
    if name != "cosine" and min(len(query_bank), len(gallery_bank)) == 0:
        raise CalibrationError(f"scoring '{name}' has an empty bank; set more scenes aside.")
    return SCORINGS[name](query_bank, gallery_bank, shifts, neighbours, temperature)
