"""Tie points as GeoPackage and GeoParquet, read back by GDAL's own reader and by pyarrow."""

from __future__ import annotations

import json
import sqlite3
import struct
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from crosslook.errors import OutputError
from crosslook.geo.grid import make_grid, to_lonlat
from crosslook.match.files import WRITTEN, write_tie_points
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, translation

OPTICAL = make_grid("EPSG:32633", (10.0, 0.0, 3e5, 0.0, -10.0, 5.5e6), 400, 500)
MOVED = Transform(translation(3.0, -2.0), "shift")


def points(count: int = 40) -> TiePoints:
    rng = np.random.default_rng(1)
    sar = rng.uniform(20, 380, (count, 2))
    std = rng.uniform(0.1, 0.5, count)
    optical = sar + (3.0, -2.0) + rng.normal(0, 1, (count, 2)) * std[:, None]
    return TiePoints.of(sar, optical, rng.uniform(0.3, 0.9, count), std)


def test_a_geopackage_is_what_the_standard_asks_for(tmp_path: Path) -> None:
    made = points()
    write_tie_points(tmp_path, made, MOVED, OPTICAL, OPTICAL)
    path = tmp_path / "tie_points.gpkg"
    head = path.read_bytes()[:72]
    assert head[:16] == b"SQLite format 3\0"
    assert head[68:72] == b"GPKG"
    base = sqlite3.connect(path)
    assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not base.execute("PRAGMA foreign_key_check").fetchall()
    assert base.execute("PRAGMA user_version").fetchone() == (10300,)
    ids = {row[0] for row in base.execute("SELECT srs_id FROM gpkg_spatial_ref_sys")}
    assert {-1, 0, 4326} <= ids
    layers = base.execute(
        "SELECT table_name, geometry_type_name, srs_id FROM gpkg_geometry_columns ORDER BY 1"
    ).fetchall()
    assert layers == [("displacements", "LINESTRING", 4326), ("tie_points", "POINT", 4326)]
    place, start = to_lonlat(OPTICAL, made.optical), to_lonlat(OPTICAL, made.sar)
    for number, (shape, inlier, std) in enumerate(
        base.execute("SELECT geom, inlier, std_px FROM tie_points ORDER BY fid")
    ):
        magic, version, flags, srs, order, kind, x, y = struct.unpack("<2sBBiBIdd", shape)
        assert (magic, version, flags, srs, order, kind) == (b"GP", 0, 1, 4326, 1, 1)
        assert (x, y) == pytest.approx(place[number], abs=1e-8)
        assert inlier == 1
        assert std == pytest.approx(made.std[number] if made.std is not None else 0, abs=1e-4)
    lines = [row[0] for row in base.execute("SELECT geom FROM displacements ORDER BY fid")]
    for shape, a, b in zip(lines, start, place, strict=True):
        assert struct.unpack("<4d", shape[17:]) == pytest.approx([*a, *b], abs=1e-8)
    box = base.execute(
        "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = 'tie_points'"
    ).fetchone()
    assert box == pytest.approx([*place.min(axis=0), *place.max(axis=0)], abs=1e-8)
    base.close()


def test_lines_over_the_180th_meridian_go_the_short_way(tmp_path: Path) -> None:
    grid = make_grid("EPSG:32660", (10.0, 0.0, 8.2e5, 0.0, -10.0, 5.5e6), 400, 60_000)
    sar = np.array([[100.0, 1000.0], [100.0, 40_000.0]])
    write_tie_points(tmp_path, TiePoints.of(sar, sar + 20_000), None, grid, grid)
    base = sqlite3.connect(tmp_path / "tie_points.gpkg")
    for (shape,) in base.execute("SELECT geom FROM displacements"):
        west, _, east, _ = struct.unpack("<4d", shape[17:])
        assert abs(west - east) < 10
    base.close()


def test_geoparquet_has_points_boxes_and_its_crs(tmp_path: Path) -> None:
    made = points()
    write_tie_points(tmp_path, made, MOVED, OPTICAL, OPTICAL)
    table = parquet.read_table(tmp_path / "tie_points.parquet")
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    assert geo["columns"]["geometry"]["encoding"] == "WKB"
    place = to_lonlat(OPTICAL, made.optical)
    shapes = [struct.unpack("<BIdd", shape)[2:] for shape in table["geometry"].to_pylist()]
    assert np.array(shapes) == pytest.approx(place, abs=1e-8)
    boxes = table["bbox"].to_pylist()
    assert [box["xmax"] for box in boxes] == pytest.approx(place[:, 0], abs=1e-8)
    assert table["residual_px"].to_numpy() == pytest.approx(
        np.linalg.norm(made.optical - MOVED(made.sar), axis=1), abs=1e-4
    )
    assert table.column("std_px").null_count == 0


def test_the_same_points_give_the_same_bytes_and_are_known_as_ours(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tie_points(tmp_path / name, points(), MOVED, OPTICAL, OPTICAL)
    for file in ("tie_points.gpkg", "tie_points.parquet", "tie_points.geojson"):
        path = tmp_path / "a" / file
        assert path.read_bytes() == (tmp_path / "b" / file).read_bytes()
        assert WRITTEN[file](path)


@pytest.mark.parametrize("count", [0, 1])
def test_few_points_and_none_are_files_too(tmp_path: Path, count: int) -> None:
    write_tie_points(tmp_path, points(count), MOVED, OPTICAL, OPTICAL)
    assert parquet.read_table(tmp_path / "tie_points.parquet").num_rows == count
    base = sqlite3.connect(tmp_path / "tie_points.gpkg")
    assert base.execute("SELECT count(*) FROM tie_points").fetchone() == (count,)
    base.close()


def test_without_a_georeference_there_is_nothing_to_put_on_a_map(tmp_path: Path) -> None:
    plain = make_grid(None, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 400, 500)
    write_tie_points(tmp_path, points(), MOVED, plain, plain)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"tie_points.csv", "tie_points.geojson", "tie_points.points"}


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_tie_points(tmp_path / "file", points(), MOVED, OPTICAL, OPTICAL)
