"""Tie points as GeoPackage and GeoParquet, which a GIS and tables of millions of rows read.

Written after OGC 12-128r18 (GeoPackage 1.3) and GeoParquet 1.1. Coordinates are longitude and
latitude, WGS 84.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.atomic import atomic_path, write_bytes
from crosslook.types import Array
from crosslook.written import MARK

Columns = Mapping[str, NDArray[Any]]
"""What is known of tie points, each of shape (n,): numbers, NaN where one is not known, and truth
values."""

_WGS84, _AT_ONCE = 4326, 65_536
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


def rows_of(columns: Columns) -> Iterator[tuple[Any, ...]]:
    """One tie point after the other, as Python's numbers; None where one is not known.

    Some at a time become objects: as such, a million rows take a gigabyte.
    """
    for part in parts_of(columns):
        yield from zip(*map(_listed, part.values()), strict=True)


def parts_of(columns: Columns) -> Iterator[Columns]:
    """The same columns of some tie points, then of the next ones."""
    count = max((len(column) for column in columns.values()), default=0)
    for start in range(0, count, _AT_ONCE):
        yield {key: column[start : start + _AT_ONCE] for key, column in columns.items()}


def _listed(column: NDArray[Any]) -> list[Any]:
    known: list[Any] = column.tolist()
    if column.dtype.kind == "f" and np.isnan(column).any():
        return [None if value != value else value for value in known]
    return known


def write_geopackage(path: Path, columns: Columns, begin: Array | None = None) -> None:
    """Write tie points as a GeoPackage.

    The layer ``tie_points`` has a point at the place of each in the optical image. The layer
    ``displacements`` has a line to it from where the georeference of the SAR image puts it.

    Parameters
    ----------
    path : Path
    columns : dict
        As of :func:`~crosslook.match.files.tie_point_columns`.
    begin : float64 array, shape (n, 2), or None
        Longitude and latitude by the SAR georeference; without, there are no lines.
    """
    place = np.column_stack([columns["lon"], columns["lat"]])
    base = sqlite3.connect(":memory:")  # so that a full disk is an error of the file alone
    try:
        base.executescript(_TABLES)
        systems = (*_UNDEFINED, ("WGS 84", _WGS84, "EPSG", _WGS84, _wgs84_text(), "lon, lat"))
        insert = "INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, ?)"
        base.executemany(insert, systems)
        _add_layer(base, "tie_points", "POINT", {"geom": _points(place), **columns}, place)
        if begin is not None:
            there = place.copy()
            # A line over the 180th meridian goes the short way.
            there[:, 0] += 360.0 * np.round((begin[:, 0] - there[:, 0]) / 360.0)
            both = np.vstack([begin, there])
            lines = {"geom": _lines(begin, there), **columns}
            _add_layer(base, "displacements", "LINESTRING", lines, both)
        base.commit()
        write_bytes(path, base.serialize())
    finally:
        base.close()


def _add_layer(
    base: sqlite3.Connection,
    name: str,
    kind: str,
    columns: Columns,
    place: Array,
) -> None:
    """A table of features with its entries; ``place`` (n, 2) are all positions of it."""
    types = _SQL | {"V": kind}
    typed = "".join(f", {key} {types[column.dtype.kind]}" for key, column in columns.items())
    base.execute(f"CREATE TABLE {name} (fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL{typed})")
    box = [None] * 4 if not len(place) else [*place.min(axis=0), *place.max(axis=0)]
    base.execute(
        "INSERT INTO gpkg_contents VALUES (?, 'features', ?, ?, ?, ?, ?, ?, ?, ?)",
        (name, name, MARK, _UNCHANGED, *box, _WGS84),
    )
    base.execute(
        "INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?, ?, 0, 0)", (name, kind, _WGS84)
    )
    marks = ", ".join("?" * len(columns))
    insert = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})"
    base.executemany(insert, rows_of(columns))


_SQL = {"b": "BOOLEAN", "f": "DOUBLE"}


def _wgs84_text() -> str:
    from pyproj import CRS

    return str(CRS.from_epsg(_WGS84).to_wkt("WKT1_GDAL"))


def _points(place: Array) -> NDArray[Any]:
    """Of each position (n, 2) a point in well-known binary under the header of a GeoPackage."""
    shapes = np.empty(len(place), _IN_PACKAGE + _POINT)
    return _filled(shapes, {"kind": 1, "at": place})


def _lines(begin: Array, end: Array) -> NDArray[Any]:
    """The same of lines from one position (n, 2) to another."""
    shapes = np.empty(len(begin), _IN_PACKAGE + _LINE)
    return _filled(shapes, {"kind": 2, "count": 2, "at": np.hstack([begin, end])})


# Little-endian, no envelope.
_IN_PACKAGE: list[Any] = [("mark", "S2"), ("version", "u1"), ("flags", "u1"), ("system", "<i4")]
_POINT: list[Any] = [("order", "u1"), ("kind", "<u4"), ("at", "<f8", 2)]
_LINE: list[Any] = [("order", "u1"), ("kind", "<u4"), ("count", "<u4"), ("at", "<f8", 4)]
_HEADER = {"mark": b"GP", "version": 0, "flags": 1, "system": _WGS84, "order": 1}


def _filled(shapes: NDArray[Any], fields: Mapping[str, Any]) -> NDArray[Any]:
    """The records with these fields, as raw bytes (n,)."""
    for name, value in {**_HEADER, **fields}.items():
        if name in (shapes.dtype.names or ()):
            shapes[name] = value
    return shapes.view(f"V{shapes.dtype.itemsize}")


def write_geoparquet(path: Path, columns: Columns) -> None:
    """Write tie points as GeoParquet: a point each, with a bounding box that readers filter by."""
    import pyarrow as pa
    from pyarrow import parquet

    place = np.column_stack([columns["lon"], columns["lat"]])
    # NaN is written as no value.
    arrays = {key: pa.array(column, from_pandas=True) for key, column in columns.items()}
    corners = ("xmin", "ymin", "xmax", "ymax")
    sides = [pa.array(side) for side in (*place.T, *place.T)]
    arrays["bbox"] = pa.StructArray.from_arrays(sides, names=list(corners))
    shapes = _filled(np.empty(len(place), _POINT), {"kind": 1, "at": place})
    arrays["geometry"] = pa.array(shapes.tolist(), pa.binary())
    column: dict[str, Any] = {  # no CRS named: OGC:CRS84
        "encoding": "WKB", "geometry_types": ["Point"],
        "covering": {"bbox": {key: ["bbox", key] for key in corners}},
    }  # fmt: skip
    if len(place):
        column["bbox"] = [*np.min(place, axis=0).tolist(), *np.max(place, axis=0).tolist()]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    table = pa.table(arrays).replace_schema_metadata({"geo": json.dumps(geo), "crosslook": MARK})
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd")
