"""Figures as plain Plotly descriptions, and the same drawn as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atomic import atomic_path
from crosslook.types import Row
from crosslook.written import MARK

# Okabe and Ito: colour-blind readers can distinguish them too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")
_DASHES = {"solid": "-", "dot": ":"}

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


def figure_files(names: Iterable[str]) -> list[str]:
    """The files of figures of these names, below the folder of a run."""
    return [f"figures/{name}.{kind}" for name in names for kind in ("png", "svg")]


def write_figures(run: Path, figures: Mapping[str, Figure]) -> None:
    """Draw each figure into ``figures/`` as PNG and SVG; the same data, the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context({"svg.hashsalt": "crosslook", "font.size": 9}):
        for name, figure in figures.items():
            canvas = Canvas(figsize=(6, 4), layout="constrained")
            _draw(canvas.add_subplot(), figure)
            for kind, metadata in (
                ("png", {"Software": MARK}),
                ("svg", {"Date": None, "Creator": MARK}),
            ):
                with atomic_path(run / "figures" / f"{name}.{kind}") as path:
                    canvas.savefig(path, dpi=150, metadata=metadata)


def _draw(axes: Any, figure: Figure) -> None:
    layout = figure["layout"]
    for trace in figure["data"]:
        if trace.get("visible", True):
            _draw_trace(axes, trace)
    for side in ("x", "y"):
        axis = layout.get(f"{side}axis", {})
        getattr(axes, f"set_{side}label")(axis.get("title", {}).get("text", ""))
        if axis.get("type") == "log":
            getattr(axes, f"set_{side}scale")("log")
        if "range" in axis:
            getattr(axes, f"set_{side}lim")(axis["range"])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)


def _draw_trace(axes: Any, trace: dict[str, Any]) -> None:
    if trace["type"] == "heatmap":
        axes.figure.colorbar(axes.imshow(trace["z"], cmap="viridis"), ax=axes)
        return
    if trace["mode"] == "markers":
        marker = trace["marker"]
        shape = "x" if marker["symbol"] == "x" else "o"
        axes.plot(trace["x"], trace["y"], shape, color=marker["color"], ms=3, label=trace["name"])
        return
    if trace.get("hoverinfo") == "skip":
        x = [float("nan") if v is None else v for v in trace["x"]]
        y = [float("nan") if v is None else v for v in trace["y"]]
        axes.plot(x, y, color="#999999", lw=0.4, alpha=0.4)
        return
    line = trace["line"]
    error = trace.get("error_y")
    bars = [error["arrayminus"], error["array"]] if error else None
    axes.errorbar(
        trace["x"], trace["y"], bars, color=line["color"], ls=_DASHES[line["dash"]],
        marker="o" if "markers" in trace["mode"] else "", ms=3, label=trace["name"],
    )  # fmt: skip
