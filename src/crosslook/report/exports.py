"""Rows and figures in the forms a paper takes: CSV, LaTeX, PNG and SVG."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from crosslook.atomic import atomic_path, write_text
from crosslook.report.figures import Figure, match_curves, pair_histogram
from crosslook.report.run_folder import read_curves, read_histograms, read_rows
from crosslook.report.tables import best_setups, number, recall_rows
from crosslook.types import DIRECTIONS, Row

_DASHES = {"solid": "-", "dot": ":", "dash": "--"}
_TEX = {letter: f"\\{letter}" for letter in "&%_#${}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def write_exports(run: Path) -> list[Path]:
    """Write the rows and the line figures of a run for use in a paper.

    ``results.csv``, ``results.tex`` (booktabs) and, under ``figures/``, match
    curves and histograms as PNG and SVG. Returns the figures' names.
    """
    rows = read_rows(run)
    write_csv(run, rows)
    write_tex(run, rows)
    folder = run / "figures"
    drawn = {"match-curves": match_curves(read_curves(run), best_setups(rows))}
    histograms = read_histograms(run)
    for name in dict.fromkeys(table.extractor for table in histograms):
        own = [h for h in histograms if h.extractor == name]
        shown = [h for h in own if h.calibration in ("none", "standardize")]
        drawn[f"pairs-{slug(name)}"] = pair_histogram(shown)
    for name, figure in drawn.items():
        write_figure(folder, name, figure)
    return [folder / f"{name}.png" for name in drawn]


def slug(text: str) -> str:
    """Turn an extractor spec into part of a file name."""
    return re.sub(r"[^A-Za-z0-9.=-]+", "-", text).strip("-")


def write_csv(run: Path, rows: Sequence[Row]) -> None:
    """Write ``results.csv``: all rows, columns as in ``results.parquet``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    for row in rows:
        writer.writerow(["" if _is_nan(value) else value for value in astuple(row)])
    write_text(run / "results.csv", text.getvalue())


def write_tex(run: Path, rows: Sequence[Row]) -> None:
    """Write ``results.tex``: recall at 1 and 10 with intervals, for booktabs."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lllrr}",
        r"\toprule",
        r"extractor & comparison & direction & recall@1 (95\,\%) & recall@10 (95\,\%) \\",
        r"\midrule",
    ]
    for direction in DIRECTIONS:
        at_ten = recall_rows(rows, direction, 10)
        for setup, row in recall_rows(rows, direction).items():
            ten = at_ten.get(setup)
            arrow = direction.replace("->", r" $\to$ ")
            cells = [tex(setup.extractor), tex(setup.how), arrow, _tex_value(row), _tex_value(ten)]
            lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    write_text(run / "results.tex", "\n".join(lines))


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """Draw the lines of a figure as ``name.png`` (200 dpi) and ``name.svg``."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    # A fixed salt and no date: the same run gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "crosslook", "font.size": 9}):
        canvas = Canvas(figsize=(6.4, 4.0), layout="constrained")
        FigureCanvasAgg(canvas)
        axes = canvas.add_subplot()
        for trace in figure["data"]:
            _draw(axes, trace)
        layout = figure["layout"]
        axes.set_xlabel(_title(layout, "xaxis"))
        axes.set_ylabel(_title(layout, "yaxis"))
        axes.set_xscale("log" if layout.get("xaxis", {}).get("type") == "log" else "linear")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            with atomic_path(folder / f"{name}.{suffix}") as path:
                canvas.savefig(path, dpi=200, metadata=metadata)


def tex(text: str) -> str:
    """Escape what LaTeX would read as a command."""
    return "".join(_TEX.get(letter, letter) for letter in text)


def _draw(axes: Any, trace: dict[str, Any]) -> None:
    style = trace.get("line", {})
    steps = "steps-mid" if style.get("shape") == "hvh" else "default"
    axes.plot(
        trace["x"],
        trace["y"],
        label=trace.get("name"),
        color=style.get("color"),
        linestyle=_DASHES[style.get("dash", "solid")],
        drawstyle=steps,
        linewidth=1.6,
        marker="o" if "markers" in trace.get("mode", "") else None,
        markersize=3,
    )


def _title(layout: dict[str, Any], axis: str) -> str:
    return str(layout.get(axis, {}).get("title", {}).get("text", ""))


def _tex_value(row: Row | None) -> str:
    if row is None:
        return "--"
    if math.isnan(row.ci_low):
        return number(row.value)
    return f"{number(row.value)} ({number(row.ci_low)}--{number(row.ci_high)})"


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
