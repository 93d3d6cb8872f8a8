"""What draws the images of the documentation reads them from its pages and runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from evidence_plots import read_table  # noqa: E402
from gallery import TILES  # noqa: E402


def test_plots_are_read_from_the_tables() -> None:
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    dots = {(d.row, d.column): d for d in read_table(text, "**All cases.**")}
    ours = dots["template (ours)", "within 2 px"]
    assert f"**{ours.value:.3f} ({ours.low:.3f}-{ours.high:.3f})**" in text
    assert dots["left where they are", "5 px"].low is None  # a row without intervals has none
    assert not any(column == "median" for _, column in dots)
    with pytest.raises(ValueError):
        read_table(text, "no such line")


def test_a_table_of_another_kind_gives_its_fractions() -> None:
    text = "here\n\n| what | a | b |\n|---|---|---|\n| `x` | 0.5 (0.4-0.6) | - |\n\n| y | 1.0 |\n"
    [dot] = read_table(text, "here")
    assert (dot.row, dot.column, dot.value, dot.low, dot.high) == ("x", "a", 0.5, 0.4, 0.6)


def test_the_gallery_shows_every_tile_and_links_each() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    for name in TILES:
        assert f"images/gallery/{name}.webp" in page
        assert (ROOT / "docs" / "images" / "gallery" / f"{name}.webp").is_file()
    cards = page.count(":::{grid-item-card}")
    assert cards == len(re.findall(r"^:link: ", page, re.MULTILINE)) >= len(TILES)


def test_questions_of_a_first_reader_are_two_clicks_away() -> None:
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for target in ("tutorials/line-up", "tutorials/which-model", "numbers.md", "weights.md"):
        assert target in first
    assert "## Cite" in first
