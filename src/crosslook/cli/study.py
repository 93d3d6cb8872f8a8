"""The commands of the study: of runs, of simulated pairs, and of what is made of runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import click
from pydantic import Field

from crosslook.data.simulate.settings import SimulateOptions
from crosslook.options import Cli, OverwriteOption, SeedOption, Settings
from crosslook.retrieval.settings import DemoSettings, StudySettings


class SimulateInputs(Settings):
    """How much is simulated, and where it goes."""

    out: Annotated[Path, Cli(metavar="FOLDER")] = Field(
        description="Folder for optical/, sar/ and the truth."
    )
    count: int = Field(default=4, description="Number of scene pairs, 1 to 100,000.")


def simulate(inputs: SimulateInputs, settings: SimulateOptions) -> None:
    """Write seeded synthetic SAR/optical pairs as GeoTIFFs, with their truth."""
    from crosslook.data.simulate.write import write_pairs

    written = write_pairs(inputs.out, inputs.count, settings)
    click.echo(f"{len(written)} synthetic pairs in {inputs.out}")


def study(settings: StudySettings) -> None:
    """Measure how well extractors match SAR and optical patches."""
    from crosslook.report.study import study_and_report

    study_and_report(settings)


def demo(settings: DemoSettings) -> None:
    """Simulate pairs, study them, and register one pair: no data or weights needed."""
    from crosslook.report.study import run_demo

    run = run_demo(
        settings.out, settings.seed, preset=settings.preset, overwrite=settings.overwrite
    )
    match = _register_one(settings)
    if find_spec("torch") is None:
        click.echo("a pretrained network joins with: pip install 'crosslook[demo]'")
    click.echo(f"figures {run / 'figures' / 'figures.md'}")
    click.echo(f"swipe   {match / 'swipe.html'}")
    click.echo(f"image   {match / 'overlay.png'}")


def _register_one(settings: DemoSettings) -> Path:
    """Simulate a pair that lies apart, bring it into line, and say how well that is known."""
    from crosslook.data.simulate.write import write_pairs
    from crosslook.match.register import register

    apart, match = settings.out / "apart", settings.out / "match"
    write_pairs(
        apart, 1, size=512, shift=(20.0, -14.0), rotation=2.0, seed=settings.seed,
        overwrite=settings.overwrite,
    )  # fmt: skip
    sar, optical = (apart / side / "sim-0000.tif" for side in ("sar", "optical"))
    result = register(sar, optical, out=match, overwrite=settings.overwrite)
    error = result.expected_error_px
    sure = "" if error is None else f", expected error {error:.1f} px"
    click.echo(f"one pair, moved by 24 px and 2 degrees: {result.verdict}{sure}")
    return match


class ReportInputs(OverwriteOption):
    """Which run."""

    run: Annotated[Path, Cli(positional=True)] = Field(description="Folder of a study or trial.")


class CompareSettings(OverwriteOption, SeedOption):
    """Which runs are compared, and where the differences go."""

    runs: Annotated[tuple[Path, ...], Cli(positional=True, metavar="RUN...", needed=True)] = Field(
        default=(), description="Folders of studies, or of trials."
    )
    out: Annotated[Path | None, Cli(metavar="FILE", default="printed alone")] = Field(
        default=None, description="CSV of the differences."
    )


class ExportInputs(ReportInputs):
    """Which run, and where its descriptors go."""

    to: Annotated[Path, Cli(metavar="FOLDER")] = Field(description="Folder for Parquet files.")


class LeaderboardInputs(OverwriteOption):
    """Which runs are in one table, and where it goes."""

    runs: Annotated[tuple[Path, ...], Cli(positional=True, metavar="RUN...", needed=True)] = Field(
        default=(), description="Folders of studies, or of trials."
    )
    out: Annotated[Path | None, Cli(metavar="FOLDER", default="printed alone")] = Field(
        default=None, description="Folder for CSV, LaTeX and HTML."
    )


def export(inputs: ExportInputs) -> None:
    """Write descriptors as GeoParquet in the columns of Major TOM's embeddings."""
    from crosslook.report.export import export_run
    from crosslook.trial.board import export_trial, is_trial

    write = export_trial if is_trial(inputs.run) else export_run
    for path in write(inputs.run, inputs.to, overwrite=inputs.overwrite):
        click.echo(path)


def leaderboard(inputs: LeaderboardInputs) -> None:
    """Set runs and data sets into one table, refusing what cannot be compared."""
    from crosslook.report import compare as runs
    from crosslook.trial import board

    if board.all_trials(inputs.runs):
        lines = board.leaderboard(inputs.runs)
        for cells in (board.BOARD_HEADS, *board.board_cells(lines)):
            click.echo("  ".join(cells))
        written = (
            board.write_leaderboard(lines, inputs.out, overwrite=inputs.overwrite)
            if inputs.out is not None
            else []
        )
        for path in written:
            click.echo(path)
        return
    entries = runs.leaderboard(list(inputs.runs))
    runs.print_leaderboard(entries)
    if inputs.out is not None:
        for path in runs.write_leaderboard(entries, inputs.out, overwrite=inputs.overwrite):
            click.echo(path)


def report(inputs: ReportInputs) -> None:
    """Write the HTML report and the figures of a run again, from its files."""
    from crosslook.report.html import write_report
    from crosslook.trial.board import is_trial
    from crosslook.trial.report import write_trial_report

    if is_trial(inputs.run):
        click.echo(f"report: {write_trial_report(inputs.run, overwrite=inputs.overwrite)}")
        return
    click.echo(f"report: {write_report(inputs.run, overwrite=inputs.overwrite)}")


def compare(settings: CompareSettings) -> None:
    """Say which differences between runs are significant, by a paired bootstrap over clusters."""
    from crosslook.report.compare import print_comparison
    from crosslook.trial.board import all_trials, compare_trials

    if all_trials(settings.runs):
        lines = compare_trials(
            settings.runs, settings.out, settings.seed, overwrite=settings.overwrite
        )
        for line in (one for one in lines if one[3] == "area"):
            shown = f"{line[5]:+.3f} ({line[6]:+.3f} to {line[7]:+.3f})"
            click.echo(f"{line[0]} minus {line[1]}, {line[2]}: area {shown}, n = {line[8]}")
        if settings.out is not None:
            click.echo(f"all of it: {settings.out}")
        return
    print_comparison(list(settings.runs), settings.out, settings.seed, overwrite=settings.overwrite)
