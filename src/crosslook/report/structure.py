"""Structure: embeddings, similarity maps, and what a feature sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crosslook.report.figures import COLOURS, Figure, named, shorten
from crosslook.report.section import (
    Part,
    Results,
    Section,
    ShownMatch,
    Thumbnail,
    encoded,
    measure_section,
    measure_table,
)
from crosslook.retrieval.run_folder import EmbeddingTable, HeatTable, read_table
from crosslook.retrieval.views import VIEWS_FILE, shrink
from crosslook.types import MODALITIES, FloatArray, Patch

MOST_HOVERED = 1000
HEAT_SIDE = 100
"""Cells of a heat map along one side, as it is drawn."""


def structure_section(results: Results) -> list[Section]:
    """Embeddings, similarity maps and the structure rows."""
    rows = results.of("structure")
    if not rows:
        return []
    embeddings, parts = EmbeddingTable.read(results.run), []
    for name in dict.fromkeys(t.setup.extractor for t in embeddings):
        # UMAP after calibration comes first, since it is what most readers look for.
        own = sorted(
            (t for t in embeddings if t.setup.extractor == name),
            key=lambda t: (t.method != "umap", t.setup.calibration == "none"),
        )
        parts.append(Part(f"Embedding: {name}", figure=embedding_scatter(own, results.patches)))
    parts += [
        Part(
            f"Similarity between the sensors: {t.setup.extractor}, "
            f"calibration {t.setup.calibration}, ordered by {t.order_by}",
            figure=similarity_map(t),
        )
        for t in HeatTable.read(results.run)
    ]
    parts.append(Part("All structure rows", table=measure_table(rows)))
    return measure_section(results, "structure", parts)


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
        "xaxis": {"showticklabels": False},
        "yaxis": {"showticklabels": False},
        "margin": {"l": 20, "r": 15, "t": 50, "b": 30},
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


def similarity_map(table: HeatTable) -> Figure:
    """Mean cosine of SAR (rows) and optical (columns), partners on the diagonal."""
    values = coarsen(table.values, HEAT_SIDE)
    z = [[round(float(v), 3) for v in line] for line in values]
    layout = {
        "xaxis": {"title": {"text": f"optical, by {table.order_by}"}, "showticklabels": False},
        "yaxis": {
            "title": {"text": f"SAR, by {table.order_by}"},
            "showticklabels": False,
            "autorange": "reversed",
        },
    }
    return {"data": [{"type": "heatmap", "z": z, "colorscale": "Viridis"}], "layout": layout}
