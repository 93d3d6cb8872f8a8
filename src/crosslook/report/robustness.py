"""Robustness: a curve per disturbance, a line per extractor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from crosslook.report.figures import COLOURS, Figure, fractions, rows_curve
from crosslook.report.section import Part, Results, Section, measure_section, measure_table
from crosslook.retrieval.measure.robustness import parse_level
from crosslook.types import Row


def robustness_section(results: Results) -> list[Section]:
    """A curve per disturbance, and all rows."""
    own = results.of("robustness")
    parts = [
        Part(f"Recall by {name.replace('-', ' ')}", figure=robustness_curves(own, name))
        for name in disturbances(own)
    ]
    parts.append(Part("All robustness rows", table=measure_table(own)))
    return measure_section(results, "robustness", parts)


def robustness_curves(rows: Sequence[Row], name: str) -> Figure:
    """Recall at 1 over the levels of one disturbance, a line per extractor."""
    traces = []
    extractors = dict.fromkeys(r.extractor for r in rows)
    for colour, extractor in zip(cycle(COLOURS), extractors, strict=False):
        own = [r for r in rows if r.extractor == extractor]
        for kind, dash in ((name, "solid"), (f"{name}-extrapolated", "dot")):
            points = [(level_of(r)[1], r) for r in own if level_of(r)[0] == kind]
            if points:
                label = extractor + (" (extrapolated)" if dash == "dot" else "")
                traces.append(rows_curve(label, points, colour, dash))
    return fractions(traces, name.replace("-", " "), "recall at 1", log=name == "gallery")


def disturbances(rows: Sequence[Row]) -> list[str]:
    """Names of what recall was measured over, in the order of the rows."""
    names = [level_of(r)[0] for r in rows if r.metric.startswith("recall@1/")]
    return list(dict.fromkeys(n for n in names if not n.endswith("-extrapolated")))


def level_of(row: Row) -> tuple[str, float]:
    """Name and level of a robustness row; empty where it is not of recall."""
    if not row.metric.startswith("recall@1/"):
        return "", 0.0
    if "=" in row.metric:
        _, name, level = parse_level(row.metric)
        return name, level
    return row.metric.partition("/")[2], float(row.k)
