"""Images of a match: what they show, what they say of it, and the page to swipe."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from crosslook.data.simulate.scene import make_pair
from crosslook.geo.grid import make_grid
from crosslook.geo.raster import RasterArray
from crosslook.match.drawn import MOST_ARROWS, STEPS, make_panels, thinned, write_drawings
from crosslook.match.files import edges_over
from crosslook.match.labels import BAD, GOOD, enlarged, titled, with_legend
from crosslook.match.register import register
from crosslook.match.result import MatchResult
from tests.helpers.chromium import BROWSER

NAMES = ("before.png", "after.png", "overlay.png", "residuals.png", "swipe.html")


@pytest.fixture(scope="module")
def result() -> MatchResult:
    made = make_pair(320, 4, relief=0.0)
    grid = make_grid("EPSG:32633", (10, 0, 5e5, 0, -10, 5.4e6), 320, 320)
    moved = make_grid("EPSG:32633", (10, 0, 5e5 + 60, 0, -10, 5.4e6 - 40), 320, 320)
    images = RasterArray.of(made.sar, grid=moved), RasterArray.of(made.optical, grid=grid)
    return register(*images)


def rgb(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(image[..., ::-1])


def has(image: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((image == colour).all(axis=2).any())


def test_a_match_is_shown_before_and_after(result: MatchResult, tmp_path: Path) -> None:
    written = {path.name for path in result.write(tmp_path)}
    assert {*NAMES, "footprint.geojson", "aligned.tif"} <= written
    before, after = rgb(tmp_path / "before.png"), rgb(tmp_path / "after.png")
    assert before.shape == after.shape
    assert np.abs(before.astype(int) - after).mean() > 5
    assert has(after[:28], GOOD)
    assert not has(after[:60], BAD)
    page = (tmp_path / "swipe.html").read_text()
    assert "confidence 1.00, expected error" in page
    assert 'id="before"' in page


def test_a_no_match_shows_the_best_and_that_it_is_refused(
    result: MatchResult, tmp_path: Path
) -> None:
    refused = replace(result, verdict="no match", reason="nothing fits. Try more.")
    written = {path.name for path in refused.write(tmp_path)}
    assert set(NAMES) <= written
    assert not {"aligned.tif", "footprint.geojson"} & written
    for name in ("after.png", "overlay.png", "residuals.png"):
        assert has(rgb(tmp_path / name)[:60], BAD), name
    page = (tmp_path / "swipe.html").read_text()
    assert "Refused: this is the best that was tried" in page
    assert "Nothing fits. Try more." in page
    # What was refused is taken away by the next run.
    again = {path.name for path in replace(refused, transform=None).write(tmp_path)}
    assert not {*NAMES} & again
    assert not (tmp_path / "after.png").exists()


def test_without_a_georeference_there_is_no_before(tmp_path: Path) -> None:
    made = make_pair(256, 4, relief=0.0)
    done = register(RasterArray.of(made.sar), RasterArray.of(made.optical))
    assert done.transform is not None
    write_drawings(tmp_path, done.drawn(done.transform))
    assert not (tmp_path / "before.png").exists()
    page = (tmp_path / "swipe.html").read_text()
    assert 'id="before"' not in page
    assert '"metres": null' in page.replace("&#34;", '"')


def test_edges_draw_no_frame() -> None:
    """Where the SAR image ends, there is no edge of it."""
    rng = np.random.default_rng(1)
    other = np.repeat(rng.integers(90, 110, (120, 120, 1), np.uint8), 3, 2)
    other[60:90, 60:90] = 250
    valid = np.zeros((120, 120), np.bool_)
    valid[20:100, 20:100] = True
    drawn = edges_over(np.zeros_like(other), np.where(valid[..., None], other, 0), valid)
    lines = np.asarray(drawn.max(axis=2) > 0)
    assert lines[50:100, 50:100].any()
    frame = np.ones_like(valid)
    frame[30:90, 30:90] = False
    assert not lines[frame].any()


def test_arrows_of_residuals_point_where_the_transform_puts_them(
    result: MatchResult, tmp_path: Path
) -> None:
    assert result.transform is not None
    points = result.tie_points
    scene = result.drawn(result.transform)
    off = points.optical - [0.0, 3.0]  # so the transform puts all of them 3 px to the right
    scene = replace(scene, points=replace(points, optical=off))
    write_drawings(tmp_path, scene)
    image = rgb(tmp_path / "residuals.png")
    assert (image == STEPS[2][1]).all(axis=2).sum() > 20 * int(points.inlier.sum())
    data = (tmp_path / "swipe.html").read_text().split('id="data">')[1].split("</script>")[0]
    moves = np.array(json.loads(data.replace("&#34;", '"'))["points"])[:, 2:]
    assert np.median(moves, axis=0) == pytest.approx([0.0, 3.0], abs=0.6)


def test_labels_fit_and_small_images_are_enlarged() -> None:
    small, times = enlarged(np.zeros((50, 90, 3), np.uint8))
    assert small.shape == (250, 450, 3)
    assert times == 5
    long = titled(small, "a title of many words that is far too long for one line of this image")
    assert long.shape[1] == 450
    assert long.shape[0] > titled(small, "short").shape[0] > 250
    word = titled(small, "x" * 300)
    assert word.shape[1] == 450
    keyed = with_legend(small, [((1, 2, 3), "one"), (None, "without a colour")])
    assert has(keyed[250:], (1, 2, 3))


def test_panels_lie_on_the_same_pixels(result: MatchResult) -> None:
    assert result.transform is not None
    panels = make_panels(result.drawn(result.transform))
    assert panels.before is not None
    assert panels.ground.shape[:2] == panels.after.shape == panels.before.shape


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_swipes_zooms_and_asks_nobody(
    result: MatchResult, tmp_path: Path, chromium: Any, width: int, scheme: str
) -> None:
    result.write(tmp_path)
    asked: list[str] = []
    page = chromium.new_page(viewport={"width": width, "height": 780}, color_scheme=scheme)
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.on("request", lambda r: asked.append(r.url) if r.url.startswith("http") else None)
    page.goto((tmp_path / "swipe.html").as_uri())
    assert page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth &&"
        " document.documentElement.scrollHeight <= innerHeight"
    )
    assert page.locator("#bar").inner_text().endswith(" m")
    cut = page.locator("#cut")
    first = cut.bounding_box()["x"]
    page.keyboard.press("ArrowRight")
    assert cut.bounding_box()["x"] > first
    size = page.locator("#sar").bounding_box()["width"]
    page.locator("#in").click()
    assert page.locator("#sar").bounding_box()["width"] == pytest.approx(1.5 * size, rel=0.01)
    page.locator("#residuals").click()
    assert page.locator("#arrows path").count() == int(result.tie_points.inlier.sum())
    assert "times as long" in page.locator("#key").inner_text()
    page.locator("#which").select_option("before")
    assert page.locator("#before").is_visible()
    assert not page.locator("#sar").is_visible()
    assert asked == []
    page.close()


def test_arrows_of_a_scene_are_as_many_as_can_be_seen() -> None:
    rng = np.random.default_rng(0)
    at = rng.uniform(0, (4000, 9000), (50_000, 2))
    few = thinned(at)
    assert MOST_ARROWS / 2 <= len(few) <= 1.2 * MOST_ARROWS
    # No part is left without: each of 10 x 23 squares had some 220 of them.
    squares = np.unique((at[few] // 400).astype(int), axis=0)
    assert len(squares) == 10 * 23
    assert len(thinned(at[:MOST_ARROWS])) == MOST_ARROWS
    line = np.column_stack([np.arange(5000.0), np.zeros(5000)])
    assert len(thinned(line)) <= 5000
