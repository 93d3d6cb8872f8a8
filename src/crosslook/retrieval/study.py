"""The study: pairs in, rows and tables out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from crosslook.atomic import check_writable, sweep
from crosslook.data.pairs import Pairs, ScenePair, open_pairs
from crosslook.data.patches import PatchSet
from crosslook.data.tables import days_between, read_alignment
from crosslook.extract.registry import extractor_class, find_row, open_model
from crosslook.extract.run import read_maps
from crosslook.extract.spec import parse_spec
from crosslook.extract.store import FeatureSet
from crosslook.geo.grid import is_placed
from crosslook.geo.image import Reading
from crosslook.progress import Timer
from crosslook.retrieval.compare.approximate import DEPTH, load_faiss
from crosslook.retrieval.descriptors import Descriptors, describe, extract_both
from crosslook.retrieval.evaluate import CALIBRATIONS, Evaluator, evaluate_structure
from crosslook.retrieval.measure.robustness import CALIBRATION, SCORING, make_subject
from crosslook.retrieval.models import StudyPlan, plan_models
from crosslook.retrieval.record import WRITTEN, describe_run, write_folder
from crosslook.retrieval.repeats import pool_rows
from crosslook.retrieval.same_ground import SameGround, find_same_ground
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.split import Units, divide, draw_evenly, find_units, transductive
from crosslook.retrieval.stage_spec import members_of, parse_member, stages_of
from crosslook.retrieval.stages import evaluate_fusion, evaluate_two_stages
from crosslook.retrieval.views import feature_views
from crosslook.types import FeatureMap, Indices, Row
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
        load_faiss()  # told now, not after the features are made
    check_writable(settings.out)
    refuse_foreign(settings.out, WRITTEN, overwrite=settings.overwrite)
    timer = Timer()
    with timer("reading"):
        patches = open_patches(settings)
        units = find_units(patches.patches, settings.split_by)
        ground = same_ground(patches)
        evaluators = divide_patches(patches, units, ground, settings)
    sweep(settings.out)
    plan.notes += patches.notes
    _note(plan, units, ground, evaluators, settings)
    _say_what(patches, units, plan, console)

    def save(complete: bool = False) -> None:
        """Write what is known so far: a run that fails at the last model keeps the others."""
        record = describe_run(settings, plan, patches, units, ground, evaluators, timer)
        findings = replace(evaluators[0].findings, rows=_all_rows(evaluators))
        write_folder(settings.out, patches, findings, {**record, "complete": complete})

    kept = _evaluate_extractors(plan, patches, settings, evaluators, timer, save)
    _evaluate_fusions(plan, kept, evaluators, timer)
    _evaluate_two_stages(plan, patches, settings, evaluators, timer)
    if settings.robustness:
        for spec in plan.specs:
            with timer(f"robustness {spec}"):
                _measure_robustness(spec, patches, settings, evaluators[0], plan)
    save(complete=True)
    return settings.out


def _all_rows(evaluators: list[Evaluator]) -> list[Row]:
    held_out = [e.findings.rows for e in evaluators if e.division.split == "held-out"]
    others = [e.findings.rows for e in evaluators if e.division.split != "held-out"]
    pooled = pool_rows(held_out) if held_out else []
    return pooled + [row for rows in others for row in rows]


def _evaluate_extractors(
    plan: StudyPlan,
    patches: PatchSet,
    settings: StudySettings,
    evaluators: list[Evaluator],
    timer: Timer,
    save: Callable[[], None],
) -> dict[str, Descriptors]:
    """Evaluate one extractor after the other; keep the descriptors that fusions need.

    What is known is saved after each but the last one, behind which the rest comes.
    """
    kept: dict[str, Descriptors] = {}
    for spec in plan.specs:
        with timer(f"extract {spec}"):
            descriptors = describe(spec, patches, settings, plan)
        with timer(f"evaluate {spec}"):
            for evaluator in evaluators:
                _evaluate(evaluator, descriptors)
        if settings.structure:
            with timer(f"views {spec}"):
                division = evaluators[0].division
                evaluators[0].findings.views += feature_views(
                    spec, patches, settings, plan, division
                )
        for text in _members_with(spec, plan.fusion):
            pooling = parse_member(text).pooling
            same = pooling in ("", descriptors.setup.pooling)
            kept[text] = descriptors if same else describe(spec, patches, settings, plan, pooling)
        if spec != plan.specs[-1]:
            with timer("writing"):
                save()
    for evaluator in evaluators:
        evaluator.add_differences()
    return kept


def _members_with(spec: str, fusions: list[str]) -> list[str]:
    """Members of fusions that are an extractor under one pooling or another, each once."""
    members = dict.fromkeys(member for text in fusions for member in members_of(text))
    return [text for text in members if parse_member(text).extractor == spec]


def _evaluate(evaluator: Evaluator, whole: Descriptors) -> None:
    descriptors = evaluator.reduce(whole)
    for name in evaluator.settings.calibrations:
        calibrated = evaluator.calibrate(descriptors, name)
        evaluator.evaluate(calibrated)
        if evaluator.settings.structure and evaluator.shown and name in CALIBRATIONS:
            evaluate_structure(calibrated, evaluator)
    evaluator.add_chosen(descriptors)


def _evaluate_fusions(
    plan: StudyPlan, kept: dict[str, Descriptors], evaluators: list[Evaluator], timer: Timer
) -> None:
    for text in plan.fusion:
        with timer(f"fuse {text}"):
            for evaluator in evaluators:
                evaluate_fusion(text, kept, evaluator)


def _evaluate_two_stages(
    plan: StudyPlan,
    patches: PatchSet,
    settings: StudySettings,
    evaluators: list[Evaluator],
    timer: Timer,
) -> None:
    for text in plan.two_stage:
        with timer(f"two stages {text}"):
            sets = {spec: extract_both(spec, patches, settings, plan) for spec in stages_of(text)}

            def read(
                spec: str, at: Indices, sets: Mapping[str, tuple[FeatureSet, FeatureSet]] = sets
            ) -> tuple[FeatureMap, FeatureMap]:
                sar, optical = sets[spec]
                return read_maps(sar, patches, at.tolist()), read_maps(
                    optical, patches, at.tolist()
                )

            notes: dict[str, None] = {}
            for evaluator in evaluators:
                notes |= dict.fromkeys(evaluate_two_stages(text, read, evaluator).notes)
            plan.notes += [f"two stages {text}: {note}" for note in notes]


def _measure_robustness(
    spec: str, patches: PatchSet, settings: StudySettings, evaluator: Evaluator, plan: StudyPlan
) -> None:
    if extractor_class(find_row(parse_spec(spec).name)).BANDS:
        plan.notes.append(
            f"robustness of {spec}: not measured, since disturbances are of images in 0..1."
        )
        return
    descriptors = describe(spec, patches, settings, plan)
    division = evaluator.division
    division = replace(division, measured=division.measured[evaluator.first])
    extractor = open_model(spec, settings)
    try:
        subject = make_subject(
            extractor,
            descriptors,
            patches,
            division,
            evaluator.all_units.names,
            evaluator.settings.seed,
            settings.draws,
            days_between(settings.pairs),
        )
        setup = replace(descriptors.setup, calibration=CALIBRATION, scoring=SCORING)
        evaluator.add(setup, subject)
    finally:
        extractor.close()
    for what, why in subject.left_out.items():
        plan.notes.append(f"robustness of {spec}: no {what}: {why}")


def open_patches(settings: StudySettings) -> PatchSet:
    """Open the patch set that the settings name."""
    pairs = draw_pairs(settings)
    limit = settings.limit or len(pairs)
    patches = open_sample(pairs, settings)
    patches = replace(patches, notes=(*pairs.notes, *patches.notes))
    if len(patches.patches) <= limit or settings.limit is None:
        return patches
    units = find_units(patches.patches, settings.split_by)
    return patches.at(draw_evenly(units.names, limit, settings.seed).tolist())


def draw_pairs(settings: StudySettings) -> Pairs:
    """The pairs that the settings name: no more than patches are wanted."""
    pairs = open_pairs(
        settings.pairs, layout=settings.layout, skip_incomplete=settings.skip_incomplete
    )
    if settings.limit is None or len(pairs) <= settings.limit:
        return pairs
    chosen = draw_evenly([pair.group for pair in pairs], settings.limit, settings.seed)
    return Pairs([pairs[i] for i in chosen], pairs.notes)


def open_sample(pairs: Sequence[ScenePair], settings: StudySettings) -> PatchSet:
    """Open the patch set of some pairs, read as the settings say."""
    return PatchSet.open(
        pairs,
        patch=settings.patch,
        stride=settings.stride,
        reading=Reading.parse(settings.reading()),
        max_invalid=settings.max_invalid,
        alignment=read_alignment(settings.alignment) if settings.alignment else None,
        name=settings.pairs.resolve().name,
        skip_small=settings.skip_incomplete,
    )


def same_ground(patches: PatchSet) -> SameGround:
    """Find the patches of a set that show the same ground in different files."""
    pixels = {
        name: float(np.sqrt(abs(scene.grid.transform.determinant)))
        for name, scene in patches.scenes.items()
        if is_placed(scene.grid)
    }
    return find_same_ground(patches.patches, pixels, patches.contents)


def divide_patches(
    patches: PatchSet, units: Units, ground: SameGround, settings: StudySettings
) -> list[Evaluator]:
    """Divide the patches as ``split`` and ``seeds`` say; figures are of the first division."""
    parts = []
    if settings.split in ("held-out", "both"):
        fraction = settings.calibration_fraction
        parts += [(divide(units, fraction, seed), seed) for seed in settings.split_seeds]
    if settings.split in ("transductive", "both"):
        parts.append((transductive(units), settings.split_seeds[0]))
    return [
        Evaluator(
            patches.name,
            patches.patches,
            units,
            ground,
            division,
            settings.model_copy(update={"seed": seed}),
            shown=number == 0,
        )
        for number, (division, seed) in enumerate(parts)
    ]


def _note(
    plan: StudyPlan,
    units: Units,
    ground: SameGround,
    evaluators: list[Evaluator],
    settings: StudySettings,
) -> None:
    """Tell in the run what a reader of its numbers must know."""
    plan.notes += [*units.notes, *ground.notes]
    if settings.tolerance and evaluators[0].neighbours is None:
        plan.notes.append(
            f"no patch has a neighbour within {settings.tolerance:g} px: no tolerant rows."
        )
    if settings.index != "exact":
        plan.notes.append(
            f"retrieval went through {settings.index}: ranks beyond {DEPTH} are not known "
            f"and read {DEPTH + 1}; two stages and fusions are exact."
        )
    if len(settings.seeds) > 1:
        plan.notes.append(
            f"values are means over {len(settings.seeds)} splits and intervals hold the variance "
            "within and between them; figures, structure and robustness are of the first split."
        )


def _say_what(patches: PatchSet, units: Units, plan: StudyPlan, console: Console) -> None:
    kept, dropped = len(patches.patches), sum(patches.dropped.values())
    why = "; ".join(f"{count} {reason}" for reason, count in patches.dropped.items() if count)
    tail = f"; {dropped} patches dropped ({why})" if dropped else ""
    console.print(
        f"{kept} patch pairs of {patches.size} px in {units.count} {units.kind}s{tail}",
        highlight=False,
    )
    for spec, reason in plan.skipped.items():
        console.print(f"skipped {spec}: {reason}", highlight=False)
    for note in plan.notes:
        console.print(f"note: {note}", highlight=False)
