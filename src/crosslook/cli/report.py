"""``crosslook report``, ``compare``, ``export`` and ``leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.options import Cli, OverwriteOption, SeedOption


class ReportInputs(OverwriteOption):
    """Which run."""

    run: Annotated[Path, Cli(positional=True)] = Field(description="Folder of a study.")


class CompareSettings(OverwriteOption, SeedOption):
    """Which runs are compared, and where the differences go."""

    runs: Annotated[tuple[Path, ...], Cli(positional=True, metavar="RUN...", needed=True)] = Field(
        default=(), description="Two or more folders of studies."
    )
    out: Annotated[Path, Cli(metavar="FILE")] = Field(
        default=Path("comparison.csv"), description="CSV of the differences."
    )


class ExportInputs(ReportInputs):
    """Which run, and where its descriptors go."""

    to: Annotated[Path, Cli(metavar="FOLDER")] = Field(description="Folder for GeoParquet files.")


class LeaderboardInputs(OverwriteOption):
    """Which runs stand in one table, and where it goes."""

    runs: Annotated[tuple[Path, ...], Cli(positional=True, metavar="RUN...", needed=True)] = Field(
        default=(), description="Folders of studies."
    )
    out: Annotated[Path, Cli(metavar="FOLDER")] = Field(
        default=Path("leaderboard"), description="Folder for CSV, LaTeX and HTML."
    )


def export(inputs: ExportInputs) -> None:
    """Write descriptors as GeoParquet in the columns of Major TOM's embeddings."""
    from crosslook.report.export import export_run

    for path in export_run(inputs.run, inputs.to, overwrite=inputs.overwrite):
        click.echo(path)


def leaderboard(inputs: LeaderboardInputs) -> None:
    """Set runs and data sets into one table, refusing what cannot be compared."""
    from crosslook.report.leaderboard import leaderboard as gather
    from crosslook.report.leaderboard import write_leaderboard

    entries = gather(list(inputs.runs))
    for path in write_leaderboard(entries, inputs.out, overwrite=inputs.overwrite):
        click.echo(path)


def report(inputs: ReportInputs) -> None:
    """Write the HTML report and the figures of a run again, from its files."""
    from crosslook.report.html import write_report

    click.echo(f"report: {write_report(inputs.run, overwrite=inputs.overwrite)}")


def compare(settings: CompareSettings) -> None:
    """Say which differences between runs stand, by a paired bootstrap over units."""
    from crosslook.report.compare import print_comparison

    print_comparison(list(settings.runs), settings.out, settings.seed, overwrite=settings.overwrite)
