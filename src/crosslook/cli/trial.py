"""``crosslook trial``: the study of matchers."""

from __future__ import annotations

from crosslook.trial.settings import TrialSettings


def trial(settings: TrialSettings) -> None:
    """Measure how near matchers come on pairs with truth, and how sure they are of it."""
    from crosslook.trial.report import trial_and_report

    trial_and_report(settings)
