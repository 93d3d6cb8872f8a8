"""Which extractors a run uses: checked all at once, before any work."""

from __future__ import annotations

from dataclasses import dataclass, field

from crosslook.errors import WeightsError
from crosslook.extract.registry import check_spec
from crosslook.extract.weights import missing
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.stage_spec import check_stages, members_of, stages_of


@dataclass
class Plan:
    """What a run does: extractors, two stages, fusions; what is left out and why."""

    specs: list[str]
    two_stage: list[str]
    fusion: list[str]
    skipped: dict[str, str] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def plan_models(settings: StudySettings) -> Plan:
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
    plan = Plan(left, [], [], skipped)
    for texts, needs, kept in (
        (settings.two_stage, stages_of, plan.two_stage),
        (settings.fusion, members_of, plan.fusion),
    ):
        for text in texts:
            lacking = [name for name in needs(text) if name in skipped]
            if lacking:
                plan.skipped[text] = f"needs {', '.join(lacking)}, whose weights are missing"
            else:
                kept.append(text)
    return plan
