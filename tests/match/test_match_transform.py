"""Transforms: inverse, composition, splines, reading back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosslook.errors import MatchError, SettingError
from crosslook.match.robust_fit import fit_robust
from crosslook.match.transform import (
    Transform,
    grid_points,
    identity,
    narrowest,
    similarity,
    translation,
)

POINTS = grid_points(600, 400)
shifts = st.floats(-500, 500)
transforms = st.builds(
    similarity,
    st.tuples(shifts, shifts),
    st.floats(-180, 180),
    st.floats(0.2, 5.0),
    st.tuples(st.floats(0, 600), st.floats(0, 400)),
)


def spline() -> Transform:
    rng = np.random.default_rng(3)
    source = rng.uniform(0, (600, 400), (40, 2))
    bend = np.column_stack([np.sin(source[:, 1] / 90), np.cos(source[:, 0] / 110)]) * 4
    fit = fit_robust(source, source + bend + [7.0, -3.0], "tps", threshold=6.0)
    assert fit is not None
    return fit.transform


@given(transforms)
def test_a_transform_times_its_inverse_is_the_identity(transform: Transform) -> None:
    there_and_back = transform.inverse(transform(POINTS))
    np.testing.assert_allclose(there_and_back, POINTS, atol=1e-8)
    np.testing.assert_allclose(transform.matrix @ transform.inverse.matrix, np.eye(3), atol=1e-9)


@given(transforms, transforms)
@settings(max_examples=50)
def test_composition_applies_the_first_and_then_the_second(a: Transform, b: Transform) -> None:
    np.testing.assert_allclose(b.compose(a)(POINTS), b(a(POINTS)), rtol=1e-9, atol=1e-6)


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


def test_a_spline_is_inverted_and_composed_with_affine_maps() -> None:
    bent = spline()
    np.testing.assert_allclose(bent.inverse(bent(POINTS)), POINTS, atol=1e-7)
    np.testing.assert_allclose(bent.inverse.inverse(POINTS), bent(POINTS))
    move = similarity((5, 9), 2.0, 1.1)
    np.testing.assert_allclose(move.compose(bent)(POINTS), move(bent(POINTS)), atol=1e-8)
    np.testing.assert_allclose(bent.compose(move)(POINTS), bent(move(POINTS)), atol=1e-8)
    np.testing.assert_allclose(
        move.compose(bent).inverse(POINTS), bent.inverse(move.inverse(POINTS)), atol=1e-6
    )
    with pytest.raises(MatchError, match="spline"):
        bent.compose(bent)


@pytest.mark.parametrize("transform", [similarity((3, 4), 5, 1.1), spline(), spline().inverse])
def test_a_transform_read_back_from_json_is_the_same(transform: Transform) -> None:
    again = Transform.from_dict(json.loads(json.dumps(transform.to_dict())))
    np.testing.assert_allclose(again(POINTS), transform(POINTS), atol=1e-8)
    assert again.model == transform.model


def test_shifted_counts_from_other_origins() -> None:
    local = similarity((2, 3), 1.0)
    whole = local.shifted((100, 50), (400, 700))
    np.testing.assert_allclose(
        whole(POINTS + np.array([100, 50])), local(POINTS) + np.array([400, 700])
    )


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
    with pytest.raises(MatchError, match="finite"):
        Transform(np.full((3, 3), np.nan))


def test_the_matrix_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        identity().matrix[0, 0] = 2.0
