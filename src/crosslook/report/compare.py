"""Several runs: which differences are significant, and all of them in one table.

Differences have a paired bootstrap over clusters: both runs answer the same
queries, so the difference of every query is taken first and clusters are drawn
afterwards; what the two share cancels (Efron and Tibshirani 1993, chapter 16).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosslook.atomic import write_csv, write_text
from crosslook.errors import InputError
from crosslook.report.tables import Headline, headlines, interval, latex_table, number
from crosslook.retrieval.clusters import find_clusters
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.retrieval.run_folder import MatchTable, read_patches, read_rows, read_run
from crosslook.types import Estimate
from crosslook.written import MARK, has_header, is_marked, refuse_foreign

_DEFAULT = {"calibration": "standardize", "scoring": "csls"}


@dataclass(frozen=True)
class Difference:
    """Recall at 1 of ``second`` minus that of ``first``, on shared queries.

    Attributes
    ----------
    n_query : int
        Queries that both runs measured.
    galleries : tuple of int
        Items that either searched.
    same_gallery : bool
        Whether both searched the very same items. If not, recall differs by the
        galleries too, and nothing is significant.
    significant : bool
        Whether the galleries are the same and the interval excludes zero.
    """

    first: str
    second: str
    direction: str
    difference: Estimate
    n_query: int
    galleries: tuple[int, int]
    same_gallery: bool

    @property
    def significant(self) -> bool:
        """Whether the galleries are the same and the interval excludes zero."""
        return self.same_gallery and (self.difference.low > 0 or self.difference.high < 0)


@dataclass(frozen=True)
class _Answers:
    name: str
    direction: str
    right: dict[str, bool]
    clusters: dict[str, str]


def run_names(runs: Sequence[Path]) -> dict[Path, str]:
    """Name runs by the last parts of their paths, as many as tell them apart.

    Two folders that are both called ``run`` are ``north/run`` and ``south/run``.
    """
    parts = {run: run.absolute().parts for run in runs}
    names: dict[Path, str] = {}
    for run, own in parts.items():
        others = [p for p in parts.values() if p != own]
        depth = next(
            (d for d in range(1, len(own)) if all(p[-d:] != own[-d:] for p in others)), len(own)
        )
        names[run] = "/".join(own[-depth:])
    return names


def compare_runs(runs: Sequence[Path], seed: int = 0) -> list[Difference]:
    """Compare every extractor of every run with each other, under its chosen setup.

    The setup is the one that the run chose on its calibration set; a run
    without a choice is compared by ``standardize`` and ``csls`` where it has
    them, else by the first setup in its table. Never by what did best on the
    queries that are compared.

    Parameters
    ----------
    runs : sequence of Path
        Two or more run folders; queries are paired by patch id.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        If fewer than two runs are given, or two share no query.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run(s) given; a comparison needs at least two.")
    names = run_names(runs)
    answers = [answer for run in runs for answer in _answers_of_run(run, names[run])]
    comparisons = []
    for first, second in combinations(answers, 2):
        if first.direction != second.direction:
            continue
        shared = sorted(set(first.right) & set(second.right))
        if not shared:
            raise InputError(
                f"{first.name} and {second.name} share no query; compare runs on the same "
                "data, patch size and seed."
            )
        change = [float(second.right[q]) - float(first.right[q]) for q in shared]
        estimate = bootstrap_mean(change, [first.clusters[q] for q in shared], seed)
        comparisons.append(
            Difference(
                first.name,
                second.name,
                first.direction,
                estimate,
                len(shared),
                (len(first.right), len(second.right)),
                len(shared) == len(first.right) == len(second.right),
            )
        )
    return comparisons


def _answers_of_run(run: Path, name: str) -> list[_Answers]:
    patches, record = read_patches(run), read_run(run)
    clusters = find_clusters(patches, record["settings"].get("split_by", "auto")).names
    return [
        _Answers(
            f"{name}: {table.setup.name} ({table.setup.calibration}, {table.setup.scoring})",
            table.direction,
            {patches[i].id: bool(r == 1) for i, r in _pairs(table)},
            {patches[i].id: clusters[i] for i, _ in _pairs(table)},
        )
        for table in _chosen_tables(MatchTable.read(run), record)
    ]


def _chosen_tables(tables: Sequence[MatchTable], record: Mapping[str, Any]) -> list[MatchTable]:
    """One table per extractor, pooling and direction, chosen without looking at the ranks."""
    splits: Sequence[Mapping[str, Any]] = record.get("splits", ())
    chosen: Mapping[str, Any] = next((s["chosen"] for s in splits if s["chosen"]), {})
    picked: dict[tuple[str, str, str], MatchTable] = {}
    for table in tables:
        setup = table.setup
        key = (setup.extractor, setup.pooling, table.direction)
        pick = chosen.get(setup.extractor, _DEFAULT)
        wanted = (pick["calibration"], pick["scoring"]) == (setup.calibration, setup.scoring)
        if wanted or key not in picked:
            picked[key] = table
    return list(picked.values())


def _pairs(table: MatchTable) -> list[tuple[int, int]]:
    return list(zip(table.query_index.tolist(), table.rank.tolist(), strict=True))


_COLUMNS = ("first", "second", "direction", "difference", "low", "high", "n", "first_gallery",
            "second_gallery", "same_gallery", "significant")  # fmt: skip


def print_comparison(
    runs: Sequence[Path],
    out: Path | None = None,
    seed: int = 0,
    console: Console | None = None,
    *,
    overwrite: bool = False,
) -> list[Difference]:
    """Compare runs and print which differences are significant; ``out`` is a CSV of all.

    Raises
    ------
    OutputError
        If the file is there and of other origin, unless ``overwrite`` replaces it.
    """
    if out is not None:
        refuse_foreign(out.parent, {out.name: has_header(_COLUMNS)}, overwrite=overwrite)
    comparisons = compare_runs(runs, seed)
    table = Table(title="Recall at 1: second minus first (95 % interval, paired over clusters)")
    for name in ("first", "second", "direction", "difference", "significant"):
        table.add_column(name, overflow="fold")
    for item in comparisons:
        d = item.difference
        shown = f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        table.add_row(item.first, item.second, item.direction, shown, _verdict(item))
    console = console or Console()
    console.print(table)
    if out is not None:
        write_csv(out, _COLUMNS, (_line(item) for item in comparisons))
        console.print(f"all of it: {out}", highlight=False, soft_wrap=True)
    return comparisons


def _verdict(item: Difference) -> str:
    if not item.same_gallery:
        first, second = item.galleries
        return f"other galleries ({first} and {second} items): not comparable"
    return "yes" if item.significant else "no"


def _line(item: Difference) -> list[object]:
    d = item.difference
    return [item.first, item.second, item.direction, d.value, d.low, d.high, item.n_query,
            *item.galleries, item.same_gallery, item.significant]  # fmt: skip


_SAME = ("patch", "split", "split_by", "calibration_fraction", "seed", "seeds")


@dataclass(frozen=True)
class Entry:
    """An extractor on a data set: the row that represents it."""

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
    names = run_names(runs)
    for run in runs:
        record, rows, own = read_run(run), read_rows(run), names[run]
        _refuse(own, record)
        dataset = str(record["dataset"])
        seen = _what_was_measured(run, record)
        other = measured.setdefault(dataset, (own, seen))
        if other[1] != seen:
            apart = [name for name, a, b in zip((*_SAME, "patches"), other[1], seen, strict=True)
                     if a != b]  # fmt: skip
            raise InputError(
                f"{other[0]} and {own} measured '{dataset}' with another "
                f"{', '.join(apart)}: their recalls are of other queries or galleries and "
                "do not belong in one table. Run one of them again with the settings of the other."
            )
        for line in headlines(rows, record):
            entry = Entry(own, dataset, line.name, line.setup.pooling, line)
            key = (dataset, entry.name, entry.pooling)
            before = entries.setdefault(key, entry)
            if before.line.row != line.row:
                raise InputError(
                    f"{before.run} and {own} say something else of {entry.name} on "
                    f"'{dataset}' ({before.line.row.value:.3f} and {line.row.value:.3f}; revisions "
                    f"'{before.line.row.revision}' and '{line.row.revision}'). Leave one out."
                )
    return list(entries.values())


def _refuse(name: str, record: dict[str, Any]) -> None:
    settings = record["settings"]
    why = None
    if record.get("complete") is False:
        why = "was not finished; run it again, it goes on where it stopped"
    elif settings["split"] == "transductive":
        why = "was fitted on what it measured (--split transductive)"
    elif settings.get("index", "exact") != "exact":
        why = f"searched through {settings['index']}, whose ranks are not exact"
    if why:
        raise InputError(f"{name} cannot be shown beside others: it {why}.")


def _what_was_measured(run: Path, record: dict[str, Any]) -> tuple[str, ...]:
    settings = record["settings"]
    ids = "\n".join(patch.id for patch in read_patches(run))
    return (*(str(settings.get(name)) for name in _SAME), hashlib.sha256(ids.encode()).hexdigest())


_BOARD_COLUMNS = (
    *("dataset", "extractor", "pooling", "comparison", "recall_at_1", "ci_low", "ci_high"),
    *("n_query", "n_gallery", "chance", "splits", "optimistic", "revision", "run"),
)
_BOARD_WRITTEN = {
    "leaderboard.csv": has_header(_BOARD_COLUMNS),
    "leaderboard.tex": is_marked,
    "leaderboard.html": is_marked,
}
_CAPTION = "Recall at 1, SAR to optical, 95 % interval over clusters."
_OPTIMISTIC = "picked on the measured queries: optimistic"


def print_leaderboard(entries: Sequence[Entry], console: Console | None = None) -> None:
    """Print a line per extractor, best first, and a column per data set."""
    heads, lines, note = _board(entries)
    table = Table(title="Recall at 1, SAR to optical (95 % interval over clusters)")
    for head in heads:
        table.add_column(head, overflow="fold")
    for line in lines:
        table.add_row(*line)
    console = console or Console()
    console.print(table)
    if note:
        console.print(note, highlight=False)
    by_run = dict.fromkeys((entry.run, entry.dataset) for entry in entries)
    for run, dataset in by_run:
        console.print(f"{dataset}: {run}", highlight=False)


def _board(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]], str]:
    """Heads and lines of the table, and the remark below it."""
    columns = list(dict.fromkeys(entry.dataset for entry in entries))
    heads = ["Extractor", *(_heading(column, entries) for column in columns)]
    note = f"† {_OPTIMISTIC}" if any(entry.line.optimistic for entry in entries) else ""
    return heads, _lines(entries, columns), note


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

    refuse_foreign(folder, _BOARD_WRITTEN, overwrite=overwrite)
    heads, lines, note = _board(entries)
    paths = [folder / f"leaderboard.{kind}" for kind in ("csv", "tex", "html")]
    ordered = sorted(entries, key=lambda e: (e.dataset, -e.line.row.value, e.name))
    write_csv(paths[0], _BOARD_COLUMNS, (_cells(entry) for entry in ordered))
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
         *(_board_text(cells.get(column)) for column in columns)]
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


def _board_text(entry: Entry | None) -> str:
    if entry is None:
        return "–"
    shown = f"{number(entry.line.row.value)} ({interval(entry.line.row)})"
    return shown + ("†" if entry.line.optimistic else "")
