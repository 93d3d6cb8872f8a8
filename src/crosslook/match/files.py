"""The aligned image and the tie points as files, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as FileWindow

from crosslook.atomic import atomic_path, write_text
from crosslook.geo.grid import crs_text, is_placed, rim, to_lonlat, to_map, window_of
from crosslook.geo.image import ImageFile
from crosslook.geo.products import quiet
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, translation
from crosslook.match.warp import source_positions
from crosslook.types import Array, Window

RESAMPLING = "bilinear"
_TILE, _STEP = 256, 1024
_MUCH_LARGER = 4
_SOLID = 0.999


def write_aligned(
    target: Path, sar: ImageFile, optical: ImageFile, transform: Transform, verdict: str
) -> None:
    """Write all SAR bands on the pixels of the optical image, as a COG.

    Numbers, scale and offset are those of the SAR file. It covers the optical
    image, or, where that is more than four times as large as what the SAR image
    covers, the whole pixels of the optical grid under the SAR image. Memory
    holds a tile at a time.
    """
    corner, shape = _covered(sar, optical, transform)
    nodata = _nodata_of(sar)
    place = window_of(optical.grid, corner, shape)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": sar.header.bands, "height": shape[0], "width": shape[1],
        "dtype": sar.header.dtype, "nodata": nodata, "tiled": True, "blockxsize": _TILE,
        "blockysize": _TILE, "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    if is_placed(place):
        profile |= {"crs": crs_text(place), "transform": place.affine}
    with atomic_path(target) as path, quiet():
        flat = path.with_suffix(".flat.tif")
        with rasterio.open(flat, "w", **profile) as file:
            for window in _tiles(shape):
                at = (corner[0] + window.row, corner[1] + window.col)
                bands = _aligned_tile(sar, transform, at, (window.height, window.width), nodata)
                if bands is not None:
                    region = FileWindow(window.col, window.row, window.width, window.height)
                    file.write(bands, window=region)
            file.scales, file.offsets = sar.header.scales, sar.header.offsets
            file.update_tags(
                RESAMPLING=RESAMPLING,
                SOURCE=sar.name,
                ALIGNED_TO=optical.name,
                VERDICT=verdict,
            )
        try:
            copy_raster(flat, path, driver="COG", COMPRESS="DEFLATE", OVERVIEWS="AUTO")
        finally:
            flat.unlink(missing_ok=True)


def _covered(
    sar: ImageFile, optical: ImageFile, transform: Transform
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel and shape of the part of the optical image that is written."""
    ring = transform(rim(sar.grid))
    low = np.clip(np.floor(ring.min(axis=0)), 0, np.array(optical.shape) - 1).astype(int)
    high = np.clip(np.ceil(ring.max(axis=0)), low + 1, optical.shape).astype(int)
    if np.prod(high - low) * _MUCH_LARGER >= np.prod(optical.shape):
        return (0, 0), optical.shape
    return (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def _nodata_of(sar: ImageFile) -> float:
    """The file's own nodata, declared or found, else NaN for floats and 0 for whole numbers."""
    if sar.nodata is not None:
        return sar.nodata
    return float("nan") if sar.header.dtype.startswith("float") else 0.0


def _tiles(shape: tuple[int, int]) -> Iterator[Window]:
    for row in range(0, shape[0], _STEP):
        for col in range(0, shape[1], _STEP):
            yield Window(row, col, min(_STEP, shape[0] - row), min(_STEP, shape[1] - col))


def _aligned_tile(
    sar: ImageFile,
    transform: Transform,
    corner: tuple[int, int],
    shape: tuple[int, int],
    nodata: float,
) -> NDArray[Any] | None:
    """All bands (B, h, w) of one tile in the SAR file's own type; None where it has no data."""
    here = Transform(translation(-corner[0], -corner[1]), "shift").compose(transform)
    rows, cols = source_positions(here, shape)
    height, width = sar.shape
    top, left = (max(0, int(np.floor(at.min())) - 1) for at in (rows, cols))
    bottom = min(height, int(np.ceil(rows.max())) + 2)
    right = min(width, int(np.ceil(cols.max())) + 2)
    if bottom <= top or right <= left:
        return None
    stored, valid = sar.read_stored(Window(top, left, bottom - top, right - left))
    at = (cols - np.float32(left + 0.5), rows - np.float32(top + 0.5))
    solid = cv2.remap(valid.astype(np.float32), *at, cv2.INTER_LINEAR, borderValue=0.0)
    inside = solid > _SOLID
    kind = np.dtype(sar.header.dtype)
    out = np.full((len(stored), *shape), nodata, kind)
    for source, band in zip(stored, out, strict=True):
        clean = np.where(valid, source, 0).astype(np.float32)
        warped = cv2.remap(clean, *at, cv2.INTER_LINEAR, borderValue=0.0)
        if kind.kind in "ui":
            limits = np.iinfo(kind)
            # A dark pixel that rounds to the nodata value would vanish.
            lowest = limits.min + 1 if nodata == limits.min else limits.min
            warped = np.clip(np.rint(warped), lowest, limits.max)
        band[inside] = warped[inside].astype(kind)
    return out


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
    collection = {"type": "FeatureCollection", "features": features}
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
    column and minus row where that has no CRS. Outliers are there, disabled.
    """
    there = to_map(grid, points.optical) if is_placed(grid) else _plane(points.optical)
    here = to_map(sar_grid, points.sar) if is_placed(sar_grid) else _plane(points.sar)
    offset = np.nan_to_num(_residual(points, transform))  # QGIS wants a number; 0 says not known
    lines = [f"#CRS: {_wkt(crs)}"] if (crs := crs_text(grid)) else []
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
