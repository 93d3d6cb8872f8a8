"""The page of a batch in a browser: filter, order, a way to the pair; it asks nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crosslook.match.batch_page import Thumbnails, write_batch_page
from tests.helpers.chromium import BROWSER, QUIET

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "match.json").write_text("{}")
    (tmp_path / "c" / "swipe.html").write_text("<title>swipe</title>")
    more = {"expected_error_px": 1.5, "shift_px": 3.0}
    rows: list[dict[str, Any]] = [
        {"name": HOSTILE, "error": "the optical image is missing"},
        {"name": "b", "verdict": "no match", "confidence": 0.01, "reason": "too little texture.",
         "folder": tmp_path / "b", "error": ""},
        {"name": "c", "verdict": "match", "confidence": 0.99, "folder": tmp_path / "c",
         "error": "", "warning": "swapped", **more},
    ]  # fmt: skip
    path = tmp_path / "index.html"
    write_batch_page(path, "batch", rows, {"c": Thumbnails("data:image/webp;base64,", "")})
    return path


def test_the_page_says_all_of_each_pair(page_file: Path) -> None:
    text = page_file.read_text()
    assert HOSTILE not in text
    assert "written by crosslook" in text
    assert 'href="c/swipe.html"' in text
    assert 'href="b/match.json"' in text
    for words in ("1 match", "1 no match", "1 failed", "Too little texture.", "swapped"):
        assert words in text
    assert "http" not in text


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_is_filtered_and_ordered(page_file: Path, width: int, scheme: str) -> None:
    for page in opened(page_file, width, scheme):
        shown = page.locator("#rows > li:visible h2")
        assert shown.count() == 3
        page.get_by_role("button", name="1 match", exact=True).click()
        assert [text.split()[0] for text in shown.all_inner_texts()] == ["c"]
        page.get_by_role("button", name="all 3").click()
        page.locator("#order").select_option("confidence")
        assert [text.split()[0] for text in shown.all_inner_texts()][1:] == ["b", "c"]
        page.locator("#find").fill("B")
        assert shown.count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def opened(path: Path, width: int, scheme: str) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=QUIET)
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        yield page
        assert problems == []
        browser.close()
