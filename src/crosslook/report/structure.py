"""Structure: embeddings, similarity maps, and what a feature sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crosslook.report.figures import COLOURS, Figure, dot_chart, named, shorten
from crosslook.report.section import (
    Part,
    Results,
    Section,
    ShownMatch,
    Thumbnail,
    all_rows,
    encoded,
    measure_section,
)
from crosslook.retrieval.run_folder import EmbeddingTable, HeatTable, read_table
from crosslook.retrieval.views import VIEWS_FILE, shrink
from crosslook.types import MODALITIES, FloatArray, Patch, Row

MOST_HOVERED = 1000
HEAT_SIDE = 100
"""Cells of a heat map along one side, as it is drawn."""


def structure_section(results: Results) -> list[Section]:
    """Separability, embeddings, similarity maps and the structure rows."""
    rows = results.of("structure")
    if not rows:
        return []
    tables, parts = EmbeddingTable.read(results.run), separability_charts(results)
    for name in results.order:
        # UMAP comes first, since it is what most readers look for.
        own = [t for t in tables if t.setup.extractor == name]
        own.sort(key=lambda t: (t.method != "umap", t.setup.calibration != "none"))
        if own:
            parts.append(Part(f"Embedding: {name}", figure=embedding_scatter(own, results.patches)))
    maps = HeatTable.read(results.run)
    kind = results.record.get("units", {}).get("kind", "scene")
    for name in results.order:
        grids = [t for t in maps if t.setup.extractor == name]
        if grids:
            parts.append(
                Part(f"Similarity between the sensors: {name}", figure=heat_grid(grids, kind))
            )
    parts.append(all_rows("structure", rows))
    return measure_section(results, "structure", parts)


SEPARABILITY = (
    ("kmeans-ari/modality", "ARI, by sensor"),
    ("kmeans-nmi/modality", "NMI, by sensor"),
    ("silhouette/modality", "silhouette, by sensor"),
    ("fisher-ratio", "Fisher ratio"),
    ("kmeans-ari/unit", "ARI, by {kind}"),
    ("kmeans-nmi/unit", "NMI, by {kind}"),
    ("silhouette/unit", "silhouette, by {kind}"),
)
"""Metrics of the chart, with the titles of their panels."""


def separability_panels(results: Results) -> list[tuple[str, str]]:
    """The metrics of the chart that a run has, and their titles."""
    kind = results.record.get("units", {}).get("kind", "scene")
    measured = {row.metric for row in results.of("structure")}
    return [(m, title.format(kind=kind)) for m, title in SEPARABILITY if m in measured]


def by_calibration(rows: Sequence[Row]) -> list[tuple[str, dict[str, Row]]]:
    """Rows of one metric by calibration and extractor, uncalibrated first."""
    kinds = sorted(dict.fromkeys(row.calibration for row in rows), key=lambda kind: kind != "none")
    return [
        (named(kind), {row.extractor: row for row in rows if row.calibration == kind})
        for kind in kinds
    ]


def separability_charts(results: Results) -> list[Part]:
    """Clustering and separability as dots with chance and intervals, one chart per metric."""
    rows = results.of("structure")
    names = [n for n in results.order if any(row.extractor == n for row in rows)]
    text = (
        "By sensor, low is good: SAR and optical patches cannot be distinguished. By scene or "
        "group, and for Fisher's ratio, high is good. Short bars are chance."
    )
    charts = [
        Part(
            figure=dot_chart(
                by_calibration([row for row in rows if row.metric == metric]), names, title
            ),
            small=True,
        )
        for metric, title in separability_panels(results)
    ]
    return [Part("Clustering and separability", text), *charts] if charts else []


def hover_thumbnails(results: Results) -> dict[str, list[str]]:
    """Small images (SAR, optical) in base64 by patch index, for the embeddings."""
    shown = sorted({int(i) for table in EmbeddingTable.read(results.run) for i in table.index})
    thumbnails = results.thumbnails if shown else {}
    return {
        str(i): [encoded(shrink(thumbnails[i][m])) for m in MODALITIES]
        for i in shown[:MOST_HOVERED]
        if i in thumbnails
    }


def views_section(results: Results) -> list[Section]:
    """Show every view: both patches, both maps, and the response of one cell."""
    run = results.run
    if not (run / VIEWS_FILE).is_file():
        return []
    patches, thumbnails = results.patches, results.thumbnails
    lines = read_table(run / VIEWS_FILE).to_pylist()
    parts = []
    for name in dict.fromkeys(line["extractor"] for line in lines):
        shown = []
        for line in (one for one in lines if one["extractor"] == name):
            own = thumbnails.get(line["index"], {})
            images = [("SAR", own.get("sar")), ("optical", own.get("optical"))]
            images += [("SAR map", line["sar"]), ("optical map", line["optical"])]
            images += [("response", line["response"])]
            text = f"{patches[line['index']].id}, SAR cell ({line['row']}, {line['col']})"
            kept = [Thumbnail(title, encoded(data)) for title, data in images if data]
            shown.append(ShownMatch(kept, text))
        parts.append(Part(name, matches=shown))
    how = (
        "Equal colours in both maps mean equal features, whichever sensor saw them. The response "
        "is the cosine of one SAR cell (white square) with every optical cell: a feature that "
        "finds its place is brightest inside the square, and dark elsewhere."
    )
    return [Section("views", "What a feature sees", how, parts)]


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
        # A plane of UMAP or of two directions has no unit, so no axes are drawn.
        "xaxis": {"visible": False},
        "yaxis": {"visible": False, "scaleanchor": "x"},
        "margin": {"l": 10, "r": 10, "t": 60, "b": 10},
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


def coarsen(values: FloatArray, side: int) -> FloatArray:
    """Block means of a square map, at most ``side`` cells wide."""
    if len(values) <= side:
        return values
    starts = (np.arange(side) * len(values)) // side
    sizes = np.diff(np.append(starts, len(values)))
    summed = np.add.reduceat(np.add.reduceat(values, starts, axis=0), starts, axis=1)
    return np.asarray(summed / sizes[:, None] / sizes[None, :], np.float32)


def heat_grid(tables: Sequence[HeatTable], kind: str = "scene") -> Figure:
    """Mean cosines of SAR (rows) and optical (columns), partners on the diagonal.

    One square map per calibration (beside each other) and order (below each other), all on
    one colour scale.
    """
    orders = sorted({t.order_by for t in tables}, key=lambda order: order == "cluster")
    columns = sorted(
        dict.fromkeys(t.setup.calibration for t in tables), key=lambda name: name != "none"
    )
    low, high = heat_range(tables)
    bar = {"title": {"text": "mean cosine", "side": "right"}, "thickness": 12}
    layout: dict[str, Any] = {
        "height": 60 + 330 * len(orders),
        "margin": {"l": 30, "r": 10, "t": 30, "b": 30},
        "coloraxis": {"colorscale": "Viridis", "cmin": low, "cmax": high, "colorbar": bar},
        "annotations": [],
    }
    data, wide = [], 1 / len(columns)
    for table in tables:
        i, j = orders.index(table.order_by), columns.index(table.setup.calibration)
        at = i * len(columns) + j + 1
        end = "" if at == 1 else str(at)
        z = [[round(float(v), 3) for v in row] for row in coarsen(table.values, HEAT_SIDE)]
        data.append(
            {
                "type": "heatmap",
                "z": z,
                "coloraxis": "coloraxis",
                "xaxis": f"x{end}",
                "yaxis": f"y{end}",
                "hovertemplate": "%{z:.3f}<extra></extra>",
            }
        )
        top = 1 - i / len(orders)
        words = kind if table.order_by == "unit" else table.order_by
        across = (j * wide + 0.02, (j + 1) * wide - 0.02)
        down = (top - 1 / len(orders) + 0.07, top - 0.03)
        beside = "" if j else f"SAR, by {words}"
        layout[f"xaxis{end}"] = _map_axis(f"optical, by {words}", across, f"y{end}")
        layout[f"yaxis{end}"] = {
            **_map_axis(beside, down, f"x{end}"),
            "autorange": "reversed",
            "scaleanchor": f"x{end}",
        }
        if i:
            continue
        layout["annotations"].append(
            {
                "text": named(table.setup.calibration),
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": (j + 0.5) * wide,
                "y": top - 0.025,
                "xanchor": "center",
                "yanchor": "bottom",
            }
        )
    return {"data": data, "layout": layout}


def _map_axis(title: str, domain: tuple[float, float], anchor: str) -> dict[str, Any]:
    """One axis of a heat map: a title and nothing else."""
    return {
        "title": {"text": title, "font": {"size": 13}},
        "domain": list(domain),
        "anchor": anchor,
        "constrain": "domain",
        "showticklabels": False,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
    }


def heat_range(tables: Sequence[HeatTable]) -> tuple[float, float]:
    """One scale for all maps: the 1st and 99th percentile of all of them."""
    values = np.concatenate([t.values.ravel() for t in tables])
    low, high = (float(v) for v in np.nanpercentile(values, (1, 99)))
    return round(low, 4), round(max(high, low + 1e-3), 4)
