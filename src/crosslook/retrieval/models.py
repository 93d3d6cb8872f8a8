"""Which extractors a run uses: checked all at once, before any work."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crosslook.errors import SettingError, WeightsError
from crosslook.extract.registry import check_spec, open_model
from crosslook.extract.weights import missing
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.stage_spec import (
    check_stages,
    members_of,
    parse_member,
    parse_two_stage,
    stages_of,
)
from crosslook.types import FeatureMap


@dataclass
class StudyPlan:
    """What a run does: extractors, two stages, fusions; what is left out and why.

    ``features`` names the folders of the store that hold what was extracted.
    """

    specs: list[str]
    two_stage: list[str]
    fusion: list[str]
    skipped: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    features: dict[str, dict[str, str]] = field(default_factory=dict)


def plan_models(settings: StudySettings) -> StudyPlan:
    """Check every spec and find out which weights are missing.

    Raises
    ------
    SpecError
        If a spec is unknown or malformed.
    WeightsError
        If weights are missing and ``skip_missing`` is off: one message that
        names all of them; or if nothing is left to run.
    """
    specs = list(dict.fromkeys(settings.extractors))
    for spec in specs:
        check_spec(spec)
    stages = check_stages(settings.two_stage, settings.fusion, specs)
    for spec in stages:
        check_spec(spec)
    absent = missing(list(dict.fromkeys([*specs, *stages])), settings.weights)
    if absent and not settings.skip_missing:
        lines = "\n".join(f"  {item}" for item in absent)
        raise WeightsError(
            f"the weights of {len(absent)} model(s) are not here:\n{lines}\n"
            "Fetch them, or leave these models out with --skip-missing."
        )
    skipped = {item.spec: str(item) for item in absent}
    left = [spec for spec in specs if spec not in skipped]
    if not left:
        raise WeightsError("no extractor is left to run: the weights of all of them are missing.")
    plan = StudyPlan(left, [], [], skipped)
    for texts, needs, kept in (
        (settings.two_stage, stages_of, plan.two_stage),
        (settings.fusion, fused_extractors, plan.fusion),
    ):
        for text in texts:
            lacking = [name for name in needs(text) if name in skipped]
            if lacking:
                plan.skipped[text] = f"needs {', '.join(lacking)}, whose weights are missing"
            else:
                kept.append(text)
    _check_poolings(plan, settings)
    return plan


def _check_poolings(plan: StudyPlan, settings: StudySettings) -> None:
    """Refuse what a model or its map cannot give, by geometry alone: no weight is read."""
    wanted = {(spec, settings.pooling) for spec in plan.specs}
    for text in plan.fusion:
        wanted |= {(m.extractor, m.pooling) for m in map(parse_member, members_of(text))}
    for text in plan.two_stage:
        both = parse_two_stage(text)
        wanted |= {(stage.extractor, stage.pooling) for stage in (both.coarse, both.fine)}
    if "dense" in settings.pooling and (settings.index != "exact" or settings.robustness):
        other = "--robustness" if settings.robustness else f"--index {settings.index}"
        raise SettingError(
            f"{other} compares plain descriptors, and --pooling {settings.pooling} compares maps "
            "over shifts; choose one of the two."
        )
    for spec, pooling in sorted(wanted):
        extractor = open_model(spec, settings)
        if extractor.VECTOR is None or pooling in ("", "auto"):
            continue  # only its weights say what it gives; nothing to check
        geometry = extractor.geometry(settings.patch, settings.patch)
        rows, cols = (round(side / geometry.cell) for side in geometry.padded)
        vector = np.zeros((1, 1), np.float32) if extractor.VECTOR else None
        try:
            pool(FeatureMap(np.zeros((1, 1, rows, cols), np.float32), 1.0, vector), pooling)
        except SettingError as error:
            raise SettingError(f"'{spec}' at {settings.patch} px: {error}") from None


def fused_extractors(text: str) -> list[str]:
    """Extractors of a fusion, each once."""
    return list(dict.fromkeys(parse_member(member).extractor for member in members_of(text)))
