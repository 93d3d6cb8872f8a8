"""A known transform of a simulated pair is recovered, and every file is right."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import Affine

from crosslook.data.simulate.scene import make_pair
from crosslook.errors import GridError, MatchError, RasterError, SettingError
from crosslook.geo.grid import from_lonlat, make_grid, to_lonlat, to_map
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.register import register
from crosslook.match.result import MatchResult
from crosslook.match.settings import RegisterModel
from crosslook.match.transform import Transform, grid_points, mean_distance

Place = tuple[str, tuple[float, float, float, float, float, float]]

SIZE = 384
GRID: Place = ("EPSG:32632", (10.0, 0.0, 500_000.0, 0.0, -10.0, 5_400_000.0))
POINTS = grid_points(SIZE, SIZE)


def image(bands: np.ndarray, place: Place | None = GRID, name: str = "x") -> RasterArray:
    grid = None if place is None else make_grid(*place, *bands.shape[1:])
    return RasterArray.of(bands, None, grid, name)


@pytest.fixture(scope="module")
def pair() -> tuple[RasterArray, RasterArray, Transform]:
    made = make_pair(SIZE, 5, shift=(9.0, -14.0), rotation=1.2, scale=1.01, relief=20.0)
    truth = Transform(made.truth, "similarity")
    return image(made.sar[None], name="s"), image(made.optical, name="o"), truth


@pytest.fixture(scope="module")
def result(pair: tuple[RasterArray, RasterArray, Transform]) -> MatchResult:
    return register(pair[0], pair[1])


def test_the_planted_transform_is_recovered(
    result: MatchResult, pair: tuple[RasterArray, RasterArray, Transform]
) -> None:
    assert result.transform is not None
    assert mean_distance(result.transform, pair[2], POINTS) < 1.5
    assert result.transform.model == "similarity"
    assert result.verdict == "match"
    assert result.expected_error_px is not None
    assert result.expected_error_m == pytest.approx(result.expected_error_px * 10, rel=0.01)


@pytest.mark.parametrize("model", ["shift", "affine", "homography", "tps"])
def test_every_other_model_comes_near_too(
    model: RegisterModel, pair: tuple[RasterArray, RasterArray, Transform]
) -> None:
    result = register(pair[0], pair[1], model=model)
    assert result.transform is not None
    assert result.transform.model == model
    limit = 5.0 if model == "shift" else 3.0
    assert mean_distance(result.transform, pair[2], POINTS) < limit


def test_the_same_call_gives_the_same_result(
    result: MatchResult, pair: tuple[RasterArray, RasterArray, Transform]
) -> None:
    again = register(pair[0], pair[1])
    assert result.transform is not None
    assert again.transform is not None
    np.testing.assert_array_equal(again.transform.matrix, result.transform.matrix)
    assert again.confidence == result.confidence


def test_files_agree_with_the_result(result: MatchResult, tmp_path: Path) -> None:
    written = result.write(tmp_path)
    assert {path.name for path in written} == {
        "match.json",
        "aligned.tif",
        "tie_points.csv",
        "tie_points.geojson",
        "tie_points.gpkg",
        "tie_points.points",
        "footprint.geojson",
        "before.png",
        "after.png",
        "overlay.png",
        "residuals.png",
        "swipe.html",
    }
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in written}
    match = json.loads((tmp_path / "match.json").read_text())
    forward, back = (Transform.from_dict(match[key]) for key in ("transform", "inverse"))
    np.testing.assert_allclose(forward.matrix @ back.matrix, np.eye(3), atol=1e-9)
    degrees = Transformer.from_crs(match["crs"], "OGC:CRS84", always_xy=True)
    for pixel, xy, lonlat in zip(*match["footprint"].values(), strict=True):
        np.testing.assert_allclose(to_map(result.optical.grid, np.array([pixel]))[0], xy, atol=1e-6)
        np.testing.assert_allclose(degrees.transform(*xy), lonlat, atol=1e-9)
    page = (tmp_path / "swipe.html").read_text()
    assert "{{" not in page
    assert "http" not in page


def test_tie_point_files_hold_the_same_points(result: MatchResult, tmp_path: Path) -> None:
    result.write(tmp_path)
    with (tmp_path / "tie_points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    features = json.loads((tmp_path / "tie_points.geojson").read_text())["features"]
    lines = (tmp_path / "tie_points.points").read_text().splitlines()
    assert len(rows) == len(features) == len(lines) - 2 == len(result.tie_points)
    assert lines[0].startswith("#CRS: PROJCRS[")
    assert lines[1] == "mapX,mapY,sourceX,sourceY,enable,dX,dY,residual"
    for row, feature, line in zip(rows, features, lines[2:], strict=True):
        lon, lat = feature["geometry"]["coordinates"]
        assert (float(row["lon"]), float(row["lat"])) == (lon, lat)
        x, y, source_x, source_y, enable = map(float, line.split(",")[:5])
        assert x == pytest.approx(500_000 + 10 * float(row["optical_col"]), abs=1e-2)
        assert y == pytest.approx(5_400_000 - 10 * float(row["optical_row"]), abs=1e-2)
        assert source_x == pytest.approx(500_000 + 10 * float(row["sar_col"]), abs=1e-2)
        assert source_y == pytest.approx(5_400_000 - 10 * float(row["sar_row"]), abs=1e-2)
        assert bool(enable) == (row["inlier"] == "1")


def test_the_aligned_file_lies_on_the_optical_grid_with_nodata_kept(
    result: MatchResult, pair: tuple[RasterArray, RasterArray, Transform], tmp_path: Path
) -> None:
    holed = pair[0].stored.copy()
    holed[:, 150:200, 160:220] = -9.0
    grid = pair[0].header.grid
    with_hole = open_image(RasterArray.of(holed, None, grid, "x", nodata=-9.0), "sar")
    replace(result, sar=with_hole).write(tmp_path)
    with rasterio.open(tmp_path / "aligned.tif") as file:
        assert file.transform == Affine(*GRID[1])
        assert file.crs.to_epsg() == 32632
        assert file.nodata == -9.0
        assert file.tags()["RESAMPLING"] == "bilinear"
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        values = file.read(1)
    assert result.transform is not None
    hole = result.transform([175.0, 190.0]).astype(int)
    assert values[tuple(hole)] == -9.0
    inside = result.transform([250.5, 250.5])
    row, col = inside.astype(int)
    nearest = result.transform.inverse([row + 0.5, col + 0.5]).astype(int)
    around = pair[0].stored[0, nearest[0] - 1 : nearest[0] + 2, nearest[1] - 1 : nearest[1] + 2]
    assert around.min() <= values[row, col] <= around.max()


def test_another_crs_and_resolution_give_the_same_place(
    result: MatchResult, pair: tuple[RasterArray, RasterArray, Transform], tmp_path: Path
) -> None:
    """The SAR image written in Mercator at 7.5 m shows the same ground at the same place."""
    source, target = tmp_path / "utm.tif", tmp_path / "mercator.tif"
    profile = {
        "driver": "GTiff",
        "count": 1,
        "height": SIZE,
        "width": SIZE,
        "dtype": "float32",
        "crs": GRID[0],
        "transform": Affine(*GRID[1]),
    }
    with rasterio.open(source, "w", **profile) as file:
        file.write(pair[0].stored)
    from rasterio.vrt import WarpedVRT

    with rasterio.open(source) as file, WarpedVRT(file, crs="EPSG:3395", nodata=0) as warped:
        profile |= {"crs": "EPSG:3395", "transform": warped.transform, "nodata": 0}
        profile |= {"height": warped.height, "width": warped.width}
        with rasterio.open(target, "w", **profile) as out:
            out.write(warped.read())
    other = register(target, pair[1])
    assert other.transform is not None
    assert result.transform is not None
    centre = np.array([[SIZE / 2, SIZE / 2]])
    lonlat = to_lonlat(pair[0].header.grid, centre)
    there = other.transform(from_lonlat(other.sar.grid, lonlat))
    assert np.linalg.norm(there - result.transform(centre)) < 1.5


def test_plain_images_match_without_positions(
    pair: tuple[RasterArray, RasterArray, Transform], tmp_path: Path
) -> None:
    result = register(RasterArray.of(pair[0].stored), RasterArray.of(pair[1].stored))
    assert result.centre is not None
    assert set(result.centre) == {"pixel"}
    assert result.expected_error_m is None
    result.write(tmp_path)
    features = json.loads((tmp_path / "tie_points.geojson").read_text())["features"]
    assert all(feature["geometry"] is None for feature in features)


def test_a_wrong_place_is_no_match_and_writes_no_aligned_file(
    pair: tuple[RasterArray, RasterArray, Transform], tmp_path: Path
) -> None:
    here = image(pair[0].stored[:, :256, :256])
    elsewhere = image(make_pair(256, 77).optical)
    result = register(here, elsewhere)
    assert result.verdict != "match"
    result.write(tmp_path)
    assert (tmp_path / "match.json").exists()
    assert not (tmp_path / "aligned.tif").exists()
    if result.transform is not None:
        result.write(tmp_path, force=True)
        assert (tmp_path / "aligned.tif").exists()
        result.write(tmp_path)
        assert not (tmp_path / "aligned.tif").exists()


def test_bad_input_is_one_clear_error(
    pair: tuple[RasterArray, RasterArray, Transform], tmp_path: Path
) -> None:
    sar, optical, _ = pair
    out = tmp_path / "out"
    far = (GRID[0], (10.0, 0.0, 900_000.0, 0.0, -10.0, 5_400_000.0))
    small = image(sar.stored[:, :90, :90])
    empty = replace(sar, valid=np.zeros_like(sar.valid))
    plain = RasterArray.of(sar.stored)
    flat = image(np.full_like(sar.stored, 3.0), name="flat")
    cases: list[tuple[RasterArray | Path, RasterArray, type[Exception], str]] = [
        (image(sar.stored, far), optical, MatchError, "do not overlap"),
        (plain, optical, GridError, "has none"),
        (small, optical, MatchError, "at least 128"),
        (empty, optical, RasterError, "no usable pixel"),
        (flat, optical, MatchError, "constant"),
        (sar, image(np.full_like(optical.stored, 9)), MatchError, "constant"),
        (tmp_path / "absent.tif", optical, RasterError, "cannot open"),
    ]
    for here, there, kind, words in cases:
        with pytest.raises(kind, match=words):
            register(here, there, out=out)
    misspelt: Any = "afine"
    with pytest.raises(SettingError, match="Did you mean 'affine'"):
        register(sar, optical, model=misspelt, out=out)
    assert not out.exists()
