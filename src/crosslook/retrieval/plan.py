"""Which extractors a run uses: checked all at once, before any work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from crosslook.errors import SettingError, WeightsError, did_you_mean
from crosslook.extract.registry import check_spec, open_model
from crosslook.extract.weights import missing, what_is_missing
from crosslook.retrieval.compare.pooling import Pooling, pool
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.stage_spec import Combined, Fusion, TwoStage
from crosslook.types import FeatureMap


@dataclass(frozen=True)
class StudyPlan:
    """What a run does: extractors, two stages, fusions; what is left out and why."""

    specs: tuple[str, ...]
    two_stage: tuple[TwoStage, ...] = ()
    fusion: tuple[Fusion, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)


def plan_models(settings: StudySettings) -> StudyPlan:
    """Check every spec and find out which weights are missing.

    Raises
    ------
    SpecError
        If a spec is unknown or malformed.
    SettingError
        If a fusion names an extractor that the study does not run.
    WeightsError
        If weights are missing and ``skip_missing`` is off: one message that
        names all of them; or if nothing is left to run.
    """
    specs = list(dict.fromkeys(map(str, settings.extractors)))
    stages = dict.fromkeys(stage.extractor for one in settings.two_stage for stage in one.stages)
    for spec in (*specs, *stages):
        check_spec(spec)
    _check_members(settings.fusion, specs)
    absent = missing(list(dict.fromkeys([*specs, *stages])), settings.weights)
    if absent and not settings.skip_missing:
        raise WeightsError(
            f"the weights of {len(absent)} model(s) are not here:\n{what_is_missing(absent)}\n"
            "Or leave these models out with --skip-missing."
        )
    skipped = {item.spec: str(item) for item in absent}
    left = tuple(spec for spec in specs if spec not in skipped)
    if not left:
        raise WeightsError("no extractor is left to run: the weights of all of them are missing.")
    combined: tuple[Combined, ...] = (*settings.two_stage, *settings.fusion)
    for one in combined:
        lacking = dict.fromkeys(s.extractor for s in one.stages if s.extractor in skipped)
        if lacking:
            skipped[str(one)] = f"needs {', '.join(lacking)}, whose weights are missing"
    plan = StudyPlan(
        left,
        tuple(one for one in settings.two_stage if str(one) not in skipped),
        tuple(one for one in settings.fusion if str(one) not in skipped),
        skipped,
    )
    _check_poolings(plan, settings)
    return plan


def _check_members(fusions: Sequence[Fusion], specs: list[str]) -> None:
    for fusion in fusions:
        for name in (member.extractor for member in fusion.members):
            if name not in specs:
                raise SettingError(
                    f"--fusion {fusion}: '{name}' is not among --extractors "
                    f"({', '.join(specs)})." + did_you_mean(name, specs)
                )


def _check_poolings(plan: StudyPlan, settings: StudySettings) -> None:
    """Refuse what a model or its map cannot give, by geometry alone: no weight is read."""
    if settings.pooling.name == "dense" and (settings.index != "exact" or settings.robustness):
        other = "--robustness" if settings.robustness else f"--index {settings.index}"
        raise SettingError(
            f"{other} compares plain descriptors, and --pooling {settings.pooling} compares maps "
            "over shifts; choose one of the two."
        )
    for spec, pooling in sorted(set(_poolings(plan, settings)), key=str):
        extractor = open_model(spec, settings)
        if extractor.VECTOR is None or pooling.name == "auto":
            continue  # only its weights say what it gives; nothing to check
        geometry = extractor.geometry(settings.patch, settings.patch)
        rows, cols = (round(side / geometry.cell) for side in geometry.padded)
        vector = np.zeros((1, 1), np.float32) if extractor.VECTOR else None
        try:
            pool(FeatureMap(np.zeros((1, 1, rows, cols), np.float32), 1.0, vector), pooling)
        except SettingError as error:
            raise SettingError(f"'{spec}' at {settings.patch} px: {error}") from None


def _poolings(plan: StudyPlan, settings: StudySettings) -> Iterator[tuple[str, Pooling]]:
    yield from ((spec, settings.pooling) for spec in plan.specs)
    combined: tuple[Combined, ...] = (*plan.two_stage, *plan.fusion)
    for one in combined:
        yield from ((stage.extractor, stage.pooling) for stage in one.stages if stage.pooling)
