"""The report of a scene: what it says is what was given, and a browser shows it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crosslook.match.files import WRITTEN
from crosslook.match.scene.report import SceneReport, write_report
from crosslook.match.tie_points import TiePoints
from tests.helpers.chromium import BROWSER, QUIET
from tests.match.scene.made import made_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> SceneReport:
    return made_report(tmp_path_factory.mktemp("scene"))


def page_of(report: SceneReport, folder: Path) -> str:
    write_report(folder / "report.html", report)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else_and_is_known_as_ours(
    report: SceneReport, tmp_path: Path
) -> None:
    text = page_of(report, tmp_path)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert "http" not in re.sub(r"data:[^\"]*", "", text)
    assert WRITTEN["report.html"](tmp_path / "report.html")
    assert len(text) < 3_000_000
    assert page_of(report, tmp_path) == text, "the same scene gives the same bytes"


def test_vectors_are_displacements_of_the_tie_points(report: SceneReport, tmp_path: Path) -> None:
    text = page_of(report, tmp_path)
    data = json.loads(re.findall(r"<script id=\"data\"[^>]*>(.*?)</script>", text, re.S)[0])
    used = report.points.inlier
    before = report.points.optical[used] - report.scene.base(report.points.sar[used])
    after = report.points.optical[used] - report.transform(report.points.sar[used])
    vectors = np.array(data["vectors"])
    assert np.hypot(*vectors[:, 2:4].T).mean() == pytest.approx(
        np.linalg.norm(before, axis=1).mean(), rel=0.3
    )
    assert np.hypot(*vectors[:, 4:6].T).mean() < 0.3 * np.hypot(*vectors[:, 2:4].T).mean()
    assert f"{np.median(np.linalg.norm(after, axis=1)):.2f} px" in text
    assert len(data["tiles"]) == len(report.scene.tiles)
    assert data["chips"]
    assert all(data["chips"][0][name].startswith("data:image/jpeg") for name in ("before", "after"))


def test_names_of_files_are_text(report: SceneReport, tmp_path: Path) -> None:
    sly = "<script>alert(1)</script>"
    tiles = (replace(report.scene.tiles[0], reason=sly), *report.scene.tiles[1:])
    sly_scene = replace(report.scene, tiles=tiles)
    text = page_of(replace(report, scene=sly_scene, notes=(sly,)), tmp_path)
    assert sly not in text


def test_a_scene_without_tie_points_has_a_page_too(report: SceneReport, tmp_path: Path) -> None:
    none = TiePoints.of(np.zeros((0, 2)), np.zeros((0, 2)))
    tiles = tuple(
        replace(
            one, points=0, inliers=0, verdict="no match", residual_px=np.nan, held_out_px=np.nan
        )
        for one in report.scene.tiles
    )
    scene = replace(report.scene, tiles=tiles, geometry={})
    text = page_of(replace(report, points=none, scene=scene, verdict="no match"), tmp_path)
    assert "no tie points" in text


def test_a_gap_is_counted_in_tiles(report: SceneReport) -> None:
    tiles = tuple(
        replace(one, ground=0.0 if number < 2 else 1.0)
        for number, one in enumerate(report.scene.tiles)
    )
    assert replace(report.scene, tiles=tiles[2:]).gap_note == ""
    note = replace(report.scene, tiles=tiles).gap_note
    assert note.startswith(f"in 2 of {len(tiles)} tiles one of the two images holds no data")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_errors(report: SceneReport, tmp_path: Path, width: int) -> None:
    from playwright.sync_api import sync_playwright

    page_of(report, tmp_path)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=QUIET)
        page = browser.new_page(viewport={"width": width, "height": 900})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_selector("body[data-ready]")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        first = page.locator(".chip[data-side=before] .over").get_attribute("src")
        page.locator("[data-chip='1']").click()
        assert page.locator(".chip[data-side=before] .over").get_attribute("src") != first
        pixels = "document.getElementById('before').toDataURL()"
        shown = page.evaluate(pixels)
        page.locator("[data-layer=tiles]").click()
        assert page.evaluate(pixels) != shown
        assert not errors
        browser.close()
