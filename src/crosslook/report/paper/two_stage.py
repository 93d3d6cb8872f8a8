"""Two stages in print: recall against cost, each stage alone as a line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from crosslook.report.paper.style import PAGE, PaperFigure, conditions, errors, place_legend, slug
from crosslook.report.section import Results
from crosslook.types import Row

_ALONE = (("coarse-alone", "coarse alone", "#777777", "--"), ("fine-alone", "fine alone",
          "#000000", "-."))  # fmt: skip
_ORDERS = (
    ("", "two stages", "#0072B2", "o", "-"),
    ("reversed-", "two stages, swapped", "#D55E00", "s", ":"),
)


def two_stage_figures(results: Results) -> list[PaperFigure]:
    """Recall over cost and over the length of the shortlist, one figure per two stages."""
    rows = [r for r in results.of("two-stage") if r.direction == "sar->optical"]
    figures = []
    for name in dict.fromkeys(row.extractor for row in rows):
        own = [r for r in rows if r.extractor == name]
        finals = [r for r in own if r.metric == "final"]
        if not finals:
            continue
        caption = (
            f"Two stages, {name}, SAR to optical. Left: recall at 1 against the multiplications "
            "of one query, a point per length K of the shortlist. Right: the same against K; the "
            "ceiling is the fraction of partners that the shortlist holds. Lines across: the "
            "coarse and the fine stage alone, with their intervals as bands; a triangle marks the "
            f"cost of each. {conditions(results, finals)}"
        )
        figures.append(
            PaperFigure(f"two-stage-{slug(name)}", caption, (PAGE, 2.75), partial(_draw, own))
        )
    return figures


def _draw(rows: Sequence[Row], canvas: Any) -> None:
    left, right = canvas.subplots(1, 2)
    for prefix, label, *how in _ORDERS:
        _order(rows, prefix, label, how, (left, right))
    ceiling = sorted((r for r in rows if r.metric == "ceiling"), key=lambda r: r.k)
    right.plot(
        [r.k for r in ceiling], [r.value for r in ceiling], color="#009E73", ls=":", marker="^",
        label="ceiling of the shortlist",
    )  # fmt: skip
    table = {(r.metric, r.k): r for r in rows}
    for metric, label, colour, dash in _ALONE:
        if (row := table.get((metric, 1))) is None:
            continue
        for panel in (left, right):
            panel.axhline(row.value, color=colour, ls=dash, lw=1, label=label)
            panel.axhspan(row.ci_low, row.ci_high, color=colour, alpha=0.12, lw=0)
        if price := table.get((f"{metric}-cost", 0)):
            left.plot([price.value], [row.value], ">", color=colour, ms=5)
    for panel, label in (
        (left, "multiplications per query"),
        (right, "K, length of the shortlist"),
    ):
        panel.set_xscale("log")
        panel.set_xlabel(label)
        panel.grid()
    left.set_ylim(0, min(1.05, left.get_ylim()[1] * 1.1))
    right.set_ylim(0, 1.02)
    _plain_ticks(right, sorted({r.k for r in rows if r.metric == "final"}))
    left.set_ylabel("recall at 1")
    place_legend(canvas, [right], 5)


def _order(
    rows: Sequence[Row], prefix: str, label: str, how: Sequence[str], panels: tuple[Any, Any]
) -> None:
    """One order of the stages, against cost and against K."""
    left, right = panels
    colour, shape, dash = how
    style = {"fmt": shape, "ls": dash, "color": colour, "capsize": 1.5, "elinewidth": 0.8}
    finals = sorted((r for r in rows if r.metric == f"{prefix}final"), key=lambda r: r.k)
    costs = {r.k: r.value for r in rows if r.metric == f"{prefix}cost"}
    if not finals:
        return
    bars = list(zip(*(errors(r) for r in finals), strict=True))
    values, ks = [r.value for r in finals], [r.k for r in finals]
    right.errorbar(ks, values, bars, label=label, **style)
    if not set(ks) <= costs.keys():
        return
    left.errorbar([costs[k] for k in ks], values, bars, **style)
    for at, k in enumerate(ks if not prefix else ()):
        top = (costs[k], values[at] + bars[1][at])
        left.annotate(f"K={k}", top, (0, 2), textcoords="offset points", size=6, ha="center")


def _plain_ticks(axes: Any, ks: Sequence[int]) -> None:
    """Whole numbers at the lengths measured, no powers of ten between."""
    from matplotlib.ticker import NullLocator

    axes.set_xticks(ks, [str(k) for k in ks])
    axes.xaxis.set_minor_locator(NullLocator())
