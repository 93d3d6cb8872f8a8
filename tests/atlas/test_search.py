"""The search: peaks against brute force, principal channels, and which level is searched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.atlas.levels import Level
from crosslook.atlas.peaks import Peak, PeakHeap, Peaks, find_maxima, join
from crosslook.atlas.query import make_poses, make_template, prepare_query
from crosslook.atlas.ready_blocks import ENERGY_FRACTION, principal_channels
from crosslook.atlas.search import (
    OpenLevels,
    Searcher,
    SearchRequest,
    finest_level,
    score_surface,
    search_queries,
    searcher,
)
from crosslook.atlas.store import Atlas, open_atlas
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
    score = np.array([0.2, 0.9, 0.9, 0.8, 0.5], np.float32)
    place = np.array([[50, 50, 0], [10, 20, 1], [10, 14, 0], [14, 24, 2], [15, 30, 0]])
    kept = Peaks(score, place).thinned(3, 4)
    # (14, 24) lies within 4 of the better (10, 20) on both axes; (10, 14) does not on one.
    assert [(p.row, p.col, p.template) for p in kept] == [(10, 14, 0), (10, 20, 1), (15, 30, 0)]
    assert Peaks(score, place).thinned(1, 4) == [Peak(float(np.float32(0.9)), 10, 14, 0)]
    assert join([]).thinned(5, 4) == []


def test_peaks_of_many_maps_are_those_of_all_at_once() -> None:
    rng = np.random.default_rng(3)
    parts = [
        Peaks(
            rng.random(700).astype(np.float32),
            np.column_stack([rng.integers(0, 5000, (700, 2)), rng.integers(0, 3, 700)]),
        )
        for _ in range(40)
    ]
    heap = PeakHeap()
    for part in parts:
        heap.add(part)
    assert heap.best(50, 8) == join(parts).thinned(50, 8)


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
    peaks = search.search([template], 12)
    values = search.ready.project(template.values)
    for peak in peaks:
        there = search.ready.project(
            atlas.features(level, (peak.row, peak.col), values.shape[1:]).values
        )
        cosine = (values * there).sum() / np.sqrt((values**2).sum() * (there**2).sum())
        assert peak.score == pytest.approx(cosine, abs=2e-4)
    assert abs(peaks[0].row * one.cell - 112) <= one.cell
    assert abs(peaks[0].col * one.cell - 240) <= one.cell


def test_the_finest_level_that_is_cheap_is_searched(atlas: Atlas) -> None:
    assert finest_level(atlas, request(atlas, 256), "cpu") == 1
    assert finest_level(atlas, request(atlas, 300), "cpu") == 0  # more than 64 cells of 4 px
    assert finest_level(atlas, request(atlas, 256, rotation=5.0), "cpu") == 0
    first = atlas.manifest.levels[0]
    for other in (Level("raw:cell=4", 4), Level("hog:cell=8,blur=2", 8)):
        unlike = open_atlas(atlas.name)
        unlike.manifest = replace(atlas.manifest, levels=(first, other))
        assert finest_level(unlike, request(atlas, 256), "cpu") == 0
    large = open_atlas(atlas.name)
    searcher(large, 1, "cpu").ready.keeps = False
    assert finest_level(large, request(large, 256), "cpu") == 0


def test_queries_of_several_levels_keep_their_order(atlas: Atlas) -> None:
    queries = [request(atlas, side) for side in (256, 300, 200)]
    levels = OpenLevels(atlas, ModelOptions())
    proposals = search_queries(levels, queries, 5)
    assert [level for level, _ in proposals] == [1, 0, 1]
    for query, (_, places) in zip(queries, proposals, strict=True):
        assert abs(places[0].row - 112) <= 8
        assert abs(places[0].col - 240) <= 8
        assert [places] == [p for _, p in search_queries(levels, [query], 5)]


@pytest.mark.parametrize("most", [8, 24, 1000])
def test_the_score_surface_holds_the_peaks_of_the_search(atlas: Atlas, most: int) -> None:
    one = request(atlas, 192, rotation=5.0)
    levels = OpenLevels(atlas, ModelOptions())
    ((level, proposals),) = search_queries(levels, [one], 5, 0)
    scores, side = score_surface(levels, one, most, level)
    cell = atlas.manifest.levels[level].cell
    assert side >= cell
    assert max(scores.shape) <= max(most, max(atlas.grid.blocks))
    assert scores.max() == pytest.approx(proposals[0].score, abs=1e-6)
    # The centre of the query that was cut at (112, 240).
    row, col = (np.array(np.unravel_index(int(scores.argmax()), scores.shape)) + 0.5) * side
    assert abs(row - 112 - 96) <= side
    assert abs(col - 240 - 96) <= side
