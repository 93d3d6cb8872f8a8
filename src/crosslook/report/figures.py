"""Figures of the page, as plain Plotly descriptions; ``paper/`` has those for print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from crosslook.types import Row

# Okabe and Ito: colour-blind readers can distinguish them too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")

Figure = dict[str, Any]


def rows_curve(
    name: str, points: Sequence[tuple[float, Row]], colour: str, dash: str = "solid"
) -> dict[str, Any]:
    """Values of rows over a number, with their intervals where all have one."""
    ordered = sorted(points, key=lambda point: point[0])
    rows = [row for _, row in ordered]
    levels, values = [level for level, _ in ordered], (row.value for row in rows)
    trace = line_trace(name, levels, values, color=colour, dash=dash)
    trace["mode"] = "lines+markers"
    if all(np.isfinite(row.ci_low) and np.isfinite(row.ci_high) for row in rows):
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": shorten(row.ci_high - row.value for row in rows),
            "arrayminus": shorten(row.value - row.ci_low for row in rows),
            "thickness": 1,
        }
    return trace


def line_trace(name: str, x: list[float], y: Iterable[Any], **line: Any) -> dict[str, Any]:
    """A line through points; ``line`` is how it is drawn."""
    line.setdefault("width", 2)
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": shorten(y), "line": line}


def fractions(traces: list[dict[str, Any]], x: str, y: str, *, log: bool) -> Figure:
    """A figure of curves between 0 and 1."""
    axis: dict[str, Any] = {"title": {"text": x}}
    if log:
        axis["type"] = "log"
    return {
        "data": traces,
        "layout": {"xaxis": axis, "yaxis": {"title": {"text": y}, "range": [0, 1.02]}},
    }


def named(calibration: str) -> str:
    """Write a calibration for a legend."""
    return "uncalibrated" if calibration == "none" else calibration


def shorten(values: Iterable[Any]) -> list[float]:
    """Round numbers to what a figure can show, so that the report stays small."""
    return [round(float(value), 5) for value in values]
