"""``crosslook compare``: a table on the terminal and a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crosslook.atomic import write_text
from crosslook.report.compare import Difference, compare_runs


def print_comparison(
    runs: Sequence[Path], out: Path, seed: int = 0, console: Console | None = None
) -> list[Difference]:
    """Compare runs, print which differences stand, and write all as CSV."""
    found = compare_runs(runs, seed)
    table = Table(title="Recall at 1: second minus first (95 % interval, paired over scenes)")
    for name in ("first", "second", "direction", "difference", "stands"):
        table.add_column(name, overflow="fold")
    for item in found:
        d = item.difference
        shown = f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        table.add_row(
            item.first, item.second, item.direction, shown, "yes" if item.stands else "no"
        )
    write_text(out, _csv(found))
    console = console or Console()
    console.print(table)
    console.print(f"all of it: {out}", highlight=False)
    return found


def _csv(found: Sequence[Difference]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["first", "second", "direction", "difference", "low", "high", "n", "stands"])
    for item in found:
        d = item.difference
        writer.writerow(
            [item.first, item.second, item.direction, d.value, d.low, d.high, item.n_query,
             item.stands]
        )  # fmt: skip
    return text.getvalue()
