"""Printed figures: kinds, resolution, sizes, and what each one shows."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from crosslook.report.paper.all import paper_figures
from crosslook.report.paper.style import (
    COLUMN,
    PAGE,
    PaperFigure,
    paged,
    slug,
    write_paper_figures,
)
from crosslook.report.section import Results
from crosslook.retrieval import run_folder
from crosslook.retrieval.setup import Setup
from crosslook.types import Row

NAMES = ("sam2:side=64", "hog", "raw")
RECORD = {
    "dataset": "places",
    "synthetic": True,
    "settings": {"patch": 64, "seed": 7, "extractors": list(NAMES)},
    "extractors": {"hog": "1", "raw": "1", "sam2:side=64": "1"},
    "units": {"kind": "scene", "count": 6},
    "splits": [],
}


def row(name: str, measure: str, metric: str, k: int, value: float, **more: Any) -> Row:
    base = Row(
        "places", name, "r", "flatten", "none", "cosine", "held-out", measure, "sar->optical",
        metric, k, value, value - 0.04, value + 0.06, 40, 40, 0.025,
    )  # fmt: skip
    return replace(base, **more)


def content() -> list[Row]:
    rows = []
    for at, name in enumerate(reversed(NAMES)):
        for calibration, scoring in (("none", "cosine"), ("chosen", "chosen")):
            own = {"calibration": calibration, "scoring": scoring}
            rows += [row(name, "retrieval", "recall", k, 0.1 + 0.1 * at, **own) for k in (1, 5)]
        rows.append(row(name, "gap", "pair-distance", 0, 0.2 + 0.2 * at, direction=""))
        for calibration in ("none", "standardize"):
            own = {"calibration": calibration, "direction": ""}
            rows += [
                row(name, "structure", "kmeans-ari/modality", 0, 0.3, **own),
                row(name, "structure", "fisher-ratio", 0, 1.4, **own),
                row(name, "structure", "anisotropy/sar", 0, 0.9, **own),
            ]
    pair = "sam2:side=64+hog"
    for k in (5, 10):
        rows += [
            row(pair, "two-stage", "final", k, 0.5),
            row(pair, "two-stage", "ceiling", k, 0.7),
            row(pair, "two-stage", "cost", k, 100.0 * k),
        ]
    rows.append(row(pair, "two-stage", "fine-alone", 1, 0.6))
    rows.append(row(pair, "two-stage", "fine-alone-cost", 0, 4000.0))
    return rows


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    run = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    setups = [Setup(n, "flatten", c) for n in NAMES for c in ("none", "standardize")]
    edges = np.linspace(-1, 1, 11)
    counts = np.arange(10)
    run_folder.HistogramTable.write(
        run, [run_folder.HistogramTable(s, edges, counts, counts[::-1].copy()) for s in setups]
    )
    curves = [
        run_folder.CurveTable(s, "sar->optical", np.linspace(0.1, 1, 40))
        for s in setups
        if s.is_plain
    ]
    run_folder.CurveTable.write(run, curves)
    points = rng.normal(size=(2, 12, 2)).astype(np.float32)
    run_folder.EmbeddingTable.write(
        run, [run_folder.EmbeddingTable(s, "umap", np.arange(12), *points) for s in setups]
    )
    maps = [
        run_folder.HeatTable(s, by, rng.random((20, 20)).astype(np.float32), np.array([10.0]))
        for s in setups
        for by in ("unit", "cluster")
    ]
    run_folder.HeatTable.write(run, maps)
    return Results(run, content(), RECORD)


@pytest.fixture(scope="module")
def figures(results: Results) -> dict[str, PaperFigure]:
    return {figure.name: figure for figure in paper_figures(results)}


def drawn(figure: PaperFigure) -> Any:
    canvas = Figure(figsize=figure.size, layout="constrained")
    figure.draw(canvas)
    canvas.draw_without_rendering()
    return canvas


def test_every_question_of_the_article_has_its_figure(figures: dict[str, PaperFigure]) -> None:
    assert {
        "gap-distributions", "gap-against-retrieval", "retrieval-recall", "retrieval-cmc", "umap",
        "heatmap-sam2-side-64", "heatmap-hog-standardize", "clustering-and-separability",
        "two-stage-sam2-side-64-hog",
    } <= figures.keys()  # fmt: skip
    assert {figure.size[0] for figure in figures.values()} == {COLUMN, PAGE}
    assert all(figure.size[1] < 9.5 for figure in figures.values())  # fits on A4


def test_captions_name_set_interval_and_seed(figures: dict[str, PaperFigure]) -> None:
    for figure in figures.values():
        assert "Data set places (synthetic data)" in figure.caption
        bare = ("heatmap", "umap", "gap-distributions")  # no interval is drawn there
        over = "6 scenes" if figure.name.startswith(bare) else "intervals of 95 % over 6 scenes"
        assert f"; {over}; seed 7." in figure.caption
    for name in ("gap-distributions", "clustering-and-separability"):
        assert "chance 0" not in figures[name].caption  # each panel has its own, or none
    assert "gallery of 40; chance 0.0250" in figures["retrieval-cmc"].caption
    assert "the cone" in figures["gap-distributions"].caption


def test_files_are_pdf_svg_and_png_at_300_dpi(
    figures: dict[str, PaperFigure], tmp_path: Path
) -> None:
    shown = figures["retrieval-recall"]
    stale = tmp_path / "figures" / "old.svg"
    foreign = tmp_path / "figures" / "mine.svg"
    write_paper_figures(tmp_path, [replace(shown, name="old")], "places")
    foreign.write_text("<svg/>")
    write_paper_figures(tmp_path, [shown], "places")
    assert not stale.exists()  # an earlier report had it
    assert foreign.exists()  # not ours
    with Image.open(tmp_path / "figures" / "retrieval-recall.png") as image:
        assert image.width == round(COLUMN * 300)
        assert image.info["dpi"][0] == pytest.approx(300, abs=1)
    pdf = (tmp_path / "figures" / "retrieval-recall.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert b"/MediaBox" in pdf
    svg = ET.parse(tmp_path / "figures" / "retrieval-recall.svg").getroot()
    assert svg.get("width") == f"{COLUMN * 72:g}pt"
    text = (tmp_path / "figures" / "figures.md").read_text()
    assert "![retrieval-recall](retrieval-recall.png)" in text
    assert shown.caption in text
    before = {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()}
    write_paper_figures(tmp_path, [shown], "places")
    assert {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()} == before


def test_extractors_are_in_the_order_asked_for(figures: dict[str, PaperFigure]) -> None:
    axes = drawn(figures["retrieval-recall"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(NAMES)


def test_uncalibrated_can_be_told_from_calibrated_without_colour(
    figures: dict[str, PaperFigure],
) -> None:
    axes = drawn(figures["retrieval-recall"]).axes[0]
    fills = {c.get_label(): c.lines[0].get_markerfacecolor() for c in axes.containers}
    assert fills["uncalibrated"] == "white"
    assert fills["calibrated"] != "white"


def test_heat_maps_are_square_and_share_one_scale(figures: dict[str, PaperFigure]) -> None:
    canvas = drawn(figures["heatmap-hog"])
    panels = [axes for axes in canvas.axes if axes.images]
    assert len(panels) == 4
    assert len({axes.images[0].get_clim() for axes in panels}) == 1
    assert len(canvas.axes) == 5  # and one bar
    for axes in panels:
        box = axes.get_window_extent()
        assert box.width == pytest.approx(box.height, rel=0.01)


def test_a_plane_without_units_has_no_axes(figures: dict[str, PaperFigure]) -> None:
    assert not any(axes.axison for axes in drawn(figures["umap"]).axes)


def test_nothing_is_cut_off(figures: dict[str, PaperFigure]) -> None:
    for figure in figures.values():
        canvas = drawn(figure)
        box = canvas.get_tightbbox()
        assert box.x0 > -0.02, figure.name
        assert box.y0 > -0.02, figure.name
        assert box.x1 < figure.size[0] + 0.02, figure.name
        assert box.y1 < figure.size[1] + 0.02, figure.name


def test_each_stage_alone_is_a_line(figures: dict[str, PaperFigure]) -> None:
    left, right = drawn(figures["two-stage-sam2-side-64-hog"]).axes
    for panel in (left, right):
        assert any(list(line.get_ydata()) == [0.6, 0.6] for line in panel.lines)
    assert [t.get_text() for t in left.texts] == ["K=5", "K=10"]


def test_names_of_files() -> None:
    assert slug("hf:facebook/dinov2-base") == "hf-facebook-dinov2-base"
    assert "/" not in slug("../..")
    assert [name for name, _ in paged([str(i) for i in range(45)], "umap")] == [
        "umap",
        "umap-2",
        "umap-3",
    ]
