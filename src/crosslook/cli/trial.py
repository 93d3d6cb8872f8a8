"""``crosslook trial`` and ``crosslook verdict fit``: the study of matchers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.options import Cli, OverwriteOption, SeedOption
from crosslook.trial.settings import TrialSettings


def trial(settings: TrialSettings) -> None:
    """Measure how near matchers come on pairs with truth, and how sure they are of it."""
    from crosslook.trial.report import trial_and_report

    trial_and_report(settings)


class FitInputs(OverwriteOption, SeedOption):
    """Which answers, and where the verdict goes."""

    run: Annotated[Path, Cli(positional=True)] = Field(
        description="Folder of a trial with wrong partners."
    )
    matcher: Annotated[str, Cli(metavar="NAME")] = Field(description="One of its matchers.")
    out: Annotated[Path, Cli(metavar="FILE")] = Field(description="JSON for register --verdict.")


def fit(inputs: FitInputs) -> None:
    """Fit the verdict of a matcher to its answers in a trial, for register --verdict."""
    from crosslook.trial.verdict import fit_verdict

    worth, covered = fit_verdict(
        inputs.run, inputs.matcher, inputs.out, inputs.seed, overwrite=inputs.overwrite
    )
    for one in worth:
        shown = [
            f"{name} {e.value:.3f} ({e.low:.3f}-{e.high:.3f})"
            for name, e in (
                ("right answers called match", one.found),
                ("wrong ones called match", one.false),
                ("Brier score", one.brier),
            )
        ]
        click.echo(f"{one.search}: {one.right} right and {one.wrong} wrong answers")
        click.echo(f"  on clusters that the fit has not seen: {', '.join(shown)}")
    for quantile in covered:
        e = quantile.within
        click.echo(
            f"errors within the quantile of {quantile.level:.0%}, on clusters that it has not "
            f"seen: {e.value:.3f} ({e.low:.3f}-{e.high:.3f}) of {quantile.matches} matches"
        )
    click.echo(f"verdict: {inputs.out}")
