"""One hint at relief, one residual, no rotation of what has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosslook.cli.outcome import say
from crosslook.data.simulate.scene import make_pair
from crosslook.geo.raster import RasterArray
from crosslook.match.evidence import sentences
from crosslook.match.files import tie_point_rows
from crosslook.match.hints import heights_note, held_out, relief_hint
from crosslook.match.register import register
from crosslook.match.result import MatchResult
from crosslook.match.transform import Transform


def compared(model: str = "similarity", relief: float = 3.2, **more: Any) -> dict[str, Any]:
    errors = {"similarity": 3.7, "affine": 3.9, "relief": relief}
    candidates = [{"model": name, "error_px": value} for name, value in errors.items()]
    return {
        "verdict": "match",
        "transform": {"model": model},
        "geometry": {"working_pixel": 1, "candidates": candidates},
        "evidence": {"relief": 9.0},
        "settings": {"model": "auto"},
        **more,
    }


def test_the_hint_has_the_numbers_that_were_compared() -> None:
    assert relief_hint(compared()) == (
        "relief would predict held-out tie points to 3.2 px instead of 3.7 px of the similarity: "
        "not clearly better"
    )
    assert relief_hint(compared(relief=3.8)).endswith("no better")
    assert "3.2 px" in sentences(compared())[-1]["text"]  # as the page and the API have it


def test_a_followed_relief_shows_its_own_error() -> None:
    followed = compared("relief")
    assert relief_hint(followed) == ""
    shown = held_out(followed)
    assert shown is not None
    assert (shown.model, shown.error_px, shown.similarity_px) == ("relief", 3.2, 3.7)


def test_errors_are_in_optical_pixels() -> None:
    coarse = compared()
    coarse["geometry"]["working_pixel"] = 2
    assert "6.4 px instead of 7.4 px" in relief_hint(coarse)


def test_nothing_is_said_of_flat_ground_or_of_no_match() -> None:
    flat: dict[str, Any] = {"geometry": None, "evidence": {"relief": 2.0}}
    assert relief_hint(compared(**flat)) == ""
    assert relief_hint(compared(verdict="no match")) == ""
    hilly: dict[str, Any] = {"geometry": None, "settings": {"model": "similarity"}}
    assert "9 px, as over hills; --model auto" in relief_hint(compared(**hilly))
    assert "no relief was followed" in relief_hint(compared(geometry=None))


@pytest.fixture(scope="module")
def result() -> MatchResult:
    made = make_pair(384, 4, relief=0.0)
    return register(RasterArray.of(made.sar), RasterArray.of(made.optical))


def test_words_and_colours_use_one_residual(
    result: MatchResult, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tie_point_rows(result.tie_points, result.transform, result.optical.grid)
    own = np.median([row["residual_px"] for row in rows if row["inlier"]])
    assert result.median_residual_px == pytest.approx(own, abs=1e-3)
    assert result.to_dict()["tie_points"]["median_residual_px"] == result.median_residual_px
    said = f"of them inliers with a median residual of {own:.1f} px"
    say(result, Path("out"))
    assert said in capsys.readouterr().out
    assert said in result._repr_html_()


def test_only_a_similarity_has_a_rotation(result: MatchResult) -> None:
    transform = result.transform
    assert transform is not None
    assert result.movement is not None
    assert set(result.movement) == {"row_px", "col_px", "rotation_degrees", "scale"}
    sheared = replace(result, transform=Transform(transform.maps, "affine"))
    assert sheared.movement is not None
    assert set(sheared.movement) == {"row_px", "col_px"}
    none = replace(result, verdict="no match", reason="too little texture. Give another.")
    assert none.movement is None
    assert none.to_dict()["movement"] is None
    assert "rotation" not in none._repr_html_()
    assert "too little texture" in none._repr_html_()


def over_heights(**more: Any) -> dict[str, Any]:
    relief = {"geometry": {"relief": {"px_per_metre": 0.17}}, "transform": {"model": "relief"}}
    return compared() | relief | {"settings": {"dem": "dem.tif"}} | more


def test_heights_say_what_was_known_of_the_sensor_and_what_was_assumed() -> None:
    unknown = heights_note(over_heights(), {})
    assert "0.17 px, which was fitted to tie points: the file says no incidence angle" in unknown
    assert "the file says no heading" in unknown
    known = heights_note(over_heights(), {"incidence": "--incidence", "heading": "a tag of a.tif"})
    assert "from the incidence angle (--incidence), which is taken as one for all of it" in known
    assert "from the heading (a tag of a.tif), of a sensor that looks to the right" in known


def test_heights_say_that_a_product_tells_the_whole_swath() -> None:
    note = heights_note(over_heights(), {"swath": "the annotation a.xml"})
    assert "0.17 px at the centre, which was fitted to tie points" in note
    assert "the range follow from the annotation a.xml" in note


def test_heights_of_a_scene_say_whether_the_prediction_was_taken() -> None:
    terrain: dict[str, Any] = {"px_per_metre": 0.2, "direction_degrees": 4.0}
    scene = {"geometry": {"terrain": terrain}}
    note = heights_note(over_heights(scene=scene), {"incidence": "--incidence"})
    assert note.endswith("0.2 px; size and direction were fitted to tie points over the swath")
    refused = heights_note(over_heights(scene=scene), {"swath": "the annotation a.xml"})
    assert "does not explain tie points as well" in refused
    terrain |= {"by": "the annotation a.xml", "times_predicted": 0.97}
    taken = heights_note(over_heights(scene=scene), {"swath": "the annotation a.xml"})
    assert "0.97 times what incidence and range predict (the annotation a.xml)" in taken
    silent = heights_note(over_heights(scene={"geometry": {}}), {})
    assert "no place was moved by them" in silent


def test_of_heights_that_were_not_given_or_serve_something_else_nothing_is_said() -> None:
    assert heights_note(compared(), {}) == ""
    assert heights_note(over_heights(settings={"dem": "dem.tif", "atlas": "a"}), {}) == ""
    assert heights_note(over_heights(verdict="no match"), {}) == ""
    flat = over_heights(transform={"model": "affine"})
    assert heights_note(flat, {}).startswith("--dem: no model that follows heights")
