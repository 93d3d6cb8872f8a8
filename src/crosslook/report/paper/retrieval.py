"""Retrieval in print: match curves with intervals, uncalibrated beside calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from crosslook.report.paper.style import (
    CALIBRATED,
    COLUMN,
    PAGE,
    PLAIN,
    PaperFigure,
    chance_line,
    conditions,
    dots,
    errors,
    grid_of,
    paged,
    place_legend,
)
from crosslook.report.section import Results
from crosslook.report.tables import Headline
from crosslook.retrieval.run_folder import CurveTable
from crosslook.retrieval.setup import CHOSEN, Setup, setup_of
from crosslook.types import Row


def retrieval_figures(results: Results) -> list[PaperFigure]:
    """Recall at 1 of all extractors, and a match curve of each."""
    lead = {line.name: line for line in results.lead}
    names = sorted(lead, key=lambda n: results.order.index(lead[n].setup.extractor))
    if not names:
        return []
    figures = []
    rows = [line.row for line in results.lead]
    how = "Hollow: uncalibrated cosine. Filled: the setup chosen on the calibration set" + (
        ", or the best on these queries where none was chosen (optimistic)."
        if any(line.optimistic for line in results.lead)
        else "."
    )
    for name, part in paged(names, "retrieval-recall"):
        caption = (
            "Recall at 1 of SAR queries among optical patches. "
            f"{how} Dotted: chance. {conditions(results, rows)}"
        )
        size = (COLUMN, 0.3 * len(part) + 0.85)
        figures.append(PaperFigure(name, caption, size, partial(_recall, part, lead)))
    curves = CurveTable.read(results.run)
    shown = [n for n in names if _curves(curves, lead[n])]
    for name, part in paged(shown, "retrieval-cmc"):
        caption = (
            "Cumulative match curves, SAR to optical: the fraction of queries whose partner is "
            "among the first k. Dashed, hollow: uncalibrated. Solid, filled: calibrated. "
            f"Bars: intervals at the k measured. Dotted: chance. {conditions(results, rows)}"
        )
        high, _ = grid_of(len(part))
        draw = partial(_panels, part, lead, curves, results.of("retrieval"))
        figures.append(PaperFigure(name, caption, (PAGE, 1.45 * high + 0.75), draw))
    return figures


def _recall(names: Sequence[str], lead: Mapping[str, Headline], canvas: Any) -> None:
    axes = canvas.subplots()
    plain = {n: row for n in names if (row := lead[n].plain) is not None}
    best = {n: lead[n].row for n in names}
    dots(
        axes,
        [("uncalibrated", plain, PLAIN, False), ("calibrated", best, CALIBRATED, True)],
        names,
    )
    chance_line(axes, lead[names[0]].row.chance)
    axes.set_xlim(left=-0.02 * axes.get_xlim()[1])
    axes.set_xlabel("recall at 1, SAR to optical")
    place_legend(canvas, [axes], 3)


def _curves(curves: Sequence[CurveTable], line: Headline) -> dict[bool, CurveTable]:
    """The curves of one extractor: False uncalibrated, True calibrated."""
    shown = {}
    for curve in curves:
        own = (curve.setup.extractor, curve.setup.pooling) == (
            line.setup.extractor,
            line.setup.pooling,
        )
        if not own or curve.direction != "sar->optical":
            continue
        if curve.setup.is_plain:
            shown[False] = curve
        if curve.setup == replace(line.setup, split="") and not curve.setup.is_plain:
            shown[True] = curve
    return shown


def _panels(
    names: Sequence[str],
    lead: Mapping[str, Headline],
    curves: Sequence[CurveTable],
    rows: Sequence[Row],
    canvas: Any,
) -> None:
    high, wide = grid_of(len(names))
    axes = canvas.subplots(high, wide, squeeze=False, sharex=True, sharey=True)
    for panel, name in zip(axes.flat, names, strict=False):
        own = _curves(curves, lead[name])
        for calibrated, curve in sorted(own.items()):
            colour = CALIBRATED if calibrated else PLAIN
            ks = np.unique(np.round(np.geomspace(1, len(curve.values), 120)).astype(int))
            label = "calibrated" if calibrated else "uncalibrated"
            panel.plot(
                ks, curve.values[ks - 1], color=colour, ls="-" if calibrated else "--", label=label
            )
            for row in _measured(rows, lead[name].setup if calibrated else curve.setup):
                panel.errorbar(
                    row.k * (1.06 if calibrated else 0.94), row.value,
                    yerr=[[e] for e in errors(row)], fmt="o" if calibrated else "s", ms=2.5,
                    color=colour, mfc=colour if calibrated else "white", lw=0.8, capsize=1.2,
                )  # fmt: skip
        size = max(len(c.values) for c in own.values())
        ks = np.arange(1, size + 1)
        panel.plot(ks, ks / size, color="#000000", lw=0.8, ls=":", label="chance")
        panel.set_title(name)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_ylim(0, 1.02)
        panel.grid()
        panel.set_xlabel("first k")
        panel.tick_params(labelbottom=True)
    for panel in axes[:, 0]:
        panel.set_ylabel("queries found")
    for panel in axes.flat[len(names) :]:
        panel.set_visible(False)
    # The first panel may lack one of the two kinds.
    place_legend(canvas, axes.flat, 3)


def _measured(rows: Sequence[Row], setup: Setup) -> list[Row]:
    """Recall at each measured k; of the chosen setup where the run measured it as such."""
    own = [
        row
        for row in rows
        if row.metric == "recall"
        and row.direction == "sar->optical"
        and (row.extractor, row.pooling) == (setup.extractor, setup.pooling)
    ]
    same = [row for row in own if setup_of(row) == replace(setup, split=row.split)]
    if setup.is_plain:
        return same
    return same or [row for row in own if row.calibration == CHOSEN]
