"""Transforms: chains of maps, their inverses, composition, reading back."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from crosslook.errors import MatchError, SettingError
from crosslook.geo.grid import make_grid
from crosslook.match.transform import (
    Affine,
    Homography,
    Inverse,
    Map,
    Projection,
    ReliefField,
    ThinPlate,
    Transform,
    flat,
    grid_points,
    identity,
    merged,
    narrowest,
    similarity,
    translation,
)
from crosslook.types import Window

POINTS = grid_points(600, 400)
shifts = st.floats(-500, 500)
transforms = st.builds(
    similarity,
    st.tuples(shifts, shifts),
    st.floats(-180, 180),
    st.floats(0.2, 5.0),
    st.tuples(st.floats(0, 600), st.floats(0, 400)),
)


def spline() -> ThinPlate:
    rng = np.random.default_rng(3)
    source = rng.uniform(0, (600, 400), (40, 2))
    bend = np.column_stack([np.sin(source[:, 1] / 90), np.cos(source[:, 0] / 110)]) * 4
    return ThinPlate.fit(source, source + bend + [7.0, -3.0], 0.02)


def relief() -> ReliefField:
    rows, cols = np.mgrid[0:21, 0:21]
    hill = np.exp(-((rows - 9) ** 2 + (cols - 7) ** 2) / 20)
    base = Affine(similarity((3.0, 5.0), 4.0, 1.02, (300.0, 200.0)).matrix)
    return ReliefField.on_grid(np.stack([2 * hill, 9 * hill], axis=-1), 32.0, base)


HERE = make_grid("EPSG:32633", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_427_700.0), 600, 400)
THERE = make_grid("EPSG:4326", (1.4e-4, 0.0, 15.0, 0.0, -9e-5, 49.0), 600, 400)
OTHER = make_grid("EPSG:3857", (15.0, 0.0, 1_669_800.0, 0.0, -15.0, 6_274_900.0), 600, 400)
gentle = st.builds(
    similarity,
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    st.floats(-20, 20),
    st.floats(0.8, 1.2),
    st.just((300.0, 200.0)),
).map(lambda transform: transform.maps[0])
perspectives = st.tuples(st.floats(-1e-5, 1e-5), st.floats(-1e-5, 1e-5)).map(
    lambda row: flat([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0], [*row, 1.0]])
)
projections = st.sampled_from(
    [Projection(HERE, THERE), Projection(THERE, HERE), Projection(HERE, OTHER)]
)
fields = st.sampled_from([spline(), relief()])
chains = st.lists(
    st.one_of(gentle, perspectives, projections, fields, fields.map(lambda field: field.inverse)),
    min_size=1,
    max_size=5,
)


@given(chains)
@settings(max_examples=150, deadline=None)
def test_a_chain_does_what_its_maps_do_one_after_another(maps: list[Map]) -> None:
    expected = POINTS
    for one in maps:
        expected = one(expected)
    chain = reduce(lambda first, second: second @ first, map(Transform, maps))
    np.testing.assert_allclose(chain(POINTS), expected, atol=1e-6)
    assert len(chain.maps) <= len(maps)
    np.testing.assert_allclose(chain.inverse(expected), POINTS, atol=1e-5)
    np.testing.assert_allclose((chain.inverse @ chain)(POINTS), POINTS, atol=1e-5)


@given(chains)
@settings(max_examples=50, deadline=None)
def test_a_chain_read_back_from_json_is_the_same(maps: list[Map]) -> None:
    transform = Transform(merged(maps), "affine")
    text = json.dumps(transform.to_dict())
    again = Transform.from_dict(json.loads(text))
    # A relief is written to a thousandth of a pixel.
    np.testing.assert_allclose(again(POINTS), transform(POINTS), atol=2e-2)
    assert json.dumps(again.to_dict()) == text


@pytest.mark.parametrize(("source", "target"), [(HERE, THERE), (THERE, HERE), (HERE, OTHER)])
@given(move=gentle)
@settings(max_examples=20, deadline=None)
def test_a_projection_puts_pixels_where_pyproj_does(
    source: GeoBox, target: GeoBox, move: Affine
) -> None:
    to = Transformer.from_crs(str(source.crs), str(target.crs), always_xy=True)
    moved = move(POINTS)
    x, y = to.transform(*(source.affine * (moved[:, 1], moved[:, 0])))
    col, row = ~target.affine * (x, y)
    maps = merged((move, Projection(source, target)))
    assert len(maps) == 1  # a moved image has another grid
    np.testing.assert_allclose(Transform(maps)(POINTS), np.column_stack([row, col]), atol=1e-6)


def test_neighbours_become_one_map_where_one_does_for_both() -> None:
    move = Affine(similarity((5, 9), 2.0, 1.1).matrix)
    tilt = flat(np.array([[1, 0, 0], [0, 1, 0], [1e-5, 0, 1]]))
    project = Projection(HERE, THERE)
    for first, second, kinds in [
        (move, move, [Affine]),
        (move, tilt, [Homography]),
        (tilt, tilt, [Homography]),
        (move, spline(), [ThinPlate]),
        (spline(), move, [ThinPlate]),
        (relief(), move, [ReliefField]),
        (spline().inverse, move, [Inverse]),
        (move, relief().inverse, [Inverse]),
        (move, project, [Projection]),
        (project, move, [Projection, Affine]),
        (spline(), relief(), [ThinPlate, ReliefField]),
        (tilt, spline(), [Homography, ThinPlate]),
    ]:
        assert [type(one) for one in merged((first, second))] == kinds


@given(transforms)
def test_a_transform_times_its_inverse_is_the_identity(transform: Transform) -> None:
    there_and_back = transform.inverse(transform(POINTS))
    np.testing.assert_allclose(there_and_back, POINTS, atol=1e-8)
    np.testing.assert_allclose(transform.matrix @ transform.inverse.matrix, np.eye(3), atol=1e-9)


@given(transforms, transforms)
@settings(max_examples=50)
def test_composition_applies_the_first_and_then_the_second(a: Transform, b: Transform) -> None:
    np.testing.assert_allclose((b @ a)(POINTS), b(a(POINTS)), rtol=1e-9, atol=1e-6)


def test_a_chain_has_the_more_general_model() -> None:
    assert (Transform(spline(), "tps") @ similarity((1, 2))).model == "tps"
    assert (similarity((1, 2)) @ Transform(np.eye(3), "shift")).model == "similarity"


def test_a_bent_transform_has_no_matrix() -> None:
    for bent in (spline(), Projection(HERE, THERE), relief().inverse):
        transform = Transform(bent, "tps")
        assert not transform.is_flat
        with pytest.raises(MatchError, match="positions"):
            _ = transform.matrix
    assert not Transform(Projection(HERE, THERE)).has_field


def test_without_its_field_a_transform_is_its_affine_map() -> None:
    bent = Transform(spline(), "tps") @ Transform(Projection(HERE, THERE), "shift")
    assert bent.has_field
    assert bent.inverse.has_field
    expected = spline().affine(Projection(HERE, THERE)(POINTS))
    np.testing.assert_array_equal(bent.without_field(POINTS), expected)
    np.testing.assert_allclose(bent.inverse.without_field(expected), POINTS, atol=1e-6)
    np.testing.assert_array_equal(Transform(spline()).without_field.matrix, spline().affine.matrix)


def test_a_spline_that_folds_is_refused() -> None:
    source = grid_points(100, 100, 5)
    folded = ThinPlate.fit(source, source + 90 * np.sin(source[:, ::-1] / 8), 0.0)
    with pytest.raises(MatchError, match="folds"):
        folded.inverse(source)


def test_rotation_brings_the_column_axis_towards_the_row_axis() -> None:
    quarter = similarity((0, 0), rotation=90.0)
    np.testing.assert_allclose(quarter([0.0, 1.0]), [1.0, 0.0], atol=1e-12)
    described = similarity((3, -2), 1.5, 1.02, (50, 60)).describe([50, 60])
    assert described == pytest.approx(
        {"row_px": 3, "col_px": -2, "rotation_degrees": 1.5, "scale": 1.02}
    )


def test_a_homography_divides_by_depth() -> None:
    matrix = np.eye(3)
    matrix[2, 0] = 0.001
    np.testing.assert_allclose(Transform(matrix, "homography")([1000.0, 10.0]), [500.0, 5.0])


def test_within_a_window_positions_count_from_its_first_pixel() -> None:
    whole = similarity((2, 3), 1.0)
    part = whole.within(Window(40, 70, 5, 5))
    np.testing.assert_allclose(part(POINTS), whole(POINTS) - np.array([40, 70]))


@pytest.mark.parametrize(
    ("matrix", "model"),
    [
        (translation(3, 4), "shift"),
        (similarity((3, 4), 10, 2).matrix, "similarity"),
        (np.diag([1.0, 2.0, 1.0]), "affine"),
        (np.array([[1, 0, 0], [0, 1, 0], [1e-4, 0, 1.0]]), "homography"),
    ],
)
def test_narrowest_names_the_least_general_model(matrix: np.ndarray, model: str) -> None:
    assert narrowest(matrix) == model


def test_bad_transforms_are_refused() -> None:
    misspelt: Any = "similarty"
    with pytest.raises(SettingError, match="Did you mean"):
        Transform(np.eye(3), misspelt)
    with pytest.raises(MatchError, match="singular"):
        Transform(np.diag([1.0, 0.0, 1.0]))
    for matrix in (np.full((3, 3), np.nan), np.eye(2), ()):
        with pytest.raises(MatchError, match="finite"):
            Transform(matrix)
    with pytest.raises(MatchError, match="last row"):
        Affine(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.1, 0.0, 1.0]]))
    with pytest.raises(KeyError, match="matrix"):
        Transform.from_dict({"model": "shift"})
    with pytest.raises(MatchError, match="finite"):
        Transform.from_dict({"model": "shift", "maps": []})


def test_the_matrix_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        identity().matrix[0, 0] = 2.0
