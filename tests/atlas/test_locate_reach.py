"""Queries of every size, beyond the edge, larger than the atlas, turned by anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslook.atlas import search as searching
from crosslook.atlas.locate import locate, locate_all
from crosslook.atlas.query import Pose, cut_poses, make_poses, make_template, prepare_query
from crosslook.atlas.search import OpenLevels, SearchRequest, search_queries, searcher
from crosslook.atlas.store import Atlas, Level
from crosslook.data.simulate.scene import make_pair
from crosslook.errors import MatchError
from crosslook.extract.base import Extractor
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.result import Failure, MatchResult
from crosslook.match.transform import Transform, grid_points, mean_distance, translation
from crosslook.options import ModelOptions
from tests.helpers.stored import stored_in

SEED, METRES = 11, 10.0
ORIGIN = np.zeros((1, 2))


def chip(
    origin: tuple[int, int], side: int, rotation: float = 0.0
) -> tuple[RasterArray, Transform]:
    """A SAR chip of any side, and its pixels to those of the map, which it may leave."""
    made = make_pair(side, SEED, origin=origin, relief=20.0, rotation=rotation)
    move = Transform(translation(*map(float, origin)), "shift")
    image = RasterArray.of(made.sar, name=f"chip-{side}")
    return image, move @ Transform(made.truth, "similarity")


def off(result: MatchResult, truth: Transform, atlas: Atlas) -> float:
    """Mean distance from the truth over what lies on the atlas, pixels."""
    assert result.transform is not None
    assert result.window is not None
    corner = Transform(translation(result.window.row, result.window.col), "shift")
    points = grid_points(*result.sar.shape)
    there = truth(points)
    inside = ((there >= 0) & (there <= np.array(atlas.grid.shape))).all(axis=1)
    return mean_distance(corner @ result.transform, truth, points[inside])


@pytest.mark.parametrize(
    ("origin", "side"),
    [
        ((610, 330), 160),
        pytest.param((120, 200), 1024, marks=pytest.mark.slow),
        ((-96, 500), 256),  # over the edge
        ((-330, 420), 720),  # and larger than a template, whatever part has the most contrast
    ],
)
def test_a_chip_of_any_size_is_found_though_a_part_lies_beyond_the_atlas(
    atlas: Atlas, origin: tuple[int, int], side: int
) -> None:
    image, truth = chip(origin, side)
    result = locate(image, atlas, gsd=METRES)
    assert off(result, truth, atlas) < 2.5


def test_a_query_larger_than_the_atlas_is_found(small: Atlas) -> None:
    image, truth = chip((-130, -90), 900)
    result = locate(image, small, gsd=METRES)
    assert result.verdict == "match"
    assert off(result, truth, small) < 2.5


def test_parts_cover_a_query_and_overlap_by_half(atlas: Atlas) -> None:
    image = open_image(RasterArray.of(stored_in(atlas.image((0, 0), (900, 700)))), "optical")
    query = prepare_query(image, atlas, METRES, ORIGIN)
    parts = cut_poses(make_poses(query, 0.0, 0.0), 300, 0.5)
    starts = -np.array([part.placed(np.zeros(2)) for part in parts])
    rows, cols = np.unique(starts[:, 0]), np.unique(starts[:, 1])
    assert rows[0] == cols[0] == 0
    assert max(np.diff(rows).max(), np.diff(cols).max()) <= 150
    np.testing.assert_allclose([rows[-1] + 300, cols[-1] + 300], parts[0].extent, atol=1.0)
    assert len(parts) == len(rows) * len(cols)
    for part in parts:
        assert part.shape == (300, 300)
        assert part.grey_image.valid.mean() > 0.98
        np.testing.assert_allclose(
            part.centre - parts[0].centre, starts[0] + part.placed(ORIGIN)[0]
        )


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 16))
def test_poses_are_searched_a_bounded_number_at_a_time(counts: list[int], most: int) -> None:
    seen: list[list[int]] = [[] for _ in counts]
    for part in searching._chunks(counts, most):
        assert 0 < sum(one.stop - one.start for one in part) <= most
        for mine, one in zip(seen, part, strict=True):
            mine += range(one.start, one.stop)
    assert seen == [list(range(count)) for count in counts]


def test_many_poses_give_what_all_at_once_give_in_a_bounded_memory(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = open_image(RasterArray.of(stored_in(atlas.image((112, 240), (256, 256)))), "optical")
    query = prepare_query(image, atlas, METRES, ORIGIN)
    assert len(make_poses(query, 180.0, 0.1)) == 144 * 9  # half a turn counts once
    scales = sorted({pose.scale for pose in make_poses(query, 0.0, "1.1:1.2")})
    np.testing.assert_allclose(scales, [1.1, 1.125, 1.15, 1.175, 1.2])
    asked = SearchRequest(make_poses(query, 25.0, 0.0), None)
    levels = OpenLevels(atlas, ModelOptions())
    search = searcher(atlas, 0)
    assert search.at_once * search.blocks.spectrum_bytes <= 128 << 20
    together = search_queries(levels, [asked], 20)
    monkeypatch.setattr(searching, "_TEMPLATE_BYTES", 0)
    assert search.at_once < len(asked.poses)
    apart = search_queries(levels, [asked], 20)
    assert apart[0][1][0] == together[0][1][0]
    first, second = ({f.corner for f in results[0][1][:5]} for results in (together, apart))
    assert len(first & second) >= 4  # the flanks of a peak may count once more


def test_any_rotation_is_found_where_it_is_requested(atlas: Atlas) -> None:
    image, truth = chip((391, 430), 256, rotation=141.0)
    result = locate(image, atlas, gsd=METRES, rotation=180.0)
    assert off(result, truth, atlas) < 2.5


@pytest.mark.slow
def test_no_match_has_no_place_and_says_what_may_be_the_cause(atlas: Atlas, tmp_path: Path) -> None:
    elsewhere = RasterArray.of(make_pair(256, 400, relief=20.0).sar, name="elsewhere")
    noise = np.random.default_rng(1).gamma(1.0, 1.0, (1, 256, 256)).astype(np.float32)
    speckle = RasterArray.of(noise, name="speckle")
    for image, words in ((elsewhere, "--rotation 180"), (speckle, "too little texture")):
        result = locate(image, atlas, gsd=METRES, out=tmp_path / image.header.name)
        assert result.verdict == "no match"
        assert words in result.reason
        match = json.loads((tmp_path / image.header.name / "match.json").read_text())
        for name in ("centre", "footprint", "expected_error_px", "expected_error_m"):
            assert match[name] is None
        assert (match["reason"], match["search"]) == (result.reason, "atlas")


@pytest.mark.slow
def test_queries_of_all_sizes_go_together(small: Atlas) -> None:
    queries = [chip((200, 300), 200), chip((-130, -90), 900), chip((60, 90), 500)]
    results = list(locate_all([image for image, _ in queries], small, gsd=METRES))
    for one, (_, truth) in zip(results, queries, strict=True):
        assert isinstance(one, MatchResult)
        assert off(one, truth, small) < 2.5


def test_a_query_that_cannot_be_searched_for_does_not_lose_the_others(
    small: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pose: Pose, level: Level, extractor: Extractor) -> Any:
        if pose.source.shape == (180, 180):
            raise MatchError("no features")
        return make_template(pose, level, extractor)

    monkeypatch.setattr(searching, "make_template", refuse)
    sides = (200, 180, 256)
    results = list(locate_all([chip((200, 300), s)[0] for s in sides], small, gsd=METRES))
    assert [isinstance(one, Failure) for one in results] == [False, True, False]
    assert isinstance(results[1], Failure)
    assert (results[1].name, str(results[1].error)) == ("chip-180", "no features")
    for one, side in zip(results[::2], sides[::2], strict=True):
        assert isinstance(one, MatchResult)
        assert off(one, chip((200, 300), side)[1], small) < 2.5
