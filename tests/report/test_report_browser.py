"""The report in a real browser: plots drawn, hover works, no request, no error."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crosslook.report.html import write_report
from crosslook.retrieval import run_folder
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.views import write_thumbnails
from crosslook.types import Modality, Patch, Row, Window
from tests.helpers.chromium import BROWSER, QUIET

COUNT = 24
HOSTILE = "<script>alert(1)</script>"


class Noise:
    def read(self, modality: Modality, indices: object) -> np.ndarray:
        rng = np.random.default_rng(0 if modality == "sar" else 1)
        return rng.random((1, 3, 128, 128), dtype=np.float32)


def row(extractor: str, measure: str, metric: str, k: int, value: float, **other: str) -> Row:
    names = {"calibration": "none", "scoring": "cosine", "direction": "sar->optical"} | other
    return Row(
        HOSTILE,
        extractor,
        "r",
        "flatten",
        names["calibration"],
        names["scoring"],
        "held-out",
        measure,
        names["direction"],
        metric,
        k,
        value,
        value - 0.05,
        value + 0.05,
        COUNT,
        COUNT,
        1 / COUNT,
    )


def content() -> list[Row]:
    rows = []
    for number, name in enumerate(("raw", "hog")):
        rows += [
            row(name, "gap", "pair-distance", 0, 0.3 + 0.3 * number, direction=""),
            row(name, "retrieval", "recall", 1, 0.2 + 0.5 * number),
            row(name, "structure", "effective-rank/sar", 0, 9.0, direction=""),
            row(name, "robustness", "recall@1/offset=0", 1, 0.9),
            row(name, "robustness", "recall@1/offset=8", 1, 0.4),
            row(name, "robustness", "recall@1/gallery", 10, 0.9),
            row(name, "robustness", "recall@1/gallery-extrapolated", 100, 0.5),
        ]
    for k in (5, 20):
        rows += [row("hog+hog", "two-stage", m, k, 0.5 + k / 50) for m in ("ceiling", "final")]
    alone = row("hog+hog", "two-stage", "recommended-k", 0, 20.0)
    return [*rows, replace(alone, ci_low=math.nan, ci_high=math.nan)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, rng = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    patches = [Patch(f"s{i % 4}/{i}", f"s{i % 4}", "g", Window(0, 0, 64, 64)) for i in range(COUNT)]
    index = np.arange(COUNT)
    setup = Setup("hog", "flatten")
    run_folder.write_patches(run, patches)
    write_thumbnails(run, Noise(), range(COUNT))
    top = np.stack([index, (index + 1) % COUNT], axis=1)
    scores = np.tile(np.array([0.9, 0.5], np.float32), (COUNT, 1))
    rank = np.ones(COUNT, np.int64)
    table = run_folder.MatchTable(setup, "sar->optical", index, rank, top, scores, scores[:, 0])
    run_folder.MatchTable.write(run, [table])
    curve = run_folder.CurveTable(setup, "sar->optical", np.linspace(0.7, 1, COUNT))
    run_folder.CurveTable.write(run, [curve])
    edges = np.linspace(-1, 1, 11)
    counts = np.arange(10)
    run_folder.HistogramTable.write(
        run, [run_folder.HistogramTable(setup, edges, counts, counts[::-1].copy())]
    )
    points = rng.normal(size=(2, COUNT, 2)).astype(np.float32)
    run_folder.EmbeddingTable.write(
        run,
        [run_folder.EmbeddingTable(setup, m, index, *points) for m in ("pca", "umap")],
    )
    values = rng.random((COUNT, COUNT)).astype(np.float32)
    run_folder.HeatTable.write(
        run, [run_folder.HeatTable(setup, "scene", values, np.array([6.0, 12.0]))]
    )
    run_folder.write_rows(run, content())
    record = {
        "dataset": HOSTILE,
        "synthetic": True,
        "settings": {"patch": 64},
        "dropped": {},
        "skipped": {"sam2": "no weights"},
        "notes": [],
        "patches": COUNT,
        "scenes": 4,
        "units": {"kind": "scene", "count": 4},
        "splits": [{"seed": 0}],
    }
    run_folder.write_run(run, record)
    write_report(run)
    return run


def test_structure_files_come_back(run: Path) -> None:
    tables = run_folder.EmbeddingTable.read(run)
    assert [t.method for t in tables] == ["pca", "umap"]
    assert tables[0].sar.shape == (COUNT, 2)
    assert not np.array_equal(tables[0].sar, tables[0].optical)
    (heat,) = run_folder.HeatTable.read(run)
    assert heat.values.shape == (COUNT, COUNT)
    assert heat.borders.tolist() == [6.0, 12.0]
    assert heat.order.size == 0  # as in runs from before it was kept


def test_blocks_of_a_heat_map_tell_their_patches(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(11)
    values = np.zeros((4, 4), np.float32)
    table = run_folder.HeatTable(Setup("hog"), "unit", values, np.array([2.0]), order)
    run_folder.HeatTable.write(tmp_path, [table])
    (back,) = run_folder.HeatTable.read(tmp_path)
    assert back.order.tolist() == order.tolist()
    assert [len(back.members(block)) for block in range(4)] == [2, 3, 3, 3]
    assert np.concatenate([back.members(b) for b in range(4)]).tolist() == order.tolist()


def test_report_escapes_and_marks(run: Path) -> None:
    text = (run / "report.html").read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "synthetic data" in text
    assert "sam2" in text
    assert len(text) < 15_000_000


def test_paper_files(run: Path) -> None:
    with (run / "rows.csv").open() as file:
        assert len(list(csv.reader(file))) == len(content()) + 1
    assert r"\toprule" in (run / "rows.tex").read_text()
    names = {path.stem for path in (run / "figures").glob("*.svg")}
    assert names == {
        "gap-distributions", "gap-against-retrieval", "retrieval-recall", "retrieval-cmc",
        "robustness-offset", "robustness-gallery", "umap", "heatmap-hog", "heatmap-hog-none",
        "two-stage-hog-hog",
    }  # fmt: skip
    for kind in ("png", "pdf"):
        assert names == {path.stem for path in (run / "figures").glob(f"*.{kind}")}
    captions = (run / "figures" / "figures.md").read_text()
    for name in names:
        assert f"## {name}\n" in captions


def test_the_same_run_gives_the_same_bytes(run: Path) -> None:
    paths = [run / "report.html", *sorted((run / "figures").iterdir())]
    before = [path.read_bytes() for path in paths]
    write_report(run)
    assert [path.read_bytes() for path in paths] == before


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_in_a_browser(run: Path, width: int, scheme: str) -> None:
    api = pytest.importorskip("playwright.sync_api")
    problems: list[str] = []
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=QUIET)
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda r: (
                None if r.url.startswith(("file:", "data:", "blob:")) else problems.append(r.url)
            ),
        )
        page.goto((run / "report.html").as_uri())
        plots = page.locator(".plot")
        page.wait_for_function(
            "document.querySelectorAll('.plot .main-svg').length > 0"
            " && [...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))"
        )
        assert plots.count() >= 6
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("#structure ~ .plot .scatterlayer path.point").first.hover(force=True)
        page.wait_for_selector("#hover img", state="visible")
        assert page.locator("#hover img").count() == 2
        rows = page.locator("#robustness ~ details.rows").first
        rows.locator("summary").click()
        rows.locator("input").fill("hog gallery")
        assert rows.locator("tbody tr:visible").count() == 2
        rows.locator("input").fill("")
        rows.locator("th button", has_text="value").click()
        shown = [float(text) for text in rows.locator("tbody td:nth-child(6)").all_inner_texts()]
        assert shown == sorted(shown)
        rows = page.locator("#two-stage ~ details.rows").first
        rows.locator("summary").click()
        for turn in (1, -1):  # what was not measured comes last either way
            rows.locator("th button", has_text="95 %").click()
            texts = rows.locator("tbody td:nth-child(7)").all_inner_texts()
            assert texts[-1] == ""
            assert texts[0] == ("0.550 to 0.650", "0.850 to 0.950")[turn < 0]
        assert page.locator(".answers .answer").count() >= 2
        page.locator("button.theme").click()
        browser.close()
    assert problems == []
