"""From the features of one extractor to its rows, matches and curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crosslook.compare.calibration import fit_calibration
from crosslook.compare.scoring import Offsets, fit_scoring
from crosslook.compare.similarity import Ranks, normalise, rank_partners
from crosslook.measure.gap import measure_gap, pair_histograms
from crosslook.measure.retrieval import accepted_neighbours, match_curve, measure_retrieval
from crosslook.pipeline.settings import StudySettings
from crosslook.pipeline.split import Division
from crosslook.report.run_folder import CurveTable, HistogramTable, MatchTable
from crosslook.types import DIRECTIONS, FloatArray, Metric, Modality, Patch, Row


@dataclass(frozen=True)
class Descriptors:
    """Pooled features of all patches of a set, both modalities, in order."""

    extractor: str
    revision: str
    pooling: str
    sar: FloatArray
    optical: FloatArray

    def of(self, modality: Modality) -> FloatArray:
        """The matrix (N, D) of one modality."""
        return self.sar if modality == "sar" else self.optical


@dataclass
class Findings:
    """What evaluations add to: the content of the tables of a run folder."""

    rows: list[Row] = field(default_factory=list)
    matches: list[MatchTable] = field(default_factory=list)
    curves: list[CurveTable] = field(default_factory=list)
    histograms: list[HistogramTable] = field(default_factory=list)


@dataclass(frozen=True)
class Calibrated:
    """Unit-length descriptors under one calibration, of the whole set."""

    calibration: str
    sar: FloatArray
    optical: FloatArray

    def sides(self, direction: str) -> tuple[FloatArray, FloatArray]:
        """Queries and gallery of a direction."""
        if direction == "sar->optical":
            return self.sar, self.optical
        return self.optical, self.sar


class Evaluator:
    """Evaluates the descriptors of extractors on one patch set and division."""

    def __init__(
        self, dataset: str, patches: Sequence[Patch], division: Division, settings: StudySettings
    ) -> None:
        self.dataset = dataset
        self.division = division
        self.settings = settings
        self.measured = [patches[i] for i in division.measured]
        names = [patch.scene for patch in self.measured]
        self.scenes: NDArray[np.int64] = np.unique(names, return_inverse=True)[1].astype(np.int64)
        self.neighbours = _tolerant_neighbours(self.measured, settings)

    def calibrate(self, descriptors: Descriptors) -> Iterator[Calibrated]:
        """Yield the descriptors under each calibration, one at a time."""
        fit = self.division.fit
        for name in self.settings.calibrations:
            calibration = fit_calibration(name, descriptors.sar[fit], descriptors.optical[fit])
            yield Calibrated(
                name,
                normalise(calibration.apply(descriptors.sar, "sar")),
                normalise(calibration.apply(descriptors.optical, "optical")),
            )

    def evaluate(self, descriptors: Descriptors, calibrated: Calibrated, found: Findings) -> None:
        """Add gap and retrieval of one extractor under one calibration."""
        at = self.division.measured
        sar, optical = calibrated.sar[at], calibrated.optical[at]
        gap = measure_gap(sar, optical, self.scenes, self.settings.seed)
        found.rows += self.rows(descriptors, calibrated.calibration, "cosine", gap)
        histogram = pair_histograms(sar, optical, self.settings.seed)
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
        for scoring in self.settings.scorings:
            for direction in DIRECTIONS:
                self._retrieve(descriptors, calibrated, scoring, direction, found)

    def rank(self, calibrated: Calibrated, scoring: str, direction: str) -> Ranks:
        """Rank the measured gallery for every measured query."""
        queries, gallery = calibrated.sides(direction)
        at = self.division.measured
        offsets = self.offsets(calibrated, scoring, direction)
        partner = np.arange(len(at))
        return rank_partners(queries[at], gallery[at], partner, offsets=offsets)

    def offsets(self, calibrated: Calibrated, scoring: str, direction: str) -> Offsets:
        """Score corrections with the calibration scenes as banks."""
        queries, gallery = calibrated.sides(direction)
        fit, at = self.division.fit, self.division.measured
        return fit_scoring(scoring, queries[fit], gallery[fit]).offsets(queries[at], gallery[at])

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

    def _retrieve(
        self,
        descriptors: Descriptors,
        calibrated: Calibrated,
        scoring: str,
        direction: str,
        found: Findings,
    ) -> None:
        ranks = self.rank(calibrated, scoring, direction)
        seed, n_gallery = self.settings.seed, len(self.measured)
        metrics = measure_retrieval(
            ranks.rank, self.scenes, n_gallery, direction, seed, draws=self.settings.draws
        )
        found.rows += self.rows(descriptors, calibrated.calibration, scoring, metrics)
        name = (descriptors.extractor, descriptors.pooling, calibrated.calibration, scoring)
        found.matches.append(
            MatchTable(
                *name,
                direction,
                self.division.measured,
                ranks.rank,
                self.division.measured[ranks.top_indices],
                ranks.top_scores,
                ranks.partner_score,
            )
        )
        found.curves.append(CurveTable(*name, direction, match_curve(ranks.rank, n_gallery)))
