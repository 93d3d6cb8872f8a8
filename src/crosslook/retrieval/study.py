"""The study: pairs in, rows and tables out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from crosslook import threads
from crosslook.atomic import check_writable, sweep
from crosslook.data.pairs import Pairs, open_pairs
from crosslook.data.patches import PatchSet
from crosslook.data.tables import days_between, read_alignment
from crosslook.extract.registry import extractor_class, find_row, open_model
from crosslook.extract.spec import parse_spec
from crosslook.geo.grid import is_placed
from crosslook.geo.image import Reading
from crosslook.progress import Timer
from crosslook.retrieval.clusters import (
    Clusters,
    Duplicates,
    divide,
    draw_evenly,
    find_clusters,
    find_duplicates,
    transductive,
)
from crosslook.retrieval.compare.approximate import DEPTH, load_faiss
from crosslook.retrieval.descriptors import Descriptors, Features
from crosslook.retrieval.evaluate import CALIBRATIONS, FEW_PAIRS, Evaluator, evaluate_structure
from crosslook.retrieval.measure.registry import find_measure
from crosslook.retrieval.measure.resampling import pool_splits
from crosslook.retrieval.measure.robustness import CALIBRATION, SCORING, make_subject
from crosslook.retrieval.plan import StudyPlan, plan_models
from crosslook.retrieval.record import WRITTEN, describe_run, write_folder
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.stage_spec import Stage
from crosslook.retrieval.stages import evaluate_fusion, evaluate_two_stages
from crosslook.retrieval.views import feature_views
from crosslook.types import MODALITIES, Estimate, FeatureMap, Indices, Patch, Row
from crosslook.written import refuse_foreign


def run_study(settings: StudySettings, console: Console | None = None) -> Path:
    """Run a study and write its folder.

    Every setting, model and scene is checked before any long work. Features
    go through the store shard by shard, so a run that was killed goes on; the
    tables are written whenever an extractor is done, each file whole.

    Returns
    -------
    Path
        The run folder: ``results.parquet``, ``run.json`` ...

    Raises
    ------
    CrosslookError
        One of the family, for anything that is wrong with settings or data.
    """
    console = console or Console()
    plan = plan_models(settings)
    if settings.index != "exact":
        load_faiss()  # its absence is reported now, not after the features are made
    check_writable(settings.out)
    refuse_foreign(settings.out, WRITTEN, overwrite=settings.overwrite)
    with threads.limited(settings.threads):
        study = _Study(settings, plan)
        sweep(settings.out)
        study.introduce(console)
        study.evaluate_extractors()
        study.evaluate_fusions()
        study.evaluate_two_stages()
        if settings.robustness:
            study.measure_robustness()
        study.save(complete=True)
    return settings.out


class _Study:
    """A study under way: its patches, features and evaluators, and what a reader must know."""

    def __init__(self, settings: StudySettings, plan: StudyPlan) -> None:
        self.settings, self.plan, self.timer = settings, plan, Timer()
        with self.timer("reading"):
            self.patches = open_patches(settings)
            self.clusters = find_clusters(self.patches.patches, settings.split_by)
            self.duplicates = duplicates_of(self.patches)
            self.evaluators = divide_patches(
                self.patches.name, self.patches.patches, self.clusters, self.duplicates, settings
            )
        self.features = Features(self.patches, settings, plan.specs)
        self.fused: dict[Stage, Descriptors] = {}
        self.notes = [*self.patches.notes, *self.clusters.notes, *self.duplicates.notes]
        self.notes += _notes(self.evaluators[0], settings)

    def introduce(self, console: Console) -> None:
        """Say what is studied, and what is left out."""
        patches = self.patches
        dropped = sum(patches.dropped.values())
        why = "; ".join(f"{count} {reason}" for reason, count in patches.dropped.items() if count)
        tail = f"; {dropped} patches dropped ({why})" if dropped else ""
        for line in (
            f"{len(patches.patches)} patch pairs of {patches.size} px in {self.clusters.count} "
            f"{self.clusters.kind}s{tail}",
            *(f"skipped {spec}: {reason}" for spec, reason in self.plan.skipped.items()),
            *(f"note: {note}" for note in self.notes),
        ):
            console.print(line, highlight=False)

    def save(self, complete: bool = False) -> None:
        """Write what is known so far: a run that fails at the last model keeps the others."""
        found = self.clusters, self.duplicates, self.evaluators
        record = describe_run(self.settings, self.plan, self.features, *found, self.timer)
        findings = replace(self.evaluators[0].findings, rows=_all_rows(self.evaluators))
        record |= {"notes": self.notes, "complete": complete}
        write_folder(self.settings.out, self.patches, findings, record)

    def evaluate_extractors(self) -> None:
        """Evaluate one extractor after the other; keep the descriptors that fusions need.

        What is known is saved after each but the last one, behind which the rest comes.
        """
        for spec in self.plan.specs:
            with self.timer(f"extract {spec}"):
                descriptors = self.features.describe(spec)
            with self.timer(f"evaluate {spec}"):
                for evaluator in self.evaluators:
                    evaluator.add_chosen(evaluate_descriptors(evaluator, descriptors))
            if self.settings.structure:
                with self.timer(f"views {spec}"):
                    division = self.evaluators[0].division
                    views = feature_views(spec, self.features, division)
                    self.evaluators[0].findings.views += views
            for member in {m: None for one in self.plan.fusion for m in one.members}:
                if member.extractor == spec:
                    named = member.pooling and str(member.pooling) != descriptors.setup.pooling
                    self.fused[member] = (
                        self.features.describe(spec, member.pooling) if named else descriptors
                    )
            if spec != self.plan.specs[-1]:
                with self.timer("writing"):
                    self.save()
        for evaluator in self.evaluators:
            evaluator.add_differences()

    def evaluate_fusions(self) -> None:
        """Evaluate several extractors as one."""
        for fusion in self.plan.fusion:
            with self.timer(f"fuse {fusion}"):
                for evaluator in self.evaluators:
                    evaluate_fusion(fusion, self.fused, evaluator)

    def evaluate_two_stages(self) -> None:
        """Evaluate shortlists with verification."""
        for spec in self.plan.two_stage:
            with self.timer(f"two stages {spec}"):
                notes: dict[str, None] = {}
                for evaluator in self.evaluators:
                    notes |= dict.fromkeys(evaluate_two_stages(spec, self._maps, evaluator).notes)
                self.notes += [f"two stages {spec}: {note}" for note in notes]

    def _maps(self, spec: str, at: Indices) -> tuple[FeatureMap, FeatureMap]:
        sar, optical = (self.features.maps(spec, modality, at.tolist()) for modality in MODALITIES)
        return sar, optical

    def measure_robustness(self) -> None:
        """Measure the curves of every extractor that sees images."""
        for spec in self.plan.specs:
            with self.timer(f"robustness {spec}"):
                if extractor_class(find_row(parse_spec(spec).name)).BANDS:
                    why = "not measured, since disturbances are of images in 0..1."
                    self.notes.append(f"robustness of {spec}: {why}")
                else:
                    self._measure_curves(spec)

    def _measure_curves(self, spec: str) -> None:
        descriptors, evaluator = self.features.describe(spec), self.evaluators[0]
        division = evaluator.division
        division = replace(division, test_set=division.test_set[evaluator.representatives])
        extractor = open_model(spec, self.settings)
        try:
            subject = make_subject(
                extractor,
                descriptors,
                self.patches,
                division,
                self.clusters.names,
                evaluator.settings.seed,
                self.settings.draws,
                days_between(self.settings.pairs),
            )
            setup = replace(descriptors.setup, calibration=CALIBRATION, scoring=SCORING)
            evaluator.add(setup, subject)
        finally:
            extractor.close()
        for what, why in subject.left_out.items():
            self.notes.append(f"robustness of {spec}: no {what}: {why}")


def _all_rows(evaluators: list[Evaluator]) -> list[Row]:
    held_out = [e.findings.rows for e in evaluators if e.division.split == "held-out"]
    others = [row for e in evaluators if e.division.split != "held-out" for row in e.findings.rows]
    return pool_rows(held_out) + others


_KEY = (
    "dataset", "extractor", "revision", "pooling", "calibration", "scoring", "split", "measure",
    "direction", "metric", "k",
)  # fmt: skip


def pool_rows(splits: Sequence[Sequence[Row]]) -> list[Row]:
    """Join the rows of repeated splits, row by row.

    Values are means and intervals hold the total variance (:func:`pool_splits`).
    Numbers of queries and items, which differ where clusters hold different
    numbers of patches, are rounded means. ``splits`` counts the splits that
    gave a row: a recall at 50 is there only where a gallery holds 50.
    """
    if len(splits) == 1:
        return list(splits[0])
    groups: dict[tuple[object, ...], list[Row]] = {}
    for rows in splits:
        for row in rows:
            groups.setdefault(tuple(getattr(row, name) for name in _KEY), []).append(row)
    return [_pool(rows) for rows in groups.values()]


def _pool(rows: Sequence[Row]) -> Row:
    definition = find_measure(rows[0].measure).define(rows[0].metric)
    estimate = pool_splits(
        [Estimate(row.value, row.ci_low, row.ci_high) for row in rows], definition.bounds
    )
    return replace(
        rows[0],
        value=estimate.value,
        ci_low=estimate.low,
        ci_high=estimate.high,
        n_query=round(float(np.mean([row.n_query for row in rows]))),
        n_gallery=round(float(np.mean([row.n_gallery for row in rows]))),
        chance=float(np.mean([row.chance for row in rows])),
        splits=len(rows),
    )


def evaluate_descriptors(evaluator: Evaluator, whole: Descriptors) -> Descriptors:
    """Add what is measured of one extractor under one division; gives its reduced descriptors."""
    descriptors = evaluator.reduce(whole)
    for name in evaluator.settings.calibrations:
        calibrated = evaluator.calibrate(descriptors, name)
        evaluator.evaluate(calibrated)
        if evaluator.settings.structure and evaluator.shown and name in CALIBRATIONS:
            evaluate_structure(calibrated, evaluator)
    return descriptors


def open_patches(settings: StudySettings) -> PatchSet:
    """Open the patch set that the settings name."""
    pairs = draw_pairs(settings)
    patches = PatchSet.open(
        pairs,
        patch=settings.patch,
        stride=settings.stride,
        reading=Reading.parse(settings.reading()),
        max_invalid=settings.max_invalid,
        alignment=read_alignment(settings.alignment) if settings.alignment else None,
        name=settings.pairs.resolve().name,
        skip_small=settings.skip_incomplete,
    )
    patches = replace(patches, notes=(*pairs.notes, *patches.notes))
    if settings.limit is None or len(patches.patches) <= settings.limit:
        return patches
    clusters = find_clusters(patches.patches, settings.split_by)
    return patches.at(draw_evenly(clusters.names, settings.limit, settings.seed).tolist())


def draw_pairs(settings: StudySettings) -> Pairs:
    """The pairs that the settings name: no more than patches are requested."""
    pairs = open_pairs(
        settings.pairs, layout=settings.layout, skip_incomplete=settings.skip_incomplete
    )
    most = min((n for n in (settings.limit, settings.limit_scenes) if n is not None), default=None)
    if most is None or len(pairs) <= most:
        return pairs
    chosen = draw_evenly([pair.group for pair in pairs], most, settings.seed)
    return Pairs([pairs[i] for i in chosen], pairs.notes)


def duplicates_of(patches: PatchSet) -> Duplicates:
    """Find the patches of a set that show one place in different files."""
    pixels = {
        name: float(np.sqrt(abs(scene.grid.transform.determinant)))
        for name, scene in patches.scenes.items()
        if is_placed(scene.grid)
    }
    return find_duplicates(patches.patches, pixels, patches.contents)


def divide_patches(
    name: str,
    patches: Sequence[Patch],
    clusters: Clusters,
    duplicates: Duplicates,
    settings: StudySettings,
) -> list[Evaluator]:
    """Divide the patches as ``split`` and ``seeds`` say; figures are of the first division."""
    parts = []
    if settings.split in ("held-out", "both"):
        fraction = settings.calibration_fraction
        parts += [(divide(clusters, fraction, seed), seed) for seed in settings.split_seeds]
    if settings.split in ("transductive", "both"):
        parts.append((transductive(clusters), settings.split_seeds[0]))
    return [
        Evaluator(
            name,
            patches,
            clusters,
            duplicates,
            division,
            settings.model_copy(update={"seed": seed}),
            shown=number == 0,
        )
        for number, (division, seed) in enumerate(parts)
    ]


def _notes(evaluator: Evaluator, settings: StudySettings) -> list[str]:
    """What a reader of the numbers must know of how they were made."""
    notes = []
    count = len(evaluator.division.calibration_set)
    if count < FEW_PAIRS and set(settings.calibrations) != {"none"}:
        notes.append(
            f"calibrations are fitted on {count} pair(s); fewer than {FEW_PAIRS} may make it "
            "worse, so the uncalibrated figures lead. Give more scenes, or a larger "
            "--calibration-fraction."
        )
    if settings.tolerance and evaluator.neighbours is None:
        notes.append(
            f"no patch has a neighbour within {settings.tolerance:g} px: no tolerant rows."
        )
    if settings.index != "exact":
        notes.append(
            f"retrieval went through {settings.index}: ranks beyond {DEPTH} are not known "
            f"and read {DEPTH + 1}; two stages and fusions are exact."
        )
    if len(settings.seeds) > 1:
        notes.append(
            f"values are means over {len(settings.seeds)} splits and intervals hold the variance "
            "within and between them; figures, structure and robustness are of the first split."
        )
    return notes
