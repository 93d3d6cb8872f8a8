"""Relief over a swath whose incidence is known: recovered from tie points of a small part of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from crosslook.geo.grid import make_grid, to_lonlat
from crosslook.geo.sensor_view import SensorView
from crosslook.match.relief import ViewGeometry
from crosslook.match.scene.consensus import Nodes
from crosslook.match.scene.plan import ScenePlan
from crosslook.match.scene.terrain import Terrain, fit_terrain, predicted_terrain
from crosslook.types import Array, Window

NEAR, FAR = 30.0, 46.0
SPACING, FACTOR = 120, 2
GRID = make_grid("EPSG:32633", (10.0, 0.0, 4e5, 0.0, -10.0, 5.5e6), 16_800, 25_200)
RANGE = 98.0
"""Azimuth in which the sensor looks."""


class _Optical:
    grid = GRID


def scene_plan() -> ScenePlan:
    """A scene of the size of a GRD at 10 m, matched at 20 m; nothing is read of it."""
    window = Window(0, 0, 16_800, 25_200)
    images: Any = _Optical()
    nothing: Any = None
    return ScenePlan(images, images, nothing, nothing, FACTOR, FACTOR, window, SPACING)


def view(near: float = NEAR, far: float = FAR, azimuth: float = RANGE) -> SensorView:
    """Incidence that grows along the columns of the optical image, as a product lists it."""
    rows, cols = (np.linspace(0.0, n, k) for n, k in ((16_800, 10), (25_200, 21)))
    at = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    angle = near + (far - near) * at[:, 1] / 25_200
    return SensorView("a product", to_lonlat(GRID, at), angle, np.full(len(at), azimuth))


def seen(part: tuple[slice, slice], noise: float = 0.7) -> tuple[Nodes, Array, Array, Array]:
    """Nodes of a scene with tie points in a part of it, positions, heights and the truth (h, w, 2).

    Hills of some 250 m; the sensor looks along ``RANGE``, a map without relief is added.
    """
    plan = scene_plan()
    at = (plan.positions(Window.whole(plan.shape)) - plan.window.corner) / plan.factor
    drawn = np.random.default_rng(6)
    heights = 500.0 + 250.0 * np.sin(at[..., 0] / 530) * np.cos(at[..., 1] / 410)
    tangent = np.tan(np.radians(NEAR + (FAR - NEAR) * at[..., 1] / 12_600))
    # Metres of a UTM map by row and column; the convergence of its meridians is within a degree.
    metres = (heights - 500.0) / tangent / (10.0 * FACTOR)
    azimuth = np.radians(RANGE - _convergence(at * FACTOR))
    truth = metres[..., None] * np.stack([-np.cos(azimuth), np.sin(azimuth)], axis=-1)
    known = np.zeros(at.shape[:2], bool)
    known[part] = True
    noisy = truth + at * 0.0005 + 3.0 + drawn.normal(0.0, noise, at.shape)
    wrong = drawn.random(known.shape) < 0.05
    noisy[wrong] += drawn.uniform(-20, 20, (int(wrong.sum()), 2))
    ones = np.ones(known.shape)
    nodes = Nodes(noisy, ones * noise, ones, ones * 2.0, ones, known.copy(), known, ones)
    return nodes, at, heights, truth


def _convergence(points: Array) -> Array:
    """Azimuth of the columns of the map at optical pixels, degrees."""
    from pyproj import Geod

    flat = points.reshape(-1, 2)
    here, above = (to_lonlat(GRID, flat - [up, 0.0]) for up in (0.0, 10.0))
    azimuth = Geod(ellps="WGS84").inv(*here.T, *above.T)[0]
    return np.asarray(azimuth).reshape(points.shape[:-1])


def errors(found: tuple[Array, Terrain] | None, at: Array, heights: Array, truth: Array) -> Array:
    """How far the relief of a fit and its map lie from the truth, over the whole scene."""
    assert found is not None
    matrix, terrain = found
    whole = at @ matrix[:, :2].T + matrix[:, 2] + terrain.displacement(heights, at)
    return np.asarray(np.linalg.norm(whole - truth - at * 0.0005 - 3.0, axis=-1))


NEAR_THIRD = (slice(None), slice(0, 35))
EVERYWHERE = (slice(None), slice(None))


def test_a_product_predicts_the_relief_of_a_metre_over_the_swath() -> None:
    terrain = predicted_terrain(scene_plan(), view())
    at = np.array([[4200.0, x] for x in np.linspace(0.0, 12_600.0, 9)])
    tangent = np.tan(np.radians(np.linspace(NEAR, FAR, 9)))
    size = np.linalg.norm(terrain.per_metre(at), axis=1)
    # UTM stretches lengths by up to 4 in 1,000 here.
    assert size == pytest.approx(1.0 / tangent / 20.0, rel=6e-3)


def test_incidence_over_the_swath_is_clearly_better_than_one_for_all_of_it() -> None:
    """As predicted, before any tie point: with the angles of the swath, and with their mean."""
    _, at, heights, truth = seen(EVERYWHERE)
    away = []
    for given in (view(), view(38.0, 38.0)):
        terrain = replace(predicted_terrain(scene_plan(), given), level=500.0)
        off = np.linalg.norm(terrain.displacement(heights, at) - truth, axis=-1)
        away.append(np.quantile(off, 0.95))
    print("95 % of places within", np.round(away, 2), "px: over the swath, one angle")
    assert away[0] < 0.1
    assert away[1] > 20 * away[0]


def test_tie_points_in_a_part_of_the_swath_tell_the_relief_of_all_of_it() -> None:
    nodes, at, heights, truth = seen(NEAR_THIRD)
    plan = scene_plan()
    varying = fit_terrain(nodes, at, heights, predicted_terrain(plan, view()))
    fitted = fit_terrain(nodes, at, heights)
    assert varying is not None
    assert varying[1].by == "a product"
    assert varying[1].times == pytest.approx(1.0, abs=0.03)
    away = [np.quantile(errors(f, at, heights, truth), 0.95) for f in (varying, fitted)]
    print("95 % of places within", np.round(away, 2), "px: over the swath, fitted alone")
    assert away[0] < 0.5
    assert away[1] > 2 * away[0]


def test_tie_points_overrule_a_product_that_is_wrong() -> None:
    nodes, at, heights, truth = seen(EVERYWHERE)
    plan = scene_plan()
    fitted = fit_terrain(nodes, at, heights)
    for wrong in (view(azimuth=RANGE + 180.0), view(azimuth=RANGE + 70.0), view(FAR, NEAR)):
        found = fit_terrain(nodes, at, heights, predicted_terrain(plan, wrong))
        assert found is not None
        assert found[1].by == ""
        assert errors(found, at, heights, truth) == pytest.approx(
            errors(fitted, at, heights, truth)
        )


def test_the_size_is_that_of_the_tie_points() -> None:
    """Control points at the heights of the ground take a part of the relief away."""
    nodes, at, heights, truth = seen(EVERYWHERE)
    plan = scene_plan()
    less = replace(nodes, displacement=nodes.displacement - 0.2 * truth)
    found = fit_terrain(less, at, heights, predicted_terrain(plan, view()))
    assert found is not None
    assert found[1].origin["times_predicted"] == pytest.approx(0.8, abs=0.01)


def test_heights_that_displace_nothing_are_not_used_whatever_a_product_says() -> None:
    nodes, at, heights, truth = seen(EVERYWHERE)
    flat = replace(nodes, displacement=nodes.displacement - truth)
    assert fit_terrain(flat, at, heights, predicted_terrain(scene_plan(), view())) is None


def test_heights_of_a_pair_count_as_much_as_their_place_in_the_swath_says() -> None:
    swath = np.tile(np.linspace(1.4, 0.8, 9), (9, 1))
    seen_as = ViewGeometry(10.0, swath=swath).seen(np.full((64, 96), 50.0))
    assert seen_as.shape == (64, 96)
    assert seen_as[0] == pytest.approx(50.0 * np.linspace(1.4, 0.8, 97)[:-1], abs=0.3)
    assert ViewGeometry(10.0).seen(np.ones((3, 3))).sum() == 9
