"""The aligned image and the tie points as files, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine

from crosslook.atomic import atomic_path, write_text
from crosslook.geo.image import GeoImage
from crosslook.geo.position import Georeference
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform
from crosslook.match.warp import warp_array
from crosslook.types import Array

RESAMPLING = "bilinear"


def aligned_bands(
    sar: GeoImage, transform: Transform, shape: tuple[int, int]
) -> tuple[NDArray[Any], float]:
    """Resample all SAR bands onto the optical grid.

    Returns
    -------
    bands : array of the SAR image's own type, shape (B, H, W)
    nodata : float
        The value of pixels without data: the file's own, else NaN for floats
        and 0 for whole numbers.
    """
    kind = sar.bands.dtype
    floating = np.issubdtype(kind, np.floating)
    nodata = sar.nodata if sar.nodata is not None else (float("nan") if floating else 0.0)
    solid = warp_array(sar.valid.astype(np.float32), transform, shape, cv2.INTER_LINEAR)
    inside = solid > 0.999
    out = np.full((len(sar.bands), *shape), nodata, kind)
    for source, target in zip(sar.bands, out, strict=True):
        clean = np.where(sar.valid, source, 0).astype(np.float32)
        warped = warp_array(clean, transform, shape, cv2.INTER_LINEAR)
        if not floating:
            limits = np.iinfo(kind)
            # A dark pixel that rounds to the nodata value would vanish.
            lowest = limits.min + 1 if nodata == limits.min else limits.min
            warped = np.clip(np.rint(warped), lowest, limits.max)
        target[inside] = warped[inside].astype(kind)
    return out, nodata


def write_aligned(
    target: Path, sar: GeoImage, optical: GeoImage, transform: Transform, verdict: str
) -> None:
    """Write the SAR image on the grid of the optical one, as a COG."""
    bands, nodata = aligned_bands(sar, transform, optical.shape)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": bands.shape[0],
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": bands.dtype.name,
        "nodata": nodata,
    }
    reference = optical.reference
    if reference is not None:
        profile |= {"crs": reference.crs, "transform": Affine(*reference.affine)}
    with atomic_path(target) as path, MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(bands)
            file.update_tags(
                RESAMPLING=RESAMPLING,
                SOURCE=sar.name,
                ALIGNED_TO=optical.name,
                VERDICT=verdict,
            )
        with memory.open() as file, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            copy_raster(file, path, driver="COG", COMPRESS="DEFLATE", OVERVIEWS="AUTO")


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
    sar_reference: Georeference | None,
    reference: Georeference | None,
) -> None:
    """Ground control points as QGIS's georeferencer loads them.

    The source is the SAR image: its map coordinates where it has any, else
    column and minus row. The destination is on the optical map, or again
    column and minus row where that has no CRS. Outliers are there, disabled.
    """
    there = _plane(points.optical) if reference is None else reference.to_map(points.optical)
    here = _plane(points.sar) if sar_reference is None else sar_reference.to_map(points.sar)
    offset = np.nan_to_num(_residual(points, transform))  # QGIS wants a number; 0 says not known
    lines = [] if reference is None else [f"#CRS: {_wkt(reference.crs)}"]
    lines.append("mapX,mapY,sourceX,sourceY,enable,dX,dY,residual")
    for to, at, kept, (down, right) in zip(there, here, points.inlier, offset, strict=True):
        numbers = [to[0], to[1], at[0], at[1], int(kept), right, down, np.hypot(right, down)]
        lines.append(",".join(f"{number:.10g}" for number in numbers))
    write_text(target, "\n".join(lines) + "\n")


def tie_point_rows(
    points: TiePoints, transform: Transform | None, reference: Georeference | None
) -> list[dict[str, Any]]:
    """One dict per tie point with the keys of :data:`COLUMNS`; ``reference`` is the optical one."""
    lonlat = None if reference is None else reference.to_lonlat(points.optical)
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
