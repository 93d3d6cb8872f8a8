"""A coarse shortlist, then fine verification by dense correlation.

>>> from crosslook.retrieval.stage_spec import parse_two_stage           # doctest: +SKIP
>>> coarse, fine = parse_two_stage("hog:grid=8+hog:cell=8")       # doctest: +SKIP
>>> result = evaluate_two_stage(                                   # doctest: +SKIP
...     StageFeatures(coarse, sar_maps, optical_maps),
...     StageFeatures(fine, sar_fine, optical_fine),
...     scenes, division.fit, division.measured, seed=0,
... )
>>> rows += [to_row(metric) for metric in result.metrics]          # doctest: +SKIP

A shortlist by one score, decided by another: who is found, for every K.

Score matrices are (Nq, Ng) with query i's partner at gallery index i. A tie
counts against the partner everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.errors import MatchError, SettingError
from crosslook.retrieval.dense_scores import (
    StageFeatures,
    StageScores,
    flat_scores,
    has_maps,
    shifted_scores,
)
from crosslook.retrieval.measure.gap import sample
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.types import DIRECTIONS, Direction, Estimate, FloatArray, Indices, Metric

_RANK_CONSTANT = 60.0
Hits = NDArray[np.bool_]


def partner_ranks(scores: FloatArray) -> NDArray[np.int64]:
    """Rank of each query's partner, 1 is best, shape (Nq,)."""
    return np.asarray((scores >= np.diagonal(scores)[:, None]).sum(axis=1), np.int64)


def final_hits(coarse: FloatArray, fine: FloatArray, ks: tuple[int, ...]) -> list[Hits]:
    """Whether the partner is shortlisted and then scores best, for each K."""
    rank = partner_ranks(coarse)
    order = _order(coarse, max(ks))
    rivals = np.take_along_axis(fine, order, axis=1)
    rivals[order == np.arange(len(fine))[:, None]] = -np.inf
    strongest = np.maximum.accumulate(rivals, axis=1)
    partner = np.diagonal(fine)
    return [(rank <= k) & (strongest[:, k - 1] < partner) for k in ks]


def rank_fusion_hits(coarse: FloatArray, fine: FloatArray, ks: tuple[int, ...]) -> list[Hits]:
    """The same, decided by reciprocal rank fusion of both scores in the shortlist.

    Cormack, Clarke and Buettcher, SIGIR 2009: ``1 / (60 + rank)``, summed.
    """
    rank = partner_ranks(coarse)
    order = _order(coarse, max(ks))
    gathered = np.take_along_axis(fine, order, axis=1)
    found = []
    for k in ks:
        by_fine = np.argsort(np.argsort(-gathered[:, :k], axis=1, kind="stable"), axis=1)
        fused = 1 / (_RANK_CONSTANT + 1 + np.arange(k)) + 1 / (_RANK_CONSTANT + 1 + by_fine)
        own = order[:, :k] == np.arange(len(fine))[:, None]
        partner = np.where(own, fused, -np.inf).max(axis=1)
        rivals = np.where(own, -np.inf, fused).max(axis=1)
        found.append((rank <= k) & (rivals < partner))
    return found


def best_matches(coarse: FloatArray, fine: FloatArray, k: int) -> NDArray[np.int64]:
    """Gallery index that a shortlist of ``k`` ends with, shape (Nq,)."""
    order = _order(coarse, k)
    best = np.take_along_axis(fine, order, axis=1).argmax(axis=1)
    return np.asarray(order[np.arange(len(order)), best], np.int64)


def recommend(ks: tuple[int, ...], recalls: list[float], tolerance: float = 0.005) -> int:
    """The smallest K whose final recall is at most ``tolerance`` below the best one."""
    enough = max(recalls) - tolerance
    return next(k for k, recall in zip(ks, recalls, strict=True) if recall >= enough)


def _order(coarse: FloatArray, k: int) -> NDArray[np.int64]:
    return np.argsort(-coarse, axis=1, kind="stable")[:, :k].astype(np.int64)


_BANK = 256


@dataclass(frozen=True)
class TwoStageSettings:
    """How two stages are run.

    Attributes
    ----------
    ks : tuple of int
        Lengths of the shortlist; those beyond the gallery are left out.
    radius : float
        Search radius of the fine stage, pixels along rows and columns; whole
        cells within it are tried, at least one. Above the offset expected.
    coarse_radius : float
        Likewise for the coarse stage; 0 compares pooled descriptors. Dearer,
        and needed where offsets are larger than half a coarse cell.
    neighbours : int
        Of CSLS, which corrects both scores.
    most : int
        Measured pairs; of more, a sample drawn by the seed (fine alone costs
        the square).
    """

    ks: tuple[int, ...] = (5, 10, 20, 50, 100, 200)
    radius: float = 24.0
    coarse_radius: float = 0.0
    neighbours: int = 10
    most: int = 1500

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not self.ks or min(self.ks) < 1 or list(self.ks) != sorted(set(self.ks)):
            raise SettingError(f"ks are {self.ks}; give rising whole numbers from 1.")
        if not (math.isfinite(self.radius) and self.radius >= 0 and self.coarse_radius >= 0):
            raise SettingError(
                f"radii are {self.radius} and {self.coarse_radius} pixels; give 0 or more."
            )
        if self.neighbours < 1 or self.most < 2:
            raise SettingError(
                f"neighbours is {self.neighbours} and most {self.most}; at least 1 and 2."
            )


@dataclass(frozen=True, eq=False)
class TwoStageResult:
    """What two stages reach.

    Attributes
    ----------
    metrics : list of Metric
        Measure ``two-stage``; ``k`` is the length of the shortlist, and the
        rank for ``coarse-alone`` and ``fine-alone``.
    items : int64 array, shape (M,)
        Measured patches, indices into all.
    recommended : dict of str to int
        K per direction, by the rule of :func:`crosslook.retrieval.two_stage.recommend`.
    matches : dict of str to int64 array, shape (M,)
        Per direction, the position in ``items`` each query ends with at that K.
    notes : list of str
        What was left out, and why.
    """

    metrics: list[Metric]
    items: NDArray[np.int64]
    recommended: dict[str, int]
    matches: dict[str, NDArray[np.int64]]
    notes: list[str]


def evaluate_two_stage(
    coarse: StageFeatures,
    fine: StageFeatures,
    scenes: ArrayLike,
    fit: Indices,
    measured: Indices,
    *,
    settings: TwoStageSettings | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> TwoStageResult:
    """Measure two stages, each stage alone, the reversed order and both fusions.

    Parameters
    ----------
    coarse, fine : StageFeatures
        Features of all patches; row i of both modalities shows one place.
    scenes : array, shape (N,)
        Scene of each patch.
    fit, measured : int64 arrays
        Patches that fit calibrations and banks, and patches that are measured:
        every one is a query once, and all of them are the gallery.
    settings : TwoStageSettings, optional
    seed : int
        Of samples and of the bootstrap over scenes.
    draws : int
        Of the bootstrap.

    Raises
    ------
    MatchError
        If the fine stage keeps no map of cells, or patches are missing.
    """
    how = settings or TwoStageSettings()
    if len(fit) == 0 or len(measured) < 2:
        raise MatchError(
            f"{len(fit)} calibration and {len(measured)} measured patches; two stages need "
            "at least 1 and 2. Give more scenes."
        )
    bank = fit[sample(len(fit), _BANK, seed)]
    items = measured[sample(len(measured), how.most, seed)]
    names = np.asarray(scenes)[items]
    notes = []
    if len(items) < len(measured):
        notes.append(f"{len(items)} of {len(measured)} measured pairs, drawn by the seed.")
    first = _coarse_scores(coarse, bank, items, how)
    second = shifted_scores(fine, bank, items, how.neighbours, how.radius)
    rows = _Rows(names, tuple(k for k in how.ks if k <= len(items)) or (len(items),), seed, draws)
    for direction in DIRECTIONS:
        rows.add_alone("coarse", first, direction)
        rows.add_alone("fine", second, direction)
        rows.add_order("", first, second, direction)
        rows.add_fusions(first, second, direction)
    if has_maps(coarse):
        back_first = _coarse_scores(fine, bank, items, how)
        back_second = shifted_scores(coarse, bank, items, how.neighbours, how.radius)
        for direction in DIRECTIONS:
            rows.add_order("reversed-", back_first, back_second, direction)
    else:
        notes.append(f"No reversed order: '{coarse.spec}' keeps no map of cells to verify with.")
    matches: dict[str, Indices] = {
        d: best_matches(_side(first, d), _side(second, d), rows.recommended[d]) for d in DIRECTIONS
    }
    return TwoStageResult(rows.metrics, items, rows.recommended, matches, notes)


class _Rows:
    """Gathers the metrics of one evaluation."""

    def __init__(
        self, scenes: NDArray[np.generic], ks: tuple[int, ...], seed: int, draws: int
    ) -> None:
        self.scenes, self.ks, self.seed, self.draws = scenes, ks, seed, draws
        self.size = len(scenes)
        self.metrics: list[Metric] = []
        self.recommended: dict[str, int] = {}

    def add_alone(self, name: str, scores: StageScores, direction: Direction) -> None:
        """Recall of one stage over the whole gallery, and its cost."""
        ranks = partner_ranks(_side(scores, direction))
        for k in (1, 5, 10):
            if k <= self.size:
                self._share(f"{name}-alone", ranks <= k, k, k / self.size, direction)
        self._exact(f"{name}-alone-cost", self.size * scores.cost, 0, direction)

    def add_order(
        self, prefix: str, first: StageScores, second: StageScores, direction: Direction
    ) -> None:
        """Ceiling, final recall and cost for every K; the recommended K."""
        ranks = partner_ranks(_side(first, direction))
        hits = final_hits(_side(first, direction), _side(second, direction), self.ks)
        for k, hit in zip(self.ks, hits, strict=True):
            self._share(f"{prefix}ceiling", ranks <= k, k, k / self.size, direction)
            self._share(f"{prefix}final", hit, k, 1 / self.size, direction)
            cost = self.size * first.cost + k * second.cost
            self._exact(f"{prefix}cost", cost, k, direction)
        if not prefix:
            best = recommend(self.ks, [float(hit.mean()) for hit in hits])
            self.recommended[direction] = best
            self._exact("recommended-k", best, best, direction)

    def add_fusions(self, first: StageScores, second: StageScores, direction: Direction) -> None:
        """Final recall when both scores decide within the shortlist."""
        coarse, fine = _side(first, direction), _side(second, direction)
        summed = coarse / np.float32(first.spread) + fine / np.float32(second.spread)
        both: dict[str, list[Hits]] = {
            "fused-sum": final_hits(coarse, summed, self.ks),
            "fused-rank": rank_fusion_hits(coarse, fine, self.ks),
        }
        for name, hits in both.items():
            for k, hit in zip(self.ks, hits, strict=True):
                self._share(name, hit, k, 1 / self.size, direction)

    def _share(self, name: str, hits: Hits, k: int, chance: float, direction: Direction) -> None:
        estimate = bootstrap_mean(hits, self.scenes, self.seed, self.draws)
        self._add(name, estimate, k, chance, direction)

    def _exact(self, name: str, value: float, k: int, direction: Direction) -> None:
        number = float(value)
        self._add(name, Estimate(number, number, number), k, math.nan, direction)

    def _add(
        self, name: str, estimate: Estimate, k: int, chance: float, direction: Direction
    ) -> None:
        size = self.size
        self.metrics.append(Metric("two-stage", name, estimate, size, size, chance, direction, k))


def _coarse_scores(
    stage: StageFeatures, bank: Indices, items: Indices, how: TwoStageSettings
) -> StageScores:
    if how.coarse_radius > 0:
        return shifted_scores(stage, bank, items, how.neighbours, how.coarse_radius)
    return flat_scores(stage, bank, items, how.neighbours)


def _side(scores: StageScores, direction: Direction) -> FloatArray:
    return scores.corrected if direction == "sar->optical" else scores.corrected.T
