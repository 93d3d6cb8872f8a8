"""Rows and figures for a paper: CSV, LaTeX, PNG and SVG."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from crosslook.atomic import atomic_path, write_text
from crosslook.report.figures import Figure
from crosslook.report.tables import best_setups, interval, number, recall_rows
from crosslook.types import Row

_DASHES = {"solid": "-", "dot": ":"}
_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"
}  # fmt: skip


def write_csv(run: Path, rows: Sequence[Row]) -> None:
    """Write ``rows.csv``: every row, columns as in ``results.parquet``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    for row in rows:
        # NaN, the only value unequal to itself, becomes an empty cell.
        writer.writerow([value if value == value else "" for value in astuple(row)])
    write_text(run / "rows.csv", text.getvalue())


def write_latex(run: Path, rows: Sequence[Row]) -> None:
    """Write ``rows.tex``: recall at 1 of every extractor at its best (booktabs)."""
    recall = recall_rows(rows, "sar->optical")
    lines = [
        r"\begin{tabular}{llrrr}",
        r"\toprule",
        r"Extractor & Comparison & Recall at 1 & 95\,\% interval & Gallery \\",
        r"\midrule",
    ]
    for setup in best_setups(rows):
        row = recall[setup]
        cells = (setup.extractor, setup.how, number(row.value), interval(row), str(row.n_gallery))
        lines.append(" & ".join(escape(cell) for cell in cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    write_text(run / "rows.tex", "\n".join(lines))


def escape(text: str) -> str:
    """Escape what LaTeX would read as a command."""
    return "".join(_ESCAPES.get(c, c) for c in text)


def write_figures(run: Path, figures: Mapping[str, Figure]) -> None:
    """Draw each figure into ``figures/`` as PNG and SVG; the same data, the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context({"svg.hashsalt": "crosslook", "font.size": 9}):
        for name, figure in figures.items():
            canvas = Canvas(figsize=(6, 4), layout="constrained")
            _draw(canvas.add_subplot(), figure)
            for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
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
