"""Runs and data sets as one table, as far as they can be compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosslook.atomic import write_csv, write_text
from crosslook.errors import InputError
from crosslook.report.tables import Headline, headlines, interval, latex_table, number
from crosslook.retrieval.run_folder import read_patches, read_rows, read_run
from crosslook.written import MARK, has_header, is_marked, refuse_foreign

_SAME = ("patch", "split", "split_by", "calibration_fraction", "seed", "seeds")


@dataclass(frozen=True)
class Entry:
    """An extractor on a data set: the row that stands for it."""

    run: str
    dataset: str
    name: str
    pooling: str
    line: Headline


def leaderboard(runs: Sequence[Path]) -> list[Entry]:
    """Gather recall at 1 of every extractor of every run, by its chosen setup.

    Raises
    ------
    InputError
        If two runs on one data set measured other queries or galleries, a run is
        not finished, fitted on what it measured, searched through an approximate
        index, or two runs say something else of one extractor on one data set.
    """
    entries: dict[tuple[str, str, str], Entry] = {}
    measured: dict[str, tuple[str, tuple[str, ...]]] = {}
    for run in runs:
        record, rows = read_run(run), read_rows(run)
        _refuse(run, record)
        dataset = str(record["dataset"])
        seen = _what_was_measured(run, record)
        other = measured.setdefault(dataset, (run.name, seen))
        if other[1] != seen:
            apart = [name for name, a, b in zip((*_SAME, "patches"), other[1], seen, strict=True)
                     if a != b]  # fmt: skip
            raise InputError(
                f"{other[0]} and {run.name} measured '{dataset}' with another "
                f"{', '.join(apart)}: their recalls are of other queries or galleries and "
                "cannot stand in one table. Run one of them again with the settings of the other."
            )
        for line in headlines(rows, record):
            entry = Entry(run.name, dataset, line.name, line.setup.pooling, line)
            key = (dataset, entry.name, entry.pooling)
            before = entries.setdefault(key, entry)
            if before.line.row != line.row:
                raise InputError(
                    f"{before.run} and {run.name} say something else of {entry.name} on "
                    f"'{dataset}' ({before.line.row.value:.3f} and {line.row.value:.3f}; revisions "
                    f"'{before.line.row.revision}' and '{line.row.revision}'). Leave one out."
                )
    return list(entries.values())


def _refuse(run: Path, record: dict[str, Any]) -> None:
    settings = record["settings"]
    why = None
    if record.get("complete") is False:
        why = "was not finished; run it again, it goes on where it stopped"
    elif settings["split"] == "transductive":
        why = "was fitted on what it measured (--split transductive)"
    elif settings.get("index", "exact") != "exact":
        why = f"searched through {settings['index']}, whose ranks are not exact"
    if why:
        raise InputError(f"{run.name} cannot stand beside others: it {why}.")


def _what_was_measured(run: Path, record: dict[str, Any]) -> tuple[str, ...]:
    settings = record["settings"]
    ids = "\n".join(patch.id for patch in read_patches(run))
    return (*(str(settings.get(name)) for name in _SAME), hashlib.sha256(ids.encode()).hexdigest())


_COLUMNS = (
    *("dataset", "extractor", "pooling", "comparison", "recall_at_1", "ci_low", "ci_high"),
    *("n_query", "n_gallery", "chance", "splits", "optimistic", "revision", "run"),
)
_WRITTEN = {
    "leaderboard.csv": has_header(_COLUMNS),
    "leaderboard.tex": is_marked,
    "leaderboard.html": is_marked,
}
_CAPTION = "Recall at 1, SAR to optical, 95 % interval over clusters."
_OPTIMISTIC = "picked on the measured queries: optimistic"


def write_leaderboard(
    entries: Sequence[Entry], folder: Path, *, overwrite: bool = False
) -> list[Path]:
    """Write ``leaderboard.csv``, ``.tex`` and ``.html``: a line per extractor, best first.

    Raises
    ------
    OutputError
        If one is there and of other origin, unless ``overwrite`` replaces it.
    """
    from jinja2 import Environment, PackageLoader

    refuse_foreign(folder, _WRITTEN, overwrite=overwrite)
    columns = list(dict.fromkeys(entry.dataset for entry in entries))
    heads = ["Extractor", *(_heading(column, entries) for column in columns)]
    lines = _lines(entries, columns)
    note = f"† {_OPTIMISTIC}" if any(entry.line.optimistic for entry in entries) else ""
    paths = [folder / f"leaderboard.{kind}" for kind in ("csv", "tex", "html")]
    ordered = sorted(entries, key=lambda e: (e.dataset, -e.line.row.value, e.name))
    write_csv(paths[0], _COLUMNS, (_cells(entry) for entry in ordered))
    write_text(paths[1], latex_table(heads, 1, [lines], f"{_CAPTION} {note}".rstrip()))
    page = Environment(loader=PackageLoader("crosslook.report"), autoescape=True)
    template = page.get_template("leaderboard.html.jinja")
    text = template.render(mark=MARK, caption=_CAPTION, heads=heads, lines=lines, note=note)
    write_text(paths[2], text)
    return paths


def _lines(entries: Sequence[Entry], columns: Sequence[str]) -> list[list[str]]:
    """Cells by extractor; ordered by the mean over its data sets, most data sets first."""
    by_name: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        by_name.setdefault((entry.name, entry.pooling), {})[entry.dataset] = entry
    names = [name for name, _ in by_name]

    def order(item: tuple[tuple[str, str], dict[str, Entry]]) -> tuple[int, float]:
        values = [entry.line.row.value for entry in item[1].values()]
        return -len(values), -sum(values) / len(values)

    return [
        [f"{name}, {pooling}" if names.count(name) > 1 else name,
         *(_text(cells.get(column)) for column in columns)]
        for (name, pooling), cells in sorted(by_name.items(), key=order)
    ]  # fmt: skip


def _cells(entry: Entry) -> list[object]:
    row = entry.line.row
    return [entry.dataset, entry.name, entry.pooling, entry.line.how, row.value, row.ci_low,
            row.ci_high, row.n_query, row.n_gallery, row.chance, row.splits,
            entry.line.optimistic, row.revision, entry.run]  # fmt: skip


def _heading(column: str, entries: Sequence[Entry]) -> str:
    row = next(entry.line.row for entry in entries if entry.dataset == column)
    return f"{column} (gallery {row.n_gallery}, chance {number(row.chance, 4)})"


def _text(entry: Entry | None) -> str:
    if entry is None:
        return "–"
    shown = f"{number(entry.line.row.value)} ({interval(entry.line.row)})"
    return shown + ("†" if entry.line.optimistic else "")
