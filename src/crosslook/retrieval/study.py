"""The study: pairs in, rows and tables out."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from crosslook.atomic import check_writable, sweep
from crosslook.data.pairs import open_pairs
from crosslook.data.patches import PatchSet
from crosslook.data.tables import days_between, read_alignment
from crosslook.extract.registry import open_model
from crosslook.geo.reading import Reading
from crosslook.progress import Timer
from crosslook.retrieval.compare.approximate import DEPTH, load_faiss
from crosslook.retrieval.descriptors import Descriptors, describe, whole_maps
from crosslook.retrieval.evaluate import CALIBRATIONS, Evaluator, Findings, evaluate_structure
from crosslook.retrieval.models import Plan, plan_models
from crosslook.retrieval.record import describe_run, write_folder
from crosslook.retrieval.robustness import CALIBRATION, SCORING, study_robustness
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.split import Division, divide, transductive
from crosslook.retrieval.stage_spec import members_of, parse_two_stage
from crosslook.retrieval.stages import evaluate_fusion, evaluate_two_stages
from crosslook.retrieval.views import feature_views


def run_study(settings: StudySettings, console: Console | None = None) -> Path:
    """Run a study and write its folder.

    Every setting, model and scene is checked before any long work. Features
    go through the store shard by shard, so a run that was killed goes on; the
    tables are written at the end, each file whole.

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
    timer = Timer()
    with timer("reading"):
        patches = open_patches(settings)
        divisions = divide_patches(patches, settings)
    check_writable(settings.out)
    sweep(settings.out)
    _say_what(patches, plan, console)
    findings = Findings()
    evaluators = [
        Evaluator(patches.name, patches.patches, division, settings) for division in divisions
    ]
    if settings.tolerance and evaluators[0].neighbours is None:
        plan.notes.append(
            f"no patch has a neighbour within {settings.tolerance:g} px: no tolerant rows."
        )
    if settings.index != "exact":
        plan.notes.append(
            f"retrieval went through {settings.index}: ranks beyond {DEPTH} are not known "
            f"and read {DEPTH + 1}; two stages and fusions are exact."
        )
    kept: dict[str, Descriptors] = {}
    for spec in plan.specs:
        with timer(f"extract {spec}"):
            descriptors = describe(spec, patches, settings, plan)
        with timer(f"evaluate {spec}"):
            for evaluator in evaluators:
                _evaluate(evaluator, descriptors, findings)
        if settings.structure:
            with timer(f"views {spec}"):
                division = evaluators[0].division
                findings.views += feature_views(spec, patches, settings, plan, division)
        if any(spec in members_of(text) for text in settings.fusion):
            kept[spec] = descriptors
    _evaluate_fusions(plan, kept, evaluators, findings, timer)
    _evaluate_two_stages(plan, patches, settings, evaluators, findings, timer)
    if settings.robustness:
        for spec in plan.specs:
            with timer(f"robustness {spec}"):
                _measure_robustness(spec, patches, settings, evaluators[0], plan, findings)
    told = describe_run(settings, plan, patches, divisions, timer)
    write_folder(settings.out, patches, findings, told)
    return settings.out


def _evaluate(evaluator: Evaluator, descriptors: Descriptors, findings: Findings) -> None:
    for name in evaluator.settings.calibrations:
        calibrated = evaluator.calibrate(descriptors, name)
        evaluator.evaluate(descriptors, calibrated, findings)
        shown = evaluator.division.split != "transductive" or evaluator.settings.split != "both"
        if evaluator.settings.structure and shown and name in CALIBRATIONS:
            evaluate_structure(descriptors, calibrated, evaluator, findings)


def _evaluate_fusions(
    plan: Plan,
    kept: dict[str, Descriptors],
    evaluators: list[Evaluator],
    findings: Findings,
    timer: Timer,
) -> None:
    for text in plan.fusion:
        with timer(f"fuse {text}"):
            for evaluator in evaluators:
                evaluate_fusion(text, kept, evaluator, findings)


def _evaluate_two_stages(
    plan: Plan,
    patches: PatchSet,
    settings: StudySettings,
    evaluators: list[Evaluator],
    findings: Findings,
    timer: Timer,
) -> None:
    for text in plan.two_stage:
        with timer(f"two stages {text}"):
            specs = {stage.extractor for stage in parse_two_stage(text)}
            maps = {spec: whole_maps(spec, patches, settings, plan) for spec in sorted(specs)}
            for evaluator in evaluators:
                result = evaluate_two_stages(text, maps, evaluator, findings)
                plan.notes += [f"two stages {text}: {note}" for note in result.notes]


def _measure_robustness(
    spec: str,
    patches: PatchSet,
    settings: StudySettings,
    evaluator: Evaluator,
    plan: Plan,
    findings: Findings,
) -> None:
    descriptors = describe(spec, patches, settings, plan)
    extractor = open_model(spec, settings)
    try:
        found = study_robustness(
            extractor,
            descriptors,
            patches,
            evaluator.division,
            settings.seed,
            settings.draws,
            days_between(settings.pairs),
        )
    finally:
        extractor.close()
    findings.rows += evaluator.rows(descriptors, CALIBRATION, SCORING, found.metrics)
    for what, why in found.left_out.items():
        plan.notes.append(f"robustness of {spec}: no {what}: {why}")


def open_patches(settings: StudySettings) -> PatchSet:
    """Open the patch set that the settings name."""
    reading = Reading.parse(settings.reading())
    pairs = open_pairs(settings.pairs, layout=settings.layout)
    return PatchSet.open(
        pairs,
        patch=settings.patch,
        stride=settings.stride,
        reading=reading,
        max_invalid=settings.max_invalid,
        alignment=read_alignment(settings.alignment) if settings.alignment else None,
        name=settings.pairs.resolve().name,
    )


def divide_patches(patches: PatchSet, settings: StudySettings) -> list[Division]:
    """Divide the patches as ``split`` says: held-out, transductive or both."""
    divisions = []
    if settings.split in ("held-out", "both"):
        divisions.append(
            divide(patches.patches, settings.calibration_fraction, settings.seed, settings.split_by)
        )
    if settings.split in ("transductive", "both"):
        divisions.append(transductive(patches.patches))
    return divisions


def _say_what(patches: PatchSet, plan: Plan, console: Console) -> None:
    kept, dropped = len(patches.patches), sum(patches.dropped.values())
    why = "; ".join(f"{count} {reason}" for reason, count in patches.dropped.items() if count)
    tail = f"; {dropped} patches dropped ({why})" if dropped else ""
    console.print(f"{kept} patch pairs of {patches.size} px{tail}", highlight=False)
    for spec, reason in plan.skipped.items():
        console.print(f"skipped {spec}: {reason}", highlight=False)
