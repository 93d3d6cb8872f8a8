"""Rows and figures for a paper: CSV, LaTeX, PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from crosslook.atomic import atomic_path, write_csv, write_text
from crosslook.report.figures import Figure
from crosslook.report.tables import (
    BEST,
    best_setups,
    headlines,
    interval,
    number,
    recall_rows,
)
from crosslook.types import Row
from crosslook.written import MARK

_DASHES = {"solid": "-", "dot": ":"}
_ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"
}  # fmt: skip


ROW_COLUMNS = [field.name for field in fields(Row)]


def write_row_table(run: Path, rows: Sequence[Row]) -> None:
    """Write ``rows.csv``: every row, columns as in ``results.parquet``."""
    # NaN, the only value unequal to itself, becomes an empty cell.
    lines = ([value if value == value else "" for value in astuple(row)] for row in rows)
    write_csv(run / "rows.csv", ROW_COLUMNS, lines)


def write_latex(run: Path, rows: Sequence[Row], record: Mapping[str, Any]) -> None:
    """Write ``rows.tex``: recall at 1 of every extractor (booktabs).

    First the setups chosen on the calibration units; below them the best of all
    on the measured queries, marked, since the choice makes them optimistic.
    """
    recall = recall_rows(rows, "sar->optical")
    lead = headlines(rows, record)
    lines = [
        f"% {MARK}",
        r"\begin{tabular}{llrrr}",
        r"\toprule",
        r"Extractor & Comparison & Recall at 1 & 95\,\% interval & Gallery \\",
        r"\midrule",
    ]
    lines += [_latex_line(h.name, h.how, h.row, h.optimistic) for h in lead]
    best = [s for s in best_setups(rows) if recall[s] not in [h.row for h in lead]]
    if best:
        lines.append(r"\midrule")
        lines += [_latex_line(s.name, s.how, recall[s], True) for s in best]
    if best or any(h.optimistic for h in lead):
        lines += [r"\midrule", rf"\multicolumn{{5}}{{l}}{{$^\dagger$ {BEST}: optimistic}} \\"]
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    write_text(run / "rows.tex", "\n".join(lines))


def _latex_line(name: str, how: str, row: Row, optimistic: bool) -> str:
    cells = (name, how, number(row.value), interval(row), str(row.n_gallery))
    texts = [escape(cell) for cell in cells]
    if optimistic:
        texts[2] += r"$^\dagger$"
    return " & ".join(texts) + r" \\"


def escape(text: str) -> str:
    """Escape what LaTeX would read as a command."""
    return "".join(_ESCAPES.get(c, c) for c in text)


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
