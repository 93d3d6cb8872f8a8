"""Tie points as GeoPackage and GeoParquet, which a GIS and tables of millions of rows read.

Written after OGC 12-128r18 (GeoPackage 1.3) and GeoParquet 1.1. Coordinates are longitude and
latitude, WGS 84.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atomic import atomic_path, write_bytes
from crosslook.types import Array
from crosslook.written import MARK

Row = dict[str, Any]

_WGS84 = 4326
_APPLICATION_ID, _USER_VERSION = 0x47504B47, 10300  # "GPKG", 1.3.0
_UNCHANGED = "1970-01-01T00:00:00.000Z"  # the same run gives the same bytes
_TABLES = f"""
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_USER_VERSION};
CREATE TABLE gpkg_spatial_ref_sys (
  srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL,
  organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (
  table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE,
  description TEXT DEFAULT '', last_change DATETIME NOT NULL
    DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
  min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,
  srs_id INTEGER REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (
  table_name TEXT NOT NULL REFERENCES gpkg_contents(table_name), column_name TEXT NOT NULL,
  geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL REFERENCES
    gpkg_spatial_ref_sys(srs_id), z TINYINT NOT NULL, m TINYINT NOT NULL,
  PRIMARY KEY (table_name, column_name), UNIQUE (table_name));
"""
_UNDEFINED = (
    ("Undefined Cartesian SRS", -1, "NONE", -1, "undefined", "Cartesian, of no known datum"),
    ("Undefined geographic SRS", 0, "NONE", 0, "undefined", "Geographic, of no known datum"),
)


def write_geopackage(path: Path, rows: Sequence[Row], begin: Array | None = None) -> None:
    """Write tie points as a GeoPackage.

    The layer ``tie_points`` has a point at the place of each in the optical image. The layer
    ``displacements`` has a line to it from where the georeference of the SAR image puts it.

    Parameters
    ----------
    path : Path
    rows : sequence of dict
        As of :func:`~crosslook.match.files.tie_point_rows`, with ``lon`` and ``lat``.
    begin : float64 array, shape (n, 2), or None
        Longitude and latitude by the SAR georeference; without, there are no lines.
    """
    place = np.array([[row["lon"], row["lat"]] for row in rows], np.float64).reshape(-1, 2)
    base = sqlite3.connect(":memory:")  # so that a full disk is an error of the file alone
    try:
        base.executescript(_TABLES)
        systems = (*_UNDEFINED, ("WGS 84", _WGS84, "EPSG", _WGS84, _wgs84_text(), "lon, lat"))
        insert = "INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)"
        base.executemany(insert, systems)
        points = (_in_package(_point(*at)) for at in place.tolist())
        _add_layer(base, "tie_points", "POINT", rows, points, place)
        if begin is not None:
            there = place.copy()
            # A line over the 180th meridian goes the short way.
            there[:, 0] += 360.0 * np.round((begin[:, 0] - there[:, 0]) / 360.0)
            lines = (_in_package(_line(a, b)) for a, b in zip(begin, there, strict=True))
            _add_layer(base, "displacements", "LINESTRING", rows, lines, np.vstack([begin, there]))
        base.commit()
        write_bytes(path, base.serialize())
    finally:
        base.close()


def _add_layer(
    base: sqlite3.Connection,
    name: str,
    kind: str,
    rows: Sequence[Row],
    shapes: Iterable[bytes],
    place: Array,
) -> None:
    """A table of features with its entries; ``place`` (n, 2) are all positions of it."""
    columns = _columns(rows)
    typed = ", ".join(f"{key} {_SQL[kind]}" for key, kind in columns.items())
    base.execute(
        f"CREATE TABLE {name} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
        f"geom {kind}{', ' if typed else ''}{typed})"
    )
    box = [None] * 4 if not len(place) else [*place.min(axis=0), *place.max(axis=0)]
    base.execute(
        "INSERT INTO gpkg_contents VALUES (?, 'features', ?, ?, ?, ?, ?, ?, ?, ?)",
        (name, name, MARK, _UNCHANGED, *box, _WGS84),
    )
    base.execute(
        "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, ?, 0, 0)", (name, kind, _WGS84)
    )
    marks = ", ".join("?" * (len(columns) + 1))
    names = ", ".join(["geom", *columns])
    values = ([shape, *map(row.get, columns)] for shape, row in zip(shapes, rows, strict=True))
    base.executemany(f"INSERT INTO {name} ({names}) VALUES ({marks})", values)


_SQL: dict[type, str] = {bool: "BOOLEAN", float: "DOUBLE"}


def _columns(rows: Sequence[Row]) -> dict[str, type]:
    """The columns of tie points and whether each is a number or a truth value."""
    return {key: bool if key == "inlier" else float for key in (rows[0] if rows else ())}


def _wgs84_text() -> str:
    from pyproj import CRS

    return str(CRS.from_epsg(_WGS84).to_wkt("WKT1_GDAL"))


def _in_package(shape: bytes) -> bytes:
    """Well-known binary with the header of a GeoPackage: little-endian, no envelope."""
    return b"GP" + struct.pack("<BBi", 0, 1, _WGS84) + shape


def _point(x: float, y: float) -> bytes:
    return struct.pack("<BIdd", 1, 1, x, y)


def _line(begin: Array, end: Array) -> bytes:
    return struct.pack("<BIIdddd", 1, 2, 2, *begin, *end)


def write_geoparquet(path: Path, rows: Sequence[Row]) -> None:
    """Write tie points as GeoParquet: a point each, with a bounding box that readers filter by."""
    import pyarrow as pa
    from pyarrow import parquet

    place = [(row["lon"], row["lat"]) for row in rows]
    arrow: dict[type, Any] = {bool: pa.bool_(), float: pa.float64()}
    arrays = {
        key: pa.array([row[key] for row in rows], arrow[kind])
        for key, kind in _columns(rows).items()
    }
    box = pa.struct([(key, pa.float64()) for key in ("xmin", "ymin", "xmax", "ymax")])
    corners = [dict(zip(("xmin", "ymin", "xmax", "ymax"), at * 2, strict=True)) for at in place]
    arrays["bbox"] = pa.array(corners, box)
    arrays["geometry"] = pa.array([_point(*at) for at in place], pa.binary())
    column: dict[str, Any] = {  # no CRS named: OGC:CRS84
        "encoding": "WKB", "geometry_types": ["Point"],
        "covering": {"bbox": {key: ["bbox", key] for key in ("xmin", "ymin", "xmax", "ymax")}},
    }  # fmt: skip
    if place:
        column["bbox"] = [*np.min(place, axis=0).tolist(), *np.max(place, axis=0).tolist()]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    table = pa.table(arrays).replace_schema_metadata({"geo": json.dumps(geo), "crosslook": MARK})
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")
