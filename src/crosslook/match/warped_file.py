"""Rasters brought under a transform and written, with all that their files say of them.

Stored numbers are resampled so that what is data stays data, and is mixed with
data alone. A pixel of the result is what the nearest pixel of the source is:
data, no data, NaN or infinite. Where that is a number, ``bilinear`` weighs the
numbers around the place, and leaves out what is no number; ``average`` does the
same with the means of blocks. ``nearest`` takes the number as it is.

What a file declares to be no data is no data in what is written. Where it
declares nothing, nothing of it becomes no data: what lies outside its
footprint is NaN in floats and complex floats, and marked by an internal mask in
whole numbers, which have no number to spare.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as FileWindow

from crosslook import threads
from crosslook.atomic import atomic_path
from crosslook.geo.grid import file_crs, has_map, shape_of, window_of
from crosslook.geo.image import ImageFile
from crosslook.geo.products.vrt import quiet
from crosslook.geo.stored import Numbers, StoredPixels, numpy_type, stored_pixels
from crosslook.geo.whole import whole_raster
from crosslook.match.transform import Transform
from crosslook.match.warp import covered_window, source_positions
from crosslook.types import FloatArray, Mask, Window

Resampling = Literal["nearest", "bilinear", "average"]
_EXACT_IN_SINGLE = ("int8", "uint8", "int16", "uint16", "float16", "float32", "complex64")
_STEPS = 1024
_SUMS = {"f": np.float64, "c": np.complex128}
_SHRINKS = 1.5  # source pixels per pixel from which a mean is taken
RESAMPLING: Resampling = "bilinear"
_TILE, _STEP = 256, 1024
_MUCH_LARGER = 4
_LEVEL = 1  # of DEFLATE: speckle takes as much room at 6, and half as much time more
_CACHE = 128 << 20  # bytes of GDAL, which would take a part of all memory
_COLOURS_OF = ("uint8", "uint16")  # types that a GeoTIFF has a palette for


@dataclass(frozen=True, eq=False)
class Layer:
    """What is brought onto another grid, and how.

    Attributes
    ----------
    pixels : StoredPixels
    resampling : tuple of str
        Of each band: ``nearest`` for classes; ``average`` is ``bilinear``
        that takes means where it shrinks.
    """

    pixels: StoredPixels
    resampling: tuple[Resampling, ...]

    @property
    def is_whole(self) -> bool:
        """Whether its numbers are whole, so that no NaN stands for no data."""
        dtype = self.pixels.dtype
        return dtype == "complex_int16" or numpy_type(dtype).kind in "iu"

    @property
    def is_masked(self) -> bool:
        """Whether a mask says what is no data, as in the source or for want of a number."""
        mark = self.pixels.mark
        return mark == "mask" or (mark is None and self.is_whole)

    @property
    def nodata(self) -> float | None:
        """What is declared in the file that is written; NaN where floats declare nothing."""
        undeclared = self.pixels.mark is None and not self.is_whole
        return float("nan") if undeclared else self.pixels.nodata

    @property
    def outside(self) -> float:
        """The number beyond the source: what its file declares, else NaN or, masked, 0."""
        mark, nodata = self.pixels.mark, self.pixels.nodata
        if nodata is not None and mark == "nodata":
            return nodata
        return 0.0 if self.is_whole or mark == "alpha" else float("nan")

    def shrinks(self, transform: Transform) -> float:
        """Source pixels along a side that one pixel of the result stands for."""
        return 1.0 / transform.local_scale(np.array(shape_of(self.pixels.grid), np.float64) / 2)


def write_aligned(
    target: Path, sar: ImageFile, optical: ImageFile, transform: Transform, verdict: str
) -> None:
    """Write all SAR bands on the pixels of the optical image, as a COG.

    Of complex pixels the amplitude, of a palette the colours. It covers the
    optical image, or, where that is more than four times as large as what the
    SAR image covers, the whole pixels of the optical grid under the SAR image.
    """
    window = covered_window(transform, sar.grid, optical.shape)
    if window.height * window.width * _MUCH_LARGER >= np.prod(optical.shape):
        window = Window.whole(optical.shape)
    pixels = stored_pixels(sar.source, shown=True)
    layer = Layer(pixels, (RESAMPLING,) * pixels.bands)
    tags = {"SOURCE": sar.name, "ALIGNED_TO": optical.name, "VERDICT": verdict}
    write_warped(target, layer, transform.within(window), window_of(optical.grid, window), tags)


def write_warped(
    target: Path, layer: Layer, transform: Transform, place: GeoBox, tags: dict[str, str]
) -> None:
    """Write a layer on the pixels of a grid, as a COG.

    Numbers, no data, scale, offset, band names, units, palette and tags are
    those of its file; ``tags`` are added. Memory holds a tile for each
    thread.

    Parameters
    ----------
    target : path
    layer : Layer
    transform : Transform
        Its pixels to those of ``place``.
    place : GeoBox
    tags : dict of str to str
    """
    pixels, shape = layer.pixels, shape_of(place)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": pixels.bands, "height": shape[0], "width": shape[1],
        "dtype": pixels.dtype, "nodata": layer.nodata, "tiled": True, "blockxsize": _TILE,
        "blockysize": _TILE, "bigtiff": "if_safer",
    }  # fmt: skip
    if has_map(place):
        profile |= {"crs": file_crs(place), "transform": place.affine}
    overviews = "NEAREST" if "nearest" in layer.resampling else "AVERAGE"
    step = max(_TILE, int(_STEP // max(1.0, layer.shrinks(transform))))
    options = {"GDAL_TIFF_INTERNAL_MASK": "YES", "GDAL_CACHEMAX": _CACHE}
    with atomic_path(target) as path, quiet(), rasterio.Env(**options), whole_raster(path):
        flat = path.with_suffix(".flat.tif")
        with rasterio.open(flat, "w", **profile) as file:
            _label(file, pixels)
            windows = Window.whole(shape).tiles(step)
            while some := list(islice(windows, threads.count())):
                results = threads.run(partial(resample, layer, transform), some)
                for window, (numbers, data) in zip(some, results, strict=True):
                    region = FileWindow(window.col, window.row, window.width, window.height)
                    file.write(numbers, window=region)
                    if layer.is_masked:
                        file.write_mask(data, window=region)
            file.scales, file.offsets = pixels.scales, pixels.offsets
            file.update_tags(RESAMPLING=",".join(dict.fromkeys(layer.resampling)), **tags)
        try:
            copy_raster(
                flat, path, driver="COG", COMPRESS="DEFLATE", OVERVIEWS="AUTO",
                OVERVIEW_RESAMPLING=overviews, BIGTIFF="IF_SAFER", LEVEL=_LEVEL,
                NUM_THREADS=threads.count(),
            )  # fmt: skip
        finally:
            flat.unlink(missing_ok=True)


def _label(file: Any, pixels: StoredPixels) -> None:
    """Names, units, colours and tags of the source; before any pixel, as a palette must be."""
    labels = pixels.labels
    if labels is None:
        return
    file.update_tags(**labels.tags)
    for number, tags in enumerate(labels.bands, 1):
        file.update_tags(number, **tags)
        if text := labels.descriptions[number - 1]:
            file.set_band_description(number, text)
        if unit := labels.units[number - 1]:
            file.set_band_unit(number, unit)
    if labels.palette is not None and pixels.dtype in _COLOURS_OF:
        file.write_colormap(1, labels.palette)
    elif ColorInterp.palette not in labels.colours and len(labels.colours) == file.count:
        file.colorinterp = labels.colours


def resample(layer: Layer, transform: Transform, window: Window) -> tuple[Numbers, Mask]:
    """All bands (B, h, w) of a window of the result, and where any of them is data (h, w).

    Parameters
    ----------
    layer : Layer
    transform : Transform
        Pixels of the source to those of the result.
    window : Window
        Of the result.
    """
    # To a 1024th of a pixel, so that numbers are mixed only where a shift is not whole.
    rows, cols = (
        np.rint(part * np.float32(_STEPS)) / np.float32(_STEPS)
        for part in source_positions(transform.within(window), window.shape)
    )
    pixels = layer.pixels
    out = np.full((pixels.bands, *window.shape), layer.outside, numpy_type(pixels.dtype))
    data = np.zeros(window.shape, np.bool_)
    shrinks = layer.shrinks(transform)
    factor = max(1, round(shrinks)) if shrinks >= _SHRINKS else 1
    # Blocks are those of the whole image, so that tiles meet without a seam.
    top, left = (max(0, (int(at.min()) // factor - 1) * factor) for at in (rows, cols))
    bottom, right = (int(np.ceil(at.max())) + factor + 1 for at in (rows, cols))
    part = Window(top, left, bottom - top, right - left).clip(shape_of(pixels.grid))
    if part.is_empty:
        return out, data
    stored, valid = pixels.read(part)
    rows, cols = rows - np.float32(top), cols - np.float32(left)
    inside = (rows >= 0) & (rows < part.height) & (cols >= 0) & (cols < part.width)
    at = rows[inside].astype(np.intp), cols[inside].astype(np.intp)
    for band, numbers, solid, how in zip(out, stored, valid, layer.resampling, strict=True):
        band[inside] = numbers[at]
        data[inside] |= solid[at]
        if how != "nearest":
            step = factor if how == "average" else 1
            mixed, known = _mixed(numbers, solid, (rows, cols), step)
            band[known] = _fitted(mixed, band.dtype, pixels.nodata)
            data |= known
    return out, data


def _mixed(
    numbers: Numbers, valid: Mask, at: tuple[FloatArray, FloatArray], factor: int
) -> tuple[Numbers, Mask]:
    """Weighted means, one for each place whose nearest pixel (or block) is a number; which are."""
    from scipy.ndimage import map_coordinates

    usable = valid & np.isfinite(numbers)
    single = numbers.dtype.name in _EXACT_IN_SINGLE
    wide = np.result_type(np.float32 if single else np.float64, numbers.dtype)
    means, cover = _means(np.where(usable, numbers, 0).astype(wide), usable, factor)
    rows, cols = (part / np.float32(factor) for part in at)
    height, width = cover.shape
    known = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    known[known] = cover[rows[known].astype(np.intp), cols[known].astype(np.intp)] > 0
    # Not by OpenCV, which rounds places to a 32nd of a pixel, and knows no complex numbers.
    where = np.stack([rows[known], cols[known]]) - np.float32(0.5)
    if cover.all():  # as most of an image: beyond its rim its last pixels weigh all
        return map_coordinates(means, where, order=1, mode="nearest"), known
    weight = map_coordinates((cover > 0).astype(np.float32), where, order=1, mode="grid-constant")
    return map_coordinates(means, where, order=1, mode="grid-constant") / weight, known


def _means(numbers: Numbers, usable: Mask, factor: int) -> tuple[Numbers, Numbers]:
    """Means over the usable pixels of blocks, and how many of each block they are."""
    if factor == 1:
        return numbers, usable
    rows, cols = (-(-n // factor) * factor for n in usable.shape)
    grow = ((0, rows - usable.shape[0]), (0, cols - usable.shape[1]))
    blocks = (rows // factor, factor, cols // factor, factor)
    count = np.pad(usable, grow).reshape(blocks).sum(axis=(1, 3))
    total = np.pad(numbers, grow).reshape(blocks).sum(axis=(1, 3), dtype=_SUMS[numbers.dtype.kind])
    return total / np.maximum(count, 1), count


def _fitted(values: Numbers, kind: np.dtype[Any], nodata: float | None) -> Numbers:
    """Numbers of a type, none of which reads as no data: the next one is taken instead."""
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        out = np.clip(np.rint(values), limits.min, limits.max).astype(kind)
        if nodata is not None:
            same = out == nodata
            up = (values[same] >= nodata) & (nodata < limits.max) | (nodata == limits.min)
            out[same] = np.where(up, nodata + 1, nodata - 1).astype(kind)
        return out
    out = values.astype(kind)
    if nodata is not None and not np.isnan(nodata):
        same = out == nodata
        real = np.nextafter(out.real[same], out.real.dtype.type(np.inf))
        out[same] = real
    return out
