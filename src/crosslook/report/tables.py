"""Rows chosen and worded for a reader."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crosslook.retrieval.setup import CHOSEN, Setup, setup_of
from crosslook.types import Row

BEST = "best of all on these queries"
"""The mark of a setup that was picked by what it reached: a little optimistic."""


def recall_rows(rows: Sequence[Row], direction: str, k: int = 1) -> dict[Setup, Row]:
    """Pick recall at ``k`` of one direction, by setup."""
    return {
        setup_of(row): row
        for row in rows
        if row.measure == "retrieval"
        and row.metric.partition("/")[0] == "recall"
        and row.direction == direction
        and row.k == k
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


@dataclass(frozen=True)
class Headline:
    """The row that stands for an extractor.

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
    """

    row: Row
    setup: Setup
    how: str
    optimistic: bool

    @property
    def name(self) -> str:
        """The extractor, with the weights of a fusion."""
        return self.setup.name


def headlines(
    rows: Sequence[Row], record: Mapping[str, Any], direction: str = "sar->optical"
) -> list[Headline]:
    """Pick *the* row of every extractor, best first.

    The setup chosen on the calibration units, or the only one there is; where
    nothing could be chosen, the best of all, marked as optimistic.

    Parameters
    ----------
    rows : sequence of Row
    record : mapping
        The run's ``run.json``, which says what was chosen.
    direction : str
    """
    recall = recall_rows(rows, direction)
    leading = []
    for best in best_setups(rows, direction):
        own = [setup for setup in recall if setup.family == best.family]
        chosen = next((setup for setup in own if setup.calibration == CHOSEN), None)
        if chosen is not None:
            actual, how = _chosen_setup(chosen, record)
            leading.append(Headline(recall[chosen], actual, how, False))
        else:
            leading.append(Headline(recall[best], best, best.how, len(own) > 1))
    return sorted(leading, key=lambda line: -line.row.value)


def _chosen_setup(setup: Setup, record: Mapping[str, Any]) -> tuple[Setup, str]:
    """What stands behind a chosen setup: that of the first split, and all in words."""
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
