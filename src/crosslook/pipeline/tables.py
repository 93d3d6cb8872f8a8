"""Short tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crosslook.extract.registry import describe_rows, extractor_class, find_row
from crosslook.types import Row


def print_study(rows: Sequence[Row], run: Path, console: Console | None = None) -> None:
    """Print recall at 1 of every extractor, uncalibrated beside its best."""
    table = Table(title="SAR to optical: recall at 1 (95 % interval over scenes)")
    for name in ("extractor", "pooling", "uncalibrated", "calibrated", "by", "gallery", "chance"):
        table.add_column(name, justify="right" if name in ("gallery", "chance") else "left")
    recall = [r for r in rows if _is_headline(r)]
    for key in dict.fromkeys((r.extractor, r.pooling, r.split) for r in recall):
        own = [r for r in recall if (r.extractor, r.pooling, r.split) == key]
        plain = [r for r in own if r.calibration == "none" and r.scoring == "cosine"]
        best = max(own, key=lambda r: r.value)
        table.add_row(
            key[0],
            key[1],
            _with_interval(plain[0]) if plain else "-",
            _with_interval(best),
            f"{best.calibration}, {best.scoring}"
            + (f" ({key[2]})" if key[2] != "held-out" else ""),
            str(best.n_gallery),
            f"{best.chance:.4f}",
        )
    console = console or Console()
    console.print(table)
    console.print(
        f"rows    {run / 'results.parquet'}\nreport  {run / 'report.html'}", highlight=False
    )


def print_extractors(console: Console | None = None) -> None:
    """Print one line for every extractor and variant."""
    table = Table(title="Extractors")
    columns = (
        "spec",
        "what",
        "parameters",
        "channels",
        "stride",
        "input",
        "licence",
        "extra",
        "weights",
    )
    for name in columns:
        table.add_column(
            name, justify="right" if name in ("parameters", "channels", "stride") else "left"
        )
    for row in describe_rows():
        table.add_row(*(str(getattr(row, name)) for name in columns))
    (console or Console()).print(table)


def print_extractor(name: str, console: Console | None = None) -> None:
    """Print the options of one extractor."""
    cls = extractor_class(find_row(name))
    table = Table(title=f"Options of {name}")
    for column in ("option", "default", "allowed", "meaning"):
        table.add_column(column)
    for key, option in cls.OPTIONS.items():
        allowed = ", ".join(map(str, option.choices)) or (
            f"{option.low:g} to {option.high:g}"
            if option.low is not None and option.high is not None
            else "yes, no"
            if isinstance(option.default, bool)
            else "any"
        )
        table.add_row(key, str(option.default), allowed, option.help)
    (console or Console()).print(table)


def _is_headline(row: Row) -> bool:
    return (
        row.measure == "retrieval"
        and row.direction == "sar->optical"
        and row.metric == "recall"
        and row.k == 1
    )


def _with_interval(row: Row) -> str:
    return f"{row.value:.3f} ({row.ci_low:.3f}-{row.ci_high:.3f})"
