"""Stored numbers resampled: what is data stays data, and is mixed with data alone.

A pixel of the result is what the nearest pixel of the source is: data, no
data, NaN or infinite. Where that is a number, ``bilinear`` weighs the numbers
around the place, and leaves out what is no number; ``average`` does the same
with the means of blocks. ``nearest`` takes the number as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.ndimage import map_coordinates

from crosslook.geo.stored import Numbers, StoredPixels, numpy_type
from crosslook.match.transform import Transform, translation
from crosslook.match.warp import source_positions
from crosslook.types import FloatArray, Mask, Window

Resampling = Literal["nearest", "bilinear", "average"]
_EXACT_IN_SINGLE = ("int8", "uint8", "int16", "uint16", "float16", "float32", "complex64")
_STEPS = 1024
_SUMS = {"f": np.float64, "c": np.complex128}
_SHRINKS = 1.5  # source pixels per pixel from which a mean is taken


@dataclass(frozen=True, eq=False)
class Layer:
    """What is brought onto another grid, and how.

    Attributes
    ----------
    pixels : StoredPixels
    resampling : tuple of str
        Of each band: ``nearest`` for classes; ``average`` is ``bilinear``
        that takes means where it shrinks.
    outside : float
        The number written beyond the source.
    """

    pixels: StoredPixels
    resampling: tuple[Resampling, ...]
    outside: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the source."""
        height, width = self.pixels.grid.shape
        return int(height), int(width)

    @property
    def kind(self) -> np.dtype[Any]:
        """Type of the numbers in memory."""
        return numpy_type(self.pixels.dtype)

    def shrinks(self, transform: Transform) -> float:
        """Source pixels along a side that one pixel of the result stands for."""
        return 1.0 / transform.local_scale(np.array(self.shape, np.float64) / 2)


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
    here = Transform(translation(-window.row, -window.col), "shift") @ transform
    shape = (window.height, window.width)
    # To a 1024th of a pixel, so that numbers are mixed only where a shift is not whole.
    rows, cols = (
        np.rint(part * np.float32(_STEPS)) / np.float32(_STEPS)
        for part in source_positions(here, shape)
    )
    out = np.full((layer.pixels.bands, *shape), layer.outside, layer.kind)
    data = np.zeros(shape, np.bool_)
    height, width = layer.shape
    shrinks = layer.shrinks(transform)
    factor = max(1, round(shrinks)) if shrinks >= _SHRINKS else 1
    # Blocks are those of the whole image, so that tiles meet without a seam.
    top, left = (max(0, (int(at.min()) // factor - 1) * factor) for at in (rows, cols))
    bottom = min(height, int(np.ceil(rows.max())) + factor + 1)
    right = min(width, int(np.ceil(cols.max())) + factor + 1)
    if bottom <= top or right <= left:
        return out, data
    stored, valid = layer.pixels.read(Window(top, left, bottom - top, right - left))
    rows, cols = rows - np.float32(top), cols - np.float32(left)
    inside = (rows >= 0) & (rows < bottom - top) & (cols >= 0) & (cols < right - left)
    at = rows[inside].astype(np.intp), cols[inside].astype(np.intp)
    for band, numbers, solid, how in zip(out, stored, valid, layer.resampling, strict=True):
        band[inside] = numbers[at]
        data[inside] |= solid[at]
        if how != "nearest":
            step = factor if how == "average" else 1
            mixed, known = _mixed(numbers, solid, (rows, cols), step)
            band[known] = _fitted(mixed, band.dtype, layer.pixels.nodata)
            data |= known
    return out, data


def _mixed(
    numbers: Numbers, valid: Mask, at: tuple[FloatArray, FloatArray], factor: int
) -> tuple[Numbers, Mask]:
    """Weighted means, one for each place whose nearest pixel (or block) is a number; which are."""
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
