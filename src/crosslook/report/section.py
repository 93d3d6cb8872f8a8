"""What a report is made of: sections of texts, tables, figures and images."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from crosslook.report.figures import Figure
from crosslook.report.tables import Claim, Headline, arrow, headlines, interval, number
from crosslook.retrieval.measure.base import Definition
from crosslook.retrieval.measure.registry import find_measure
from crosslook.retrieval.run_folder import read_patches
from crosslook.retrieval.setup import setup_of
from crosslook.retrieval.views import read_thumbnails
from crosslook.types import Patch, Row


@dataclass(frozen=True)
class Table:
    """Text cells; ``numeric`` columns are aligned to the right, ``hints`` explain heads."""

    columns: list[str]
    lines: list[list[str]]
    numeric: set[int] = field(default_factory=set)
    hints: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Thumbnail:
    """A JPEG as base64 with its caption."""

    title: str
    data: str


@dataclass(frozen=True)
class ShownMatch:
    """Images beside each other, and what they are."""

    thumbnails: list[Thumbnail]
    text: str


@dataclass(frozen=True)
class Part:
    """A piece of a section; what is empty is not shown.

    A ``folded`` table is opened by a click, searched and sorted; ``small`` pieces lie
    beside each other where there is room.
    """

    title: str = ""
    text: str = ""
    figure: Figure | None = None
    table: Table | None = None
    matches: list[ShownMatch] = field(default_factory=list)
    folded: bool = False
    small: bool = False


@dataclass(frozen=True)
class Section:
    """A chapter of the report."""

    id: str
    title: str
    how: str
    parts: list[Part]
    definitions: list[Definition] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Results:
    """The results of a run that sections show.

    Attributes
    ----------
    run : Path
        Its folder, for tables that one section alone reads.
    rows : list of Row
    record : dict
        Its ``run.json``.
    """

    run: Path
    rows: Sequence[Row]
    record: dict[str, Any]

    def of(self, measure: str) -> list[Row]:
        """The rows of one measure."""
        return [row for row in self.rows if row.measure == measure]

    @cached_property
    def lead(self) -> list[Headline]:
        """The row that represents each extractor, best first."""
        return headlines(self.rows, self.record)

    @cached_property
    def order(self) -> list[str]:
        """All extractors: those of ``--extractors`` as given, then fusions and two stages."""
        given = self.record.get("extractors") or ()
        asked = self.record.get("settings", {}).get("extractors") or ()
        named = dict.fromkeys(row.extractor for row in self.rows)
        return [n for n in dict.fromkeys([*asked, *given, *named]) if n in named]

    @cached_property
    def patches(self) -> list[Patch]:
        """All patches of the run."""
        return read_patches(self.run)

    @cached_property
    def thumbnails(self) -> dict[int, dict[str, bytes]]:
        """JPEGs of patches by index and modality, as far as the run has them."""
        return read_thumbnails(self.run)


def measure_section(results: Results, name: str, parts: Sequence[Part] = ()) -> list[Section]:
    """The section of a measure, with all of its metrics defined; nothing where it has no rows.

    Without parts of its own it shows all rows.
    """
    rows, measure = results.of(name), find_measure(name)
    if not rows:
        return []
    shown = list(parts) or [all_rows(measure.title, rows)]
    definitions = list(dict.fromkeys(measure.define(row.metric) for row in rows))
    return [Section(name, measure.title, measure.how, shown, definitions)]


def measure_table(rows: Sequence[Row]) -> Table:
    """Every metric of some rows, a line per row."""
    columns = ["extractor", "comparison", "metric", "direction", "k", "value", "95 %", "chance",
               "n"]  # fmt: skip
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
    ]
    hints = {"n": "items of the gallery", "chance": "what guessing gives", "95 %": "interval"}
    return Table(columns, lines, {4, 5, 6, 7, 8}, hints)


def all_rows(what: str, rows: Sequence[Row]) -> Part:
    """Every row of a measure, folded: keys to search in, not to read."""
    return Part(f"All rows of {what.lower()}", table=measure_table(rows), folded=True)


def claims_table(what: str, claims: Sequence[Claim]) -> Table:
    """Claims with their verdicts and reasons."""
    return Table([what, "verdict", "why"], [[one.text, one.verdict, one.why] for one in claims])


def encoded(data: bytes) -> str:
    """A JPEG as a page holds it: base64."""
    return base64.b64encode(data).decode()
