"""A coarse shortlist, then fine verification by dense correlation.

>>> spec = TwoStage.parse("hog:grid=8+hog:cell=8")                 # doctest: +SKIP
>>> result = evaluate_two_stage(                                   # doctest: +SKIP
...     StageFeatures(spec.coarse, sar_maps, optical_maps),
...     StageFeatures(spec.fine, sar_fine, optical_fine),
...     clusters, division.calibration_set, division.test_set, seed=0,
... )
>>> rows += [setup.row(name, metric) for metric in result.metrics] # doctest: +SKIP

Score matrices are (Nq, Ng) with query i's partner at gallery index i. A tie
counts against the partner everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.errors import MatchError, SettingError
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.maps import (
    Shifts,
    dense_scores,
    fit_maps,
    radius_in_cells,
    remove_means,
)
from crosslook.retrieval.compare.pooling import Pooling, coarse_pooling, pool
from crosslook.retrieval.compare.similarity import Matrix, Ranks, csls_offsets, normalise, rank
from crosslook.retrieval.measure.resampling import bootstrap_fraction, bootstrap_mean, sample
from crosslook.retrieval.stage_spec import VERIFYING, Stage
from crosslook.types import (
    DIRECTIONS,
    Direction,
    Estimate,
    FeatureMap,
    FloatArray,
    Indices,
    Metric,
)

_RANK_CONSTANT = 60.0
Hits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StageFeatures:
    """Features of all patches, both modalities, for one stage; row i is one pair."""

    stage: Stage
    sar: FeatureMap
    optical: FeatureMap

    @property
    def has_maps(self) -> bool:
        """Whether the stage keeps more than one cell, so that it can verify."""
        return self.stage.how.keeps_places and int(np.prod(self.sar.values.shape[2:])) > 1

    def maps(self) -> tuple[FloatArray, FloatArray, float]:
        """Maps of both modalities on the grid of the stage, and pixels per cell.

        Raises
        ------
        MatchError
            If they have a single cell.
        """
        if not self.has_maps:
            raise MatchError(
                f"'{self.stage}' keeps no map of cells, so nothing can be shifted; a stage that "
                f"verifies needs one of: {', '.join(VERIFYING)}."
            )
        sar, optical, side = self.sar.values, self.optical.values, self.stage.how.cells
        if not side:
            return sar, optical, self.sar.stride
        stride = self.sar.stride * max(sar.shape[2:]) / side
        return regrid(sar, side), regrid(optical, side), stride


@dataclass(frozen=True, eq=False)
class StageScores:
    """What a stage says of every sar patch and every optical patch.

    Attributes
    ----------
    corrected : float32 array, shape (M, M)
        sar (rows) by optical of the test set; CSLS with the calibration set
        as banks: ``2 s - r(sar) - r(optical)``, where ``r`` is the mean
        score of the best ``neighbours`` of the other side's bank. Its
        transpose serves the other direction.
    std : float
        Standard deviation of the scores against the bank: the unit of a fusion.
    cost : int
        Multiplications that one pair costs.
    """

    corrected: FloatArray
    std: float
    cost: int

    def side(self, direction: Direction) -> FloatArray:
        """The scores with the queries of a direction as rows."""
        return self.corrected if direction == "sar->optical" else self.corrected.T


def flat_scores(
    features: StageFeatures, bank: Indices, items: Indices, neighbours: int
) -> StageScores:
    """Score by pooled descriptors, standardised on the calibration set.

    Where the pooling keeps places, each channel of a map first loses its mean
    over the cells; a pooling of one value per channel keeps it.
    """
    pooling = features.stage.how
    if pooling.name == "auto":
        pooling = coarse_pooling(features.sar.values.shape)
    sar, optical = (_pooled(one, pooling) for one in (features.sar, features.optical))
    calibration = fit_calibration("standardize", sar[bank], optical[bank])
    sar = normalise(calibration.apply(sar, "sar"))
    optical = normalise(calibration.apply(optical, "optical"))
    return _correct(
        sar[items] @ optical[items].T,
        sar[items] @ optical[bank].T,
        sar[bank] @ optical[items].T,
        neighbours,
        sar.shape[1],
    )


def shifted_scores(
    features: StageFeatures, bank: Indices, items: Indices, neighbours: int, radius: float
) -> StageScores:
    """Score by dense correlation over shifts of at most ``radius`` pixels.

    A stage that is pooled as ``dense:R`` says itself by how many cells.
    """
    sar, optical, stride = features.maps()
    how = features.stage.how
    cells = int(how.number) if how.name == "dense" else radius_in_cells(radius, stride)
    calibration = fit_maps(sar[bank], optical[bank])
    sar, optical = calibration.apply(sar, "sar"), calibration.apply(optical, "optical")
    # Test set and bank in one go: each shift is cut out and scaled once.
    both, count = np.concatenate([items, bank]), len(items)
    scores = dense_scores(sar[both], optical[both], cells)
    return _correct(
        scores[:count, :count],
        scores[:count, count:],
        scores[count:, :count],
        neighbours,
        Shifts((sar.shape[1], sar.shape[2], sar.shape[3]), cells).multiplications,
    )


def regrid(values: FloatArray, side: int) -> FloatArray:
    """Area means of maps (N, C, h, w) on ``side`` x ``side`` cells."""
    pooled = pool(FeatureMap(values, 1.0), Pooling(name="grid", number=side))
    return pooled.reshape(*values.shape[:2], side, side)


def _pooled(features: FeatureMap, pooling: Pooling) -> FloatArray:
    cells = features.values.shape[2] * features.values.shape[3]
    if pooling.keeps_places and cells > 1:
        features = FeatureMap(remove_means(features.values), features.stride, features.vector)
    return pool(features, pooling)


def _correct(
    scores: FloatArray, to_bank: FloatArray, from_bank: FloatArray, neighbours: int, cost: int
) -> StageScores:
    offsets = csls_offsets(to_bank, from_bank, neighbours)
    std = float(np.std(offsets.scale * to_bank - offsets.query[:, None]))
    return StageScores(offsets.apply(scores.copy()), max(std, 1e-12), cost)


def partner_ranks(scores: FloatArray) -> NDArray[np.int64]:
    """Rank of each query's partner, 1 is best, shape (Nq,)."""
    [[ranks]] = rank(Matrix(scores), np.arange(len(scores)), top=1)
    return ranks.rank


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

    Cormack, Clarke and Buettcher, SIGIR 2009: ``1 / (60 + rank)``, summed. Sums
    of two ranks are often equal: the fine score decides between those.
    """
    rank = partner_ranks(coarse)
    order = _order(coarse, max(ks))
    gathered = np.take_along_axis(fine, order, axis=1)
    hits = []
    for k in ks:
        by_fine = np.argsort(np.argsort(-gathered[:, :k], axis=1, kind="stable"), axis=1)
        fused = 1 / (_RANK_CONSTANT + 1 + np.arange(k)) + 1 / (_RANK_CONSTANT + 1 + by_fine)
        own = order[:, :k] == np.arange(len(fine))[:, None]
        partner = np.where(own, fused, -np.inf).max(axis=1, keepdims=True)
        finest = np.where(own, gathered[:, :k], -np.inf).max(axis=1, keepdims=True)
        # Sums of the same two ranks may differ in the last bit by their order.
        equal = np.isclose(fused, partner, rtol=1e-12, atol=0.0)
        beaten = np.where(equal, gathered[:, :k] >= finest, fused > partner) & ~own
        hits.append((rank <= k) & ~beaten.any(axis=1))
    return hits


def answer(coarse: FloatArray, fine: FloatArray, k: int, top: int = 10) -> Ranks:
    """Answer every query by a shortlist of ``k`` and the fine score.

    A partner that the shortlist lacks has its coarse rank, which lies beyond.
    """
    order, partner, coarse_rank = _order(coarse, k), np.arange(len(coarse)), partner_ranks(coarse)
    shortlist = np.full_like(fine, -np.inf)
    np.put_along_axis(shortlist, order, np.take_along_axis(fine, order, axis=1), axis=1)
    [[ranks]] = rank(Matrix(shortlist), partner, top=min(top, order.shape[1]))
    return replace(
        ranks,
        rank=np.where(coarse_rank <= k, ranks.rank, coarse_rank),
        partner_score=np.diagonal(fine).copy(),
    )


def judged_length(ks: Sequence[int], size: int) -> int:
    """The shortlist by which two stages are judged: the longest of at most a tenth of the gallery.

    Fixed by the sizes alone; the one that did best would be chosen on the
    queries that it is judged by.
    """
    return max((k for k in ks if k <= size / 10), default=min(ks))


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
    neighbours : int
        Of CSLS, which corrects both scores.
    most : int
        Measured pairs; of more, a sample drawn by the seed (fine alone costs
        the square).
    reverse : bool
        Measure the swapped order too.
    """

    ks: tuple[int, ...] = (5, 10, 20, 50, 100, 200)
    radius: float = 24.0
    neighbours: int = 10
    most: int = 1500
    reverse: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not self.ks or min(self.ks) < 1 or list(self.ks) != sorted(set(self.ks)):
            raise SettingError(f"ks are {self.ks}; give rising whole numbers from 1.")
        if not (math.isfinite(self.radius) and self.radius >= 0):
            raise SettingError(f"the radius is {self.radius} pixels; give 0 or more.")
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
    answers : dict of str to Ranks
        Per direction at that K; indices are positions in ``items``.
    notes : list of str
        What was left out, and why.
    """

    metrics: list[Metric]
    items: NDArray[np.int64]
    recommended: dict[str, int]
    answers: dict[str, Ranks]
    notes: list[str]


def evaluate_two_stage(
    coarse: StageFeatures,
    fine: StageFeatures,
    units: ArrayLike,
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
    units : array, shape (N,)
        Unit of each patch.
    fit, measured : int64 arrays
        Patches that fit calibrations and banks, and patches that are measured:
        every one is a query once, and all of them are the gallery.
    settings : TwoStageSettings, optional
    seed : int
        Of samples and of the bootstrap over units.
    draws : int
        Of the bootstrap.

    Raises
    ------
    MatchError
        If the fine stage keeps no map of cells, or patches are missing.
    """
    how = settings or TwoStageSettings()
    bank, items = choose_patches(fit, measured, how, seed)
    notes = []
    if len(items) < len(measured):
        notes.append(f"{len(items)} of {len(measured)} measured pairs, drawn by the seed.")
    first, second = _both_scores(coarse, fine, bank, items, how)
    ks = tuple(k for k in how.ks if k <= len(items)) or (len(items),)
    rows = _Rows(np.asarray(units)[items], ks, seed, draws)
    swapped = None
    if how.reverse and coarse.has_maps:
        swapped = _both_scores(_as_coarse(fine), coarse, bank, items, how)
    elif how.reverse:
        notes.append(f"No reversed order: '{coarse.stage}' keeps no map of cells to verify with.")
    for direction in DIRECTIONS:
        rows.add_all(first, second, swapped, direction)
    answers: dict[str, Ranks] = {
        d: answer(first.side(d), second.side(d), rows.recommended[d]) for d in DIRECTIONS
    }
    return TwoStageResult(rows.metrics, items, rows.recommended, answers, notes)


def choose_patches(
    fit: Indices, measured: Indices, how: TwoStageSettings, seed: int
) -> tuple[Indices, Indices]:
    """Draw the bank and the measured patches that are used: no other map is needed.

    Raises
    ------
    MatchError
        If there are too few.
    """
    if len(fit) == 0 or len(measured) < 2:
        raise MatchError(
            f"{len(fit)} calibration and {len(measured)} measured patches; two stages need "
            "at least 1 and 2. Give more scenes."
        )
    return fit[sample(len(fit), _BANK, seed)], measured[sample(len(measured), how.most, seed)]


def _as_coarse(fine: StageFeatures) -> StageFeatures:
    """The fine stage as it makes a shortlist: pooled, unless it names how."""
    if fine.stage.how.name not in ("flatten", "dense"):
        return fine
    auto = fine.stage.model_copy(update={"pooling": Pooling(name="auto")})
    return replace(fine, stage=auto)


class _Rows:
    """Gathers the metrics of one evaluation."""

    def __init__(
        self, units: NDArray[np.generic], ks: tuple[int, ...], seed: int, draws: int
    ) -> None:
        self.units, self.ks, self.seed, self.draws = units, ks, seed, draws
        self.size = len(units)
        self.metrics: list[Metric] = []
        self.recommended: dict[str, int] = {}

    def add_alone(self, name: str, scores: StageScores, direction: Direction) -> None:
        """Recall of one stage over the whole gallery, and its cost."""
        ranks = partner_ranks(scores.side(direction))
        for k in (1, 5, 10):
            if k <= self.size:
                self._fraction(f"{name}-alone", ranks <= k, k, k / self.size, direction)
        self._exact(f"{name}-alone-cost", self.size * scores.cost, 0, direction)

    def add_all(
        self,
        first: StageScores,
        second: StageScores,
        swapped: tuple[StageScores, StageScores] | None,
        direction: Direction,
    ) -> None:
        """Everything of one direction, and what two stages gain, query by query."""
        self.add_alone("coarse", first, direction)
        self.add_alone("fine", second, direction)
        hits = self.add_order("", first, second, direction)
        self.add_fusions(first, second, direction)
        alone = partner_ranks(second.side(direction)) == 1
        rivals = {"gain-over-fine-alone": [alone] * len(hits)}
        if swapped is not None:
            rivals["gain-over-reversed"] = self.add_order("reversed-", *swapped, direction)
        for name, others in rivals.items():
            for k, own, other in zip(self.ks, hits, others, strict=True):
                change = own.astype(np.float64) - other
                estimate = bootstrap_mean(change, self.units, self.seed, self.draws)
                self._add(name, estimate, k, 0.0, direction)

    def add_order(
        self, prefix: str, first: StageScores, second: StageScores, direction: Direction
    ) -> list[Hits]:
        """Ceiling, final recall and cost for every K; the recommended K."""
        ranks = partner_ranks(first.side(direction))
        hits = final_hits(first.side(direction), second.side(direction), self.ks)
        for k, hit in zip(self.ks, hits, strict=True):
            self._fraction(f"{prefix}ceiling", ranks <= k, k, k / self.size, direction)
            self._fraction(f"{prefix}final", hit, k, 1 / self.size, direction)
            cost = self.size * first.cost + k * second.cost
            self._exact(f"{prefix}cost", cost, k, direction)
        if not prefix:
            best = recommend(self.ks, [float(hit.mean()) for hit in hits])
            self.recommended[direction] = best
            self._exact("recommended-k", best, best, direction)
        return hits

    def add_fusions(self, first: StageScores, second: StageScores, direction: Direction) -> None:
        """Final recall when both scores decide within the shortlist."""
        coarse, fine = first.side(direction), second.side(direction)
        summed = coarse / np.float32(first.std) + fine / np.float32(second.std)
        both: dict[str, list[Hits]] = {
            "fused-sum": final_hits(coarse, summed, self.ks),
            "fused-rank": rank_fusion_hits(coarse, fine, self.ks),
        }
        for name, hits in both.items():
            for k, hit in zip(self.ks, hits, strict=True):
                self._fraction(name, hit, k, 1 / self.size, direction)

    def _fraction(self, name: str, hits: Hits, k: int, chance: float, direction: Direction) -> None:
        estimate = bootstrap_fraction(hits, self.units, self.seed, self.draws)
        self._add(name, estimate, k, chance, direction)

    def _exact(self, name: str, value: float, k: int, direction: Direction) -> None:
        number = float(value)
        self._add(name, Estimate(number, number, number), k, math.nan, direction)

    def _add(
        self, name: str, estimate: Estimate, k: int, chance: float, direction: Direction
    ) -> None:
        size = self.size
        self.metrics.append(Metric("two-stage", name, estimate, size, size, chance, direction, k))


def _both_scores(
    coarse: StageFeatures,
    fine: StageFeatures,
    bank: Indices,
    items: Indices,
    how: TwoStageSettings,
) -> tuple[StageScores, StageScores]:
    first = flat_scores if coarse.stage.how.name != "dense" else partial(shifted_scores, radius=0.0)
    return (
        first(coarse, bank, items, how.neighbours),
        shifted_scores(fine, bank, items, how.neighbours, how.radius),
    )
