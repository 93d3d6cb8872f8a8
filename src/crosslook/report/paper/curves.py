"""Curves of sweeps and of robustness in print, from what the page draws."""

from __future__ import annotations

from functools import partial
from itertools import cycle
from typing import Any

from crosslook.report.figures import Figure
from crosslook.report.paper.style import COLUMN, PaperFigure, conditions, place_legend, slug
from crosslook.report.retrieval import (
    disturbances,
    find_sweeps,
    robustness_curves,
    sweep_figure,
)
from crosslook.report.section import Results

_DASHES = {"solid": "-", "dot": ":"}
_MARKERS = "osD^vPX*"


def curve_figures(results: Results) -> list[PaperFigure]:
    """One figure per sweep, one per disturbance."""
    figures = []
    sweeps = find_sweeps([line.setup.extractor for line in results.lead])
    for model, members in sweeps.items():
        option = members[0].option
        caption = (
            f"{model} read at several values of {option}. Solid: recall at 1 by the setup chosen "
            "on the calibration set. Dotted: cosine distance of uncalibrated pairs. "
            + conditions(results, [results.lead[0].row])
        )
        drawn = sweep_figure(members, results.rows, results.lead)
        figures.append(curve_figure(f"sweep-{slug(model)}-{slug(option)}", caption, drawn))
    rows = results.of("robustness")
    for name in disturbances(rows):
        words = name.replace("-", " ")
        caption = f"Recall at 1 by {words}, SAR to optical. {conditions(results, rows[:1])}"
        drawn = robustness_curves(rows, name)
        figures.append(curve_figure(f"robustness-{slug(name)}", caption, drawn))
    return figures


def curve_figure(name: str, caption: str, drawn: Figure) -> PaperFigure:
    """One column with the curves of a figure of the report."""
    lines = (len(drawn["data"]) + 1) // 2
    return PaperFigure(name, caption, (COLUMN, 2.3 + 0.16 * lines), partial(_draw, drawn))


def _draw(figure: Figure, canvas: Any) -> None:
    axes, layout = canvas.subplots(), figure["layout"]
    for trace, marker in zip(figure["data"], cycle(_MARKERS), strict=False):
        line, error = trace["line"], trace.get("error_y")
        axes.errorbar(
            trace["x"], trace["y"], [error["arrayminus"], error["array"]] if error else None,
            color=line["color"], ls=_DASHES[line["dash"]], marker=marker, label=trace["name"],
            capsize=1.5, elinewidth=0.8,
        )  # fmt: skip
    for side in ("x", "y"):
        axis = layout.get(f"{side}axis", {})
        getattr(axes, f"set_{side}label")(axis.get("title", {}).get("text", ""))
        if axis.get("type") == "log":
            getattr(axes, f"set_{side}scale")("log")
        if "range" in axis:
            getattr(axes, f"set_{side}lim")(axis["range"])
    axes.grid()
    place_legend(canvas, [axes], 2)
