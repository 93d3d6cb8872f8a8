"""The tie points as files, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from crosslook.atomic import write_text
from crosslook.geo.grid import file_crs, has_map, is_placed, to_lonlat, to_map
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform
from crosslook.options import WritingOptions
from crosslook.types import Array
from crosslook.written import MARK, beside, has_header, has_keys, is_marked, refuse_foreign

COLUMNS = (
    "sar_row",
    "sar_col",
    "optical_row",
    "optical_col",
    "score",
    "ratio",
    "inlier",
    "residual_px",
    "lon",
    "lat",
)

WRITTEN = {
    "match.json": has_keys("verdict", "evidence", "images"),
    "tie_points.csv": has_header(COLUMNS),
    "tie_points.geojson": is_marked,
    "tie_points.points": beside("tie_points.csv", has_header(COLUMNS)),  # as QGIS writes it
    "aligned.tif": is_marked,
    "overlay.png": is_marked,
    "swipe.html": is_marked,
}
"""All files of a match, and how each tells that crosslook wrote it."""


def check_out(settings: WritingOptions) -> None:
    """Refuse, before any work, a folder that holds files of other origin under these names."""
    if settings.out is not None:
        refuse_foreign(Path(settings.out), WRITTEN, overwrite=settings.overwrite)


def write_csv(target: Path, rows: list[dict[str, Any]]) -> None:
    """One line per tie point; positions have pixel centres at +0.5.

    ``residual_px`` is the distance from where the transform puts the SAR
    position, in optical pixels; ``lon`` and ``lat`` belong to the optical
    position and are empty without georeference.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_text(row[name]) for name in COLUMNS])
    write_text(target, text.getvalue())


def write_geojson(target: Path, rows: list[dict[str, Any]]) -> None:
    """Points at longitude and latitude (RFC 7946), null without georeference."""
    features = []
    for row in rows:
        lon, lat = row["lon"], row["lat"]
        geometry = None if lon is None else {"type": "Point", "coordinates": [lon, lat]}
        rest = {name: value for name, value in row.items() if name not in ("lon", "lat")}
        features.append({"type": "Feature", "geometry": geometry, "properties": rest})
    collection = {"type": "FeatureCollection", "generator": MARK, "features": features}
    write_text(target, json.dumps(collection) + "\n")


def write_qgis(
    target: Path,
    points: TiePoints,
    transform: Transform | None,
    sar_grid: GeoBox,
    grid: GeoBox,
) -> None:
    """Ground control points as QGIS's georeferencer loads them.

    The source is the SAR image: its map coordinates where it has any, else
    column and minus row. The destination is on the optical map, or again
    column and minus row where there is none. Outliers are there, disabled.
    """
    there = to_map(grid, points.optical) if has_map(grid) else _plane(points.optical)
    here = to_map(sar_grid, points.sar) if has_map(sar_grid) else _plane(points.sar)
    offset = np.nan_to_num(_residual(points, transform))  # QGIS wants a number; 0 says not known
    lines = [f"#CRS: {_wkt(crs)}"] if (crs := file_crs(grid)) else []
    lines.append("mapX,mapY,sourceX,sourceY,enable,dX,dY,residual")
    for to, at, kept, (down, right) in zip(there, here, points.inlier, offset, strict=True):
        numbers = [to[0], to[1], at[0], at[1], int(kept), right, down, np.hypot(right, down)]
        lines.append(",".join(f"{number:.10g}" for number in numbers))
    write_text(target, "\n".join(lines) + "\n")


def tie_point_rows(
    points: TiePoints, transform: Transform | None, grid: GeoBox
) -> list[dict[str, Any]]:
    """One dict per tie point with the keys of :data:`COLUMNS`; ``grid`` is the optical one."""
    lonlat = to_lonlat(grid, points.optical) if is_placed(grid) and len(points) else None
    residual = np.linalg.norm(_residual(points, transform), axis=1)
    return [
        {
            "sar_row": round(float(points.sar[i, 0]), 4),
            "sar_col": round(float(points.sar[i, 1]), 4),
            "optical_row": round(float(points.optical[i, 0]), 4),
            "optical_col": round(float(points.optical[i, 1]), 4),
            "score": round(float(points.score[i]), 5),
            "ratio": round(float(points.ratio[i]), 4),
            "inlier": bool(points.inlier[i]),
            "residual_px": None if np.isnan(residual[i]) else round(float(residual[i]), 4),
            "lon": None if lonlat is None else round(float(lonlat[i, 0]), 9),
            "lat": None if lonlat is None else round(float(lonlat[i, 1]), 9),
        }
        for i in range(len(points))
    ]


def _residual(points: TiePoints, transform: Transform | None) -> Array:
    """Mapped less found (rows, columns) in optical pixels; NaN without transform."""
    if transform is None:
        return np.full((len(points), 2), np.nan)
    return transform(points.sar) - points.optical


def _plane(points: Array) -> Array:
    return np.column_stack([points[:, 1], -points[:, 0]])


def _wkt(crs: str) -> str:
    from pyproj import CRS

    return str(CRS.from_user_input(crs).to_wkt()).replace("\n", "")


def _text(value: object) -> object:
    if value is None:
        return ""
    return int(value) if isinstance(value, bool) else value
