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
            links = tab.evaluate("[...document.links].map(a => a.href)")
            problems += [f"{here}: {link}" for link in [*broken, *missing(links)]]
        browser.close()
    assert not problems, "\n".join(problems)


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
