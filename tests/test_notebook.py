"""Results show themselves in Jupyter, and nothing that comes from outside is run there."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import crosslook
from crosslook.geo.raster import RasterArray
from crosslook.match.audit import Audit
from crosslook.match.result import MatchResult
from crosslook.notebook import card, grid, image
from crosslook.report.study import Run

HOSTILE = "<script>alert(1)</script>"


class Tags(HTMLParser):
    """Opening tags that were not closed, and all names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(text: str) -> list[str]:
    tags = Tags(text)
    assert not tags.open
    assert "script" not in tags.names
    return tags.names


def test_what_comes_from_outside_is_escaped() -> None:
    text = card(HOSTILE, {HOSTILE: HOSTILE}, grid([HOSTILE], [[HOSTILE]]), image(b"x", HOSTILE))
    check(text)
    assert text.count("&lt;script&gt;") == 6


@pytest.fixture(scope="module")
def result() -> MatchResult:
    pair = crosslook.make_pair(384, 5, shift=(6.0, -4.0))
    radar = RasterArray.of(pair.sar[None], name=HOSTILE)
    return crosslook.register(radar, RasterArray.of(pair.optical))


def test_a_match_shows_verdict_and_overlay(result: MatchResult) -> None:
    text = result._repr_html_()
    assert "img" in check(text)
    assert "match" in text
    assert f"{result.confidence:.2f}" in text


def test_no_match_shows_no_image() -> None:
    noise = np.random.default_rng(0).random((2, 1, 256, 256)).astype(np.float32)
    lost = crosslook.register(*(RasterArray.of(one) for one in noise), near_only=True)
    text = lost._repr_html_()
    assert lost.verdict == "no match"
    assert "img" not in check(text)


def test_an_atlas_shows_itself(tmp_path: Path) -> None:
    crosslook.write_pairs(tmp_path / "pairs", 1, size=256, seed=1)
    atlas = crosslook.build_atlas([str(tmp_path / "pairs" / "optical")], str(tmp_path / "atlas"))
    text = atlas._repr_html_()
    assert "img" in check(text)
    assert "km2 of data" in text


def test_an_audit_shows_its_scenes() -> None:
    assert "table" in check(Audit((), b"", {"a": HOSTILE})._repr_html_())


@pytest.mark.slow
def test_a_run_is_a_path_that_shows_its_headline(tmp_path: Path) -> None:
    crosslook.write_pairs(tmp_path / "pairs", 6, size=128, seed=1)
    run = crosslook.study(
        tmp_path / "pairs", tmp_path / "run", extractors=["hog:cell=8"], patch=32,
        structure=False, draws=100,
    )  # fmt: skip
    assert isinstance(run, Run)
    assert isinstance(run, Path)
    assert run == tmp_path / "run"
    assert (run / "report.html").exists()
    text = run._repr_html_()
    check(text)
    assert "hog:cell=8" in text
    assert "chance" in text
