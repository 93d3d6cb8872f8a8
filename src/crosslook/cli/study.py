"""``crosslook study`` and ``crosslook demo``."""

from __future__ import annotations

from crosslook.retrieval.settings import DemoSettings, StudySettings


def study(settings: StudySettings) -> None:
    """Measure how well extractors match SAR and optical patches."""
    from crosslook.report.study import study_and_report

    study_and_report(settings)


def demo(settings: DemoSettings) -> None:
    """Simulate pairs, study them and write a report: no data or weights needed."""
    from crosslook.report.study import run_demo

    run_demo(settings.out, settings.seed, overwrite=settings.overwrite)
