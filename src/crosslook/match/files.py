"""The files of a match: tie points as tables, and images of how the two lie on each other."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.atomic import atomic_path, write_csv, write_text
from crosslook.errors import OutputError
from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import crs_of, file_crs, is_placed, to_lonlat
from crosslook.geo.image import Image, ImageFile
from crosslook.match.lattice import FIELD_FILE
from crosslook.match.placement import to_plane
from crosslook.match.scene.result import QUALITY_FILE, REPORT_FILE, TILE_COLUMNS, TILES_FILE
from crosslook.match.tie_point_files import (
    Columns,
    parts_of,
    rows_of,
    write_geopackage,
    write_geoparquet,
)
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, scaling, shift_by
from crosslook.match.warp import covered_window, warp
from crosslook.options import WritingOptions
from crosslook.types import Array, Mask, Window
from crosslook.written import (
    MARK,
    beside,
    has_header,
    has_keys,
    is_marked,
    refuse_foreign,
    tags_of,
)

Pixels = NDArray[np.uint8]

COLUMNS = (
    "sar_row", "sar_col", "optical_row", "optical_col", "score", "ratio", "inlier", "residual_px",
    "lon", "lat",
)  # fmt: skip

MATCH_FILE = "match.json"

WRITTEN = {
    MATCH_FILE: has_keys("verdict", "evidence", "images"),
    "tie_points.csv": has_header(COLUMNS),
    "tie_points.geojson": is_marked,
    "tie_points.gpkg": is_marked,
    "tie_points.parquet": is_marked,
    "tie_points.points": beside("tie_points.csv", has_header(COLUMNS)),  # as QGIS writes it
    FIELD_FILE: is_marked,
    QUALITY_FILE: is_marked,
    TILES_FILE: has_header(TILE_COLUMNS),
    "footprint.geojson": is_marked,
    "aligned.tif": is_marked,
    "before.png": is_marked,
    "after.png": is_marked,
    "overlay.png": is_marked,
    "residuals.png": is_marked,
    "swipe.html": is_marked,
    REPORT_FILE: is_marked,
}
"""All files of a match, and how each tells that crosslook wrote it."""

AUDIT = "audit"
"""Verdict in the tags of a map that an audit wrote: it has the name of a registration's."""

_MAX_SIDE = 1200
_PNG_HEADER = 33  # bytes of the signature and the first chunk
_SQUARES = 8
_GAP_PX = 8
_EDGE_COLOUR = (255, 220, 0)
_EDGE_BLUR_PX = 3.5


def check_out(settings: WritingOptions) -> None:
    """Refuse, before any work, a folder as :func:`check_folder` does."""
    if settings.out is not None:
        check_folder(Path(settings.out), overwrite=settings.overwrite)


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """See that a folder has no file that those of a match would replace wrongly.

    Raises
    ------
    OutputError
        If it has the map of an audit, whose files have the same names, or a file of other
        origin that ``overwrite`` does not replace.
    """
    quality = folder / QUALITY_FILE
    if quality.is_file() and tags_of(quality).get("VERDICT") == AUDIT:
        raise OutputError(
            f"{folder} has the map of an audit, whose {QUALITY_FILE} and {REPORT_FILE} would be "
            "lost. Give another --out."
        )
    refuse_foreign(folder, WRITTEN, overwrite=overwrite)


def write_tie_points(
    out: Path, points: TiePoints, transform: Transform | None, sar: GeoBox, optical: GeoBox
) -> None:
    """Write the tie points as CSV, as GeoJSON and as QGIS's georeferencer loads them.

    Of an optical image with a georeference as GeoPackage too, and the many points of a scene as
    GeoParquet (what writes it takes 100 MiB, so not of every pair). What a matcher knows of the
    standard deviation of each is in all but the table and the georeferencer's file.
    """
    columns = tie_point_columns(points, transform, optical)
    table = {**columns, "inlier": points.inlier.astype(int)}
    write_csv(out / "tie_points.csv", COLUMNS, rows_of(table))
    if points.std is not None:
        columns["std_px"] = np.round(points.std, 4)
    if is_placed(optical):
        begin = to_lonlat(sar, points.sar) if is_placed(sar) and len(points) else None
        write_geopackage(out / "tie_points.gpkg", columns, begin)
        if points.std is not None:
            write_geoparquet(out / "tie_points.parquet", columns)
    with atomic_path(out / "tie_points.geojson") as path, path.open("w", encoding="utf-8") as file:
        file.writelines(_as_geojson(columns))
    _write_qgis(out / "tie_points.points", points, transform, sar, optical)


def _as_geojson(columns: Columns) -> Iterator[str]:
    """A collection of points (RFC 7946), as text, without an object for each."""
    keys = [key for key in columns if key not in ("lon", "lat")]
    properties = ", ".join(f"{json.dumps(key)}: %s" for key in keys)
    line = f'{{"type": "Feature", "geometry": %s, "properties": {{{properties}}}}}'
    yield f'{{"type": "FeatureCollection", "generator": {json.dumps(MARK)}, "features": ['
    between = ""
    for part in parts_of(columns):
        places = [
            "null" if lon != lon else f'{{"type": "Point", "coordinates": [{lon!r}, {lat!r}]}}'
            for lon, lat in zip(part["lon"].tolist(), part["lat"].tolist(), strict=True)
        ]
        texts = [places, *(_json_of(part[key]) for key in keys)]
        yield between + ", ".join(line % one for one in zip(*texts, strict=True))
        between = ", "
    yield "]}\n"


def _json_of(column: NDArray[Any]) -> list[str]:
    if column.dtype.kind == "b":
        return ["true" if value else "false" for value in column.tolist()]
    return ["null" if value != value else repr(value) for value in column.tolist()]


def _write_qgis(
    target: Path, points: TiePoints, transform: Transform | None, sar: GeoBox, optical: GeoBox
) -> None:
    """Ground control points, outliers disabled.

    The source is the SAR image: its map coordinates where it has any, else
    column and minus row. The destination is on the optical map, or again
    column and minus row where there is none.
    """
    there, here = to_plane(optical, points.optical), to_plane(sar, points.sar)
    offset = np.nan_to_num(_residual(points, transform))  # QGIS wants a number; 0 says not known
    lines = []
    if file_crs(optical) is not None:
        lines.append("#CRS: " + str(crs_of(optical).to_wkt()).replace("\n", ""))
    lines.append("mapX,mapY,sourceX,sourceY,enable,dX,dY,residual")
    length = np.hypot(offset[:, 1], offset[:, 0])
    table = np.column_stack([there, here, points.inlier, offset[:, ::-1], length])
    line = ",".join(["%.10g"] * table.shape[1])
    lines.extend(line % tuple(row) for row in table.tolist())
    write_text(target, "\n".join(lines) + "\n")


def write_footprint(path: Path, lonlat: Array, about: dict[str, Any]) -> None:
    """Write the outline of a SAR image (n, 2), closed, as a polygon of GeoJSON (RFC 7946)."""
    ring = np.round(lonlat, 9)
    area = np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1])
    ring = ring if area > 0 else ring[::-1]  # counterclockwise
    geometry = {"type": "Polygon", "coordinates": [ring.tolist()]}
    feature = {"type": "Feature", "geometry": geometry, "properties": about}
    collection = {"type": "FeatureCollection", "generator": MARK, "features": [feature]}
    write_text(path, json.dumps(collection) + "\n")


def tie_point_columns(
    points: TiePoints, transform: Transform | None, grid: GeoBox
) -> dict[str, NDArray[Any]]:
    """The columns of :data:`COLUMNS`, each of shape (n,); NaN where something is not known.

    Positions have pixel centres at +0.5. ``residual_px`` is the distance from
    where the transform puts the SAR position, in optical pixels; ``lon`` and
    ``lat`` belong to the optical position on ``grid``, NaN without georeference.
    """
    has_place = is_placed(grid) and len(points) > 0
    lonlat = to_lonlat(grid, points.optical) if has_place else np.full((len(points), 2), np.nan)
    residual = np.linalg.norm(_residual(points, transform), axis=1)
    exact = (*points.sar.T, *points.optical.T, points.score, points.ratio, residual, *lonlat.T)
    digits = (4, 4, 4, 4, 5, 4, 4, 9, 9)
    rounded = [
        np.round(np.asarray(column, np.float64), count)
        for column, count in zip(exact, digits, strict=True)
    ]
    return dict(zip(COLUMNS, [*rounded[:6], points.inlier, *rounded[6:]], strict=True))


def tie_point_rows(
    points: TiePoints, transform: Transform | None, grid: GeoBox
) -> list[dict[str, Any]]:
    """One dict per tie point with the keys of :data:`COLUMNS`; None where one is not known."""
    rows = rows_of(tie_point_columns(points, transform, grid))
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def _residual(points: TiePoints, transform: Transform | None) -> Array:
    """Predicted less measured (rows, columns) in optical pixels; NaN without transform."""
    if transform is None:
        return np.full((len(points), 2), np.nan)
    return transform(points.sar) - points.optical


def side_by_side(sar: ImageFile, optical: ImageFile, transform: Transform) -> tuple[Pixels, Pixels]:
    """Optical and warped SAR as RGB (H, W, 3), cut to the SAR footprint."""
    _, ground, warped = on_footprint(sar, optical, transform)
    return colours_of(ground), _grey_rgb(np.where(warped.valid, warped.values, 0))


def on_footprint(
    sar: ImageFile, optical: ImageFile, transform: Transform, most: int = _MAX_SIDE
) -> tuple[Window, Image, GreyImage]:
    """The optical pixels under a SAR image, and the SAR image warped onto them.

    Returns
    -------
    window : Window
        What is covered, in optical pixels.
    ground : Image
        At most ``most`` pixels along a side.
    warped : GreyImage
        The SAR image on the same pixels.
    """
    window = covered_window(transform, sar.grid, optical.shape)
    factor = max(1, -(-max(window.height, window.width) // most))
    ground = optical.read(window, factor)
    finer = max(1, round(factor / transform.local_scale(np.array(sar.shape) / 2)))
    radar = sar.read(None, finer)
    onto = scaling(factor).inverse @ transform.within(window) @ scaling(finer)
    return window, ground, warp(radar.grey_image("sar"), onto, ground.shape)


def colours_of(image: Image) -> Pixels:
    """Red, green and blue (H, W, 3) of an image; its grey three times where it has one band."""
    bands = np.clip(image.values[:3] if len(image.values) >= 3 else image.values[[0, 0, 0]], 0, 1)
    return np.ascontiguousarray((bands * 255).round().astype(np.uint8).transpose(1, 2, 0))


def checkerboard(optical: Pixels, sar: Pixels, valid: Mask | None = None) -> Pixels:
    """Squares of both (H, W, 3) by turns; where the SAR image holds nothing, the optical one."""
    height, width = optical.shape[:2]
    side = max(1, min(height, width) // _SQUARES)
    odd = (np.arange(height)[:, None] // side + np.arange(width)[None] // side) % 2 == 1
    odd = odd if valid is None else odd & valid
    return np.where(odd[..., None], sar, optical)


def overlay(optical: Pixels, sar: Pixels) -> Pixels:
    """Left a checkerboard of both (H, W, 3), right the SAR image's edges over the optical one."""
    return _beside(checkerboard(optical, sar), edges_over(optical, sar))


def shift_preview(sar: GreyImage, optical: Image, shift: tuple[float, float]) -> bytes:
    """PNG: edges of the SAR image as published, and moved by ``shift``, over the optical."""
    base = colours_of(optical)
    panels = []
    for move in ((0.0, 0.0), shift):
        warped = warp(sar, shift_by(*move), optical.shape)
        panels.append(edges_over(base, _grey_rgb(warped.values)))
    return png_of(_beside(*panels))


def _grey_rgb(values: NDArray[np.floating[Any]]) -> Pixels:
    """Values (H, W) in 0..1 as RGB (H, W, 3)."""
    return np.repeat((values * 255).astype(np.uint8)[..., None], 3, axis=2)


def _beside(left: Pixels, right: Pixels) -> Pixels:
    """Two images (H, W, 3) with a white gap between."""
    return np.hstack([left, np.full((left.shape[0], _GAP_PX, 3), 255, np.uint8), right])


def edges_over(base: Pixels, other: Pixels, valid: Mask | None = None) -> Pixels:
    """The edges of ``other`` (H, W, 3) in yellow over a pale ``base``.

    The border of what is ``valid`` of it is no edge: it would draw a frame.
    """
    grey = cv2.cvtColor(cv2.GaussianBlur(other, (0, 0), _EDGE_BLUR_PX), cv2.COLOR_RGB2GRAY)
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    inside = np.ones(grey.shape, np.bool_)
    if valid is not None:
        around = 2 * round(3.5 * _EDGE_BLUR_PX) + 1
        padded = cv2.copyMakeBorder(valid.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        inside = cv2.erode(padded, np.ones((around, around), np.uint8))[1:-1, 1:-1] > 0
    high = float(np.percentile(gradient[inside], 94)) if inside.any() else 1.0
    lines = cv2.Canny(grey, high * 0.4, max(high, 1.0), L2gradient=True)
    out = (base * 0.7).astype(np.uint8)
    out[(lines > 0) & inside] = _EDGE_COLOUR
    return out


def jpeg_of(image: Pixels) -> bytes:
    """An image (H, W, 3) as JPEG."""
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


def png_of(image: Pixels) -> bytes:
    """An image (H, W, 3) as PNG that says who wrote it, in a text chunk behind its header."""
    png = bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])
    chunk = b"tEXtSoftware\0" + MARK.encode("ascii")
    text = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:_PNG_HEADER] + text + png[_PNG_HEADER:]
