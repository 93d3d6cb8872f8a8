"""Sections of the report: what each shows, and how to read it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crosslook.report.figures import Figure
from crosslook.report.tables import (
    BEST,
    arrow,
    best_setups,
    interval,
    number,
    recall_rows,
)
from crosslook.retrieval.measure.base import Definition, Measure
from crosslook.retrieval.measure.registry import find_measure
from crosslook.retrieval.run_folder import MatchTable, picked_queries
from crosslook.retrieval.setup import CHOSEN, Setup, setup_of
from crosslook.types import DIRECTIONS, Patch, Row


@dataclass(frozen=True)
class Table:
    """Text cells; ``numeric`` columns are aligned to the right."""

    columns: list[str]
    lines: list[list[str]]
    numeric: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG as base64 with its caption."""

    title: str
    data: str


@dataclass(frozen=True)
class ShownMatch:
    """A query, what it found and what it should have found."""

    thumbnails: list[Thumbnail]
    text: str


@dataclass(frozen=True)
class Part:
    """A piece of a section; what is empty is not shown."""

    title: str = ""
    text: str = ""
    figure: Figure | None = None
    table: Table | None = None
    matches: list[ShownMatch] = field(default_factory=list)


@dataclass(frozen=True)
class Section:
    """A chapter of the report."""

    id: str
    title: str
    how: str
    parts: list[Part]
    definitions: list[Definition] = field(default_factory=list)


def retrieval_table(rows: Sequence[Row]) -> Table:
    """Recall, reciprocal and median rank of every setup and direction."""
    columns = ["extractor", "pooling", "comparison", "direction", "recall at 1", "95 %",
               "recall at 10", "MRR", "median rank", "gallery", "chance"]  # fmt: skip
    lines = []
    for direction in DIRECTIONS:
        recall = recall_rows(rows, direction)
        best = [s for s in best_setups(rows, direction) if _rivals(recall, s)]
        for setup, row in recall.items():
            own = {
                (r.metric.partition("/")[0], r.k): r
                for r in rows
                if setup_of(r) == setup and r.direction == direction and r.measure == "retrieval"
            }
            shown = [own.get(key) for key in (("recall", 10), ("mrr", 0), ("median-rank", 0))]
            lines.append(
                [
                    setup.extractor,
                    setup.pooling,
                    setup.how
                    + (" (transductive)" if setup.split == "transductive" else "")
                    + (f" ({BEST})" if setup in best else ""),
                    arrow(direction),
                    number(row.value),
                    interval(row),
                    *(number(r.value) if r else "–" for r in shown),
                    str(row.n_gallery),
                    number(row.chance, 4),
                ]
            )
    return Table(columns, lines, {4, 5, 6, 7, 8, 9, 10})


def _rivals(recall: Mapping[Setup, Row], setup: Setup) -> bool:
    """Whether a setup was picked from several."""
    return sum(s.family == setup.family and s.calibration != CHOSEN for s in recall) > 1


def index_losses(rows: Sequence[Row]) -> list[Row]:
    """Rows that say what an approximate index loses; none where all search was exact."""
    return [r for r in rows if r.metric.partition("/")[0] in ("recall-loss", "nearest-found")]


def measure_table(rows: Sequence[Row], measure: str) -> Table:
    """Every metric of one measure, a line per row."""
    columns = [
        "extractor",
        "comparison",
        "metric",
        "direction",
        "k",
        "value",
        "95 %",
        "chance",
        "n",
    ]
    lines = [
        [
            row.extractor,
            setup_of(row).how,
            row.metric,
            arrow(row.direction),
            str(row.k) if row.k else "",
            number(row.value),
            interval(row),
            number(row.chance, 4),
            str(row.n_gallery),
        ]
        for row in rows
        if row.measure == measure
    ]
    return Table(columns, lines, {4, 5, 6, 7, 8})


def plain_section(measure: Measure[Any], rows: Sequence[Row]) -> list[Section]:
    """All rows of a measure, and what they mean; nothing where there are none."""
    if not any(row.measure == measure.name for row in rows):
        return []
    parts = [Part(table=measure_table(rows, measure.name))]
    definitions = definitions_of(measure.name, rows)
    return [Section(measure.name, measure.title, measure.how, parts, definitions)]


def gap_table(rows: Sequence[Row]) -> Table:
    """Gap metrics side by side, a line per extractor and calibration."""
    names = [m for m in find_measure("gap").definitions if any(r.metric == m for r in rows)]
    gaps: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        if row.measure == "gap" and row.direction in ("", "sar->optical"):
            gaps.setdefault((row.extractor, row.calibration, row.split), {})[row.metric] = row
    lines = [
        [key[0], key[1], *(_cell(values.get(name)) for name in names)]
        for key, values in gaps.items()
    ]
    titles = [find_measure("gap").define(name).title for name in names]
    return Table(["extractor", "calibration", *titles], lines, set(range(2, 2 + len(names))))


def shown_matches(
    table: MatchTable,
    patches: Sequence[Patch],
    thumbnails: dict[int, dict[str, bytes]],
    best: bool,
) -> list[ShownMatch]:
    """Pick the ten best or worst queries: by rank, then by margin over the best other."""
    order = picked_queries(table, best)
    return [_match(table, int(at), patches, thumbnails) for at in order]


def definitions_of(measure: str, rows: Sequence[Row]) -> list[Definition]:
    """Definitions of the metrics that stand in these rows, each once."""
    names = dict.fromkeys(row.metric for row in rows if row.measure == measure)
    return list(dict.fromkeys(find_measure(measure).define(name) for name in names))


def best_match_table(tables: Sequence[MatchTable], setup: Setup) -> MatchTable | None:
    """Find the SAR-to-optical matches of a setup."""
    for table in tables:
        if table.setup == replace(setup, split="") and table.direction == "sar->optical":
            return table
    return None


def _match(
    table: MatchTable, at: int, patches: Sequence[Patch], thumbnails: dict[int, dict[str, bytes]]
) -> ShownMatch:
    query, first = int(table.query_index[at]), int(table.top_indices[at, 0])
    shown = [
        Thumbnail(title, base64.b64encode(thumbnails[index][side]).decode())
        for title, index, side in (
            ("SAR query", query, "sar"),
            ("found first", first, "optical"),
            ("true partner", query, "optical"),
        )
        if index in thumbnails
    ]
    text = f"{patches[query].id}: rank {table.rank[at]}, score {table.partner_score[at]:.3f}"
    if first != query:
        text += f"; first is {patches[first].id}, {table.top_scores[at, 0]:.3f}"
    return ShownMatch(shown, text)


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    shown = interval(row, 2)
    return f"{number(row.value)} ({shown})" if shown else number(row.value)
