"""Descriptors of a run as GeoParquet, in the columns of Major TOM's embeddings.

Czerkawski, Kluczek and Bojanowski, "Global and dense embeddings of Earth: Major
TOM floating in the latent space" (arXiv:2412.05600); the grid is that of Francis
and Czerkawski, "Major TOM: expandable datasets for Earth observation", IGARSS
2024: rows of about 10 km from the equator, columns of about 10 km from Greenwich.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from odc.geo import geom

from crosslook.atomic import atomic_path, check_writable
from crosslook.data.tables import acquisition_dates
from crosslook.errors import InputError
from crosslook.extract.store import FeatureSet
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.run_folder import read_patches, read_run
from crosslook.storage import open_folder
from crosslook.types import MODALITIES, Array, FloatArray, Modality, Patch
from crosslook.written import MARK, is_marked, refuse_foreign

GRID_METRES = 10_000.0
_EARTH_RADIUS = 6_378_137.0

SCHEMA = pa.schema(
    [
        ("unique_id", pa.string()),
        ("embedding", pa.list_(pa.float32())),
        ("timestamp", pa.string()),
        ("product_id", pa.string()),
        ("grid_cell", pa.string()),
        ("grid_row_u", pa.int16()),
        ("grid_col_r", pa.int16()),
        ("geometry", pa.binary()),
        ("centre_lat", pa.float32()),
        ("centre_lon", pa.float32()),
        ("utm_footprint", pa.string()),
        ("utm_crs", pa.string()),
        ("pixel_bbox", pa.list_(pa.int32())),
        ("patch_id", pa.string()),
        ("modality", pa.string()),
        ("bbox", pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])),
    ]
)
"""Major TOM's columns, what joins a line to the other tables of a run, and GeoParquet's bbox."""


_ROW_GROUP_BYTES = 128 << 20  # of embeddings; readers fetch row groups whole
_ROW_GROUP_ROWS = 100_000


@dataclass(frozen=True)
class Place:
    """Where a patch lies.

    Attributes
    ----------
    own : float64 array, shape (5, 2)
        Corners in its CRS, the first one again at the end.
    degrees : float64 array, shape (5, 2)
        The same in longitude and latitude; over the 180th meridian longitudes count on.
    """

    own: Array
    degrees: Array

    @property
    def box(self) -> tuple[float, float, float, float]:
        """West, south, east, north; west is greater than east over the 180th meridian."""
        west, south = self.degrees.min(axis=0)
        east, north = self.degrees.max(axis=0)
        return _wrapped(west), float(south), _wrapped(east), float(north)


def export_run(run: Path, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write one file for every extractor and modality of a run.

    Embeddings are pooled as the run pooled them, uncalibrated, as they come from
    the feature store. Patches without georeference have no geometry; lines have a
    time where ``scenes.csv`` beside the pairs says when an image was taken.

    Returns
    -------
    list of Path
        ``<extractor>-<modality>.parquet``.

    Raises
    ------
    InputError
        If the run does not say where its features are, or they are gone.
    OutputError
        If a file is there and of other origin, unless ``overwrite`` replaces it.
    """
    record, patches = read_run(run), read_patches(run)
    stored = record.get("features") or {}
    if not stored:
        raise InputError(
            f"{run} does not say where its features are; run the study again with this version."
        )
    check_writable(folder)
    names = {(spec, m): _file_name(spec, m) for spec in stored for m in MODALITIES}
    refuse_foreign(folder, dict.fromkeys(names.values(), is_marked), overwrite=overwrite)
    settings = record["settings"]
    store = open_folder(str(settings.get("store") or run / "features"))
    dates = acquisition_dates(Path(settings["pairs"]))
    places = [place_of(patch) for patch in patches]
    exported = []
    for spec, by_modality in sorted(stored.items()):
        for modality in MODALITIES:
            features = FeatureSet(store.child(by_modality[modality]), {})
            if not features.has(0):
                raise InputError(
                    f"the features of {spec} are not in {store}; run the study again into {run}."
                )
            path = folder / names[spec, modality]
            times = {scene: both[modality] for scene, both in dates.items() if both[modality]}
            parts = _tables(features, patches, places, times, modality, settings)
            _write(path, parts, [place.box for place in places if place is not None])
            exported.append(path)
    return exported


def _tables(
    features: FeatureSet,
    patches: Sequence[Patch],
    places: Sequence[Place | None],
    times: dict[str, str],
    modality: str,
    settings: dict[str, Any],
) -> Iterator[pa.Table]:
    """One table per shard, so that memory does not grow with the run."""
    start, shard = 0, 0
    while start < len(patches):
        part = features.read(shard)
        pooled = settings.get("keep", "maps") == "pooled"
        how = "flatten" if pooled else settings["pooling"]
        rows = slice(start, start + len(part))
        lines = zip(patches[rows], places[rows], pool(part, how), strict=True)
        yield pa.Table.from_pylist(
            [_line(p, place, e, times.get(p.scene), modality) for p, place, e in lines], SCHEMA
        )
        start, shard = start + len(part), shard + 1


def _line(
    patch: Patch, place: Place | None, embedding: FloatArray, time: str | None, modality: str
) -> dict[str, Any]:
    window = patch.window
    line: dict[str, Any] = {
        "embedding": embedding,
        "timestamp": time,
        "product_id": patch.scene,
        "pixel_bbox": [window.col, window.row, window.col + window.width,
                       window.row + window.height],
        "patch_id": patch.id,
        "modality": modality,
    }  # fmt: skip
    if place is not None:
        lon, lat = (place.degrees.min(axis=0) + place.degrees.max(axis=0)) / 2
        lon = _wrapped(lon)
        row, col = grid_cell(lat, lon)
        line |= {
            "grid_cell": cell_name(row, col),
            "grid_row_u": row,
            "grid_col_r": col,
            "geometry": well_known_binary(place.degrees),
            "bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), place.box, strict=True)),
            "centre_lat": lat,
            "centre_lon": lon,
            "utm_footprint": _well_known_text(place.own),
            "utm_crs": patch.crs,
        }
    digest = hashlib.sha256(np.ascontiguousarray(embedding).tobytes())
    for value in (line.get("utm_footprint"), time, patch.scene, patch.id, modality):
        digest.update(f"/{value}".encode())
    return line | {"unique_id": digest.hexdigest()}


def place_of(patch: Patch) -> Place | None:
    """Corners of a patch; None without a georeference."""
    if patch.bounds is None or patch.crs is None:
        return None
    from pyproj import Transformer

    left, bottom, right, top = patch.bounds
    own = np.array([(right, top), (right, bottom), (left, bottom), (left, top), (right, top)])
    to_degrees = Transformer.from_crs(patch.crs, "OGC:CRS84", always_xy=True)
    lon, lat = to_degrees.transform(own[:, 0], own[:, 1])
    return Place(own, np.column_stack([np.unwrap(lon, period=360.0), lat]))


def _wrapped(longitude: float) -> float:
    """A longitude in -180..180."""
    if -180.0 <= longitude <= 180.0:
        return float(longitude)
    return float((longitude + 180.0) % 360.0 - 180.0)


def grid_cell(latitude: float, longitude: float) -> tuple[int, int]:
    """Row and column of the cell of the Major TOM grid of 10 km that a place lies in.

    Rows count from the equator to the north, columns from Greenwich to the east,
    in steps that divide half a meridian, and the parallel at the foot of the row,
    into whole numbers.

    >>> grid_cell(-82.731987, -178.492844)
    (-922, -249)
    """
    rows = math.ceil(math.pi * _EARTH_RADIUS / GRID_METRES)
    row = math.floor(latitude / (180.0 / rows))
    foot = math.radians(row * 180.0 / rows)
    around = 2 * math.pi * _EARTH_RADIUS * math.cos(foot)
    columns = max(1, math.ceil(around / GRID_METRES))
    return row, math.floor(longitude / (360.0 / columns))


def cell_name(row: int, col: int) -> str:
    """Name of a cell, as ``922D_249L``: up or down, right or left."""
    return f"{abs(row)}{'U' if row >= 0 else 'D'}_{abs(col)}{'R' if col >= 0 else 'L'}"


def well_known_binary(ring: Array) -> bytes:
    """A closed ring (n, 2) of longitudes and latitudes as WKB.

    A polygon; over the 180th meridian a multipolygon of both sides, as RFC 7946 asks.
    """
    west, east = ring[:, 0].min(), ring[:, 0].max()
    if west >= -180.0 and east <= 180.0:
        return bytes(geom.polygon(ring.tolist(), None).geom.wkb)
    world = geom.box(-180.0, -90.0, 180.0, 90.0, None)
    turns = np.array([(-360.0, 0.0), (0.0, 0.0), (360.0, 0.0)])
    turned = [geom.polygon((ring + turn).tolist(), None).intersection(world) for turn in turns]
    pieces = [piece for piece in turned if piece.area > 0]
    return bytes((geom.multigeom(pieces) if len(pieces) > 1 else pieces[0]).geom.wkb)


def _well_known_text(ring: Array) -> str:
    return f"POLYGON (({', '.join(f'{x!r} {y!r}' for x, y in ring.tolist())}))"


def _file_name(spec: str, modality: Modality) -> str:
    return f"{re.sub('[^A-Za-z0-9._=-]+', '-', spec)}-{modality}.parquet"


def _write(
    path: Path, parts: Iterator[pa.Table], boxes: Sequence[tuple[float, float, float, float]]
) -> None:
    """GeoParquet 1.1: a bounding box per row that readers filter by, Zstandard."""
    corners = {key: ["bbox", key] for key in ("xmin", "ymin", "xmax", "ymax")}
    kinds = ["Polygon"] + ["MultiPolygon"] * any(box[0] > box[2] for box in boxes)
    column: dict[str, Any] = {  # no CRS named: OGC:CRS84
        "encoding": "WKB", "geometry_types": kinds, "covering": {"bbox": corners},
    }  # fmt: skip
    if boxes and len(kinds) == 1:
        west, south, east, north = np.array(boxes).T
        column["bbox"] = [float(n) for n in (west.min(), south.min(), east.max(), north.max())]
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    schema = SCHEMA.with_metadata({"geo": json.dumps(geo), "crosslook": MARK})
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        for group in _row_groups(parts):
            writer.write_table(group.cast(schema), row_group_size=_ROW_GROUP_ROWS)


def _row_groups(parts: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Shards joined until they are large enough to be read by themselves."""
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(part)
        size, rows = sum(t.nbytes for t in waiting), sum(t.num_rows for t in waiting)
        if size >= _ROW_GROUP_BYTES or rows >= _ROW_GROUP_ROWS:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
