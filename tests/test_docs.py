"""The documentation, built as `make docs` does, and opened page by page in a browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.chromium import BROWSER, QUIET

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs"


@pytest.fixture(scope="module")
def site() -> Path:
    """The built pages; executed ones come from the cache of an earlier build."""
    pytest.importorskip("myst_nb", reason="the docs extra is not installed")
    out = PAGES / "_build" / "html"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(out)],
        cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def test_executed_pages_hold_no_pasted_output() -> None:
    """What a page of commands shows comes from running them, or is no output at all."""
    for path in PAGES.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^```(?:console|text)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                assert not re.match(r"(match|uncertain|no match|error): ", line), (path.name, line)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_in_a_browser(site: Path, width: int) -> None:
    api = pytest.importorskip("playwright.sync_api")
    problems: list[str] = []
    pages = sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)
    assert len(pages) > 40
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=QUIET)
        tab = browser.new_page(viewport={"width": width, "height": 900})
        here = ""
        tab.on("pageerror", lambda error: problems.append(f"{here}: {error}"))
        tab.on("requestfailed", lambda r: problems.append(f"{here}: failed {r.url}"))
        tab.on(
            "request",
            lambda r: (
                None if r.url.startswith(("file:", "data:", "blob:"))
                else problems.append(f"{here}: {r.url}")
            ),
        )  # fmt: skip
        for path in pages:
            here = path.relative_to(site).as_posix()
            tab.goto(path.as_uri())
            wide = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                problems.append(f"{here}: {wide} px wider than the window")
            broken = tab.evaluate(
                "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
            )
            cut = tab.evaluate(CUT)
            problems += [f"{here}: code is cut, not scrolled: {text}" for text in cut]
            links = tab.evaluate("[...document.links].map(a => a.href)")
            problems += [f"{here}: {link}" for link in [*broken, *missing(links)]]
        browser.close()
    assert not problems, "\n".join(problems)


CUT = """[...document.querySelectorAll('.bd-article pre')].filter(p => p.offsetWidth && (
  p.getBoundingClientRect().right > innerWidth + 1 ||
  (p.scrollWidth > p.clientWidth + 1 && !['auto', 'scroll'].includes(getComputedStyle(p).overflowX))
)).map(p => p.textContent.slice(0, 60))"""
"""Blocks of code that are wider than their place and cannot be scrolled."""

SOUGHT = {
    "register my file": ("My SAR image does not line up", "crosslook register"),
    "which model": ("Which model for my pairs?", "crosslook study"),
    "what the confidence means": (
        "What the numbers of a match mean", "the probability that the place is right",
    ),
    "get the weights": ("how to get the weights", "crosslook weights fetch article"),
    "cite": ("how to cite", "CITATION.cff"),
}  # fmt: skip
"""What a first-time reader looks for: the link on the first page, and words of the answer."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("question", SOUGHT)
def test_a_first_time_reader_finds_it_in_two_clicks(site: Path, question: str, width: int) -> None:
    link, answer = SOUGHT[question]
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=QUIET)
        tab = browser.new_page(viewport={"width": width, "height": 900})
        tab.goto((site / "index.html").as_uri())
        named = tab.locator(".bd-article").get_by_role("link", name=link, exact=False).first
        card = tab.locator(".sd-card", has_text=link).first  # all of it is the link
        (card if card.count() else named).click()
        found = tab.locator(".bd-article").get_by_text(answer).first
        found.scroll_into_view_if_needed()
        assert found.is_visible()
        browser.close()


def test_the_first_page_links_what_is_sought() -> None:
    text = (PAGES / "index.md").read_text(encoding="utf-8")
    for link, answer in SOUGHT.values():
        beside = text[text.index(link) :]
        name = re.search(r":link: (\S+)|\]\((\S+?)\)", beside)
        assert name
        page = (name[1] or name[2]).removesuffix(".md")
        target = text if page.startswith("#") else (PAGES / f"{page}.md").read_text("utf-8")
        assert answer in target, (link, page)


def missing(links: list[str]) -> list[str]:
    """Links to files that are not there, or to places on a page that it does not have."""
    absent = []
    for link in links:
        if not link.startswith("file://"):
            continue
        name, _, anchor = link.removeprefix("file://").partition("#")
        path = Path(name)
        if not path.is_file() or (
            anchor and path.suffix == ".html" and anchor not in anchors(path)
        ):
            absent.append(link)
    return absent


_ANCHORS: dict[Path, set[str]] = {}


def anchors(path: Path) -> set[str]:
    if path not in _ANCHORS:
        _ANCHORS[path] = set(re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8")))
    return _ANCHORS[path]
