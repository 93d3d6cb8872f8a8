"""``crosslook report`` and ``crosslook compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.options import Cli, SeedOption, Settings


class ReportInputs(Settings):
    """Which run."""

    run: Annotated[Path, Cli(positional=True)] = Field(description="Folder of a study.")


class CompareSettings(SeedOption):
    """Which runs are compared, and where the differences go."""

    runs: Annotated[tuple[Path, ...], Cli(positional=True, metavar="RUN...", needed=True)] = Field(
        default=(), description="Two or more folders of studies."
    )
    out: Annotated[Path, Cli(metavar="FILE")] = Field(
        default=Path("comparison.csv"), description="CSV of the differences."
    )


def report(inputs: ReportInputs) -> None:
    """Write the HTML report and the figures of a run again, from its files."""
    from crosslook.report.html import write_report

    click.echo(f"report: {write_report(inputs.run)}")


def compare(settings: CompareSettings) -> None:
    """Say which differences between runs stand, by a paired bootstrap over units."""
    from crosslook.report.compare import print_comparison

    print_comparison(list(settings.runs), settings.out, settings.seed)
