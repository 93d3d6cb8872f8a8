"""Figures as plain Plotly descriptions, made from the tables of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crosslook.retrieval.run_folder import CurveTable, HistogramTable
from crosslook.retrieval.setup import Setup

# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")

Figure = dict[str, Any]


def match_curves(curves: Sequence[CurveTable], best: Sequence[Setup]) -> Figure:
    """Recall at every k: the best setup of each extractor solid, the plain one dotted."""
    traces = []
    for colour, setup in zip(_cycle(len(best)), best, strict=True):
        for curve in curves:
            own = (curve.setup.extractor, curve.setup.pooling) == (setup.extractor, setup.pooling)
            if not own or curve.direction != "sar->optical":
                continue
            is_best = curve.setup == replace(setup, split="")
            if is_best or curve.setup.is_plain:
                traces.append(_curve(curve, colour, is_best))
    layout = {
        "xaxis": {"title": {"text": "k (items looked at)"}, "type": "log"},
        "yaxis": {"title": {"text": "fraction of queries found"}, "range": [0, 1.02]},
    }
    return {"data": traces, "layout": layout}


def pair_histogram(tables: Sequence[HistogramTable]) -> Figure:
    """Cosines of pairs and of non-pairs, each as a fraction of its own kind."""
    traces = []
    for table in tables:
        dash = "dot" if table.setup.calibration == "none" else "solid"
        centre = (table.edges[:-1] + table.edges[1:]) / 2
        kinds = (("pairs", table.pairs, COLOURS[0]), ("non-pairs", table.non_pairs, COLOURS[1]))
        for kind, counts, colour in kinds:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": f"{kind}, {named(table.setup.calibration)}",
                    "x": shorten(centre),
                    "y": shorten(counts / max(1, counts.sum())),
                    "line": {"color": colour, "dash": dash, "shape": "hvh", "width": 2},
                }
            )
    layout = {
        "xaxis": {"title": {"text": "cosine"}, "range": [-1, 1]},
        "yaxis": {"title": {"text": "fraction"}, "rangemode": "tozero"},
    }
    return {"data": traces, "layout": layout}


def _curve(curve: CurveTable, colour: str, is_best: bool) -> dict[str, Any]:
    ks = np.unique(np.round(np.geomspace(1, len(curve.values), 120)).astype(int))
    name = (
        f"{curve.setup.extractor}, {curve.setup.calibration} + {curve.setup.scoring}"
        if is_best
        else f"{curve.setup.extractor}, uncalibrated"
    )
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": ks.tolist(),
        "y": shorten(curve.values[ks - 1]),
        "line": {"color": colour, "dash": "solid" if is_best else "dot", "width": 2.5},
    }


def named(calibration: str) -> str:
    """Write a calibration for a legend."""
    return "uncalibrated" if calibration == "none" else calibration


def _cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def shorten(values: Iterable[Any]) -> list[float]:
    """Round numbers to what a figure can show, so that the report stays small."""
    return [round(float(value), 5) for value in values]
