"""The modality gap in print: cosines of pairs and non-pairs, and the cone that they lie in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from crosslook.report.paper.style import (
    COLUMN,
    OPTICAL,
    PAGE,
    SAR,
    PaperFigure,
    conditions,
    errors,
    paged,
    place_legend,
    printed,
)
from crosslook.report.section import Results
from crosslook.report.tables import pair_distances, plain_recalls
from crosslook.retrieval.run_folder import HistogramTable
from crosslook.types import Row

Key = tuple[str, str]
SHOWN = ("none", "standardize")


def gap_figures(results: Results) -> list[PaperFigure]:
    """Distributions of every extractor, and alignment against retrieval."""
    tables: dict[Key, HistogramTable] = {}
    for table in HistogramTable.read(results.run) if results.of("gap") else ():
        tables.setdefault((table.setup.extractor, table.setup.calibration), table)
    names = [n for n in results.order if any((n, c) in tables for c in SHOWN)]
    cones = {
        (r.extractor, r.calibration, r.metric.partition("/")[2]): r
        for r in results.of("structure")
        if r.metric.startswith("anisotropy/")
    }
    columns = [c for c in SHOWN if any((n, c) in tables for n in names)]
    cone = (
        " Triangles: the cone, that is the mean cosine of different places within SAR (up) and "
        "within optical images (down). Where both lie near 1, all features point one way and a "
        "high cosine of pairs means little."
        if cones
        else ""
    )
    caption = (
        "Cosines of true pairs (filled) and of non-pairs (line), each as a fraction of its own "
        f"kind, per extractor; {' and '.join(printed(c) for c in columns)}.{cone} "
        + conditions(results, results.of("gap"), chance=False, intervals=False)
    )
    figures = [
        PaperFigure(
            name, caption, (PAGE, 0.62 * len(part) + 0.85), partial(_draw, part, columns, tables,
            cones)
        )
        for name, part in paged(names, "gap-distributions")
    ]  # fmt: skip
    return figures + _beside_retrieval(results)


def _draw(
    names: Sequence[str],
    columns: Sequence[str],
    tables: Mapping[Key, HistogramTable],
    cones: Mapping[tuple[str, str, str], Row],
    canvas: Any,
) -> None:
    axes = canvas.subplots(len(names), len(columns), squeeze=False, sharex=True)
    for i, name in enumerate(names):
        for j, calibration in enumerate(columns):
            panel = axes[i, j]
            if (name, calibration) in tables:
                _distribution(panel, tables[name, calibration])
            for side, colour, shape in (("sar", SAR, "^"), ("optical", OPTICAL, "v")):
                if row := cones.get((name, calibration, side)):
                    top = panel.get_ylim()[1]
                    panel.plot(
                        [row.value], [top * 0.9], shape, color=colour, mec="white", mew=0.4, ms=5,
                        clip_on=False, label="cone, SAR" if side == "sar" else "cone, optical",
                    )  # fmt: skip
            panel.set_yticks([])
            panel.spines["left"].set_visible(False)
            panel.set_xlim(-1, 1)
            panel.set_xticks([-1, -0.5, 0, 0.5, 1])
            if i == 0:
                panel.set_title(printed(calibration))
        first = axes[i, 0]
        first.set_yticks([first.get_ylim()[1] / 2], [name])
        first.tick_params(axis="y", length=0)
    for panel in axes[-1]:
        panel.set_xlabel("cosine of a SAR and an optical patch")
    place_legend(canvas, axes.flat, 4)


def _distribution(panel: Any, table: HistogramTable) -> None:
    for label, counts in (("pairs", table.pairs), ("non-pairs", table.non_pairs)):
        fraction = np.asarray(counts, float) / max(1, int(np.sum(counts)))
        if label == "pairs":
            panel.stairs(fraction, table.edges, fill=True, color="#0072B2", alpha=0.45, label=label)
        else:
            panel.stairs(fraction, table.edges, color="#000000", lw=0.9, label=label)
    panel.set_ylim(0, max(panel.get_ylim()[1], 1e-3))


def _beside_retrieval(results: Results) -> list[PaperFigure]:
    """Distance of pairs against recall: whether the best aligned retrieves best."""
    distance, recall = pair_distances(results.rows), plain_recalls(results.rows)
    names = [n for n in results.order if n in distance and n in recall]
    if len(names) < 2:
        return []

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        for name, shape in zip(names, "osD^vPX*<>hp" * len(names), strict=False):
            near, hit = distance[name], recall[name]
            axes.errorbar(
                near.value, hit.value, xerr=[[e] for e in errors(near)],
                yerr=[[e] for e in errors(hit)], fmt=shape, color="#0072B2", mec="white",
                mew=0.4, ms=5, lw=0.7, ecolor="#999999", label=name,
            )  # fmt: skip
        axes.axhline(recall[names[0]].chance, color="#000000", lw=0.8, ls=":", label="chance")
        axes.set_xlabel("mean cosine distance of pairs")
        axes.set_ylabel("recall at 1, uncalibrated")
        axes.set_ylim(bottom=0)
        axes.grid()
        place_legend(canvas, [axes], 3)

    caption = (
        "Alignment against retrieval, uncalibrated: the mean cosine distance of pairs and the "
        "recall at 1 of SAR queries. Were the best-aligned extractor the best retriever, points "
        "would fall from the upper left to the lower right. "
        + conditions(results, [recall[names[0]]])
    )
    return [PaperFigure("gap-against-retrieval", caption, (COLUMN, 3.1), draw)]
