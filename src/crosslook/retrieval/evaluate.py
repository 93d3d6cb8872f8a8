"""The structure of a study: numbers, embeddings and heat maps of each feature space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.compare.calibration import Calibration, fit_calibration
from crosslook.retrieval.compare.similarity import Ranks, fit_scoring, normalise, rank_partners
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.indexed import Ranked, Sides, known_metrics, rank_indexed
from crosslook.retrieval.measure.gap import measure_gap, pair_histograms
from crosslook.retrieval.measure.retrieval import (
    accepted_neighbours,
    match_curve,
    measure_retrieval,
)
from crosslook.retrieval.measure.structure import measure_structure
from crosslook.retrieval.run_folder import (
    CurveTable,
    EmbeddingTable,
    HeatTable,
    HistogramTable,
    MatchTable,
)
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.split import Division
from crosslook.retrieval.views import FeatureView
from crosslook.scratch import scratch
from crosslook.types import (
    DIRECTIONS,
    MODALITIES,
    Direction,
    FloatArray,
    Metric,
    Modality,
    Patch,
    Row,
)

_PART = 4096  # rows calibrated at once


@dataclass
class Findings:
    """What evaluations add to: the content of the tables of a run folder."""

    rows: list[Row] = field(default_factory=list)
    matches: list[MatchTable] = field(default_factory=list)
    curves: list[CurveTable] = field(default_factory=list)
    histograms: list[HistogramTable] = field(default_factory=list)
    embeddings: list[EmbeddingTable] = field(default_factory=list)
    heat_maps: list[HeatTable] = field(default_factory=list)
    views: list[FeatureView] = field(default_factory=list)


@dataclass(frozen=True)
class Calibrated:
    """Unit-length descriptors under one calibration.

    Attributes
    ----------
    sar, optical : float32 arrays, shape (n, D)
        Of the measured patches; row i of both is one pair.
    sar_bank, optical_bank : float32 arrays, shape (m, D)
        Of the patches that the calibration was fitted on.
    """

    calibration: str
    sar: FloatArray
    optical: FloatArray
    sar_bank: FloatArray
    optical_bank: FloatArray

    def sides(self, direction: Direction) -> tuple[FloatArray, FloatArray]:
        """Queries and gallery of a direction."""
        if direction == "sar->optical":
            return self.sar, self.optical
        return self.optical, self.sar

    def banks(self, direction: Direction) -> tuple[FloatArray, FloatArray]:
        """What score corrections of a direction are fitted on: queries and gallery."""
        if direction == "sar->optical":
            return self.sar_bank, self.optical_bank
        return self.optical_bank, self.sar_bank

    def whole(self, division: Division) -> tuple[FloatArray, FloatArray]:
        """SAR and optical descriptors of all patches, in order."""
        if division.split == "transductive":
            return self.sar, self.optical
        count = len(division.fit) + len(division.measured)
        out = []
        for bank, measured in ((self.sar_bank, self.sar), (self.optical_bank, self.optical)):
            side = np.empty((count, bank.shape[1]), np.float32)
            side[division.fit], side[division.measured] = bank, measured
            out.append(side)
        return out[0], out[1]


class Evaluator:
    """Evaluates descriptors on one patch set under one division of its scenes."""

    def __init__(
        self, dataset: str, patches: Sequence[Patch], division: Division, settings: StudySettings
    ) -> None:
        self.dataset = dataset
        self.patches = patches
        self.division = division
        self.settings = settings
        self.measured = [patches[i] for i in division.measured]
        names = [patch.scene for patch in self.measured]
        self.scenes: NDArray[np.int64] = np.unique(names, return_inverse=True)[1].astype(np.int64)
        near = accepted_neighbours(self.measured, settings.tolerance_px)
        # Without any neighbour in reach the tolerant rows would repeat the exact ones.
        self.neighbours = near if any(len(items) > 1 for items in near) else None

    def calibrate(self, descriptors: Descriptors, name: str) -> Calibrated:
        """Fit a calibration on its scenes and apply it to the whole set."""
        fit, at = self.division.fit, self.division.measured
        calibration = fit_calibration(name, descriptors.sar[fit], descriptors.optical[fit])
        sides = [self._apply(calibration, descriptors, m, at) for m in MODALITIES]
        if self.division.split == "transductive":
            return Calibrated(name, *sides, *sides)
        banks = [self._apply(calibration, descriptors, m, fit) for m in MODALITIES]
        return Calibrated(name, *sides, *banks)

    def _apply(
        self,
        calibration: Calibration,
        descriptors: Descriptors,
        modality: Modality,
        rows: NDArray[np.int64],
    ) -> FloatArray:
        """Calibrate some rows, a part at a time: no copy of all of them is made on the way."""
        raw = descriptors.of(modality)
        out: FloatArray | None = None
        for start in range(0, len(rows), _PART):
            part = normalise(calibration.apply(raw[rows[start : start + _PART]], modality))
            if out is None:
                out = scratch((len(rows), part.shape[1]), self.settings.out)
            out[start : start + len(part)] = part
        return out if out is not None else np.empty((0, raw.shape[1]), np.float32)

    def evaluate(self, descriptors: Descriptors, calibrated: Calibrated, found: Findings) -> None:
        """Add gap and retrieval of one extractor under one calibration."""
        self._add_gap(descriptors, calibrated, found)
        for scoring in self.settings.scorings:
            for direction in DIRECTIONS:
                ranked = self._rank(calibrated, scoring, direction, self.settings.index)
                self.add_ranks(
                    descriptors, calibrated.calibration, scoring, direction, ranked.ranks, found
                )
                metrics = ranked.loss
                if ranked.tolerant is not None and self.neighbours is not None:
                    metrics = metrics + self._retrieval(
                        ranked.tolerant, direction, [len(items) for items in self.neighbours]
                    )
                found.rows += self.rows(descriptors, calibrated.calibration, scoring, metrics)

    def add_ranks(
        self,
        descriptors: Descriptors,
        calibration: str,
        scoring: str,
        direction: Direction,
        ranks: Ranks,
        found: Findings,
    ) -> None:
        """Add the rows, matches and curve of one ranking."""
        at, n_gallery = self.division.measured, len(self.measured)
        metrics = self._retrieval(ranks, direction)
        found.rows += self.rows(descriptors, calibration, scoring, metrics)
        if self.division.split == "transductive" and self.settings.split == "both":
            return  # the figures show the held-out split
        name = (descriptors.extractor, descriptors.pooling, calibration, scoring, direction)
        found.matches.append(
            MatchTable(
                *name,
                at,
                ranks.rank,
                at[ranks.top_indices],
                ranks.top_scores,
                ranks.partner_score,
            )
        )
        curve = match_curve(ranks.rank, n_gallery)
        found.curves.append(
            CurveTable(*name, curve if ranks.depth is None else curve[: ranks.depth])
        )

    def _retrieval(
        self, ranks: Ranks, direction: Direction, accepted: Sequence[int] | None = None
    ) -> list[Metric]:
        metrics = measure_retrieval(
            ranks.rank,
            self.scenes,
            len(self.measured),
            direction,
            self.settings.seed,
            draws=self.settings.draws,
            accept_counts=None if accepted is None else np.array(accepted),
        )
        return metrics if ranks.depth is None else known_metrics(metrics, self.settings.index)

    def rows(
        self, descriptors: Descriptors, calibration: str, scoring: str, metrics: Sequence[Metric]
    ) -> list[Row]:
        """Set metrics into rows."""
        return [
            Row(
                dataset=self.dataset,
                extractor=descriptors.extractor,
                revision=descriptors.revision,
                pooling=descriptors.pooling,
                calibration=calibration,
                scoring=scoring,
                split=self.division.split,
                measure=metric.measure,
                direction=metric.direction,
                metric=metric.metric,
                k=metric.k,
                value=metric.estimate.value,
                ci_low=metric.estimate.low,
                ci_high=metric.estimate.high,
                n_query=metric.n_query,
                n_gallery=metric.n_gallery,
                chance=metric.chance,
            )
            for metric in metrics
        ]

    def _add_gap(self, descriptors: Descriptors, calibrated: Calibrated, found: Findings) -> None:
        seed, sar, optical = self.settings.seed, calibrated.sar, calibrated.optical
        metrics = measure_gap(sar, optical, self.scenes, seed, self.settings.draws)
        found.rows += self.rows(descriptors, calibrated.calibration, "cosine", metrics)
        histogram = pair_histograms(sar, optical, seed)
        found.histograms.append(
            HistogramTable(
                descriptors.extractor,
                descriptors.pooling,
                calibrated.calibration,
                "cosine",
                histogram.edges,
                histogram.pairs,
                histogram.non_pairs,
            )
        )

    def rank(self, calibrated: Calibrated, scoring: str, direction: Direction) -> Ranks:
        """Rank the measured gallery for every measured query, exactly whatever ``index`` says."""
        return self._rank(calibrated, scoring, direction, "exact").ranks

    def _rank(
        self, calibrated: Calibrated, scoring: str, direction: Direction, kind: str
    ) -> Ranked:
        """Rank the measured gallery, strictly and with neighbours accepted.

        Score corrections have the calibration scenes as banks.
        """
        query, items = calibrated.sides(direction)
        fitted = fit_scoring(scoring, *calibrated.banks(direction))
        partner = np.arange(len(query))
        offsets = fitted.offsets(query, items)
        seed, draws = self.settings.seed, self.settings.draws
        if kind != "exact":
            sides = Sides(query, items, offsets, self.scenes, direction)
            return rank_indexed(kind, sides, self.neighbours, seed, draws)
        ranks = rank_partners(query, items, partner, offsets)
        if self.neighbours is None:
            return Ranked(ranks)
        return Ranked(ranks, rank_partners(query, items, partner, offsets, accept=self.neighbours))


CALIBRATIONS = ("none", "standardize")
"""Shown before and after calibration; the other calibrations look much alike."""

_FEWEST_PAIRS = 4


def evaluate_structure(
    descriptors: Descriptors, calibrated: Calibrated, evaluator: Evaluator, found: Findings
) -> None:
    """Add structure rows, embeddings and heat maps of the measured patches.

    Fewer than four measured pairs have no structure, and add nothing.
    """
    at = evaluator.division.measured
    if len(at) < _FEWEST_PAIRS:
        return
    groups = [patch.group for patch in evaluator.measured]
    labelled = any(patch.group != patch.scene for patch in evaluator.measured)
    structure = measure_structure(
        calibrated.sar,
        calibrated.optical,
        evaluator.scenes,
        evaluator.settings.seed,
        groups=groups if labelled and len(set(groups)) > 1 else None,
    )
    name = (descriptors.extractor, calibrated.calibration)
    found.rows += evaluator.rows(descriptors, calibrated.calibration, "cosine", structure.metrics)
    index = at[structure.items]
    plans = {plan.method: plan for plan in (structure.pca, structure.umap)}
    found.embeddings += [
        EmbeddingTable(*name, method, index, plan.sar, plan.optical)
        for method, plan in plans.items()
    ]
    found.heat_maps += [
        HeatTable(*name, heat.order_by, heat.values, heat.borders)
        for heat in (structure.by_scene, structure.by_cluster)
    ]
