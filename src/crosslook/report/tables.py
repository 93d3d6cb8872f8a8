"""Rows chosen and worded for a reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from crosslook.types import Row


@dataclass(frozen=True)
class Setup:
    """An extractor under one comparison."""

    extractor: str
    pooling: str
    calibration: str
    scoring: str
    split: str

    @property
    def how(self) -> str:
        """The comparison in words."""
        return "uncalibrated" if self.is_plain else f"{self.calibration}, {self.scoring}"

    @property
    def is_plain(self) -> bool:
        """Whether nothing is calibrated or corrected."""
        return self.calibration == "none" and self.scoring == "cosine"


def setup_of(row: Row) -> Setup:
    """Return the setup a row belongs to."""
    return Setup(row.extractor, row.pooling, row.calibration, row.scoring, row.split)


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
    """Pick the best calibrated setup of every extractor by recall at 1, best first."""
    recall = recall_rows(rows, direction)
    best: dict[tuple[str, str], Setup] = {}
    for setup, row in recall.items():
        key = (setup.extractor, setup.split)
        if key not in best or row.value > recall[best[key]].value:
            best[key] = setup
    return sorted(best.values(), key=lambda setup: -recall[setup].value)


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
