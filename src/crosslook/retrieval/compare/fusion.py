"""One score from several extractors: a weighted sum of calibrated similarities.

>>> members = [Member("hog", *hog), Member("dinov2", *dinov2)]     # doctest: +SKIP
>>> fusions = fit_fusions(members, calibration_set, clusters)      # doctest: +SKIP
>>> scores = FusedScores(fusions, test_set)                        # doctest: +SKIP
>>> equal, fitted = rank(scores, np.arange(len(test_set)))         # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.errors import CalibrationError, InputError
from crosslook.retrieval.compare.pooling import Shifts
from crosslook.retrieval.compare.similarity import (
    CSLS_SCALE,
    MOST_THREADS,
    Offsets,
    Similarities,
    fit_scoring,
    similarity_blocks,
)
from crosslook.types import Direction, FloatArray, Indices

_RIDGE = 1e-3
_NEIGHBOURS = 10
_MOST_KNOWN = 2000  # calibration patches whose scores weights and scales are fitted on


def fit_weights(scores: Sequence[FloatArray]) -> NDArray[np.float64]:
    """Find the non-negative weights under which partners are most likely.

    Maximises ``mean_i log softmax_j (sum_m a_m S_m)[i, i]``, rows and columns
    averaged, over ``a_m >= 0``; a concave problem (McFadden's conditional
    logit, 1974) with a small quadratic penalty, solved by L-BFGS-B. The scale
    of ``a`` is the temperature of the softmax and no weight: the result sums to 1.

    Parameters
    ----------
    scores : sequence of float arrays, shape (n, n)
        One per member, on comparable scales; partners on the diagonal.

    Returns
    -------
    float64 array, shape (members,)
        Equal weights where no member tells partners from strangers.
    """
    from scipy.optimize import minimize

    stack = np.stack(scores).astype(np.float64)
    count = len(stack)
    optimum = minimize(
        _loss,
        np.full(count, 1.0 / count),
        args=(stack,),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * count,
    )
    total = float(optimum.x.sum())
    if total < 1e-6:
        return np.full(count, 1.0 / count)
    return np.asarray(optimum.x / total, np.float64)


def _loss(
    weights: NDArray[np.float64], stack: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    fused = np.tensordot(weights, stack, axes=1)
    partners = np.diagonal(stack, axis1=1, axis2=2).mean(axis=1)
    value = _RIDGE * float(weights @ weights)
    slope = 2 * _RIDGE * weights
    for axis in (1, 0):
        top = fused.max(axis=axis, keepdims=True)
        likely = np.exp(fused - top)
        total = likely.sum(axis=axis, keepdims=True)
        likely /= total
        logs = float((top + np.log(total)).mean())
        value += 0.5 * (logs - float(weights @ partners))
        slope = slope + 0.5 * (np.tensordot(stack, likely, axes=2) / len(fused) - partners)
    return value, slope


Weights = Literal["equal", "fitted"]
WEIGHTS: tuple[Weights, ...] = ("equal", "fitted")


@dataclass(frozen=True, eq=False)
class Member:
    """One extractor of a fusion.

    ``sar`` and ``optical`` are calibrated unit descriptors (N, D) of all
    patches; N is the same for all members, D need not be. ``shifts`` says that
    they are maps to be compared over small shifts.
    """

    name: str
    sar: FloatArray
    optical: FloatArray
    shifts: Shifts | None = None

    def sides(self, direction: Direction) -> tuple[FloatArray, FloatArray]:
        """Queries and gallery of a direction."""
        sides = self.sar, self.optical
        return sides if direction == "sar->optical" else sides[::-1]


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fitted fusion: ``sum_m weights[m] * score_m / std[m]``.

    ``score_m`` is the member's corrected score; ``std`` is its standard deviation
    over the non-pairs of the calibration set, so that a weight means the
    same for every extractor. ``weights`` are 0 or more and sum to 1.
    """

    members: tuple[Member, ...]
    weights: NDArray[np.float64]
    std: NDArray[np.float64]
    scoring: str
    fit: Indices
    direction: Direction

    @property
    def name(self) -> str:
        """The extractor column of a row: ``hog+dinov2``."""
        return "+".join(member.name for member in self.members)


class FusedScores:
    """Fused scores of several weights of the same members, computed once for all.

    Parameters
    ----------
    fusions : sequence of Fusion
        That differ in their weights alone.
    test_set : int64 array
        Patches that are both queries and gallery.
    """

    threads = MOST_THREADS

    def __init__(self, fusions: Sequence[Fusion], test_set: Indices) -> None:
        self._members = [_scorer(fusions[0], member, test_set) for member in fusions[0].members]
        self._factors = [np.asarray(f.weights / f.std, np.float32) for f in fusions]
        self.shape, self.step = self._members[0].shape, self._members[0].step
        self.variants = len(fusions)

    def blocks(self, part: slice) -> Iterator[tuple[slice, Iterator[FloatArray]]]:
        """Yield rows and the sums of the members' corrected scores."""
        for members in zip(*(one.blocks(part) for one in self._members), strict=True):
            rows = members[0][0]
            shape = rows.stop - rows.start, self.shape[1]
            totals = [np.zeros(shape, np.float32) for _ in self._factors]
            for at, (_, variants) in enumerate(members):
                scores = next(variants)
                for total, factors in zip(totals, self._factors, strict=True):
                    total += factors[at] * scores
            yield rows, iter(totals)


def _scorer(fusion: Fusion, member: Member, test_set: Indices) -> Similarities:
    queries, gallery = member.sides(fusion.direction)
    bank = queries[fusion.fit], gallery[fusion.fit]
    scoring = fit_scoring(fusion.scoring, *bank, neighbours=_NEIGHBOURS, shifts=member.shifts)
    sides = queries[test_set], gallery[test_set]
    return Similarities(*sides, [scoring.offsets(*sides)], member.shifts)


def fit_fusions(
    members: Sequence[Member],
    fit: Indices,
    clusters: ArrayLike,
    *,
    direction: Direction = "sar->optical",
    weights: Sequence[Weights] = WEIGHTS,
    scoring: Literal["cosine", "csls"] = "csls",
) -> list[Fusion]:
    """Fit fusions of the same members on the calibration set alone.

    Parameters
    ----------
    members : sequence of Member
        At least two.
    fit : int64 array
        Patches of the calibration set.
    clusters : array, shape (N,)
        Cluster of each patch. Banks of the fitted scores leave out the query's
        own cluster, as they do when unseen clusters are measured.
    direction : str
    weights : sequence of str
        One fusion for each: ``equal``, or ``fitted``: those that make the partners of the
        calibration set most likely (:func:`fit_weights`).
    scoring : str
        ``csls`` or ``cosine``.

    Raises
    ------
    InputError
        If members differ in their number of patches.
    CalibrationError
        If fewer than two clusters are there to fit on.
    """
    names = np.asarray(clusters)
    _check(members, fit, names)
    # Evenly over the clusters, which come one after the other.
    some = fit[:: -(-len(fit) // _MOST_KNOWN)]
    known = [_left_out_scores(member, some, names[some], direction, scoring) for member in members]
    off = ~np.eye(len(some), dtype=bool)
    stds = np.array([max(float(scores[off].std()), 1e-12) for scores in known])
    fusions = []
    for how in weights:
        weight = np.full(len(members), 1 / len(members))
        if how == "fitted":
            weight = fit_weights([s / np.float32(d) for s, d in zip(known, stds, strict=True)])
        fusions.append(Fusion(tuple(members), weight, stds, scoring, fit, direction))
    return fusions


def _left_out_scores(
    member: Member, fit: Indices, clusters: NDArray[np.generic], direction: Direction, scoring: str
) -> FloatArray:
    """Scores among the calibration patches, each cluster corrected by the others."""
    queries, gallery = (side[fit] for side in member.sides(direction))
    cosine = np.empty((len(fit), len(fit)), np.float32)
    for rows, block in similarity_blocks(queries, gallery, None, member.shifts):
        cosine[rows] = block
    if scoring == "cosine":
        return cosine
    # An unseen cluster is corrected by the others alone.
    others = np.where(clusters[:, None] == clusters[None, :], np.float32(-np.inf), cosine)
    corrections = [_mean_of_finite(side, _NEIGHBOURS) for side in (others, others.T)]
    return Offsets(CSLS_SCALE, *corrections).apply(cosine)


def _mean_of_finite(scores: FloatArray, count: int) -> FloatArray:
    """Mean of the ``count`` best finite scores of each row, fewer where there are no more."""
    kept = min(count, scores.shape[1])
    best = np.partition(scores, -kept, axis=1)[:, -kept:]
    return np.asarray(np.mean(best, axis=1, where=np.isfinite(best)), np.float32)


def _check(members: Sequence[Member], fit: Indices, clusters: NDArray[np.generic]) -> None:
    sizes = {len(side) for member in members for side in (member.sar, member.optical)}
    if sizes != {len(clusters)}:
        raise InputError(
            f"members hold {sorted(sizes)} patches and {len(clusters)} clusters are named; all "
            "must describe the same patches in the same order."
        )
    if len(np.unique(clusters[fit])) < 2:
        raise CalibrationError(
            "a fusion is fitted across clusters of the calibration set and needs at least two; "
            "set more clusters aside."
        )
