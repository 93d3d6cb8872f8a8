"""``crosslook report`` and ``crosslook compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="Folder of a study.")]) -> None:
    """Write the HTML report and the figures of a run again, from its files."""
    from crosslook.report.html import write_report

    typer.echo(f"report: {write_report(run)}")


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more folders of studies.")],
    out: Annotated[Path, typer.Option(help="CSV of the differences.")] = Path("comparison.csv"),
    seed: Annotated[int, typer.Option(help="Seed of the paired bootstrap.")] = 0,
) -> None:
    """Say which differences between runs stand, by a paired bootstrap over scenes."""
    from crosslook.report.compare import print_comparison

    print_comparison(runs, out, seed)
