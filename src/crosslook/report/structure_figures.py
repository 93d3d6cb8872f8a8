"""Figures of structure, two stages and robustness, as plain Plotly descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crosslook.report.figures import COLOURS, Figure, named, shorten
from crosslook.retrieval.measure.robustness import parse_level
from crosslook.retrieval.run_folder import EmbeddingTable, HeatTable
from crosslook.types import Patch, Row

_SIDE = 100


def embedding_scatter(tables: Sequence[EmbeddingTable], patches: Sequence[Patch]) -> Figure:
    """All pairs in the plane, joined by lines; menus choose the plane and the colour."""
    traces: list[dict[str, Any]] = []
    for number, table in enumerate(tables):
        traces += _plane(table, number == 0)
    by_sensor = ["#888888", COLOURS[0], COLOURS[1]] * len(tables)
    colourings = [("sensor", by_sensor), ("scene", _codes(tables, [p.scene for p in patches]))]
    if any(p.group != p.scene for p in patches):
        colourings.append(("group", _codes(tables, [p.group for p in patches])))
    planes = [
        {
            "label": f"{t.method.upper()}, {named(t.setup.calibration)}",
            "method": "restyle",
            "args": [{"visible": [i // 3 == number for i in range(len(traces))]}],
        }
        for number, t in enumerate(tables)
    ]
    colours = [
        {"label": f"colour: {name}", "method": "restyle", "args": [{"marker.color": values}]}
        for name, values in colourings
    ]
    menu = {"type": "dropdown", "y": 1.14, "yanchor": "top", "bgcolor": "#ffffff"}
    menu["font"] = {"color": "#1c2430", "size": 12}
    layout = {
        "xaxis": {"showticklabels": False},
        "yaxis": {"showticklabels": False},
        "margin": {"l": 20, "r": 15, "t": 50, "b": 30},
        "updatemenus": [
            {**menu, "buttons": planes, "x": 0, "xanchor": "left"},
            {**menu, "buttons": colours, "x": 1, "xanchor": "right"},
        ],
    }
    return {"data": traces, "layout": layout}


def _codes(tables: Sequence[EmbeddingTable], labels: Sequence[str]) -> list[Any]:
    """Marker colours of every trace: a number for each label, lines grey."""
    numbers = {name: i for i, name in enumerate(sorted(set(labels)))}
    colours: list[Any] = []
    for table in tables:
        codes = [numbers[labels[i]] for i in table.index]
        colours += ["#888888", codes, codes]
    return colours


def similarity_map(table: HeatTable) -> Figure:
    """Mean cosine of SAR (rows) and optical (columns), partners on the diagonal."""
    values = table.values
    if len(values) > _SIDE:
        starts = (np.arange(_SIDE) * len(values)) // _SIDE
        sizes = np.diff(np.append(starts, len(values)))
        summed = np.add.reduceat(np.add.reduceat(values, starts, axis=0), starts, axis=1)
        values = np.asarray(summed / sizes[:, None] / sizes[None, :], np.float32)
    z = [[round(float(v), 3) for v in line] for line in values]
    layout = {
        "xaxis": {"title": {"text": f"optical, by {table.order_by}"}, "showticklabels": False},
        "yaxis": {
            "title": {"text": f"SAR, by {table.order_by}"},
            "showticklabels": False,
            "autorange": "reversed",
        },
    }
    return {"data": [{"type": "heatmap", "z": z, "colorscale": "Viridis"}], "layout": layout}


def two_stage_curves(rows: Sequence[Row]) -> Figure:
    """Ceiling, final and fused recall of one two-stage text over the shortlist."""
    names = ("ceiling", "final", "fused-sum", "fused-rank", "coarse-alone", "reversed-final")
    traces = []
    for name, colour in zip(names, COLOURS, strict=False):
        points = [(float(r.k), r) for r in rows if r.metric == name]
        if points:
            traces.append(_curve(name.replace("-", " "), points, colour))
    return _lines(traces, "K (shortlist)", "fraction of queries", log=True)


def two_stage_cost(rows: Sequence[Row]) -> Figure:
    """Final recall over the cost of a query: what each step of K buys."""
    traces = []
    for (name, prefix), colour in zip(
        (("final", ""), ("reversed final", "reversed-")), COLOURS, strict=False
    ):
        cost = {r.k: r.value for r in rows if r.metric == f"{prefix}cost"}
        final = [r for r in rows if r.metric == f"{prefix}final" and r.k in cost]
        if final:
            traces.append(_curve(name, [(cost[r.k], r) for r in final], colour))
    return _lines(traces, "multiplications per query", "fraction of queries", log=True)


def robustness_curves(rows: Sequence[Row], name: str) -> Figure:
    """Recall at 1 over the levels of one disturbance, a line per extractor."""
    traces = []
    for colour, extractor in zip(
        COLOURS * 9, dict.fromkeys(r.extractor for r in rows), strict=False
    ):
        own = [r for r in rows if r.extractor == extractor]
        for kind, dash in ((name, "solid"), (f"{name}-extrapolated", "dot")):
            points = [(level_of(r)[1], r) for r in own if level_of(r)[0] == kind]
            if points:
                label = extractor + (" (extrapolated)" if dash == "dot" else "")
                traces.append(_curve(label, points, colour, dash))
    return _lines(traces, name.replace("-", " "), "recall at 1", log=name == "gallery")


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


def _plane(table: EmbeddingTable, visible: bool) -> list[dict[str, Any]]:
    x: list[float | None] = []
    y: list[float | None] = []
    for a, b in zip(table.sar, table.optical, strict=True):
        x += [*shorten((a[0], b[0])), None]
        y += [*shorten((a[1], b[1])), None]
    line = {"color": "rgba(128,128,128,0.25)", "width": 1}
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "pairs", "x": x, "y": y, "line": line,
         "hoverinfo": "skip", "visible": visible}
    ]  # fmt: skip
    sides = (("SAR", table.sar, COLOURS[0], "circle"), ("optical", table.optical, COLOURS[1], "x"))
    for name, at, colour, symbol in sides:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": shorten(at[:, 0]),
                "y": shorten(at[:, 1]),
                "customdata": table.index.tolist(),
                "hoverinfo": "none",
                "marker": {"color": colour, "symbol": symbol, "size": 6, "colorscale": "Viridis"},
                "visible": visible,
            }
        )
    return traces


def _curve(
    name: str, points: Sequence[tuple[float, Row]], colour: str, dash: str = "solid"
) -> dict[str, Any]:
    ordered = sorted(points, key=lambda point: point[0])
    rows = [row for _, row in ordered]
    known = all(np.isfinite(row.ci_low) and np.isfinite(row.ci_high) for row in rows)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [level for level, _ in ordered],
        "y": shorten(row.value for row in rows),
        "line": {"color": colour, "dash": dash, "width": 2},
    }
    if known:
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": shorten(row.ci_high - row.value for row in rows),
            "arrayminus": shorten(row.value - row.ci_low for row in rows),
            "thickness": 1,
        }
    return trace


def _lines(traces: list[dict[str, Any]], x: str, y: str, log: bool) -> Figure:
    axis: dict[str, Any] = {"title": {"text": x}}
    if log:
        axis["type"] = "log"
    return {
        "data": traces,
        "layout": {"xaxis": axis, "yaxis": {"title": {"text": y}, "range": [0, 1.02]}},
    }
