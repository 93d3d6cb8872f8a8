"""Windows of basemaps, read on the grid of an atlas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from crosslook.atlas.geo_image import valid_pixels
from crosslook.atlas.grid import AtlasGrid
from crosslook.atlas.sources import Basemap, Bounds, opened
from crosslook.data.raster import reason
from crosslook.errors import RasterError
from crosslook.match.position import Georeference
from crosslook.storage import as_path

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
