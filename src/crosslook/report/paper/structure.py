"""The feature space in print: embeddings, heat maps, clustering and separability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from crosslook.report.paper.style import (
    CALIBRATED,
    COLUMN,
    OPTICAL,
    PAGE,
    PLAIN,
    SAR,
    PaperFigure,
    conditions,
    dots,
    grid_of,
    paged,
    place_legend,
    printed,
    slug,
)
from crosslook.report.section import Results
from crosslook.report.structure import (
    HEAT_SIDE,
    by_calibration,
    coarsen,
    heat_range,
    separability_panels,
)
from crosslook.retrieval.run_folder import EmbeddingTable, HeatTable
from crosslook.types import Row

MOST_POINTS = 500
"""Pairs drawn in one panel; more would be one stain at this size."""


def structure_figures(results: Results) -> list[PaperFigure]:
    """Embeddings, heat maps, and the chart of clustering and separability."""
    if not results.of("structure"):
        return []
    return [*_embeddings(results), *_heat_maps(results), *_separability(results)]


def _embeddings(results: Results) -> list[PaperFigure]:
    tables = EmbeddingTable.read(results.run)
    figures = []
    methods = list(dict.fromkeys(t.method for t in tables))
    for method in ["umap"] if "umap" in methods else methods:
        own = {(t.setup.extractor, t.setup.calibration): t for t in tables if t.method == method}
        names = [n for n in results.order if any(key[0] == n for key in own)]
        columns = list(dict.fromkeys(c for _, c in own))
        caption = (
            f"{method.upper()} of the descriptors of SAR (circles) and optical patches (crosses); "
            "a line joins the two of a pair. "
            f"From top to bottom: {', '.join(printed(c) for c in columns)}. Axes of such a plane "
            "have no unit, so none are drawn; long lines are pairs that lie far apart. At most "
            f"{MOST_POINTS} pairs are drawn. " + conditions(results, intervals=False)
        )
        for name, part in paged(names, method):
            high, wide = grid_of(len(part))
            size = (PAGE, 1.5 * high * len(columns) + 0.4)
            draw = partial(_planes, part, columns, own, (high, wide))
            figures.append(PaperFigure(name, caption, size, draw))
    return figures


def _planes(
    names: Sequence[str],
    columns: Sequence[str],
    tables: Mapping[tuple[str, str], EmbeddingTable],
    shape: tuple[int, int],
    canvas: Any,
) -> None:
    high, wide = shape
    axes = canvas.subplots(high * len(columns), wide, squeeze=False)
    for panel in axes.flat:
        panel.set_axis_off()
    for at, name in enumerate(names):
        for row, calibration in enumerate(columns):
            panel = axes[at // wide * len(columns) + row, at % wide]
            table = tables.get((name, calibration))
            if table is None:
                continue
            shown = np.linspace(0, len(table.sar) - 1, min(MOST_POINTS, len(table.sar))).astype(int)
            sar, optical = table.sar[shown], table.optical[shown]
            lines = np.stack([sar, optical, np.full_like(sar, np.nan)], axis=1).reshape(-1, 2)
            panel.plot(*lines.T, color="#999999", lw=0.25, alpha=0.5)
            panel.plot(*sar.T, "o", color=SAR, ms=1.6, mew=0, label="SAR")
            panel.plot(*optical.T, "x", color=OPTICAL, ms=1.8, mew=0.5, label="optical")
            panel.set_box_aspect(1)
            panel.set_title(f"{name}\n{printed(calibration)}" if row == 0 else printed(calibration))
    place_legend(canvas, axes.flat, 2, markerscale=2.5)


def _heat_maps(results: Results) -> list[PaperFigure]:
    tables = HeatTable.read(results.run)
    words = {"unit": results.record.get("units", {}).get("kind", "scene"), "cluster": "cluster"}
    figures = []
    for name in results.order:
        own = [t for t in tables if t.setup.extractor == name]
        if not own:
            continue
        # By scene first: clusters are those that the features themselves make.
        orders = sorted({t.order_by for t in own}, key=lambda o: o == "cluster")
        columns = list(dict.fromkeys(t.setup.calibration for t in own))
        by = {(t.order_by, t.setup.calibration): t for t in own}
        caption = (
            f"Mean cosine of SAR patches (rows) and optical patches (columns) of {name}: "
            f"{' and '.join(printed(c) for c in columns)}, on one colour scale. Partners lie on "
            f"the diagonal. Ordered by {words.get(orders[0], orders[0])}."
            + (" Below: ordered by the clusters of the features." if len(orders) > 1 else "")
            + " White lines, where drawn, part these groups. "
            + conditions(results, intervals=False)
        )
        size = (COLUMN, 1.42 * len(orders) + 0.25)
        figures.append(
            PaperFigure(
                f"heatmap-{slug(name)}", caption, size, partial(_grid, orders, columns, by, words)
            )
        )
        for calibration in columns:
            one = (
                f"Mean cosine of SAR patches (rows) and optical patches (columns) of {name}, "
                f"{printed(calibration)}, ordered by {words.get(orders[0], orders[0])}. Partners "
                f"lie on the diagonal. {conditions(results, intervals=False)}"
            )
            draw = partial(_grid, orders[:1], [calibration], by, words)
            figures.append(
                PaperFigure(f"heatmap-{slug(name)}-{slug(calibration)}", one, (COLUMN, 3.0), draw)
            )
    return figures


def _grid(
    orders: Sequence[str],
    columns: Sequence[str],
    tables: Mapping[tuple[str, str], HeatTable],
    words: Mapping[str, str],
    canvas: Any,
) -> None:
    low, high = heat_range(list(tables.values()))
    axes = canvas.subplots(len(orders), len(columns), squeeze=False)
    drawn = None
    for i, order in enumerate(orders):
        for j, calibration in enumerate(columns):
            panel, table = axes[i, j], tables.get((order, calibration))
            panel.set_xticks([])
            panel.set_yticks([])
            if table is None:
                panel.set_visible(False)
                continue
            values = coarsen(table.values, HEAT_SIDE)
            drawn = panel.imshow(values, vmin=low, vmax=high, interpolation="nearest")
            for spine in panel.spines.values():
                spine.set_visible(True)
            if len(table.borders) <= 12:
                scale = len(values) / len(table.values)
                for at in table.borders * scale - 0.5:
                    panel.axhline(at, color="white", lw=0.3)
                    panel.axvline(at, color="white", lw=0.3)
            if i == 0:
                panel.set_title(printed(calibration))
            if j == 0:
                panel.set_ylabel(f"SAR, by {words.get(order, order)}")
            panel.set_xlabel(f"optical, by {words.get(order, order)}")
    if drawn is not None:
        canvas.colorbar(drawn, ax=axes, shrink=0.8, aspect=25, label="mean cosine")


def _separability(results: Results) -> list[PaperFigure]:
    rows = results.of("structure")
    kind = results.record.get("units", {}).get("kind", "scene")
    panels = separability_panels(results)
    names = [n for n in results.order if any(r.extractor == n for r in rows)]
    if not panels:
        return []
    caption = (
        "Clustering (ARI and NMI of k-means) and separability of the descriptors. By sensor, low "
        f"is good (↓): SAR and optical patches cannot be distinguished. By {kind}, high is good "
        "(↑): patches of one lie together, whichever sensor saw them. Fisher's ratio compares the "
        "scatter of places with that of partners; high is good. Hollow: uncalibrated. Filled: "
        "calibrated. Short bars: chance, which depends on the clusters found. "
        + conditions(results, rows[:1], chance=False)
    )
    high, _ = grid_of(len(panels), 4)
    figures = []
    for name, part in paged(names, "clustering-and-separability"):
        size = (PAGE, high * (0.26 * len(part) + 0.6) + 0.3)
        figures.append(PaperFigure(name, caption, size, partial(_chart, part, panels, rows)))
    return figures


def _chart(
    names: Sequence[str], panels: Sequence[tuple[str, str]], rows: Sequence[Row], canvas: Any
) -> None:
    high, wide = grid_of(len(panels), 4)
    axes = canvas.subplots(high, wide, squeeze=False)
    for at, (panel, (metric, title)) in enumerate(zip(axes.flat, panels, strict=False)):
        own = [row for row in rows if row.metric == metric]
        series = [
            ("uncalibrated", by, PLAIN, False)
            if label == "uncalibrated"
            else (printed(label), by, CALIBRATED, True)
            for label, by in by_calibration(own)
        ]
        dots(panel, series, names)
        _chances(panel, series, names)
        panel.set_title(f"{title} {'↓' if metric.endswith('/modality') else '↑'}")
        if at % wide:
            panel.set_yticklabels([])
    for panel in axes.flat[len(panels) :]:
        panel.set_visible(False)
    place_legend(canvas, axes.flat, 3)


def _chances(
    panel: Any, series: Sequence[tuple[str, Mapping[str, Row], str, bool]], names: Sequence[str]
) -> None:
    """A short upright bar at the chance level of each dot."""
    step = 0.34 if len(series) > 1 else 0.0
    x, y = [], []
    for at, (_, rows, _, _) in enumerate(series):
        for i, name in enumerate(names):
            if name in rows and np.isfinite(rows[name].chance):
                x.append(rows[name].chance)
                y.append(i + step * (at - (len(series) - 1) / 2))
    if x:
        panel.plot(x, y, "|", color="#000000", ms=6, mew=0.9, label="chance", zorder=3)
