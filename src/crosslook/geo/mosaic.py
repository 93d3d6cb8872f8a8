"""Many files on one grid: which of them, in what order, and windows of them all."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from crosslook.errors import CrosslookError, GridError, InputError, RasterError, SettingError
from crosslook.geo.basemaps import Bounds, Candidate, ground_metres, not_imagery
from crosslook.geo.grid import (
    bounds_on,
    crs_of,
    frame_name,
    has_map,
    is_placed,
    is_unnamed,
    make_grid,
    parse_crs,
    pixel_size,
    shape_of,
    text_of_crs,
    window_of,
)
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.raster import RasterFile
from crosslook.progress import track
from crosslook.storage import (
    ONLY_GDAL,
    Place,
    as_path,
    is_gdal_name,
    is_remote,
    name_of,
    reaching,
    state_of,
)
from crosslook.types import FloatArray, Mask, Window

_SAMPLE = 4096  # values kept of each file for limits that files of one kind share
_NARROW = 0.25  # a file whose own range is a smaller part of the shared one keeps its own
_MOST_DEGREES = 1.0
_ALIKE = 1.25  # pixels of one product differ by less: tiles of several zones, views from aside
_MOST_SWOLLEN = 16.0  # the pixels of the grid, over those of all files
_PERHAPS = (".gpkg", ".nc", ".h5", ".img")  # endings of what may hold tables instead of a raster
_File = tuple[Place | RasterFile, ImageFile]


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
    place : place or raster
        What was opened.
    """

    image: ImageFile
    bounds: Bounds
    revolutions: int = 0
    place: Place | RasterFile = ""

    def read(
        self, grid: GeoBox, corner: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], Mask]:
        """Bands (B, h, w) and valid pixels of a window of the mosaic's grid."""
        image = self.image.on(self.turned(grid)).read(Window(*corner, *shape))
        scaled = in_bytes(image.values, self.image.header.dtype)
        return np.rint(scaled).astype(np.uint8), image.valid

    def turned(self, grid: GeoBox) -> GeoBox:
        """The mosaic's grid with longitudes counted as in the file."""
        if not self.revolutions:
            return grid
        a, b, c, d, e, f = tuple(grid.affine)[:6]
        moved = Affine(a, b, c - 360.0 * self.revolutions, d, e, f)
        return GeoBox(grid.shape, moved, grid.crs)


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Which files become one image, on which grid.

    Attributes
    ----------
    grid : GeoBox
        North up; holds all files.
    maps : tuple of Basemap
        In order: where they overlap the first wins.
    left_out : tuple of (str, str)
        Name of each file that is not used, and why.
    damaged : tuple of (str, str)
        The same of each that cannot be read, where that is allowed.
    """

    grid: GeoBox
    maps: tuple[Basemap, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    damaged: tuple[tuple[str, str], ...] = ()


def plan_mosaic(
    places: Sequence[Place | RasterFile],
    crs: str | None = None,
    resolution: float | None = None,
    reading: Reading | None = None,
    every_file: bool = False,
    *,
    tolerant: bool = False,
) -> Mosaic:
    """Choose the files that are imagery, their order, and the grid that holds them all.

    Finer files come first, so that where they overlap the finest wins; those of about one pixel
    size keep their order. What is no imagery (heights, masks, browse images; see
    :mod:`crosslook.geo.basemaps`), has no georeference or is no raster is left out where others
    remain.

    CRS and resolution are those of the first file in that order unless they are given; a first
    file that is not north-up lends its CRS and the length of its pixel sides. Where the finest
    pixels would make the grid more than 16 times as large as all files together, the next coarser
    ones are taken. The upper left corner is that of the union of all files.

    Parameters
    ----------
    places : sequence of places or rasters
    crs : str, optional
        As ``EPSG:32611``.
    resolution : float, optional
        Units of the CRS per pixel.
    reading : Reading, optional
    every_file : bool
        Take what does not look like imagery too.
    tolerant : bool
        Go on without files that cannot be read, where others can.

    Raises
    ------
    RasterError
        If a file cannot be read, or with ``tolerant`` none can.
    GridError
        If no file has a CRS, or one lies where the CRS is not defined.
    InputError, SettingError
        If files of one folder are bands of one place; if CRS or resolution are not allowed.
    """
    target = None if crs is None else parse_crs(crs)
    damaged: list[tuple[str, str]] | None = [] if tolerant else None
    opened, left_out = _open_all(places, reading, damaged)
    if not every_file:
        opened, others = _imagery_of(opened)
        left_out += others
    files = _in_order(opened)
    lead = _lead([image for _, image in files]).grid
    target = target or crs_of(lead)
    _check_resolution(resolution, target)
    steps = pixel_size(lead, target) if resolution is None else (resolution, resolution)
    maps = _all_placed(files, target)
    _check_bands(maps)
    maps = _sharing_limits(maps)
    found = tuple(maps), tuple(left_out), tuple(damaged or ())
    return Mosaic(_grid_of(maps, target, steps), *found)


def read_window(
    maps: Sequence[Basemap], grid: GeoBox, corner: tuple[int, int], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], Mask]:
    """Read one window of the grid from all files that touch it.

    Where files overlap the first one wins, which is the finest. Pixels outside the grid or without
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
    place = window_of(grid, Window(*corner, *shape))
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


def fingerprint(places: Sequence[Place | RasterFile]) -> list[list[Any]]:
    """Name, size and time of change of every file, and of its parts: tells a changed basemap."""
    entries: list[list[Any]] = []
    for place in places:
        raster = place if isinstance(place, RasterFile) else RasterFile(place)
        for part in raster.parts():
            if is_gdal_name(part) or part.startswith(ONLY_GDAL):
                entries.append([name_of(part), 0, 0])
                continue
            path = as_path(part)
            with reaching(path):
                entries.append([path.name, *state_of(path)])
    return entries


def span(bounds: Bounds, place: GeoBox) -> tuple[slice, slice]:
    """Rows and columns of a north-up window that a file reaches, with a pixel to spare."""
    a, _, c, _, e, f = tuple(place.affine)[:6]
    left, bottom, right, top = bounds
    ends = sorted(((top - f) / e, (bottom - f) / e)), sorted(((left - c) / a, (right - c) / a))
    rows, cols = (
        slice(max(0, math.floor(low) - 1), min(length, math.ceil(high) + 1))
        for (low, high), length in zip(ends, shape_of(place), strict=True)
    )
    return rows, cols


def _open_all(
    places: Sequence[Place | RasterFile],
    reading: Reading | None,
    damaged: list[tuple[str, str]] | None = None,
) -> tuple[list[_File], list[tuple[str, str]]]:
    """Open all files; those without georeference, and what is no raster, apart with the reason.

    Those that cannot be read are added to ``damaged``; without such a list they are an error.
    """
    opened: list[_File] = []
    refused: list[tuple[str, str, CrosslookError]] = []
    for place in track(places, "Reading basemaps", len(places)):
        try:
            image = _thinned(open_image(place, "optical", reading, allow_empty=True))
        except RasterError as error:
            if not str(place).lower().endswith(_PERHAPS):
                if damaged is None:
                    raise
                name = place.name if isinstance(place, RasterFile) else name_of(place)
                damaged.append((name, str(error)))
                continue
            refused.append((name_of(str(place)), "no raster inside", error))
            continue
        if is_placed(image.grid):
            opened.append((place, image))
        else:
            refused.append((image.name, *_no_place(image)))
    if not opened:
        if damaged:
            raise RasterError(f"no file of the basemap can be read: {damaged[0][1]}")
        if refused:
            raise refused[0][2]
        raise InputError("no basemap was given; name at least one file or folder.")
    return opened, [(name, why) for name, why, _ in refused]


def _no_place(image: ImageFile) -> tuple[str, GridError]:
    """Why a basemap lies nowhere, in brief and as an error."""
    if is_unnamed(image.grid):
        return "its map or world file says no CRS", GridError(
            f"basemap '{image.name}' has a map or a world file that says no CRS, so places on it "
            "have no coordinates. Say the CRS of its numbers with --crs, as --crs EPSG:32633."
        )
    if has_map(image.grid):
        frame = frame_name(image.grid)
        return f"it lies in {frame}", GridError(
            f"basemap '{image.name}' lies in {frame}, which has no longitude and latitude. Give it "
            "in a CRS that has, or use register for two images of one frame."
        )
    return "no georeference", GridError(
        f"basemap '{image.name}' has no georeference, so places on it have no "
        "coordinates. Give a GeoTIFF, or use register for two plain images."
    )


def _imagery_of(files: list[_File]) -> tuple[list[_File], list[tuple[str, str]]]:
    """The files that are imagery, and the names of the others with the reason."""
    if len(files) == 1:
        return files, []
    crs = crs_of(files[0][1].grid)
    paths = _relative([place for place, _ in files])
    candidates = []
    for (_, image), path in zip(files, paths, strict=True):
        try:
            bounds = bounds_on(image.grid, crs)
        except GridError:  # so far away that it shows no ground of the others
            bounds = (0.0, 0.0, 0.0, 0.0)
        candidates.append(Candidate(image, bounds, path))
    reasons = not_imagery(candidates)
    kept = [file for number, file in enumerate(files) if number not in reasons]
    return kept, [(paths[number], reason) for number, reason in sorted(reasons.items())]


def _relative(places: Sequence[Place | RasterFile]) -> list[str]:
    """Paths of local files below the folder that holds them all; names of the others."""
    local = [place for place in places if isinstance(place, Path) and not is_remote(place)]
    common = os.path.commonpath([place.absolute().parent for place in local]) if local else ""
    return [
        os.path.relpath(place.absolute(), common)
        if isinstance(place, Path) and not is_remote(place)
        else place.name
        if isinstance(place, RasterFile)
        else name_of(place)
        for place in places
    ]


def _in_order(files: list[_File]) -> list[_File]:
    """Finest first; files of about one pixel size keep their order."""
    metres = [ground_metres(image) for _, image in files]
    steps: list[float] = []  # the finest pixel of each group
    for size in sorted(metres):
        if not steps or size > _ALIKE * steps[-1]:
            steps.append(size)
    ranks = [bisect_right(steps, size) for size in metres]
    return [files[n] for n in sorted(range(len(files)), key=ranks.__getitem__)]


def _lead(images: Sequence[ImageFile]) -> ImageFile:
    """The image that lends its pixel size: the finest that does not swell the others too much."""
    metres = np.array([ground_metres(image) for image in images])
    pixels = np.array([math.prod(image.shape) for image in images], np.float64)
    swollen = (pixels * metres**2).sum() / (metres**2 * pixels.sum())
    return next(image for image, by in zip(images, swollen, strict=True) if by <= _MOST_SWOLLEN)


def _grid_of(maps: Sequence[Basemap], target: CRS, steps: tuple[float, float]) -> GeoBox:
    """North up, from the upper left corner of all files."""
    left, top = min(m.bounds[0] for m in maps), max(m.bounds[3] for m in maps)
    right, bottom = max(m.bounds[2] for m in maps), min(m.bounds[1] for m in maps)
    across, down = steps
    height, width = _cells((top - bottom) / down), _cells((right - left) / across)
    return make_grid(text_of_crs(target), (across, 0, left, 0, -down, top), height, width)


def _thinned(image: ImageFile) -> ImageFile:
    sample = image.survey.sample
    few = np.ascontiguousarray(sample[:, :: max(1, sample.shape[1] // _SAMPLE)])
    return replace(image, survey=replace(image.survey, sample=few))


def _placed(
    place: Place | RasterFile, image: ImageFile, target: CRS, first: Bounds | None
) -> Basemap:
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
    return Basemap(image, (left + moved, bottom, right + moved, top), revolutions, place)


def _all_placed(files: list[_File], target: CRS) -> list[Basemap]:
    maps: list[Basemap] = []
    for place, image in files:
        maps.append(_placed(place, image, target, maps[0].bounds if maps else None))
    return maps


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


def _check_bands(maps: Sequence[Basemap]) -> None:
    """Refuse a folder of files that are bands of one place: which is the image is not known."""
    seen: dict[tuple[str, ...], str] = {}
    for one in maps:
        if not isinstance(one.place, Path) or len(one.image.bands) != 1:
            continue
        key = (str(one.place.parent), *(f"{value:.9g}" for value in one.bounds))
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
        pooled = np.concatenate([image.survey.sample for image in images], axis=1)
        if len(images) == 1 or not pooled.shape[1]:
            continue
        first = images[0]
        shared = first.radiometry.fit(first.header, first.scale, pooled)
        wide = np.subtract(shared.high, shared.low)
        for number, image in zip(numbers, images, strict=True):
            own = np.subtract(image.stretch.high, image.stretch.low)
            if (own >= _NARROW * wide).all():
                out[number] = replace(maps[number], image=image.restretched(shared))
    return out


def in_bytes(values: FloatArray, dtype: str) -> FloatArray:
    """Values of 0..1 as those of 8 bits, not yet rounded; NaN stays."""
    if dtype == "uint8":
        return np.clip(values * 255, 0, 255)
    # 0 stays free of data, so that a dark pixel is never taken for a hole.
    return np.clip(values * 254 + 1, 1, 255)


def _cells(length: float) -> int:
    # A hair beyond a whole pixel is rounding, not another pixel.
    return max(1, math.ceil(length - 1e-3))
