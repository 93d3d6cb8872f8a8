"""A ``match.json`` of former versions still says where a SAR image lies."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from crosslook.match.transform import Transform

POINTS = [[10.0, 20.0], [30.0, 5.0], [41.5, 60.25]]
SIMILARITY = [[1.0993, 0.0384, 0.2456], [-0.0384, 1.0993, 3.7812], [0.0, 0.0, 1.0]]
AFFINE = [[1.1, 0.2, 3.0], [-0.1, 0.9, 4.0], [0.0, 0.0, 1.0]]
HOMOGRAPHY = [[1.099, 0.038, 0.246], [-0.038, 1.099, 3.781], [0.0001, -0.0002, 1.0]]
UNDER_SPLINE = [[1.13, 0.006, -1.869], [-0.03, 1.093, 4.141], [0.0, 0.0, 1.0]]
SPLINE = {
    "kernel": "r^2 log r",
    "frame": [[0.044, 0.0, -1.754], [0.0, 0.044, -1.179], [0.0, 0.0, 1.0]],
    "knots": [
        [0.06, -0.41],
        [-1.639, -1.13],
        [0.559, 1.418],
        [-0.029, 0.898],
        [-0.207, 1.48],
        [0.567, -1.17],
        [0.687, -1.086],
    ],
    "weights": [
        [-1.102, -1.099],
        [-0.052, -0.025],
        [0.546, 0.202],
        [0.956, 1.788],
        [-0.777, -1.159],
        [6.261, 3.981],
        [-5.832, -3.687],
    ],
}
RELIEF = {
    "frame": [[0.06871, 0.0024, 0.01535], [-0.0024, 0.06871, 0.23632], [0.0, 0.0, 1.0]],
    "step": [[0.0625, 0.0], [0.0, 0.0625]],
    "rows": [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, -2.0, 0.0],
        [0.0, -0.3, 0.4, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ],
    "cols": [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, -3.0, -0.4, 0.0],
        [0.0, 1.1, 0.7, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ],
}
PROJECTION = {
    "from": {
        "crs": "EPSG:4326",
        "affine": [0.0001, 0.0, 15.0, 0.0, -0.0001, 49.0],
        "shape": [64, 64],
    },
    "to": {
        "crs": "EPSG:32633",
        "affine": [10.0, 0.0, 500000.0, 0.0, -10.0, 5427700.0],
        "shape": [64, 64],
    },
}


def written(model: str, matrix: list[list[float]], **more: Any) -> dict[str, Any]:
    """A transform as every version before maps in a chain wrote it."""
    axes = "row, column; pixel centres at +0.5"
    return {"model": model, "unit": "pixel", "axes": axes, "matrix": matrix, **more}


def way(values: dict[str, Any], *, back: bool = False) -> dict[str, Any]:
    return {"inverted": back, **values}


ONE_MAP = [
    (
        written("shift", [[1.0, 0.0, 3.0], [0.0, 1.0, -4.5], [0.0, 0.0, 1.0]]),
        [[13.0, 15.5], [33.0, 0.5], [44.5, 55.75]],
    ),
    (
        written("similarity", SIMILARITY),
        [[12.0066, 25.3832], [33.4166, 8.1257], [48.18015, 68.420425]],
    ),
    (written("affine", AFFINE), [[18.0, 21.0], [37.0, 5.5], [60.7, 54.075]]),
    (
        written("homography", HOMOGRAPHY),
        [[12.032096, 25.457372], [33.339321, 8.11976], [48.527366, 68.963562]],
    ),
    (
        written("tps", UNDER_SPLINE, spline=way(SPLINE)),
        [[10.275579, 25.009269], [32.951487, 7.595339], [47.836775, 69.519951]],
    ),
    (
        written("tps", UNDER_SPLINE, spline=way(SPLINE, back=True)),
        [[9.729798, 15.490901], [27.20687, 2.460074], [36.265589, 51.286432]],
    ),
    (
        written("relief", SIMILARITY, relief=way(RELIEF)),
        [[11.620347, 24.168493], [33.26684, 8.67482], [48.18015, 68.420425]],
    ),
    (
        written("relief", SIMILARITY, relief=way(RELIEF, back=True)),
        [[8.159233, 16.374834], [27.039919, 1.886116], [35.689982, 52.61466]],
    ),
]
ACROSS = [
    (
        written("shift", np.eye(3).tolist(), projection=way(PROJECTION)),
        [[35.538212, 14.628798], [57.771436, 3.657346], [70.553695, 44.072032]],
    ),
    (
        written("shift", np.eye(3).tolist(), projection=way(PROJECTION, back=True)),
        [[-12.973045, 27.344584], [5.017883, 6.8359], [15.365764, 82.370888]],
    ),
    (
        written("affine", AFFINE, projection=way(PROJECTION)),
        [[45.017793, 13.612097], [67.280048, 1.514468], [89.423471, 36.609459]],
    ),
    (
        written("affine", AFFINE, projection=way(PROJECTION, back=True)),
        [[-19.207687, 24.772878], [-0.504187, 5.143902], [-1.124227, 88.969316]],
    ),
    (
        written("relief", SIMILARITY, projection=way(PROJECTION), relief=way(RELIEF)),
        [[39.788466, 19.023572], [63.894181, 5.583297], [79.497643, 49.520323]],
    ),
    (
        written(
            "tps",
            UNDER_SPLINE,
            projection=way(PROJECTION, back=True),
            spline=way(SPLINE, back=True),
        ),
        [[-13.216238, 21.179623], [2.505275, 3.363381], [10.656278, 70.116992]],
    ),
]


@pytest.mark.parametrize(("values", "expected"), [*ONE_MAP, *ACROSS])
def test_a_former_transform_maps_as_it_did(
    values: dict[str, Any], expected: list[list[float]]
) -> None:
    transform = Transform.from_dict(json.loads(json.dumps(values)))
    assert transform.model == values["model"]
    np.testing.assert_allclose(transform(POINTS), expected, atol=2e-6)
    again = Transform.from_dict(json.loads(json.dumps(transform.to_dict())))
    np.testing.assert_array_equal(again(POINTS), transform(POINTS))


@pytest.mark.parametrize("values", [values for values, _ in ONE_MAP])
def test_what_one_map_does_is_written_as_before(values: dict[str, Any]) -> None:
    assert json.dumps(Transform.from_dict(values).to_dict()) == json.dumps(values)
