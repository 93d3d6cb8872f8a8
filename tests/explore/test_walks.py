"""Three people go all the way, on the command line and in a browser, at both widths and themes.

An analyst with one doubtful pair, an analyst with a folder of twenty, and a researcher from the
installed package to a figure in a paper. What each sees on the way is kept as images, to be looked
at, where ``CROSSLOOK_WALKS=FOLDER`` names a place.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rasterio
from rasterio.transform import Affine

from crosslook.data.simulate.write import write_pairs
from tests.explore.conftest import Served
from tests.helpers.chromium import BROWSER, watched_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(1200),
]
VIEWS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


class Walk:
    """The pages of a walk: each fits its width, asks nobody else, and is kept as an image."""

    def __init__(self, chromium: Any, name: str, width: int, scheme: str) -> None:
        self.name, self.width, self.scheme, self.steps = name, width, scheme, 0
        allowed = ("file:", "data:", "blob:", "http://127.0.0.1:")
        self.page, self.problems = watched_page(chromium, allowed, width, scheme)
        self.page.set_default_timeout(120_000)

    def see(self, what: str) -> None:
        """Look at the page as it is."""
        self.steps += 1
        self.page.wait_for_timeout(400)  # images of a map fade in
        wide = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            self.problems.append(f"{what}: {wide} px wider than the window")
        if kept := os.environ.get("CROSSLOOK_WALKS"):
            name = f"{self.name}-{self.steps}-{what}-{self.width}-{self.scheme}.png"
            Path(kept).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(kept) / name, full_page=True)

    def press(self, name: str) -> None:
        """Press the button or link of that name."""
        both = self.page.get_by_role("button", name=name, exact=True)
        both.or_(self.page.get_by_role("link", name=name, exact=True)).first.click()

    def end(self) -> None:
        """Nothing was wrong on the way."""
        self.page.close()
        assert self.problems == []


def crosslook(*call: str | Path, code: int = 0) -> str:
    """What a command says; it ends with that code."""
    words = [sys.executable, "-m", "crosslook", *map(str, call)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pair whose SAR georeference is 90 pixels off: more than is tried first."""
    folder = tmp_path_factory.mktemp("doubtful")
    write_pairs(folder, 1, size=384, relief=0.0)
    with rasterio.open(folder / "sar" / "sim-0000.tif", "r+") as file:
        file.transform = Affine.translation(900.0, -400.0) * file.transform
    return folder


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_an_analyst_with_one_doubtful_pair(
    chromium: Any,
    doubtful: Path,
    serve: Any,
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    sar, optical = (doubtful / side / "sim-0000.tif" for side in ("sar", "optical"))
    said = crosslook("register", sar, optical, "--near-only", "-o", tmp_path / "first", code=3)
    assert said.startswith("no match")
    assert "next: --no-near-only searches the whole overlap" in said
    explorer: Served = serve(tmp_path / "out", "--root", str(doubtful), str(tmp_path / "first"))
    walk = Walk(chromium, "pair", width, scheme)
    page = walk.page
    page.goto(explorer.address)
    page.get_by_text("no match").first.wait_for()
    walk.see("start")
    walk.press("first")
    page.get_by_text("Why there is no match").wait_for()
    walk.see("no-match")
    walk.press("The whole overlap")
    page.get_by_text("This is the place.").wait_for()
    walk.see("match")
    walk.press("Before")
    walk.see("before")
    walk.press("After")
    page.locator("#layer-arrows").check()
    page.locator("#swipe").fill("0.5")
    walk.see("arrows")
    walk.press("Accept")
    page.get_by_text("accepted; kept with the result").wait_for()
    said = crosslook("register", sar, optical, "-o", tmp_path / "second")
    assert said.startswith("match")
    page.goto((tmp_path / "second" / "swipe.html").as_uri())
    walk.see("swipe")
    walk.end()


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pairs: one SAR image has no partner, one lies on the optical image of another."""
    folder = tmp_path_factory.mktemp("twenty") / "scenes"
    write_pairs(folder, 20, size=256, relief=0.0, shift=(6.0, -9.0))
    optical = folder / "optical"
    (optical / "sim-0007.tif").unlink()
    with rasterio.open(optical / "sim-0004.tif") as file:
        pixels = file.read()
    with rasterio.open(optical / "sim-0003.tif", "r+") as file:
        file.write(pixels)
    return folder


@pytest.fixture(scope="module")
def registered(twenty: Path) -> Path:
    """The twenty as the command line registers them."""
    out = twenty.parent / "matches"
    said = crosslook("register", twenty, "-o", out, code=1)
    assert "18 match, 1 no match, 1 failed" in said
    return out


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_an_analyst_with_a_folder_of_twenty(
    chromium: Any, twenty: Path, registered: Path, serve: Any, tmp_path: Path,
    width: int, scheme: str,
) -> None:  # fmt: skip
    walk = Walk(chromium, "folder", width, scheme)
    page = walk.page
    page.goto((registered / "index.html").as_uri())
    walk.see("index")
    page.get_by_role("button", name="1 no match", exact=True).click()
    assert page.locator("#rows > li:visible h2").count() == 1
    walk.see("index-no-match")
    explorer: Served = serve(tmp_path / "out", "--root", str(twenty.parent))
    page.goto(explorer.address)
    walk.see("start")
    walk.press("Open files")
    walk.press("scenes/")
    page.get_by_text("A set of 19 pairs, and 1 without a partner").wait_for()
    walk.see("files")
    walk.press("Register all pairs")
    page.get_by_text("registering").wait_for()
    walk.see("running")
    page.get_by_text("18 match, 1 no match, 1 failed").wait_for()
    page.locator("details.batch summary").click()
    rows = page.locator("details.batch tbody tr")
    rows.first.wait_for()
    assert [rows.nth(n).inner_text().split()[0] for n in (0, 1)] == ["sim-0007", "sim-0003"]
    walk.see("batch")
    rows.nth(1).get_by_role("link").click()
    page.get_by_text("Why there is no match").wait_for()
    walk.see("doubtful")
    walk.end()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study as a first-time researcher makes it."""
    folder = tmp_path_factory.mktemp("research")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", crosslook("--version"))
    crosslook("simulate", "-o", folder / "pairs", "--count", "6", "--size", "256")
    models = ("--extractors", "raw,hog,hog:cell=8")
    stages = ("--two-stage", "hog:grid=4+hog:cell=8,ks=5:20")
    crosslook("study", folder / "pairs", *models, *stages, "--patch", "64", "-o", folder / "run")
    return folder / "run"


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_a_researcher_from_the_package_to_a_figure_in_a_paper(
    chromium: Any,
    run: Path,
    serve: Any,
    tmp_path: Path,
    width: int,
    scheme: str,
) -> None:
    walk = Walk(chromium, "research", width, scheme)
    page = walk.page
    page.goto((run / "report.html").as_uri())
    walk.see("report")
    captions = (run / "figures" / "figures.md").read_text(encoding="utf-8")
    names = sorted(path.stem for path in (run / "figures").glob("*.pdf"))
    assert {
        "gap-distributions",
        "clustering-and-separability",
        "retrieval-cmc",
        "two-stage-hog-grid-4-hog-cell-8-ks-5-20",
    } <= set(names), names
    paper = tmp_path / "paper.html"
    paper.write_text(two_columns(run / "figures", captions), encoding="utf-8")
    page.goto(paper.as_uri())
    walk.see("paper")
    explorer: Served = serve(tmp_path / "out", str(run))
    page.goto(f"{explorer.address}/#/run")
    page.wait_for_selector("[data-plot=space] .scatterlayer path.point")
    page.locator("tr.pick").first.click()
    page.wait_for_selector(".maps img")
    walk.see("explorer")
    walk.end()


def two_columns(figures: Path, captions: str) -> str:
    """Two columns of a paper: each figure as wide as it is made, with its caption."""
    entries = re.findall(r"^## (\S+)$.*?^(\*\*Figure.*?)$.*?; as wide as (.*?)\.$", captions,
                         re.MULTILINE | re.DOTALL)  # fmt: skip
    parts = "".join(
        f'<figure class="{width.split()[-1]}"><img src="{(figures / name).as_uri()}.svg">'
        f"<figcaption>{caption.replace('**', '')}</figcaption></figure>"
        for name, caption, width in entries
    )
    return (
        '<!doctype html><meta charset="utf-8"><style>body{margin:4mm;background:#fff}main{columns:'
        "2 70mm;column-gap:6mm;max-width:180mm;font:8.5pt/1.25 serif}figure{margin:0 0 4mm;"
        f"break-inside:avoid}}.page{{column-span:all}}img{{width:100%}}</style><main>{parts}</main>"
    )
