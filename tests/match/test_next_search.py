"""The searches that are offered after a no match: those that were not made yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crosslook.cli.outcome import say
from crosslook.data.simulate.scene import make_pair
from crosslook.geo.raster import RasterArray
from crosslook.match.next_search import next_searches
from crosslook.match.register import register

PLAIN = {"shape": [400, 300], "crs": None, "affine": None}
PLACED = {"shape": [400, 300], "crs": "EPSG:32633", "affine": [10, 0, 5e5, 0, -10, 5e6]}


def options(image: dict[str, Any] = PLAIN, verdict: str = "no match", **settings: Any) -> list[str]:
    match = {"verdict": verdict, "settings": settings, "images": {"optical": image}}
    return [one.options for one in next_searches(match)]


def test_what_was_searched_is_not_offered_again() -> None:
    assert options(near_only=True)[0] == "--no-near-only"
    poses = "--rotation 180 --scale 0.5:2"
    assert options() == [poses, "--shift 400", f"{poses} --flip"]
    assert options(rotation=180.0, scale="0.4:2.5") == ["--shift 400", "--flip"]
    assert options(rotation=180.0, scale="0.5:2", shift=500.0, flip=True) == []
    assert options(verdict="match") == options(verdict="uncertain") == []


def test_shifts_are_in_metres_where_there_are_any() -> None:
    assert "--shift 4000" in options(PLACED)


def test_on_an_atlas() -> None:
    assert options(atlas="a", radius_km=5.0) == [
        "--rotation 180 --scale 0.1",
        "no --bbox, --near, --radius",
    ]
    assert options(atlas="a", gsd=10.0, rotation=180.0, scale="0.1") == ["--scale 0.5:2"]


def test_scales_that_were_searched_are_kept() -> None:
    assert options(atlas="a", gsd=10.0, rotation=180.0, scale="0.5:2") == []
    assert options(atlas="a", scale="0.5:2") == ["--rotation 180"]
    assert options(scale="0.4:2.5") == ["--rotation 180", "--shift 400", "--rotation 180 --flip"]
    assert options(scale="0.3:1.2")[0] == "--rotation 180 --scale 0.3:2"
    assert options(scale="0.3:1.2")[2] == "--rotation 180 --scale 0.3:2 --flip"
    assert options(atlas="a", gsd=10.0, rotation=180.0, scale="0.7:4") == ["--scale 0.5:4"]


def test_the_command_line_and_python_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    made, other = make_pair(256, 4, relief=0.0), make_pair(256, 9, relief=0.0)
    result = register(RasterArray.of(made.sar), RasterArray.of(other.optical), near_only=True)
    assert result.verdict == "no match"
    say(result, Path("out"))
    said = capsys.readouterr().out
    assert "next: --no-near-only searches the whole overlap\n" in said
    assert result.to_dict()["next"][0]["settings"] == {"near_only": False}
    say(replace(result, verdict="uncertain", reason=""), Path("out"))
    assert "next:" not in capsys.readouterr().out
