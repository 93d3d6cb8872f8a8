"""What a person does, in a real browser: nothing but this machine is asked, nothing goes wrong."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.chromium import BROWSER, QUIET

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>.tif"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
    pytest.mark.timeout(600),  # the first one waits for the demo
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield browser
        browser.close()


def open_page(
    chromium: Any, address: str, width: int = 1280, scheme: str = "light"
) -> tuple[Any, list[str]]:
    """A page, and a list that fills with console errors and requests to elsewhere."""
    problems: list[str] = []

    def refused(dialog: Any) -> None:
        problems.append("a script ran")
        dialog.dismiss()

    page = chromium.new_page(viewport={"width": width, "height": 860}, color_scheme=scheme)
    page.set_default_timeout(90_000)
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", refused)
    allowed = (address, "data:", "blob:")
    page.on(
        "request",
        lambda r: None if r.url.startswith(allowed) else problems.append(f"asked {r.url}"),
    )
    page.goto(f"{address}/")
    return page, problems


def until(page: Any, holds: str) -> None:
    """Wait for an expression; the policy of the page forbids what Playwright does for that."""
    ends = time.monotonic() + 90
    while not page.evaluate(holds):
        assert time.monotonic() < ends, f"never came true: {holds}"
        page.wait_for_timeout(50)


def fits(page: Any) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def error_px(match: dict[str, Any], truth: dict[str, int]) -> float:
    """Mean distance over the chip from where it was cut, in atlas pixels."""
    side = np.linspace(0, truth["size"], 5)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    homogeneous = np.column_stack([points, np.ones(len(points))])
    transformed = homogeneous @ np.array(match["transform"]["matrix"]).T
    transformed = transformed[:, :2] / transformed[:, 2:] + [
        match["window"]["row"],
        match["window"]["col"],
    ]
    return float(np.linalg.norm(transformed - points - [truth["row"], truth["col"]], axis=1).mean())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_person_finds_a_chip_and_looks_at_a_run(
    chromium: Any, explorer: Any, tmp_path: Path, width: int, scheme: str
) -> None:
    page, problems = open_page(chromium, explorer.address, width, scheme)

    # The demo atlas, as a map whose view stands in the address.
    page.get_by_role("link", name="Open the map").click()
    page.wait_for_selector(".tile.there")
    page.get_by_role("button", name="Zoom in").click()
    until(page, "location.hash.includes('at=')")
    assert fits(page)

    # A chip is dropped, seen, located.
    page.get_by_role("link", name="Locate", exact=True).click()
    chips = explorer.out / "demo" / "chips"
    page.set_input_files("#file-sar", chips / "demo-chip-1.tif")
    page.wait_for_selector(".thumb")
    assert "float32" in page.locator(".image .facts").inner_text()
    assert fits(page)
    page.locator(".large-button").click()
    page.wait_for_selector(".verdict")
    assert page.locator(".title .badge").first.inner_text() == "match"
    job = page.evaluate("location.hash.match(/match\\/([0-9a-f]+)/)[1]")
    match = explorer.ask(f"/jobs/{job}")[1]["result"]["match"]
    truth = json.loads((chips / "truth.json").read_text())["demo-chip-1.tif"]
    assert error_px(match, truth) < 5

    # Swipe by keys, show and hide by the space bar.
    over = page.locator(".ground .layer")
    until(page, "document.querySelector('.ground .layer').naturalWidth > 0")
    page.locator("#swipe").focus()
    page.keyboard.press("Home")
    until(page, "document.querySelector('.ground .layer').style.clipPath !== ''")
    page.keyboard.press("End")
    page.locator("h1").click()
    page.keyboard.press(" ")
    until(page, "document.querySelector('.ground .layer').style.opacity === '0'")
    page.keyboard.press(" ")
    assert over.count() == 1
    assert page.locator(".vectors .tie").count() > 10
    page.locator("#layer-surface").check()
    until(page, "document.querySelectorAll('.ground .layer').length === 2")
    assert fits(page)

    # The zip holds what the command line writes.
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download all as zip").click()
    kept = tmp_path / "all.zip"
    coming.value.save_as(kept)
    with zipfile.ZipFile(kept) as archive:
        assert {"match.json", "aligned.tif", "tie_points.csv", "swipe.html"} <= set(
            archive.namelist()
        )
        assert json.loads(archive.read("match.json"))["verdict"] == "match"

    # A point of the run, and its two patches.
    page.get_by_role("link", name="Study", exact=True).click()
    page.wait_for_selector("[data-plot=space] .scatterlayer path.point")
    page.locator("[data-plot=space] .scatterlayer path.point").nth(3).click(force=True)
    page.wait_for_selector(".detail .patches img")
    page.wait_for_selector(".maps img")
    until(
        page,
        "[...document.querySelectorAll('.detail img')].length >= 9 &&"
        " [...document.querySelectorAll('.detail img')].every(i => i.naturalWidth > 0)",
    )
    assert page.locator(".nearest .near").count() == 10
    until(page, "location.hash.includes('patch=')")
    assert fits(page)
    assert problems == []
    page.close()


def test_the_address_holds_the_state(chromium: Any, explorer: Any) -> None:
    page, problems = open_page(chromium, explorer.address)
    page.goto(f"{explorer.address}/#/run/demo-run?patch=5&from=2")
    page.wait_for_selector(".detail h3")
    shown = explorer.ask("/runs/demo-run/patches/5")[1]
    assert page.locator(".detail h3").inner_text() == shown["id"]
    assert page.get_by_label("Rank from").input_value() == "2"
    page.goto(f"{explorer.address}/#/atlas/demo-atlas?box=11.0,49.45,11.05,49.5")
    page.wait_for_selector(".vectors .prior")
    assert page.get_by_label("North").input_value() == "49.5"
    assert "bbox=11,49.45,11.05,49.5" in page.evaluate(
        "[...document.links].map(a => a.href).find(a => a.includes('bbox'))"
    )
    assert problems == []
    page.close()


def test_an_audit_is_stepped_marked_and_exported(
    chromium: Any, explorer: Any, tmp_path: Path
) -> None:
    page, problems = open_page(chromium, explorer.address)
    page.goto(f"{explorer.address}/#/audit/demo-audit")
    page.wait_for_selector(".scene")
    first = page.locator(".flicker h2").inner_text()
    page.keyboard.press("ArrowRight")
    second = page.locator(".flicker h2").inner_text()
    assert second != first
    assert page.locator(".which").inner_text() == "SAR"
    page.keyboard.press(" ")
    assert page.locator(".which").inner_text() == "optical"
    page.keyboard.press("g")
    page.wait_for_selector(".scene.good")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Export marks").click()
    coming.value.save_as(tmp_path / "marks.csv")
    assert (tmp_path / "marks.csv").read_text() == f"scene,mark\n{second},good\n"
    page.keyboard.press("u")
    until(page, "!document.querySelector('.scene.good')")
    assert problems == []
    page.close()


def test_names_are_text(chromium: Any, explorer: Any) -> None:
    page, problems = open_page(chromium, explorer.address)
    page.goto(f"{explorer.address}/#/locate")
    data = (explorer.out / "demo" / "chips" / "demo-chip-2.tif").read_bytes()
    page.set_input_files("#file-sar", {"name": HOSTILE, "mimeType": "image/tiff", "buffer": data})
    page.wait_for_selector(".thumb")
    assert page.locator(".image h3").inner_text() == HOSTILE
    # Facts of a broken file are words too, not an error of the page.
    page.set_input_files(
        "#file-sar", {"name": "cut.tif", "mimeType": "image/tiff", "buffer": data[:2000]}
    )
    page.wait_for_selector(".image .bad-text")
    assert "cut.tif" in page.locator(".image .bad-text").inner_text()
    page.goto(f"{explorer.address}/#/api")
    page.wait_for_selector(".route")
    assert problems == []
    page.close()
