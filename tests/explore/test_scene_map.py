"""Where scenes lie on the map, and where their arrows point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.transform import from_origin

from crosslook.data.pairs import ScenePair
from crosslook.explore.scene_map import SceneGrids, describe_scenes
from crosslook.geo.grid import make_grid


def grid(west: float, north: float, crs: str = "EPSG:32633", size: float = 10.0) -> GeoBox:
    return make_grid(crs, (size, 0.0, west, 0.0, -size, north), 100, 200)


@pytest.mark.parametrize(
    ("shift", "degrees"),
    [((0.0, 3.0), 90), ((3.0, 0.0), 180), ((-3.0, 0.0), 0), ((0.0, -3.0), 270)],
)
def test_arrows_point_where_the_shift_goes_on_the_ground(
    shift: tuple[float, float], degrees: float
) -> None:
    # On the central meridian of its zone north is up, and a pixel has .9996 of its size.
    (described,) = describe_scenes({"a": grid(499_000.0, 5_500_500.0)}, {"a": shift})
    assert described["metres"] == pytest.approx(30.0, rel=1e-3)
    assert (described["degrees"] - degrees + 180) % 360 - 180 == pytest.approx(0.0, abs=0.1)
    assert described["centre"] == pytest.approx([15.0, 49.6525], abs=1e-4)
    ring = np.array(described["ring"])
    assert ring[0, 0] < described["centre"][0] < ring[1, 0]
    assert ring[0, 1] > described["centre"][1] > ring[2, 1]


def test_a_set_over_the_180th_meridian_stays_together() -> None:
    size = 0.001
    grids = {
        "east": grid(179.7, 10.0, "EPSG:4326", size),
        "across": grid(179.9, 10.0, "EPSG:4326", size),
        "west": grid(-179.9, 10.0, "EPSG:4326", size),
    }
    described = describe_scenes(grids, {"east": (0.0, 0.0)})
    longitudes = np.array([ring for one in described for ring in one["ring"]])[:, 0]
    assert np.ptp(longitudes) == pytest.approx(0.6, abs=1e-6)
    assert described[0]["metres"] == 0.0
    assert described[1]["metres"] is None
    assert describe_scenes({}, {}) == []


def test_scenes_without_a_place_are_named(tmp_path: Path) -> None:
    pixels = np.zeros((1, 20, 20), np.uint8)
    shape = {"driver": "GTiff", "width": 20, "height": 20, "count": 1, "dtype": "uint8"}
    with rasterio.open(tmp_path / "plain.tif", "w", **shape) as file:
        file.write(pixels)
    placed = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_500_000, 10, 10)}
    with rasterio.open(tmp_path / "placed.tif", "w", **shape, **placed) as file:
        file.write(pixels)
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    names = ("plain", "placed", "broken")
    pairs = {n: ScenePair(n, n, tmp_path / f"{n}.tif", tmp_path / f"{n}.tif") for n in names}
    grids, unplaced, ready = SceneGrids(pairs, lambda: False).known([*names, "of another set"])
    assert set(grids) == {"placed"}
    assert sorted(unplaced) == ["broken", "plain"]
    assert ready == 1.0
    nothing, _, so_far = SceneGrids(pairs, lambda: True).known(names)
    assert nothing == {}
    assert so_far == 0.0
