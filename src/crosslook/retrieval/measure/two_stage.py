"""Two stages: a shortlist by one score, decided by another: who is found, for every K.

A stage scores every pair by pooled descriptors, or by maps over shifts.

Score matrices are (Nq, Ng) with query i's partner at gallery index i. A tie
counts against the partner everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import MatchError
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.pooling import (
    Pooling,
    Shifts,
    coarse_pooling,
    dense_scores,
    fit_maps,
    pool,
    radius_in_cells,
    remove_means,
)
from crosslook.retrieval.compare.similarity import Matrix, csls_offsets, normalise, rank
from crosslook.retrieval.measure.base import PAIRED, Definition, Measure
from crosslook.retrieval.measure.resampling import DRAWS, bootstrap_fraction, bootstrap_mean
from crosslook.retrieval.stage_spec import VERIFYING, Stage
from crosslook.types import DIRECTIONS, Direction, Estimate, FeatureMap, FloatArray, Indices, Metric


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


_RANK_CONSTANT = 60.0
Hits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Stages:
    """Scores of both stages over all measured pairs.

    Attributes
    ----------
    first, second : StageScores
        Of the coarse and of the fine stage.
    swapped : tuple of StageScores, or None
        The same with the extractors in the other order, where it is measured.
    ks : tuple of int
        Lengths of the shortlist, rising.
    clusters : array, shape (M,)
        Cluster of each measured pair.
    seed, draws : int
        Of the bootstrap.
    """

    first: StageScores
    second: StageScores
    swapped: tuple[StageScores, StageScores] | None
    ks: tuple[int, ...]
    clusters: NDArray[np.generic]
    seed: int
    draws: int = DRAWS


def _cost(title: str, formula: str) -> Definition:
    return Definition(
        title,
        formula,
        "counted, not timed",
        "Multiplications for one query, features given; the same on every machine.",
        high=math.inf,
        better="lower",
    )


_CASCADE = "a cascade: Viola and Jones, CVPR 2001"


class TwoStage(Measure[Stages]):
    """Two stages, each alone, the swapped order and both fusions; ``k`` is the shortlist's length.

    Of ``coarse-alone`` and ``fine-alone`` it is the rank.
    """

    name = "two-stage"
    title = "Two stages"
    how = (
        "A coarse shortlist of K candidates, then fine verification. The ceiling is the fraction "
        "of partners that the shortlist still holds; no verification can go beyond it. The advice "
        "is judged by paired differences over clusters at a length that the gallery fixes."
    )
    sees = Stages
    definitions: ClassVar[Mapping[str, Definition]] = {
        "ceiling": Definition(
            "Ceiling",
            "fraction of queries whose partner is among the K best of the coarse stage",
            _CASCADE,
            "No verification can lift the final recall above it.",
        ),
        "final": Definition(
            "Final recall",
            "fraction of queries whose partner is shortlisted and scores best in the fine stage",
            _CASCADE,
            "k is the length of the shortlist; the answer is always the first one.",
        ),
        "cost": _cost("Cost of a query", "N x coarse + K x fine multiplications"),
        "fused-sum": Definition(
            "Final recall by the standardised sum",
            (
                "as final, by coarse / sd + fine / sd; sd over the scores against the calibration "
                "bank"
            ),
            _CASCADE,
            "Better than final where the coarse stage knows what the fine one does not.",
        ),
        "fused-rank": Definition(
            "Final recall by reciprocal rank fusion",
            "as final, by 1 / (60 + coarse rank) + 1 / (60 + fine rank)",
            "Cormack et al., SIGIR 2009",
            "Ranks need no common units; they forget by how much one score leads.",
        ),
        "coarse-alone": Definition(
            "Coarse stage alone",
            "recall at k of the coarse score over the whole gallery",
            _CASCADE,
            "What the shortlist alone would answer.",
        ),
        "fine-alone": Definition(
            "Fine stage alone",
            "recall at k of the fine score over the whole gallery",
            _CASCADE,
            "What verification of everything would reach, at its full cost.",
        ),
        "coarse-alone-cost": _cost("Cost of the coarse stage alone", "N x coarse multiplications"),
        "fine-alone-cost": _cost("Cost of the fine stage alone", "N x fine multiplications"),
        "reversed-ceiling": Definition(
            "Ceiling, stages swapped",
            "as the ceiling, the fine extractor's descriptor making the shortlist",
            _CASCADE,
            "Whether the order of the two extractors matters.",
        ),
        "reversed-final": Definition(
            "Final recall, stages swapped",
            "as final, the coarse extractor's maps verifying",
            _CASCADE,
            "Whether the order of the two extractors matters.",
        ),
        "reversed-cost": _cost("Cost of a query, stages swapped", "N x coarse + K x fine"),
        "gain-over-fine-alone": Definition(
            "Gain of two stages over the fine stage alone",
            (
                "mean over queries of [final answer right] - [fine score right over the whole "
                "gallery]"
            ),
            PAIRED,
            (
                "At or above 0 the shortlist costs nothing; it may hold back what misleads the "
                "fine stage."
            ),
            low=-1.0,
            chance=0.0,
        ),
        "gain-over-coarse-alone": Definition(
            "Gain of two stages over the coarse stage alone",
            (
                "mean over queries of [final answer right] - [coarse score right over the whole "
                "gallery]"
            ),
            PAIRED,
            "At or below 0 the fine stage costs time and finds no more.",
            low=-1.0,
            chance=0.0,
        ),
        "gain-over-reversed": Definition(
            "Gain over the swapped order",
            "mean over queries of [final answer right] - [right with the stages swapped]",
            PAIRED,
            "Above 0 the order is the right one, at this length of the shortlist.",
            low=-1.0,
            chance=0.0,
        ),
        "recommended-k": Definition(
            "Recommended shortlist",
            (
                "smallest K whose final recall is at most 0.005 below the best over all K and of "
                "the coarse stage alone, which is 1"
            ),
            "a rule of this project",
            "Longer shortlists cost more and find no more; 1 needs no second stage.",
            low=1.0,
            high=math.inf,
            better="neither",
        ),
    }

    def __call__(self, view: Stages) -> list[Metric]:
        """Everything of both directions, and what two stages gain, query by query."""
        return [metric for direction in DIRECTIONS for metric in self._one_way(view, direction)]

    def _one_way(self, view: Stages, direction: Direction) -> Iterator[Metric]:
        first, second = view.first, view.second
        sides = first.side(direction), second.side(direction)
        alone = partner_ranks(sides[1])
        yield from self._alone("coarse", first, view, direction)
        yield from self._alone("fine", second, view, direction)
        hits = final_hits(*sides, view.ks)
        yield from self._order("", first, second, hits, view, direction)
        coarse_alone = partner_ranks(sides[0]) == 1
        recommended = recommend((1, *view.ks), [float(hit.mean()) for hit in (coarse_alone, *hits)])
        yield self._exact("recommended-k", recommended, recommended, view, direction)
        summed = sides[0] / np.float32(first.std) + sides[1] / np.float32(second.std)
        for name, fused in (
            ("fused-sum", final_hits(sides[0], summed, view.ks)),
            ("fused-rank", rank_fusion_hits(*sides, view.ks)),
        ):
            for k, hit in zip(view.ks, fused, strict=True):
                yield self._fraction(name, hit, k, 1 / len(hit), view, direction)
        compared = {
            "gain-over-fine-alone": [alone == 1] * len(hits),
            "gain-over-coarse-alone": [coarse_alone] * len(hits),
        }
        if view.swapped is not None:
            coarse, fine = (one.side(direction) for one in view.swapped)
            other = final_hits(coarse, fine, view.ks)
            yield from self._order("reversed-", *view.swapped, other, view, direction)
            compared["gain-over-reversed"] = other
        for name, others in compared.items():
            for k, own, without in zip(view.ks, hits, others, strict=True):
                change = own.astype(np.float64) - without
                estimate = bootstrap_mean(change, view.clusters, view.seed, view.draws)
                yield self.metric(name, estimate, len(own), direction=direction, k=k)

    def _alone(
        self, stage: str, scores: StageScores, view: Stages, direction: Direction
    ) -> Iterator[Metric]:
        """Recall of one stage over the whole gallery, and its cost."""
        ranks = partner_ranks(scores.side(direction))
        size = len(ranks)
        for k in (1, 5, 10):
            if k <= size:
                yield self._fraction(f"{stage}-alone", ranks <= k, k, k / size, view, direction)
        yield self._exact(f"{stage}-alone-cost", size * scores.cost, 0, view, direction)

    def _order(
        self,
        prefix: str,
        first: StageScores,
        second: StageScores,
        hits: Sequence[Hits],
        view: Stages,
        direction: Direction,
    ) -> Iterator[Metric]:
        """Ceiling, final recall and cost for every K."""
        ranks = partner_ranks(first.side(direction))
        size = len(ranks)
        for k, hit in zip(view.ks, hits, strict=True):
            yield self._fraction(f"{prefix}ceiling", ranks <= k, k, k / size, view, direction)
            yield self._fraction(f"{prefix}final", hit, k, 1 / size, view, direction)
            cost = size * first.cost + k * second.cost
            yield self._exact(f"{prefix}cost", cost, k, view, direction)

    def _fraction(
        self, name: str, hits: Hits, k: int, chance: float, view: Stages, direction: Direction
    ) -> Metric:
        estimate = bootstrap_fraction(hits, view.clusters, view.seed, view.draws)
        return self.metric(name, estimate, len(hits), chance=chance, direction=direction, k=k)

    def _exact(self, name: str, value: float, k: int, view: Stages, direction: Direction) -> Metric:
        estimate = Estimate(*[float(value)] * 3)
        return self.metric(name, estimate, len(view.clusters), direction=direction, k=k)


def partner_ranks(scores: FloatArray) -> Indices:
    """Rank of each query's partner, 1 is best, shape (Nq,)."""
    [[ranks]] = rank(Matrix(scores), np.arange(len(scores)), top=1)
    return ranks.rank


def final_hits(coarse: FloatArray, fine: FloatArray, ks: tuple[int, ...]) -> list[Hits]:
    """Whether the partner is shortlisted and then scores best, for each K."""
    ranks = partner_ranks(coarse)
    order = shortlist(coarse, max(ks))
    others = np.take_along_axis(fine, order, axis=1)
    others[order == np.arange(len(fine))[:, None]] = -np.inf
    strongest = np.maximum.accumulate(others, axis=1)
    partner = np.diagonal(fine)
    return [(ranks <= k) & (strongest[:, k - 1] < partner) for k in ks]


def rank_fusion_hits(coarse: FloatArray, fine: FloatArray, ks: tuple[int, ...]) -> list[Hits]:
    """The same, decided by reciprocal rank fusion of both scores in the shortlist.

    Cormack, Clarke and Buettcher, SIGIR 2009: ``1 / (60 + rank)``, summed. Sums
    of two ranks are often equal: the fine score decides between those.
    """
    ranks = partner_ranks(coarse)
    order = shortlist(coarse, max(ks))
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
        hits.append((ranks <= k) & ~beaten.any(axis=1))
    return hits


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


def shortlist(coarse: FloatArray, k: int) -> Indices:
    """The ``k`` best of each query by the coarse score, best first, shape (Nq, k)."""
    return np.argsort(-coarse, axis=1, kind="stable")[:, :k].astype(np.int64)
