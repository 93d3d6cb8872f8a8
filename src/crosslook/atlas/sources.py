"""The basemap files of an atlas: which, where, and windows of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import calculate_default_transform, transform_bounds

from crosslook.atlas.grid import AtlasGrid
from crosslook.data.raster import reason
from crosslook.errors import GridError, InputError, RasterError, SettingError
from crosslook.match.position import Georeference
from crosslook.storage import as_path, for_gdal, is_remote, reaching

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2")
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Basemap:
    """One file of a basemap.

    Attributes
    ----------
    path : str
        Absolute, or an address, so that workers elsewhere open the same file.
    bounds : (left, bottom, right, top) on the grid of the atlas, in its CRS.
    bands : tuple of int
        The bands read, from 1: the first three, or the only one.
    """

    path: str
    bounds: Bounds
    bands: tuple[int, ...]


def find_basemaps(places: Iterable[str | Path]) -> list[Path]:
    """List the rasters of files and folders, folders sorted by name.

    Raises
    ------
    InputError
        If a place is missing or a folder holds no raster.
    """
    found: list[Path] = []
    for place in (as_path(p) for p in places):
        with reaching(place):
            found += _rasters_at(place)
    if not found:
        raise InputError("no basemap was given; name at least one file or folder.")
    return found


def _rasters_at(place: Path) -> list[Path]:
    if place.is_dir():
        inside = [p for p in place.iterdir() if p.suffix.lower() in SUFFIXES]
        if not inside:
            raise InputError(
                f"folder '{place}' holds no basemap; files ending in "
                f"{', '.join(SUFFIXES)} are looked for."
            )
        return sorted(inside, key=str)
    if place.exists():
        return [place]
    raise InputError(f"there is no basemap '{place}'. Check the path.")


def plan_grid(
    files: Sequence[Path], block: int, crs: str | None = None, resolution: float | None = None
) -> tuple[AtlasGrid, list[Basemap]]:
    """Choose the grid that holds all files.

    CRS and resolution are those of the first file unless they are given; a
    first file that is not north-up lends its CRS and mean resolution. The
    upper left corner is that of the union of all files.

    Parameters
    ----------
    files : sequence of path
    block : int
        Side of a block in pixels.
    crs : str, optional
        As ``EPSG:32611``.
    resolution : float, optional
        Units of the CRS per pixel.

    Raises
    ------
    RasterError
        If a file cannot be read.
    GridError
        If a file has no CRS, or lies where the CRS is not defined.
    SettingError
        If the CRS is unknown or the resolution is not positive.
    """
    if resolution is not None and not resolution > 0:
        raise SettingError(f"the resolution is {resolution}; a number above 0 is needed.")
    target = _parse_crs(crs)
    steps = (resolution, resolution)
    maps: list[Basemap] = []
    for path in files:
        with opened(path) as file:
            if file.crs is None or file.transform.is_identity:
                raise GridError(
                    f"basemap '{path}' has no georeference, so places on it have no coordinates. "
                    "Give a GeoTIFF, or use register for two plain pictures."
                )
            target = target or file.crs
            steps = steps if steps[0] else _resolution(file, target)
            bounds = _bounds(file, target, path)
            bands = (1, 2, 3) if file.count >= 3 else (1,)
            absolute = path if is_remote(path) else path.resolve()
            maps.append(Basemap(str(absolute), bounds, bands))
    if len({m.bands for m in maps}) > 1:  # colour and grey together: grey for all
        maps = [Basemap(m.path, m.bounds, (1,)) for m in maps]
    left, top = min(m.bounds[0] for m in maps), max(m.bounds[3] for m in maps)
    right, bottom = max(m.bounds[2] for m in maps), min(m.bounds[1] for m in maps)
    across, down = float(steps[0] or 1), float(steps[1] or 1)
    shape = (_cells((top - bottom) / down), _cells((right - left) / across))
    reference = Georeference(_crs_text(target), (across, 0.0, left, 0.0, -down, top))
    return AtlasGrid(reference, shape, block), maps


def fingerprint(files: Sequence[Path]) -> list[list[Any]]:
    """Name, size and time of change of every file: tells a changed basemap."""
    found: list[list[Any]] = []
    for path in files:
        with reaching(path):
            status = path.stat()
        found.append([path.name, status.st_size, status.st_mtime_ns])
    return found


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a raster; RasterError where that fails."""
    name, options = for_gdal(path)
    with rasterio.Env(**options):
        try:
            file = rasterio.open(name)
        except RasterioError as error:
            raise RasterError(
                f"basemap '{path}' cannot be read: {reason(error)}. "
                "A GeoTIFF, COG, VRT or JPEG 2000 is needed."
            ) from error
        with file:
            yield file


def _resolution(file: Any, target: Any) -> tuple[float, float]:
    affine = file.transform
    if file.crs == target and affine.b == 0 and affine.d == 0 and affine.e < 0:
        return abs(affine.a), abs(affine.e)
    moved, _, _ = calculate_default_transform(
        file.crs, target, file.width, file.height, *file.bounds
    )
    return abs(moved.a), abs(moved.e)


def _bounds(file: Any, target: Any, path: Path) -> Bounds:
    try:
        left, bottom, right, top = transform_bounds(file.crs, target, *file.bounds, densify_pts=21)
    except RasterioError as error:
        raise GridError(
            f"basemap '{path}' cannot be brought to {_crs_text(target)[:60]}: {error}. "
            "Choose another --crs."
        ) from error
    if not all(math.isfinite(v) for v in (left, bottom, right, top)):
        raise GridError(
            f"basemap '{path}' lies where {_crs_text(target)[:60]} is not defined. "
            "Choose another --crs."
        )
    return left, bottom, right, top


def _parse_crs(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise SettingError(f"'{text}' is no CRS: {error}. Give one as EPSG:32611.") from error


def _crs_text(crs: Any) -> str:
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def _cells(length: float) -> int:
    # A hair beyond a whole pixel is rounding, not another pixel.
    return max(1, math.ceil(length - 1e-3))
