"""What a study measures of one extractor under one division of its clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from crosslook.retrieval.clusters import Clusters, Division, Duplicates
from crosslook.retrieval.compare.approximate import (
    Sides,
    known_metrics,
    measure_loss,
    rank_through_index,
)
from crosslook.retrieval.compare.calibration import (
    FITTED_ROWS,
    fit_calibration,
    fit_directions,
    thin,
)
from crosslook.retrieval.compare.pooling import Shifts
from crosslook.retrieval.compare.similarity import (
    SCORINGS,
    Offsets,
    Ranks,
    Similarities,
    exact_scorer,
    fit_scoring,
    normalise,
    rank,
)
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.measure.base import Pairs
from crosslook.retrieval.measure.difference import Plain, TwoModels, is_pretrained
from crosslook.retrieval.measure.gap import pair_histograms
from crosslook.retrieval.measure.registry import measure_all
from crosslook.retrieval.measure.resampling import sample
from crosslook.retrieval.measure.retrieval import Ranking, accepted_neighbours, match_curve
from crosslook.retrieval.measure.structure import Space
from crosslook.retrieval.run_folder import (
    CurveTable,
    EmbeddingTable,
    HeatTable,
    HistogramTable,
    MatchTable,
)
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import CHOSEN, Setup, setup_of
from crosslook.retrieval.views import FeatureView
from crosslook.scratch import scratch
from crosslook.types import (
    DIRECTIONS,
    MODALITIES,
    Direction,
    FloatArray,
    Indices,
    Metric,
    Modality,
    Patch,
    Row,
)

_PART = 1024  # rows calibrated at once


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
    chosen: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Calibrated:
    """Unit-length descriptors under one calibration.

    Attributes
    ----------
    setup : Setup
        Of which calibration; the scoring is not settled yet.
    sar, optical : float32 arrays, shape (n, D)
        Of the measured patches; row i of both is one pair.
    sar_bank, optical_bank : float32 arrays, shape (m, D)
        Of the patches that the calibration was fitted on.
    shifts : Shifts or None
        How they are compared, where not by plain products.
    """

    setup: Setup
    sar: FloatArray
    optical: FloatArray
    sar_bank: FloatArray
    optical_bank: FloatArray
    shifts: Shifts | None = None

    def sides(self, direction: Direction) -> tuple[FloatArray, FloatArray]:
        """Queries and gallery of a direction."""
        sides = self.sar, self.optical
        return sides if direction == "sar->optical" else sides[::-1]

    def banks(self, direction: Direction) -> tuple[FloatArray, FloatArray]:
        """What score corrections of a direction are fitted on: queries and gallery."""
        banks = self.sar_bank, self.optical_bank
        return banks if direction == "sar->optical" else banks[::-1]

    def whole(self, division: Division, folder: Path) -> tuple[FloatArray, FloatArray]:
        """SAR and optical descriptors of all patches, in order; on disk where they are large."""
        if division.split == "transductive":
            return self.sar, self.optical
        count = len(division.calibration_set) + len(division.test_set)
        out = []
        for bank, measured in ((self.sar_bank, self.sar), (self.optical_bank, self.optical)):
            side = scratch((count, bank.shape[1]), folder)
            side[division.calibration_set], side[division.test_set] = bank, measured
            out.append(side)
        return out[0], out[1]


@dataclass(frozen=True)
class Ranked:
    """Ranks of the partners, strictly and with neighbours accepted, and the loss of an index."""

    rules: list[Ranks]
    loss: list[Metric] = field(default_factory=list)


class Evaluator:
    """Evaluates descriptors on one patch set under one division of its clusters.

    Attributes
    ----------
    findings : Findings
        What it adds to.
    shown : bool
        Whether figures and matches are of this division; of others only rows are kept.
    clusters : int64 array, shape (n,)
        Cluster of each measured patch: its group or scene.
    accepted : list of int64 arrays, or None
        Per measured patch those that show its ground; None where all differ.
    neighbours : list of int64 arrays, or None
        These and the neighbours within the tolerance; None where they add nothing.
    representatives : int64 array
        One measured patch per place, positions in the measured ones.
    """

    def __init__(
        self,
        dataset: str,
        patches: Sequence[Patch],
        clusters: Clusters,
        duplicates: Duplicates,
        division: Division,
        settings: StudySettings,
        shown: bool = True,
    ) -> None:
        self.dataset, self.patches, self.all_clusters = dataset, patches, clusters
        self.division, self.settings, self.shown = division, settings, shown
        self.findings = Findings()
        self.measured = [patches[i] for i in division.test_set]
        names = [clusters.names[i] for i in division.test_set]
        self.clusters: NDArray[np.int64] = np.unique(names, return_inverse=True)[1].astype(np.int64)
        self.accepted = duplicates.accepted(division.test_set)
        self.representatives = duplicates.representatives(division.test_set)
        near = accepted_neighbours(self.measured, settings.tolerance_px)
        # Without any neighbour in reach the tolerant rows would repeat the exact ones.
        self.neighbours = _joined(near, self.accepted) if any(len(n) > 1 for n in near) else None
        self._plain: dict[Setup, Plain] = {}

    def reduce(self, descriptors: Descriptors) -> Descriptors:
        """Project on the principal directions of the calibration set, where ``pca`` says so."""
        settings, fit = self.settings, self.division.calibration_set
        if not settings.pca or descriptors.sar.shape[1] <= settings.pca:
            return descriptors
        basis = fit_directions(
            [descriptors.of(m)[thin(fit, FITTED_ROWS)] for m in MODALITIES], settings.pca
        )
        everything = np.arange(len(self.patches))
        sar, optical = self._both(descriptors, everything, lambda part, _: part @ basis)
        setup = descriptors.setup
        setup = replace(setup, pooling=f"{setup.pooling}, pca:{basis.shape[1]}")
        return replace(descriptors, setup=setup, sar=sar, optical=optical)

    def calibrate(self, descriptors: Descriptors, name: str) -> Calibrated:
        """Fit a calibration on its set and apply it to that and the test set."""
        fit, at = self.division.calibration_set, self.division.test_set
        rows = thin(fit, FITTED_ROWS) if name == "whiten" else fit
        calibration = fit_calibration(name, *self._both(descriptors, rows, lambda part, _: part))

        def apply(part: FloatArray, modality: Modality) -> FloatArray:
            return normalise(calibration.apply(part, modality))

        sides = self._both(descriptors, at, apply)
        same = self.division.split == "transductive"
        banks = sides if same else self._both(descriptors, fit, apply)
        setup = replace(descriptors.setup, calibration=name)
        return Calibrated(setup, *sides, *banks, descriptors.shifts)

    def _both(
        self,
        descriptors: Descriptors,
        rows: Indices,
        make: Callable[[FloatArray, Modality], FloatArray],
    ) -> tuple[FloatArray, FloatArray]:
        """Make something of some rows of both modalities: in parts, on disk where it is large."""
        made = []
        for modality in MODALITIES:
            raw = descriptors.of(modality)
            out: FloatArray = np.empty((0, raw.shape[1]), np.float32)
            for start in range(0, len(rows), _PART):
                part = make(raw[rows[start : start + _PART]], modality)
                if not start:
                    out = scratch((len(rows), part.shape[1]), self.settings.out)
                out[start : start + len(part)] = part
            made.append(out)
        return made[0], made[1]

    def evaluate(self, calibrated: Calibrated) -> None:
        """Add gap and retrieval of one extractor under one calibration."""
        self._add_gap(calibrated)
        first = self._offsets(calibrated)
        for direction in DIRECTIONS:
            ranked = self._rank(calibrated, direction, first)
            for scoring, one in zip(self.settings.scorings, ranked, strict=True):
                self._add_ranked(calibrated, scoring, direction, one)

    def _add_ranked(
        self, calibrated: Calibrated, scoring: str, direction: Direction, ranked: Ranked
    ) -> None:
        setup = replace(calibrated.setup, scoring=scoring)
        strict, *tolerant = ranked.rules
        self.add_ranks(setup, direction, strict)
        metrics = ranked.loss
        for ranks in tolerant:
            metrics = metrics + self._retrieval(ranks, direction, self.neighbours)
        self.findings.rows += self.rows(setup, metrics)
        if setup.is_plain and direction == "sar->optical" and is_pretrained(setup.extractor):
            self._plain[setup] = Plain.of(calibrated.sar, calibrated.optical, strict.rank)

    def add_chosen(self, descriptors: Descriptors) -> None:
        """Choose a setup on the calibration set and offer its rows as those of the extractor."""
        settings, division = self.settings, self.division
        if division.split == "transductive":
            return  # the calibration set are the measured ones
        picked = choose_setup(
            descriptors,
            division.calibration_set,
            self.all_clusters.names,
            settings.calibrations,
            settings.scorings,
            settings.seed,
        )
        if picked is None:
            return
        setup = replace(
            descriptors.setup, calibration=picked[0], scoring=picked[1], split=division.split
        )
        self.findings.rows += [
            replace(row, calibration=CHOSEN, scoring=CHOSEN)
            for row in self.findings.rows
            if row.measure == "retrieval" and setup_of(row) == setup
        ]
        self.findings.chosen[setup.extractor] = {
            "pooling": setup.pooling,
            "calibration": setup.calibration,
            "scoring": setup.scoring,
        }

    def add_differences(self) -> None:
        """Add the paired differences of the pretrained extractors, uncalibrated."""
        settings = self.settings
        for (first, plain), (second, other) in combinations(self._plain.items(), 2):
            view = TwoModels(
                plain, other, second.extractor, self.clusters, settings.seed, settings.draws
            )
            self.add(first, view)

    def add_ranks(self, setup: Setup, direction: Direction, ranks: Ranks) -> None:
        """Add the rows, matches and curve of one ranking."""
        at, n_gallery, findings = self.division.test_set, len(self.measured), self.findings
        findings.rows += self.rows(setup, self._retrieval(ranks, direction, self.accepted))
        if not self.shown:
            return
        findings.matches.append(match_table(setup, direction, at, ranks))
        curve = match_curve(ranks.rank, n_gallery)
        findings.curves.append(CurveTable(setup, direction, curve[: ranks.depth]))

    def _retrieval(
        self, ranks: Ranks, direction: Direction, accepted: Sequence[Indices] | None
    ) -> list[Metric]:
        view = Ranking(
            ranks.rank,
            self.clusters,
            len(self.measured),
            direction,
            self.settings.seed,
            self.settings.draws,
            None if accepted is None else np.array([len(a) for a in accepted]),
            tolerant=accepted is not None and accepted is self.neighbours,
        )
        metrics = measure_all(view)
        return metrics if ranks.depth is None else known_metrics(metrics, self.settings.index)

    def add(self, setup: Setup, view: object) -> None:
        """Add what every measure says of a view."""
        self.findings.rows += self.rows(setup, measure_all(view))

    def rows(self, setup: Setup, metrics: Sequence[Metric]) -> list[Row]:
        """Set metrics of a setup into rows."""
        own = replace(setup, split=self.division.split)
        return [own.row(self.dataset, metric) for metric in metrics]

    def _add_gap(self, calibrated: Calibrated) -> None:
        sar, optical, clusters = calibrated.sar, calibrated.optical, self.clusters
        if self.accepted is not None:  # a second patch of one ground is no non-pair
            chosen = self.representatives
            sar, optical, clusters = sar[chosen], optical[chosen], clusters[chosen]
        view = Pairs(sar, optical, clusters, self.settings.seed, self.settings.draws)
        self.add(calibrated.setup, view)
        if self.shown:
            counted = HistogramTable(calibrated.setup, *pair_histograms(view))
            self.findings.histograms.append(counted)

    def _offsets(self, calibrated: Calibrated) -> dict[str, Offsets]:
        """Score corrections of SAR to optical, with the calibration set as banks."""
        direction = DIRECTIONS[0]
        sides, banks = calibrated.sides(direction), calibrated.banks(direction)
        return {
            name: fit_scoring(name, *banks, shifts=calibrated.shifts).offsets(*sides)
            for name in self.settings.scorings
        }

    def _rank(
        self, calibrated: Calibrated, direction: Direction, first: Mapping[str, Offsets]
    ) -> list[Ranked]:
        """Rank the measured gallery under every scoring, strictly and with neighbours accepted."""
        query, items = calibrated.sides(direction)
        settings, shifts = self.settings, calibrated.shifts
        if direction == DIRECTIONS[0]:
            offsets = list(first.values())
        else:
            banks = calibrated.banks(direction)
            offsets = [
                own.reversed
                if SCORINGS[name].symmetric
                else fit_scoring(name, *banks, shifts=shifts).offsets(query, items)
                for name, own in first.items()
            ]
        rules = [self.accepted, *([] if self.neighbours is None else [self.neighbours])]
        partner, kind = np.arange(len(query)), settings.index
        if kind == "exact":
            scorer = exact_scorer(settings.device, query, items, offsets, shifts)
            return [Ranked(ranks) for ranks in rank(scorer, partner, rules)]
        ranked = []
        results = rank_through_index(kind, query, items, partner, offsets, rules)
        for how, ranks in zip(offsets, results, strict=True):
            sides = Sides(query, items, how, self.clusters, direction, self.accepted)
            loss = measure_loss(kind, sides, ranks[0], settings.seed, settings.draws)
            ranked.append(Ranked(ranks, loss))
        return ranked


def match_table(setup: Setup, direction: Direction, items: Indices, ranks: Ranks) -> MatchTable:
    """Set ranks among some patches, whose indices are given, into a table."""
    top, scores = items[ranks.top_indices], ranks.top_scores
    return MatchTable(setup, direction, items, ranks.rank, top, scores, ranks.partner_score)


def _joined(near: list[Indices], same: list[Indices] | None) -> list[Indices]:
    if same is None:
        return near
    return [np.union1d(a, b) if len(b) > 1 else a for a, b in zip(near, same, strict=True)]


CALIBRATIONS = ("none", "standardize")
"""Shown before and after calibration; the other calibrations look much alike."""

_FEWEST_PAIRS = 4


def evaluate_structure(calibrated: Calibrated, evaluator: Evaluator) -> None:
    """Add structure rows, embeddings and heat maps of the measured patches.

    Fewer than four measured pairs have no structure, and add nothing.
    """
    at, findings = evaluator.division.test_set, evaluator.findings
    if len(at) < _FEWEST_PAIRS:
        return
    groups = [patch.group for patch in evaluator.measured]
    labelled = evaluator.all_clusters.kind != "group" and any(
        patch.group != patch.scene for patch in evaluator.measured
    )
    space = Space(
        calibrated.sar,
        calibrated.optical,
        evaluator.clusters,
        evaluator.settings.seed,
        groups=groups if labelled and len(set(groups)) > 1 else None,
    )
    setup = calibrated.setup
    evaluator.add(setup, space)
    index = at[space.items]
    findings.embeddings += [
        EmbeddingTable(setup, method, index, *sides) for method, sides in space.embeddings().items()
    ]
    findings.heat_maps += [
        HeatTable(setup, heat.order_by, heat.values, heat.borders, index[heat.order])
        for heat in space.heat_maps()
    ]


USUAL = ("standardize", "csls")
"""Kept unless another setup is better by more than a standard error."""

FEW_PAIRS = 10
"""Pairs of a calibration set below which calibrated figures mean little."""

UNCALIBRATED = ("none", "cosine")
_FOLDS = 10
_MOST_TRIED = 1000


def choose_setup(
    descriptors: Descriptors,
    fit: Indices,
    clusters: Sequence[str],
    calibrations: Sequence[str],
    scorings: Sequence[str],
    seed: int,
) -> tuple[str, str] | None:
    """Choose calibration and scoring by cross-validation within the calibration set.

    The best of many setups on the measured queries is optimistic. Here one of
    the clusters set aside is left out after the other (a tenth, where there are
    more than ten); every setup is fitted on the rest, and the patches left out
    look for their partners among all that are set aside. The highest mean
    reciprocal rank over both directions wins, but the usual setup is kept unless
    the winner beats it by more than a standard error over clusters: the few clusters
    that are set aside decide little, and more of them are fitted in the end. Fewer than ten
    pairs fit no statistics worth choosing: then nothing is calibrated.

    Parameters
    ----------
    descriptors : Descriptors
        Of all patches.
    fit : int64 array
        Patches of the calibration set; a sample of at most 1,000 is used.
    clusters : sequence of str
        Cluster of every patch.
    calibrations, scorings : sequence of str
        What is tried.
    seed : int
        Deals the clusters, draws the sample.

    Returns
    -------
    tuple of str or None
        Calibration and scoring; None where fewer than two clusters are set aside.
    """
    setups = [(calibration, scoring) for calibration in calibrations for scoring in scorings]
    if len(setups) == 1:
        return setups[0]
    if len(fit) < FEW_PAIRS and UNCALIBRATED in setups:
        return UNCALIBRATED
    used = fit[sample(len(fit), _MOST_TRIED, seed)]
    names, which = np.unique([clusters[at] for at in used], return_inverse=True)
    if len(names) < 2:
        return None
    quality = np.empty((len(setups), len(used)))
    folds = GroupKFold(min(_FOLDS, len(names)))
    for fitted, left_out in folds.split(used, groups=which):
        quality[:, left_out] = _reciprocal_ranks(
            descriptors, used, fitted, left_out, calibrations, scorings
        )
    best = setups[int(np.argmax(quality.mean(axis=1)))]
    if USUAL not in setups or best == USUAL:
        return best
    gain = quality[setups.index(best)] - quality[setups.index(USUAL)]
    sums = np.bincount(which, weights=gain - gain.mean())  # residuals by cluster
    error = float(np.sqrt((sums**2).sum() * len(names) / (len(names) - 1))) / len(used)
    return best if gain.mean() > error else USUAL


def _reciprocal_ranks(
    descriptors: Descriptors,
    used: Indices,
    fitted: Indices,
    left_out: Indices,
    calibrations: Sequence[str],
    scorings: Sequence[str],
) -> NDArray[np.float64]:
    """Mean reciprocal rank over directions, by setup and patch left out."""
    raw, shifts = {m: descriptors.of(m)[used] for m in MODALITIES}, descriptors.shifts
    reciprocal = np.zeros((len(calibrations), len(scorings), len(left_out)))
    for at, name in enumerate(calibrations):
        # One patch has no statistics; so few clusters leave only what needs none.
        known = (raw["sar"][fitted], raw["optical"][fitted])
        calibration = fit_calibration(name if len(fitted) > 1 else "none", *known)
        sides = {m: normalise(calibration.apply(raw[m], m)) for m in MODALITIES}
        for query, gallery in (MODALITIES, MODALITIES[::-1]):
            banks = sides[query][fitted], sides[gallery][fitted]
            pair = sides[query][left_out], sides[gallery]
            offsets = [
                fit_scoring(scoring, *banks, shifts=shifts).offsets(*pair) for scoring in scorings
            ]
            ranked = rank(Similarities(*pair, offsets, shifts), left_out, top=1)
            reciprocal[at] += [0.5 / ranks.rank for [ranks] in ranked]
    return reciprocal.reshape(-1, len(left_out))
