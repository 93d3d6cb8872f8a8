"""Many files on one grid: which, where, and windows of them all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from crosslook.errors import GridError, InputError, SettingError
from crosslook.geo.grid import (
    bounds_on,
    crs_of,
    is_placed,
    make_grid,
    parse_crs,
    pixel_size,
    shape_of,
    text_of_crs,
    window_of,
)
from crosslook.geo.image import ImageFile, open_image
from crosslook.geo.products.resolve import product_bands
from crosslook.geo.products.stac import stac_items
from crosslook.geo.products.suffixes import SUFFIXES
from crosslook.geo.raster import RasterFile
from crosslook.geo.reading import Reading, fit_stretch
from crosslook.progress import track
from crosslook.storage import (
    ONLY_GDAL,
    Place,
    as_path,
    as_place,
    is_gdal_name,
    is_remote,
    name_of,
    reaching,
    state_of,
)
from crosslook.types import Window

Bounds = tuple[float, float, float, float]
_SAMPLE = 4096  # values kept of each file for limits that files of one kind share
_NARROW = 0.25  # a file whose own range is a smaller part of the shared one keeps its own
_MOST_DEGREES = 1.0


@dataclass(frozen=True, eq=False)
class Basemap:
    """One file of a mosaic.

    Attributes
    ----------
    image : ImageFile
        On its own pixels; 8-bit files keep their numbers, others are stretched.
    bounds : (left, bottom, right, top) in the CRS of the mosaic.
    revolutions : int
        Times 360 degrees by which its longitudes are counted on, in a mosaic
        that goes over the 180th meridian.
    """

    image: ImageFile
    bounds: Bounds
    revolutions: int = 0

    def read(
        self, grid: GeoBox, corner: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Bands (B, h, w) and valid pixels of a window of the mosaic's grid."""
        if self.revolutions:
            a, b, c, d, e, f = tuple(grid.affine)[:6]
            moved = Affine(a, b, c - 360.0 * self.revolutions, d, e, f)
            grid = GeoBox(grid.shape, moved, grid.crs)
        image = self.image.on(grid).read(Window(*corner, *shape))
        return _to_bytes(image.values, self.image.header.dtype), image.valid


def find_basemaps(places: Iterable[Place]) -> list[Place]:
    """List the rasters of files, folders, products and STAC collections, folders sorted by name.

    Raises
    ------
    InputError
        If a place is missing or a folder holds no raster.
    """
    basemaps: list[Place] = []
    for place in places:
        at = as_place(place)
        items = stac_items(at)
        if items is not None:
            basemaps += items
            continue
        if isinstance(at, str) or product_bands(at) is not None:
            basemaps.append(at)
            continue
        with reaching(at):
            basemaps += _rasters_at(at)
    if not basemaps:
        raise InputError("no basemap was given; name at least one file or folder.")
    return basemaps


def plan_grid(
    places: Sequence[Place],
    crs: str | None = None,
    resolution: float | None = None,
    reading: Reading | None = None,
) -> tuple[GeoBox, list[Basemap]]:
    """Choose the grid that holds all files.

    CRS and resolution are those of the first file unless they are given; a
    first file that is not north-up lends its CRS and the length of its pixel
    sides. The upper left corner is that of the union of all files.

    Parameters
    ----------
    places : sequence of places
    crs : str, optional
        As ``EPSG:32611``.
    resolution : float, optional
        Units of the CRS per pixel.
    reading : Reading, optional

    Raises
    ------
    RasterError
        If a file cannot be read.
    GridError
        If a file has no CRS, or lies where the CRS is not defined.
    InputError
        If files of one folder are bands of one place.
    SettingError
        If the CRS is unknown or the resolution is not allowed.
    """
    target = None if crs is None else parse_crs(crs)
    steps = None if resolution is None else (resolution, resolution)
    maps: list[Basemap] = []
    for place in track(places, "Reading basemaps", len(places)):
        image = _thinned(open_image(place, "optical", reading, allow_empty=True))
        if not is_placed(image.grid):
            raise GridError(
                f"basemap '{image.name}' has no georeference, so places on it have no "
                "coordinates. Give a GeoTIFF, or use register for two plain images."
            )
        target = target or crs_of(image.grid)
        if not maps:
            _check_resolution(resolution, target)
        steps = steps or pixel_size(image.grid, target)
        maps.append(_placed(image, target, maps[0].bounds if maps else None))
    if target is None or steps is None:
        raise InputError("no basemap was given; name at least one file or folder.")
    _check_bands(places, maps)
    maps = _sharing_limits(maps)
    left, top = min(m.bounds[0] for m in maps), max(m.bounds[3] for m in maps)
    right, bottom = max(m.bounds[2] for m in maps), min(m.bounds[1] for m in maps)
    across, down = steps
    height, width = _cells((top - bottom) / down), _cells((right - left) / across)
    return make_grid(text_of_crs(target), (across, 0, left, 0, -down, top), height, width), maps


def read_window(
    maps: Sequence[Basemap], grid: GeoBox, corner: tuple[int, int], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read one window of the grid from all files that touch it.

    Where files overlap the first one wins. Pixels outside the grid or without
    data are invalid and zero. Colour and grey files together give grey.

    Parameters
    ----------
    corner, shape : (row, column) of the upper left pixel, and rows and columns.

    Returns
    -------
    bands : uint8 array, shape (B, H, W)
    valid : bool array, shape (H, W)
    """
    count = bands_of(maps)
    out = np.zeros((count, *shape), np.uint8)
    valid = np.zeros(shape, np.bool_)
    place = window_of(grid, corner, shape)
    for one in maps:
        rows, cols = span(one.bounds, place)
        if rows.start >= rows.stop or cols.start >= cols.stop or valid[rows, cols].all():
            continue
        part = (corner[0] + rows.start, corner[1] + cols.start)
        values, solid = one.read(grid, part, (rows.stop - rows.start, cols.stop - cols.start))
        if len(values) > count:
            values = np.rint(values.mean(axis=0, keepdims=True)).astype(np.uint8)
        new = solid & ~valid[rows, cols]
        np.copyto(out[:, rows, cols], values, where=new)
        valid[rows, cols] |= new
    return out, valid


def bands_of(maps: Sequence[Basemap]) -> int:
    """Bands that all files have: three, or one where any is grey."""
    return min(len(one.image.bands) for one in maps)


def fingerprint(places: Sequence[Place]) -> list[list[Any]]:
    """Name, size and time of change of every file, and of its parts: tells a changed basemap."""
    entries: list[list[Any]] = []
    for place in places:
        for part in RasterFile(place).parts():
            if is_gdal_name(part) or part.startswith(ONLY_GDAL):
                entries.append([name_of(part), 0, 0])
                continue
            path = as_path(part)
            with reaching(path):
                size, changed = state_of(path)
            entries.append([path.name, size, changed])
    return entries


def span(bounds: Bounds, place: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of a north-up window that a file reaches, with a pixel to spare."""
    a, _, c, _, e, f = tuple(place.affine)[:6]
    left, bottom, right, top = bounds
    rows = sorted(((top - f) / e, (bottom - f) / e))
    cols = sorted(((left - c) / a, (right - c) / a))
    spans = [
        slice(max(0, math.floor(low) - 1), min(length, math.ceil(high) + 1))
        for (low, high), length in zip((rows, cols), shape_of(place), strict=True)
    ]
    return spans[0], spans[1]


def _rasters_at(place: Path) -> list[Place]:
    if place.is_dir():
        inside = [p for p in place.iterdir() if p.suffix.lower() in SUFFIXES]
        if not inside:
            raise InputError(
                f"folder '{place}' holds no basemap; a product, or files ending in "
                f"{', '.join(SUFFIXES)}, are looked for."
            )
        return sorted(inside, key=str)
    if place.exists():
        return [place if is_remote(place) else place.resolve()]
    raise InputError(f"there is no basemap '{place}'. Check the path.")


def _thinned(image: ImageFile) -> ImageFile:
    sample = image.survey.sample
    few = np.ascontiguousarray(sample[:, :: max(1, sample.shape[1] // _SAMPLE)])
    return replace(image, survey=replace(image.survey, sample=few))


def _placed(image: ImageFile, target: CRS, first: Bounds | None) -> Basemap:
    name = text_of_crs(target)[:60]
    try:
        left, bottom, right, top = bounds_on(image.grid, target)
    except GridError as error:
        raise GridError(
            f"basemap '{image.name}' cannot be brought to {name}: {error} Choose another --crs."
        ) from error
    revolutions = 0
    if target.is_geographic and first is not None:
        revolutions = round(((first[0] + first[2]) - (left + right)) / 720.0)
    moved = 360.0 * revolutions
    return Basemap(image, (left + moved, bottom, right + moved, top), revolutions)


def _check_resolution(resolution: float | None, target: CRS) -> None:
    if resolution is None:
        return
    if not resolution > 0:
        raise SettingError(f"the resolution is {resolution}; a number above 0 is needed.")
    if target.is_geographic and resolution > _MOST_DEGREES:
        metres = resolution / 111_320
        raise SettingError(
            f"the resolution is {resolution:g}, but the units of {text_of_crs(target)[:40]} are "
            f"degrees; {resolution:g} m are about {metres:.2g}. Give --resolution in degrees, or a "
            "--crs in metres."
        )


def _check_bands(places: Sequence[Place], maps: Sequence[Basemap]) -> None:
    """Refuse a folder of files that are bands of one place: which is the image is not known."""
    seen: dict[tuple[str, ...], str] = {}
    for place, one in zip(places, maps, strict=True):
        if isinstance(place, str) or len(one.image.bands) != 1:
            continue
        key = (str(place.parent), *(f"{value:.9g}" for value in one.bounds))
        if key in seen:
            raise InputError(
                f"'{seen[key]}' and '{one.image.name}' cover the same ground with one band each, "
                "as bands of one product do. Name the file to use, or stack red, green and blue "
                "into one raster and choose with --bands."
            )
        seen[key] = one.image.name


def _sharing_limits(maps: Sequence[Basemap]) -> list[Basemap]:
    """Files of one kind share limits, so that no seam shows between tiles of one product.

    A file whose own range is less than a quarter of the shared one is of
    another kind after all (reflectances times 10,000 among raw numbers) and
    keeps its own. 8-bit files keep their numbers.
    """
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for number, one in enumerate(maps):
        head = one.image.header
        kind = (head.dtype, len(one.image.bands), head.scales[0], head.offsets[0])
        kinds.setdefault(kind, []).append(number)
    out = list(maps)
    for numbers in kinds.values():
        images = [maps[n].image for n in numbers]
        if len(images) == 1:
            continue
        pooled = np.concatenate([image.survey.sample for image in images], axis=1)
        if not pooled.shape[1]:
            continue
        first = images[0]
        shared = fit_stretch(first.radiometry, first.header, first.scale, pooled)
        wide = np.subtract(shared.high, shared.low)
        for number, image in zip(numbers, images, strict=True):
            own = np.subtract(image.stretch.high, image.stretch.low)
            if (own >= _NARROW * wide).all():
                out[number] = replace(maps[number], image=image.restretched(shared))
    return out


def _to_bytes(values: NDArray[np.float32], dtype: str) -> NDArray[np.uint8]:
    if dtype == "uint8":
        return np.asarray(np.clip(np.rint(values * 255), 0, 255), np.uint8)
    # 0 stays free of data, so that a dark pixel is never taken for a hole.
    return np.asarray(np.clip(np.rint(values * 254 + 1), 1, 255), np.uint8)


def _cells(length: float) -> int:
    # A hair beyond a whole pixel is rounding, not another pixel.
    return max(1, math.ceil(length - 1e-3))
