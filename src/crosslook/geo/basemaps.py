"""Windows of basemaps, read on the grid of an atlas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, transform_bounds

from crosslook.errors import GridError, InputError, RasterError, SettingError
from crosslook.geo.image import valid_pixels
from crosslook.geo.position import Georeference
from crosslook.geo.raster import reason
from crosslook.storage import as_path, for_gdal, is_remote, reaching
from crosslook.types import Array


@dataclass(frozen=True)
class AtlasGrid:
    """Pixels of an atlas and the blocks that they are stored in.

    Attributes
    ----------
    reference : Georeference
        CRS, and where pixel (0, 0) begins.
    shape : (rows, columns) in pixels.
    block : int
        Side of a block in pixels.
    """

    reference: Georeference
    shape: tuple[int, int]
    block: int

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return (-(-self.shape[0] // self.block), -(-self.shape[1] // self.block))

    def every_block(self) -> Iterator[tuple[int, int]]:
        """All (row, column) of blocks, also those without data."""
        rows, cols = self.blocks
        return ((row, col) for row in range(rows) for col in range(cols))

    def window_reference(self, row: int, col: int) -> Georeference:
        """Georeference of a window whose upper left pixel is (row, col)."""
        a, b, c, d, e, f = self.reference.affine
        return Georeference(
            self.reference.crs, (a, b, a * col + b * row + c, d, e, d * col + e * row + f)
        )

    def ground_metres(self, points: Array) -> float:
        """Ground length of a pixel side, the mean over pixel positions (n, 2)."""
        return float(np.mean([self.reference.metres_per_pixel(point) for point in points]))


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


_SAMPLE_SIDE = 256
_STRETCH = (1.0, 99.0)


def read_window(
    maps: Sequence[Basemap],
    grid: AtlasGrid,
    corner: tuple[int, int],
    shape: tuple[int, int],
    stretch: tuple[float, float] | None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read one window of the grid from all files that touch it.

    Where files overlap the first one wins. Pixels outside the grid or without
    data are invalid and zero.

    Parameters
    ----------
    corner, shape : (row, column) of the upper left pixel, and rows and columns.
    stretch : (low, high) that become 0 and 255; None for 8-bit files as they are.

    Returns
    -------
    bands : uint8 array, shape (B, H, W)
    valid : bool array, shape (H, W)
    """
    out = np.zeros((len(maps[0].bands), *shape), np.uint8)
    valid = np.zeros(shape, np.bool_)
    place = grid.window_reference(*corner)
    for one in maps:
        rows, cols = _span(one.bounds, place, shape)
        if rows.start >= rows.stop or cols.start >= cols.stop or valid[rows, cols].all():
            continue
        part = grid.window_reference(corner[0] + rows.start, corner[1] + cols.start)
        values, solid = _read(one, part, (rows.stop - rows.start, cols.stop - cols.start))
        new = solid & ~valid[rows, cols]
        np.copyto(out[:, rows, cols], _to_bytes(values, stretch), where=new)
        valid[rows, cols] |= new
    return out, valid


def touched_blocks(maps: Sequence[Basemap], grid: AtlasGrid) -> list[tuple[int, int]]:
    """List the blocks of a grid that any basemap reaches into, row by row."""
    found: set[tuple[int, int]] = set()
    for one in maps:
        rows, cols = _span(one.bounds, grid.reference, grid.shape)
        if rows.start >= rows.stop or cols.start >= cols.stop:
            continue
        found |= {
            (row, col)
            for row in range(rows.start // grid.block, -(-rows.stop // grid.block))
            for col in range(cols.start // grid.block, -(-cols.stop // grid.block))
        }
    return sorted(found)


def measure_stretch(maps: Sequence[Basemap]) -> tuple[float, float] | None:
    """The 1st and 99th percentile over all files, from reduced readings.

    None where every file is 8 bit, which needs no stretch.
    """
    samples = []
    for one in maps:
        with opened(as_path(one.path)) as file:
            if all(kind == "uint8" for kind in file.dtypes):
                continue
            side = [min(_SAMPLE_SIDE, length) for length in file.shape]
            values = file.read(list(one.bands), out_shape=(len(one.bands), *side))
            mask = file.dataset_mask(out_shape=tuple(side)) > 0
            inside = values[:, mask & np.isfinite(values).all(axis=0)]
            samples.append(inside.ravel().astype(np.float64))
    if not samples or not any(len(s) for s in samples):
        return None
    low, high = np.percentile(np.concatenate(samples), _STRETCH)
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def _read(
    one: Basemap, place: Georeference, shape: tuple[int, int]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    try:
        with (
            opened(as_path(one.path)) as file,
            WarpedVRT(
                file,
                crs=CRS.from_user_input(place.crs),
                transform=Affine(*place.affine),
                height=shape[0],
                width=shape[1],
                resampling=Resampling.bilinear,
                add_alpha=file.nodata is None and "alpha" not in _colours(file),
            ) as view,
        ):
            values = view.read(list(one.bands))
            mask = view.dataset_mask() > 0
    except RasterioError as error:
        raise RasterError(
            f"basemap '{one.path}' cannot be read: {reason(error)}. "
            "Repair or remove it and build again."
        ) from error
    return values, np.asarray(mask & (valid_pixels(values) | ~mask), np.bool_)


def _colours(file: Any) -> list[str]:
    return [colour.name for colour in file.colorinterp]


def _to_bytes(values: NDArray[Any], stretch: tuple[float, float] | None) -> NDArray[np.uint8]:
    if stretch is None:
        return np.asarray(values, np.uint8)
    low, high = stretch
    # 0 stays free of data, so that a dark pixel is never taken for a hole.
    scaled = (values.astype(np.float32) - low) * (254.0 / (high - low)) + 1.0
    return np.asarray(np.clip(np.rint(scaled), 1, 255), np.uint8)


def _span(bounds: Bounds, place: Georeference, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a window that a basemap reaches, with a pixel to spare."""
    a, _, c, _, e, f = place.affine
    left, bottom, right, top = bounds
    rows = sorted(((top - f) / e, (bottom - f) / e))
    cols = sorted(((left - c) / a, (right - c) / a))
    found = [
        slice(max(0, math.floor(low) - 1), min(length, math.ceil(high) + 1))
        for (low, high), length in zip((rows, cols), shape, strict=True)
    ]
    return found[0], found[1]
