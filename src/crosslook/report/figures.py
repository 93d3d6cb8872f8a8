"""Figures of the page, as plain Plotly descriptions; ``paper/`` has those for print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def dot_chart(
    series: Sequence[tuple[str, Mapping[str, Row]]], names: Sequence[str], title: str
) -> Figure:
    """A dot with its interval for each name, what comes first hollow; chance as short bars.

    ``series`` are label and row by name: uncalibrated, then calibrated.
    """
    traces: list[dict[str, Any]] = []
    chances: dict[str, list[Any]] = {"x": [], "y": []}
    for at, (label, rows) in enumerate(series):
        own = [(n, rows[n]) for n in names if n in rows and np.isfinite(rows[n].value)]
        places = [names.index(n) + 0.3 * (at - (len(series) - 1) / 2) for n, _ in own]
        traces.append(_dots(label, own, places))
        for place, (_, row) in zip(places, own, strict=True):
            if np.isfinite(row.chance):
                chances["x"].append(round(float(row.chance), 5))
                chances["y"].append(round(place, 5))
    marker = {"symbol": "line-ns-open", "size": 10, "color": "#b35900"}
    if chances["x"]:
        traces.append(
            {"type": "scatter", "mode": "markers", "name": "chance", **chances, "marker": marker}
        )
    layout = {
        "height": 120 + 34 * len(names),
        "margin": {"l": 20, "r": 15, "t": 10, "b": 45},
        "xaxis": {"title": {"text": title}},
        "yaxis": {
            "tickvals": list(range(len(names))),
            "ticktext": list(names),
            "range": [len(names) - 0.4, -0.6],
            "zeroline": False,
            "showgrid": False,
        },
    }
    return {"data": traces, "layout": layout}


def _dots(label: str, own: Sequence[tuple[str, Row]], places: Sequence[float]) -> dict[str, Any]:
    """One series of a dot chart: rows by name, each at its place on the axis of names."""
    plain = label == "uncalibrated"
    bounded = [(r, np.isfinite(r.ci_low) and np.isfinite(r.ci_high)) for _, r in own]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": shorten(row.value for _, row in own),
        "y": shorten(places),
        "text": [name for name, _ in own],
        "hovertemplate": "%{text}: %{x:.3f}",
        "marker": {
            "color": "#7f8793" if plain else COLOURS[0],
            "size": 8,
            "symbol": "square-open" if plain else "circle",
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": shorten(r.ci_high - r.value if ok else 0 for r, ok in bounded),
            "arrayminus": shorten(r.value - r.ci_low if ok else 0 for r, ok in bounded),
            "thickness": 1.2,
            "width": 3,
        },
    }
