"""Rows chosen and worded for a reader, and written as CSV and LaTeX."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from crosslook.atomic import write_csv, write_text
from crosslook.retrieval.setup import CHOSEN, Setup, setup_of
from crosslook.types import Row
from crosslook.written import MARK

BEST = "best of all on these queries"
"""The mark of a setup that was picked by what it reached: a little optimistic."""

ROW_COLUMNS = [field.name for field in fields(Row)]
_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "†": r"$^\dagger$",
}  # fmt: skip
_DAGGER = "†"


def recall_rows(rows: Sequence[Row], direction: str = "sar->optical") -> dict[Setup, Row]:
    """Pick recall at 1 of one direction, by setup."""
    return {
        setup_of(row): row
        for row in rows
        if row.measure == "retrieval"
        and row.metric.partition("/")[0] == "recall"
        and row.direction == direction
        and row.k == 1
    }


def best_setups(rows: Sequence[Row], direction: str = "sar->optical") -> list[Setup]:
    """Pick the best of all setups of every extractor by recall at 1, best first.

    Best on the very queries that it is measured on, so optimistic: wherever it
    is shown, it is marked.
    """
    recall = recall_rows(rows, direction)
    best: dict[tuple[str, str, str], Setup] = {}
    for setup, row in recall.items():
        key = setup.family
        if setup.calibration != CHOSEN and (key not in best or row.value > recall[best[key]].value):
            best[key] = setup
    return sorted(best.values(), key=lambda setup: -recall[setup].value)


def pair_distances(rows: Sequence[Row]) -> dict[str, Row]:
    """Pick the uncalibrated mean cosine distance of pairs of every extractor."""
    distances: dict[str, Row] = {}
    for row in rows:
        if (row.measure, row.metric, row.calibration) == ("gap", "pair-distance", "none"):
            distances.setdefault(row.extractor, row)
    return distances


def plain_recalls(rows: Sequence[Row]) -> dict[str, Row]:
    """Pick uncalibrated recall at 1 of every extractor, SAR to optical, best first.

    Uncalibrated as the distances are: a best calibration chosen on the measured
    queries could decide a claim by that choice.
    """
    recalls: dict[str, Row] = {}
    for setup, row in recall_rows(rows).items():
        if setup.is_plain:
            recalls.setdefault(setup.extractor, row)
    return dict(sorted(recalls.items(), key=lambda item: -item[1].value))


@dataclass(frozen=True)
class Headline:
    """The row that represents an extractor.

    Attributes
    ----------
    row : Row
        Recall at 1.
    setup : Setup
        What the row is of; of a chosen one what was chosen in the first split.
    how : str
        That in words, over all splits.
    optimistic : bool
        Picked on the measured queries, since nothing was set aside to choose on.
    plain : Row or None
        The same uncalibrated.
    best, best_row : Setup and Row
        The best of all on the measured queries.
    """

    row: Row
    setup: Setup
    how: str
    optimistic: bool
    plain: Row | None
    best: Setup
    best_row: Row

    @property
    def name(self) -> str:
        """The extractor, with the weights of a fusion."""
        return self.setup.name

    @property
    def is_calibrated(self) -> bool:
        """Whether a calibration or scoring was chosen, in one split at least."""
        return self.how != Setup(self.setup.extractor).how


def headlines(rows: Sequence[Row], record: Mapping[str, Any]) -> list[Headline]:
    """Pick *the* row of every extractor, SAR to optical, best first.

    The setup chosen on the calibration set, or the only one there is; where
    nothing could be chosen, the best of all, marked as optimistic.

    Parameters
    ----------
    rows : sequence of Row
    record : mapping
        The run's ``run.json``, which says what was chosen.
    """
    recall = recall_rows(rows)
    leading = []
    for best in best_setups(rows):
        own = [setup for setup in recall if setup.family == best.family]
        plain = next((recall[setup] for setup in own if setup.is_plain), None)
        shown = next((setup for setup in own if setup.calibration == CHOSEN), best)
        setup, how = _chosen_setup(shown, record) if shown is not best else (best, best.how)
        optimistic = shown is best and len(own) > 1
        leading.append(Headline(recall[shown], setup, how, optimistic, plain, best, recall[best]))
    return sorted(leading, key=lambda line: -line.row.value)


def _chosen_setup(setup: Setup, record: Mapping[str, Any]) -> tuple[Setup, str]:
    """What was chosen: the setup of the first split, and those of all in words."""
    picked = [
        Setup(setup.extractor, setup.pooling, c["calibration"], c["scoring"], setup.split)
        for split in record.get("splits", ())
        if split["split"] == setup.split and (c := split["chosen"].get(setup.extractor))
    ]
    if not picked:
        return setup, setup.how
    counts = Counter(one.how for one in picked).most_common()
    if len(counts) == 1:
        return picked[0], counts[0][0]
    votes = "; ".join(f"{how} in {count}" for how, count in counts)
    return picked[0], f"{votes} of {len(picked)} splits"


@dataclass(frozen=True)
class Claim:
    """A claim, its verdict and the reason in words."""

    text: str
    verdict: Literal["true", "false", "undecided"]
    why: str


def number(value: float, digits: int = 3) -> str:
    """Write a number, an en dash where there is none."""
    if math.isnan(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"


def interval(row: Row, digits: int = 3) -> str:
    """Write the interval of a row."""
    if math.isnan(row.ci_low):
        return ""
    return f"{number(row.ci_low, digits)} to {number(row.ci_high, digits)}"


def arrow(direction: str) -> str:
    """Write a direction so that it does not break over two lines."""
    return direction.replace("->", "\u00a0\u2192\u00a0")


def write_row_table(run: Path, rows: Sequence[Row]) -> None:
    """Write ``rows.csv``: every row, columns as in ``results.parquet``."""
    # NaN, the only value unequal to itself, becomes an empty cell.
    lines = ([value if value == value else "" for value in astuple(row)] for row in rows)
    write_csv(run / "rows.csv", ROW_COLUMNS, lines)


def write_latex(run: Path, rows: Sequence[Row], record: Mapping[str, Any]) -> None:
    """Write ``rows.tex``: recall at 1 of every extractor (booktabs).

    First the setups chosen on the calibration set; below them the best of all
    on the measured queries, marked, since the choice makes them optimistic.
    """
    recall, lead = recall_rows(rows), headlines(rows, record)
    best = [s for s in best_setups(rows) if recall[s] not in [h.row for h in lead]]
    groups = [
        [_latex_cells(h.name, h.how, h.row, h.optimistic) for h in lead],
        [_latex_cells(s.name, s.how, recall[s], True) for s in best],
    ]
    optimistic = best or any(h.optimistic for h in lead)
    columns = ("Extractor", "Comparison", "Recall at 1", "95 % interval", "Gallery")
    foot = f"{_DAGGER} {BEST}: optimistic" if optimistic else ""
    write_text(run / "rows.tex", latex_table(columns, 2, groups, foot))


def _latex_cells(name: str, how: str, row: Row, optimistic: bool) -> list[str]:
    mark = _DAGGER if optimistic else ""
    return [name, how, number(row.value) + mark, interval(row), str(row.n_gallery)]


def latex_table(
    columns: Sequence[str], texts: int, groups: Sequence[Sequence[Sequence[str]]], foot: str
) -> str:
    """A table for LaTeX's booktabs: groups of lines between rules, and a remark below.

    The first ``texts`` columns are aligned to the left, all others to the right.
    """
    lines = [
        f"% {MARK}",
        rf"\begin{{tabular}}{{{'l' * texts}{'r' * (len(columns) - texts)}}}",
        r"\toprule",
        " & ".join(map(_escape, columns)) + r" \\",
    ]
    for group in groups:
        body = [" & ".join(map(_escape, cells)) + r" \\" for cells in group]
        lines += [r"\midrule", *body] if body else []
    if foot:
        lines += [r"\midrule", rf"\multicolumn{{{len(columns)}}}{{l}}{{{_escape(foot)}}} \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escape(text: str) -> str:
    """Escape what LaTeX would read as a command; a thin space comes before a per cent sign."""
    return "".join(_ESCAPES.get(c, c) for c in text).replace(r" \%", r"\,\%")
