"""Short tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crosslook.extract.registry import describe_rows, extractor_class, find_row
from crosslook.types import Row


def print_study(rows: Sequence[Row], run: Path, console: Console | None = None) -> None:
    """Print recall at 1 of every extractor, uncalibrated beside its best."""
    recall = [r for r in rows if _is_headline(r)]
    table = Table(title="SAR to optical: recall at 1 (95 % interval over scenes)")
    for name in ("extractor", "uncalibrated", "best calibrated", "by"):
        table.add_column(name, overflow="fold")
    for key in dict.fromkeys((r.extractor, r.pooling, r.split) for r in recall):
        own = [r for r in recall if (r.extractor, r.pooling, r.split) == key]
        plain = [r for r in own if r.calibration == "none" and r.scoring == "cosine"]
        best = max(own, key=lambda r: r.value)
        mark = "" if best.split == "held-out" else f" ({best.split})"
        how = "nothing" if best in plain else f"{best.calibration}, {best.scoring}"
        name = f"{key[0]}, {key[1]}" if key[1].startswith("fusion") else key[0]
        before = _with_interval(plain[0]) if plain else "-"
        table.add_row(name, before, _with_interval(best), how + mark)
    console = console or Console()
    console.print(table)
    if recall:
        console.print(
            f"gallery {recall[0].n_gallery}, chance {recall[0].chance:.4f}", highlight=False
        )
        console.print(
            "best calibrated: chosen on these queries, so a little optimistic; rows has all",
            highlight=False,
        )
    for name, path in (("rows", "results.parquet"), ("report", "report.html")):
        console.print(f"{name:<8}{run / path}", highlight=False, soft_wrap=True)


def print_extractors(console: Console | None = None) -> None:
    """Print two lines for every extractor and variant; they fit 80 columns."""
    console = console or Console()
    table = Table(title="Extractors", box=None, pad_edge=False, show_header=True)
    for name in ("spec", "parameters", "channels", "stride", "extra", "weights"):
        numeric = name in ("parameters", "channels", "stride")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=name == "spec")
    for row in describe_rows():
        numbers = (row.parameters, row.channels, row.stride)
        table.add_row(f"[bold]{escape(row.spec)}[/]", *numbers, row.extra or "-", row.weights)
    console.print(table)
    console.print("\nWhat each is, its input and its licence:", highlight=False)
    for row in describe_rows():
        what = f"{row.what}; input {row.input}; {row.licence}"
        console.print(f"[bold]{escape(row.spec)}[/]: {escape(what)}", highlight=False)


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
        and row.metric.partition("/")[0] == "recall"
        and row.k == 1
    )


def _with_interval(row: Row) -> str:
    return f"{row.value:.3f} ({row.ci_low:.3f}-{row.ci_high:.3f})"
