"""The search: peaks against brute force, principal channels, and which level is searched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crosslook.atlas.search as searching
from crosslook.atlas.query import make_poses, make_template, prepare_query
from crosslook.atlas.search import (
    ENERGY_FRACTION,
    OpenLevels,
    QuerySearch,
    Searcher,
    SearchRequest,
    find_maxima,
    finest_level,
    principal_channels,
    score_surface,
    search_queries,
)
from crosslook.atlas.store import Atlas, Level, open_atlas
from crosslook.extract.registry import open_extractor
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.options import ModelOptions
from tests.helpers.stored import stored_in

METRES = 10.0
ORIGIN = np.zeros((1, 2))


def request(atlas: Atlas, side: int, rotation: float = 0.0) -> SearchRequest:
    """A query cut from the image of the atlas itself, at (112, 240)."""
    cut = stored_in(atlas.image((112, 240), (side, side)))
    image = open_image(RasterArray.of(cut), "optical")
    query = prepare_query(image, atlas, METRES, ORIGIN)
    return SearchRequest(make_poses(query, rotation, 0.0), None)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_maxima_are_those_of_brute_force(seed: int, apart: int) -> None:
    scores = np.random.default_rng(seed).standard_normal((19, 23)).astype(np.float32)
    maxima, place = find_maxima(scores, apart)
    expected = {
        (row, col)
        for row, col in np.argwhere(scores > 0)
        if scores[row, col]
        >= scores[
            max(0, row - apart) : row + apart + 1, max(0, col - apart) : col + apart + 1
        ].max()
    }
    assert {tuple(at) for at in place} == expected
    np.testing.assert_array_equal(maxima, scores[tuple(place.T)])


def test_of_many_maxima_the_best_64_stay_and_equals_of_the_last() -> None:
    scores = np.zeros((90, 90), np.float32)
    scores[::3, ::3] = np.arange(900, dtype=np.float32).reshape(30, 30) + 1
    maxima, _ = find_maxima(scores, 1)
    assert sorted(maxima) == list(range(837, 901))
    scores[::3, ::3] = 5.0
    assert len(find_maxima(scores, 1)[0]) == 900


def test_near_peaks_are_thinned_best_first() -> None:
    query = QuerySearch(apart=4)
    assert query.best(5) == []
    score = np.array([0.2, 0.9, 0.9, 0.8, 0.5], np.float32)
    query.add(score, np.array([[50, 50, 0], [10, 20, 1], [10, 14, 0], [14, 24, 2], [15, 30, 0]]))
    best = [(value, *place.tolist()) for value, place in query.best(3)]
    # (14, 24) lies within 4 of the better (10, 20) on both axes; (10, 14) does not on one.
    high = float(np.float32(0.9))
    assert best == [(high, 10, 14, 0), (high, 10, 20, 1), (0.5, 15, 30, 0)]
    assert [(value, *place.tolist()) for value, place in query.best(1)] == best[:1]


def test_peaks_of_many_maps_are_those_of_all_at_once() -> None:
    rng = np.random.default_rng(3)
    parts = [
        (
            rng.random(700).astype(np.float32),
            np.column_stack([rng.integers(0, 5000, (700, 2)), rng.integers(0, 3, 700)]),
        )
        for _ in range(40)
    ]
    query = QuerySearch(apart=8)
    for part in parts:
        query.add(*part)
        assert len(query._scores) <= 8192
    score, place = (np.concatenate(one) for one in zip(*parts, strict=True))
    expected: list[tuple[float, list[int]]] = []
    for n in np.lexsort((place[:, 2], place[:, 1], place[:, 0], -score)):
        if all(np.abs(place[n, :2] - at[:2]).max() > 8 for _, at in expected):
            expected.append((float(score[n]), place[n].tolist()))
        if len(expected) == 50:
            break
    assert [(value, at.tolist()) for value, at in query.best(50)] == expected


@pytest.mark.parametrize("level", [0, 1])
def test_principal_channels_hold_the_energy_and_so_the_products(atlas: Atlas, level: int) -> None:
    basis = principal_channels(atlas, level)
    assert len(basis) < basis.shape[1]
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-5)
    whole = atlas.features(level, (0, 0), (100, 100)).values
    kept = np.tensordot(basis, whole, axes=1)
    assert (kept**2).sum() / (whole**2).sum() == pytest.approx(ENERGY_FRACTION, abs=0.06)
    fewer = np.tensordot(basis[:-1], whole, axes=1)
    assert (fewer**2).sum() / (whole**2).sum() < ENERGY_FRACTION + 0.02


@pytest.mark.parametrize("level", [0, 1])
def test_the_score_of_a_peak_is_the_cosine_there(atlas: Atlas, level: int) -> None:
    search = Searcher(atlas, level)
    one = atlas.manifest.levels[level]
    pose = request(atlas, 200).poses[0]
    template, _ = make_template(pose, one, open_extractor(one.spec))
    query = QuerySearch(templates=[search.transform(template)])
    search.gather([query])
    peaks = query.best(12)
    values = search.blocks.project(template.values)
    for score, (row, col, _) in peaks:
        there = search.blocks.project(
            atlas.features(level, (int(row), int(col)), values.shape[1:]).values
        )
        cosine = (values * there).sum() / np.sqrt((values**2).sum() * (there**2).sum())
        assert score == pytest.approx(cosine, abs=2e-4)
    np.testing.assert_allclose(peaks[0][1][:2] * one.cell, (112, 240), atol=one.cell)


def test_the_best_places_are_seen_in_the_finest_level_that_holds_the_query(atlas: Atlas) -> None:
    options = ModelOptions(device="cpu")
    levels = OpenLevels(atlas, options)
    assert finest_level(levels, request(atlas, 256)) == 1
    assert finest_level(levels, request(atlas, 300)) == 0  # more than 64 cells of 4 px
    assert finest_level(levels, request(atlas, 256, rotation=5.0)) == 0
    first = atlas.manifest.levels[0]
    for other in (Level("raw:cell=4", 4), Level("hog:cell=8,blur=2", 8)):
        unlike = open_atlas(atlas.name)
        unlike.manifest = replace(atlas.manifest, levels=(first, other))
        assert finest_level(OpenLevels(unlike, options), request(atlas, 256)) == 0


def places_of(atlas: Atlas, device: str) -> list[tuple[float, list[int]]]:
    """The twenty best places of a query under five rotations, transformed on a device."""
    level = atlas.manifest.levels[0]
    search = Searcher(atlas, 0, device)
    poses = request(atlas, 200, rotation=5.0).poses
    templates = [make_template(pose, level, open_extractor(level.spec))[0] for pose in poses]
    query = QuerySearch(templates=[search.transform(template) for template in templates])
    search.gather([query])
    return [(score, place.tolist()) for score, place in query.best(20)]


def test_torch_searches_as_scipy_does(atlas: Atlas) -> None:
    pytest.importorskip("torch", reason="the models extra is not installed")
    by_scipy, by_torch = places_of(atlas, "cpu"), places_of(atlas, "cpu:0")
    assert len(by_scipy) == 20
    assert [place for _, place in by_torch] == [place for _, place in by_scipy]
    ours, theirs = ([score for score, _ in places] for places in (by_scipy, by_torch))
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert theirs != ours  # so that it was torch indeed


def test_transforms_that_are_not_cached_give_the_same_peaks(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = places_of(atlas, "cpu")
    monkeypatch.setattr(searching, "CACHE_BYTES", 0)
    assert not Searcher(atlas, 0).blocks.is_cached
    assert places_of(atlas, "cpu") == cached


def test_queries_of_several_levels_keep_their_order(atlas: Atlas) -> None:
    queries = [request(atlas, side) for side in (256, 300, 200)]
    levels = OpenLevels(atlas, ModelOptions())
    found = search_queries(levels, queries, 5)
    assert [level for level, _ in found] == [1, 0, 1]
    for query, (_, places) in zip(queries, found, strict=True):
        np.testing.assert_allclose(places[0].corner, (112, 240), atol=8)
        assert [places] == [p for _, p in search_queries(levels, [query], 5)]


@pytest.mark.parametrize("most", [8, 24, 1000])
def test_the_score_surface_holds_the_peaks_of_the_search(atlas: Atlas, most: int) -> None:
    one = request(atlas, 192, rotation=5.0)
    levels = OpenLevels(atlas, ModelOptions())
    ((level, candidates),) = search_queries(levels, [one], 5, 0)
    scores, side = score_surface(levels, one, most, level)
    cell = atlas.manifest.levels[level].cell
    assert side >= cell
    assert max(scores.shape) <= max(most, max(atlas.grid.blocks))
    assert scores.max() == pytest.approx(candidates[0].coarse, abs=1e-6)
    # The centre of the query that was cut at (112, 240).
    row, col = (np.array(np.unravel_index(int(scores.argmax()), scores.shape)) + 0.5) * side
    assert abs(row - 112 - 96) <= side
    assert abs(col - 240 - 96) <= side
