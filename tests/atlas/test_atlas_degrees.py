"""Atlases in degrees and in other CRSs than the query: each axis by its metres, exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.transform import from_origin
from rasterio.warp import Resampling, calculate_default_transform, reproject

from crosslook.atlas.build import build_atlas
from crosslook.atlas.locate import locate
from crosslook.data.simulate.scene import make_pair
from crosslook.geo.grid import distances, make_grid, to_lonlat, to_map
from crosslook.geo.raster import RasterArray
from crosslook.match.transform import grid_points

SIDE, CHIP = 768, 300


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, GeoBox]:
    """A simulated pair of 10 m pixels at 60 degrees north."""
    made = make_pair(SIDE, 5, relief=0.0)
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(13.2, 60)
    grid = make_grid("EPSG:32633", from_origin(x, y, 10, 10), SIDE, SIDE)
    path = tmp_path_factory.mktemp("ground") / "map.tif"
    shape = {"count": 3, "height": SIDE, "width": SIDE, "dtype": "uint8"}
    with rasterio.open(
        path, "w", driver="GTiff", crs="EPSG:32633", transform=grid.affine, **shape
    ) as file:
        file.write(made.optical)
    return path, made.sar, grid


@pytest.mark.parametrize(
    "crs", ["EPSG:4326", "EPSG:3857", pytest.param("EPSG:32632", marks=pytest.mark.slow)]
)
def test_a_query_is_found_on_an_atlas_of_any_crs(
    ground: tuple[Path, np.ndarray, GeoBox], crs: str, tmp_path: Path
) -> None:
    """At 60 degrees a pixel in degrees is twice as high as wide, and Mercator doubles all."""
    basemap, sar, grid = ground
    atlas = build_atlas(basemap, tmp_path / "atlas", crs=crs)
    assert "pixels of" in atlas.describe()
    corner = (200, 260)
    cut = sar[corner[0] : corner[0] + CHIP, corner[1] : corner[1] + CHIP]
    centre = np.array([[corner[0] + CHIP / 2, corner[1] + CHIP / 2]])
    truth = to_lonlat(grid, centre)[0]
    x, y = to_map(grid, np.array([corner], np.float64))[0]
    elsewhere = make_grid("EPSG:32633", from_origin(x + 900, y + 400, 10, 10), CHIP, CHIP)
    for query, gsd in (
        (RasterArray.of(cut, grid=elsewhere, name="placed"), None),
        (RasterArray.of(cut, name="plain"), 10.0),
    ):
        # Grid north turns by about 1.6 degrees between the CRSs here.
        result = locate(query, atlas, rotation=2.5 if gsd else 0.0, gsd=gsd)
        assert result.centre is not None
        off = (np.array(result.centre["lonlat"]) - truth) * 111_320 * np.array([0.5, 1.0])
        assert np.hypot(*off) < 25, query.header.name


def test_boxes_go_over_the_180th_meridian(tmp_path: Path) -> None:
    made = make_pair(512, 6, relief=0.0)
    path = tmp_path / "map.tif"
    place = from_origin(179.975, -17, 1e-4, 1e-4)
    shape = {"count": 3, "height": 512, "width": 512, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:4326", transform=place, **shape) as f:
        f.write(made.optical)
    atlas = build_atlas(path, tmp_path / "atlas")
    query = RasterArray.of(made.sar[100:356, 150:406], name="q")
    for prior in (
        {"bbox": (179.95, -17.06, -179.95, -16.99)},
        {"near": (-179.99, -17.025), "radius_km": 3.0},
        {"near": (179.99, -17.025), "radius_km": 3.0},
    ):
        result = locate(query, atlas, gsd=10.8, **prior)
        assert result.centre is not None
        lon, lat = result.centre["lonlat"]
        assert -180 <= lon <= 180
        assert abs((lon - 179.975 + 180) % 360 - 180 - 0.0278) < 3e-4
        assert abs(lat + 17.0228) < 3e-4


def test_metres_of_the_expected_error_far_in_the_north(tmp_path: Path) -> None:
    """At 78 degrees a pixel of equal degrees is five times as high as wide."""
    made, lat = make_pair(1024, 5, relief=0.0), 78.0
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(15.0, lat)
    grid = make_grid("EPSG:32633", from_origin(x, y, 10, 10), 1024, 1024)
    place, width, height = calculate_default_transform(
        "EPSG:32633", "EPSG:4326", 1024, 1024, *grid.boundingbox, resolution=9e-5
    )
    shape = {"count": 3, "height": height, "width": width, "dtype": "uint8", "nodata": 0}
    with rasterio.open(
        tmp_path / "map.tif", "w", driver="GTiff", crs="EPSG:4326", transform=place, **shape
    ) as file:
        for band in (1, 2, 3):
            reproject(
                made.optical[band - 1], rasterio.band(file, band), src_transform=grid.affine,
                src_crs="EPSG:32633", resampling=Resampling.bilinear,
            )  # fmt: skip
    atlas = build_atlas(tmp_path / "map.tif", tmp_path / "atlas")
    corner = np.array([200, 260])
    cut = made.sar[200:584, 260:644]
    where = make_grid("EPSG:32633", grid.affine * grid.affine.translation(260, 200), 384, 384)
    result = locate(RasterArray.of(cut, grid=where, name="query"), atlas)
    assert result.transform is not None
    assert result.expected_error_m is not None
    points = grid_points(384, 384)
    found = to_lonlat(result.optical.grid, result.transform(points))
    truth = to_lonlat(grid, points + corner)
    off = float(np.mean([distances(a, b[None])[0] for a, b in zip(found, truth, strict=True)]))
    assert off < result.expected_error_m < 40.0
