"""Bring other files of the same acquisition along where a match puts the SAR image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast
from xml.etree.ElementTree import Comment, Element, SubElement, fromstring, tostring

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.shutil import copy as copy_raster

from crosslook.atomic import atomic_path, check_writable
from crosslook.data.layouts import stem_of
from crosslook.errors import CrosslookError, GridError, InputError, MatchError, OutputError
from crosslook.geo.grid import (
    crs_of,
    file_crs,
    is_placed,
    is_unnamed,
    make_grid,
    metres_per_pixel,
    rim,
    shape_of,
    shares_frame,
    window_of,
)
from crosslook.geo.products.resolve import resolve
from crosslook.geo.products.vrt import quiet
from crosslook.geo.raster import RasterFile
from crosslook.geo.stored import StoredPixels, stored_pixels
from crosslook.json_text import json_object
from crosslook.match.placement import placement, to_plane
from crosslook.match.result import Failure, MatchResult, grid_of
from crosslook.match.settings import ApplyCall
from crosslook.match.transform import Transform, grid_points, narrowest, scaling
from crosslook.match.warped_file import Layer, Resampling, write_warped
from crosslook.options import after_two
from crosslook.storage import Place, as_place, name_of
from crosslook.types import Array, Window
from crosslook.written import MARK, is_marked, refuse_foreign

_CLASSES = 64  # distinct whole numbers up to which they are taken for classes
_ALIKE = 0.5  # fraction of neighbours of equal number from which they are
_SAMPLE_SIDE = 256
_NEAR_WHOLE = 0.05
_POINTS, _MORE_POINTS = 9, 21  # control points along a side, of a flat map and of one with a field
_SAME_SHAPE_PX = 1.0
_PLAIN = ("affine", "a map in the CRS given", "a map without CRS", "nothing")


@dataclass(frozen=True, eq=False)
class Match:
    """What of a match is needed to bring other files along.

    Attributes
    ----------
    transform : Transform
        SAR pixels to optical pixels.
    sar, optical : GeoBox
        The grids that these are counted on.
    verdict, name : str
        ``name`` is that of the optical image.
    """

    transform: Transform
    sar: GeoBox
    optical: GeoBox
    verdict: str
    name: str


def read_match(match: Place | MatchResult) -> Match:
    """Take a match from its ``match.json``, or as ``register`` and ``locate`` return it.

    Raises
    ------
    InputError
        If the file is missing or none that crosslook wrote.
    MatchError
        If there was no match.
    """
    values = match.to_dict() if isinstance(match, MatchResult) else _load(Path(match))
    if values.get("transform") is None or values.get("verdict") == "no match":
        raise MatchError("there was no match, so nothing can be brought along by it.")
    try:
        sar, optical = (grid_of(values["images"][name]) for name in ("sar", "optical"))
        transform = (
            cast(Transform, match.transform)
            if isinstance(match, MatchResult)
            else Transform.from_dict(values["transform"], _folder_of(Path(match)))
        )
        return Match(
            transform, sar, optical, values["verdict"], values["images"]["optical"]["name"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{match} lacks what a match.json holds ({error!r}). Run register again."
        ) from error


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _load(path: Path) -> dict[str, Any]:
    file = path / "match.json" if path.is_dir() else path
    try:
        return json_object(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file} is no match.json that can be read: {error}. Give the one that register wrote."
        ) from error


@after_two(ApplyCall)
def apply_match(
    match: Place | MatchResult, files: Sequence[Place], settings: ApplyCall
) -> list[Path | Failure]:
    """Bring other bands, polarisations, masks and resolutions where a match puts the SAR image.

    Each file is placed by its own georeference relative to that of the SAR
    image or, where neither has one, by its size, which must be the same up to
    a factor. It is written under its own name, where no file of other origin
    is in the way (or ``overwrite`` is set), clipped to its footprint, with
    its numbers and their type (complex ones too), no data as it declares it,
    scale, offset, band names, units, palette and tags; see
    :mod:`crosslook.match.warped_file`. Bands of classes keep their numbers: those of
    a palette, and whole numbers of which there are few or that most neighbours
    have. Others are bilinear, or means where pixels grow.

    Parameters
    ----------
    match : path of ``match.json`` or of its folder, or MatchResult
    files : sequence of path
    settings : ApplyCall
        Or its fields as keywords.

    Returns
    -------
    list of (Path or Failure)
        What became of each file, in order; one that fails does not stop the others.

    Raises
    ------
    InputError
        If ``match`` cannot be read.
    MatchError
        If it is no match, or not a sure one and ``force`` is not set.
    OutputError
        If the folder cannot be written, or two files have one name.
    """
    stored = read_match(match)
    if stored.verdict != "match" and not settings.force:
        raise MatchError(
            f"the verdict is '{stored.verdict}', so what it would align may lie elsewhere. "
            "--force uses it all the same."
        )
    out = Path(settings.out or ".")
    check_writable(out)
    targets = [out / f"{stem_of(as_place(file))}.{settings.kind}" for file in files]
    for target in targets:
        if targets.count(target) > 1:
            raise OutputError(f"several files would become {target}; bring them along one by one.")
    done: list[Path | Failure] = []
    for file, target in zip(files, targets, strict=True):
        try:
            if target.exists() and Path(str(file)).exists() and target.samefile(str(file)):
                raise OutputError(f"{target} is the file itself; choose another folder with --out.")
            refuse_foreign(out, {target.name: is_marked}, overwrite=settings.overwrite)
            _bring(stored, file, target, settings)
            done.append(target)
        except CrosslookError as error:
            done.append(Failure(name_of(as_place(file)), error))
    return done


def _bring(match: Match, file: Place, target: Path, settings: ApplyCall) -> None:
    reading, place = settings.reading(), as_place(file)
    source = RasterFile(
        place, height=settings.height, dem=reading.dem, indexed=True, crs=reading.crs or ""
    )
    transform = match.transform @ _onto_sar(source, match.sar)
    if settings.kind == "vrt":
        _write_vrt(target, source, transform, match.optical)
        return
    grid, onto = _target(match.optical, transform, source, native=settings.grid == "native")
    tags = {"SOURCE": source.name, "ALIGNED_TO": match.name, "VERDICT": match.verdict}
    write_warped(target, _layer(source, settings), onto, grid, tags)


def _onto_sar(source: RasterFile, sar: GeoBox) -> Transform:
    """Pixels of a file to those of the SAR image that was matched."""
    grid = source.header.grid
    if shares_frame(grid, sar):
        placed = placement(grid, sar)
        _see_that_it_overlaps(source.name, placed(rim(grid)), sar)
        return placed
    if is_unnamed(grid) and is_placed(sar):
        raise GridError(
            f"{source.name} has a map but no CRS, so how it lies on the SAR image is not known. "
            "Give its CRS with --crs, as EPSG:32611."
        )
    if is_placed(grid) != is_placed(sar):
        has, lacks = ("the file", "the SAR image") if is_placed(grid) else ("the SAR image", "it")
        raise GridError(
            f"{source.name}: {has} has a CRS and {lacks} has none, so how they lie is not known. "
            "Give the file with the map of the image that was matched, or without one where that "
            "had none."
        )
    here, there = np.array(shape_of(grid)), np.array(shape_of(sar))
    factor = float(np.sqrt(np.prod(there / here)))
    if (np.abs(here * factor - there) > _SAME_SHAPE_PX * max(1.0, factor)).any():
        raise GridError(
            f"{source.name} has {here[0]} x {here[1]} pixels and the SAR image {there[0]} x "
            f"{there[1]}: without a georeference the two must show the same ground."
        )
    matrix = np.diag([*(there / here), 1.0])
    return Transform(matrix, narrowest(matrix))


def _see_that_it_overlaps(name: str, ring: Array, sar: GeoBox) -> None:
    """Refuse a file that has no ground in common with the SAR image that was matched.

    The transform says nothing beyond that image.
    """
    low, high = ring.min(axis=0), ring.max(axis=0)
    gap = np.maximum(0.0, np.maximum(low - shape_of(sar), -high))
    if (high > 0.0).all() and (low < shape_of(sar)).all():
        return
    away = f"{np.hypot(*gap):,.0f} px of it away"
    if is_placed(sar):
        metres = float(np.hypot(*(gap * metres_per_pixel(sar, np.array(shape_of(sar)) / 2))))
        away = f"{metres / 1000:,.1f} km away"
    raise GridError(
        f"{name} lies elsewhere than the SAR image that was matched, {away}, and the match says "
        "nothing of the ground there. Give files of the same acquisition."
    )


def _target(
    optical: GeoBox, transform: Transform, source: RasterFile, *, native: bool
) -> tuple[GeoBox, Transform]:
    """The grid that is written, over the footprint alone, and the map from the file onto it."""
    grid = source.header.grid
    size = 1.0
    if native:
        size = transform.local_scale(np.array(shape_of(grid), np.float64) / 2)
        ratio = max(size, 1.0 / size)
        if abs(ratio - round(ratio)) <= _NEAR_WHOLE * ratio:  # so that grids nest
            size = float(round(ratio)) if size >= 1.0 else 1.0 / round(ratio)
    onto = scaling(1.0 / size) @ transform
    ring = onto(rim(grid))
    low = np.floor(ring.min(axis=0) + 1e-6)
    window = Window.around(low, np.maximum(ring.max(axis=0) - 1e-6, low + 1))
    a, b, c, d, e, f = tuple(optical.affine)[:6]
    scaled = make_grid(optical.crs, (a * size, b * size, c, d * size, e * size, f), 1, 1)
    return window_of(scaled, window), onto.within(window)


def _layer(source: RasterFile, settings: ApplyCall) -> Layer:
    """The numbers of a file, and how those of each band may be mixed."""
    pixels = stored_pixels(source)
    bands = range(pixels.bands)
    how: tuple[Resampling, ...]
    if settings.resampling == "auto":
        how = tuple("nearest" if _is_classes(pixels, band) else "average" for band in bands)
    else:
        how = (settings.resampling,) * pixels.bands
    return Layer(stored_pixels(source, "nearest") if "nearest" in how else pixels, how)


def _is_classes(pixels: StoredPixels, band: int) -> bool:
    """Whether the numbers of a band stand for classes, or objects, which have no mean.

    Whole numbers (of floats too) do where there are few of them, or where
    most pixels have the number of their neighbour.
    """
    if pixels.labels is not None and pixels.labels.palette is not None:
        return True
    height, width = shape_of(pixels.grid)
    seen = []
    for row, col in product(_spread(height), _spread(width)):
        window = Window(row, col, min(_SAMPLE_SIDE, height), min(_SAMPLE_SIDE, width))
        numbers, valid = pixels.read(window)
        seen.append((numbers[band], valid[band] & np.isfinite(numbers[band])))
    known = np.concatenate([numbers[valid] for numbers, valid in seen])
    if np.iscomplexobj(known) or (known != np.rint(known)).any():
        return False
    if len(np.unique(known)) <= _CLASSES:
        return True
    pairs = [valid[:, 1:] & valid[:, :-1] for _, valid in seen]
    alike = [(n[:, 1:] == n[:, :-1])[both] for (n, _), both in zip(seen, pairs, strict=True)]
    return bool(np.concatenate(alike).mean() > _ALIKE)


def _spread(length: int) -> list[int]:
    """Where windows that are sampled begin along a side."""
    if length <= _SAMPLE_SIDE:
        return [0]
    return [round(part * (length - _SAMPLE_SIDE)) for part in (0.0, 0.5, 1.0)]


def _write_vrt(target: Path, source: RasterFile, transform: Transform, optical: GeoBox) -> None:
    """A virtual raster of the file as it is, with control points on the optical map."""
    header = source.header
    if header.placed_by not in _PLAIN:
        raise GridError(
            f"{source.name} is placed by {header.placed_by}, which control points cannot follow "
            "exactly. Leave --as vrt out, so that its pixels are written."
        )
    count = _MORE_POINTS if transform.has_field else _POINTS
    points = grid_points(*shape_of(header.grid), count)
    spots = to_plane(optical, transform(points))
    crs = "" if file_crs(optical) is None else crs_of(optical).to_wkt()
    listed = Element("GCPList", {"Projection": crs})
    for number, ((row, col), (x, y)) in enumerate(zip(points, spots, strict=True), 1):
        numbers = {"Pixel": col, "Line": row, "X": x, "Y": y}
        values = {name: repr(float(value)) for name, value in numbers.items()}
        SubElement(listed, "GCP", {"Id": str(number), **values})
    # What GDAL opens: for a product folder, the virtual raster of its bands.
    name = resolve(source.place, source.bands, masked=False).name
    try:
        with atomic_path(target) as path, quiet(), rasterio.open(name) as data:
            copy_raster(data, path, driver="VRT")
            root = fromstring(path.read_text(encoding="utf-8"))
            for tag in ("SRS", "GeoTransform", "GCPList"):
                for old in root.findall(tag):
                    root.remove(old)
            root[:0] = [Comment(MARK), listed]
            path.write_text(tostring(root, encoding="unicode"), encoding="utf-8")
    except RasterioError as error:
        raise OutputError(f"{target} cannot be written: {error}.") from error
