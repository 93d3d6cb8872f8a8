"""The table of measures: a measure is added by its file and one row here."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from crosslook.retrieval.measure.base import Measure
from crosslook.types import Metric

ROWS = (
    "crosslook.retrieval.measure.gap:Gap",
    "crosslook.retrieval.measure.retrieval:Retrieval",
    "crosslook.retrieval.measure.difference:Difference",
    "crosslook.retrieval.measure.structure:Structure",
    "crosslook.retrieval.measure.two_stage:TwoStage",
    "crosslook.retrieval.measure.robustness:Robustness",
)
"""Where each measure is, in the order of the sections of a report."""

MEASURES: tuple[Measure[Any], ...] = tuple(resolve_name(row)() for row in ROWS)


def measure_all(view: object) -> list[Metric]:
    """What every measure that sees such a view says of it."""
    return [
        metric for measure in MEASURES if type(view) is measure.sees for metric in measure(view)
    ]


def find_measure(name: str) -> Measure[Any]:
    """The measure of this name.

    Raises
    ------
    KeyError
        If there is none.
    """
    return {measure.name: measure for measure in MEASURES}[name]
