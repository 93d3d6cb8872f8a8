"""Rows and figures for a paper."""

from __future__ import annotations

import csv
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from crosslook.report.exports import slug, tex, write_exports
from crosslook.report.run_folder import (
    CurveTable,
    HistogramTable,
    read_rows,
    write_curves,
    write_histograms,
    write_rows,
)
from crosslook.types import Row


@pytest.fixture
def run(tmp_path: Path) -> Path:
    def row(metric: str, k: int, value: float) -> Row:
        name = ("set", "hog:cell=8", "builtin", "flatten", "none", "cosine", "held-out")
        span = (value - 0.1, value + 0.1)
        return Row(*name, "retrieval", "sar->optical", metric, k, value, *span, 20, 20, 0.05)

    write_rows(
        tmp_path, [row("recall", 1, 0.5), row("recall", 10, 0.75), row("mrr", 0, float("nan"))]
    )
    name = ("hog:cell=8", "flatten", "none", "cosine")
    write_curves(tmp_path, [CurveTable(*name, "sar->optical", np.linspace(0.5, 1, 20))])
    edges = np.linspace(-1, 1, 11)
    counts = np.arange(10)
    write_histograms(tmp_path, [HistogramTable(*name, edges, counts, counts[::-1].copy())])
    return tmp_path


def test_the_csv_holds_every_row(run: Path) -> None:
    write_exports(run)
    with (run / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == [field.name for field in fields(Row)]
    assert len(lines) == len(read_rows(run))
    assert {line["value"] for line in lines} == {"0.5", "0.75", ""}


def test_the_tex_escapes_and_shows_intervals(run: Path) -> None:
    write_exports(run)
    text = (run / "results.tex").read_text()
    assert r"hog:cell=8 & uncalibrated & sar $\to$ optical" in text
    assert "0.500 (0.400--0.600) & 0.750 (0.650--0.850)" in text
    assert tex(r"a_b&50%") == r"a\_b\&50\%"


def test_figures_are_drawn_and_the_same_each_time(run: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_exports(run)}
    assert set(first) == {"match-curves.png", "pairs-hog-cell=8.png"}
    vector = (run / "figures" / "match-curves.svg").read_bytes()
    assert vector.startswith(b"<?xml")
    again = {path.name: path.read_bytes() for path in write_exports(run)}
    assert again == first
    assert (run / "figures" / "match-curves.svg").read_bytes() == vector
    assert all(data.startswith(b"\x89PNG") and len(data) > 5000 for data in first.values())


def test_file_names_hold_no_path() -> None:
    assert slug("hf:org/model") == "hf-org-model"
    assert "/" not in slug("../../x")
