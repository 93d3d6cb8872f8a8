"""Reduced pixels from the resolution levels of JPEG 2000, which decode a fraction of the file.

A level is the low-pass part of the wavelet transform (ISO/IEC 15444-1): its pixel i lies where
pixel ``2**level * i`` of the image is, not at the centre of the block from there on. A block mean
is taken over the level's pixels by where they lie, so that nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.geo.grid import shape_of
from crosslook.geo.opening import OPEN, opening_of
from crosslook.geo.raster import RasterFile
from crosslook.types import Array, FloatArray, Mask, Window

_LEAST_LEFT = 3  # pixels of the level along the side of a block: at 2 its filter shows
_MOST_LEVEL = 5
_TAPS = 4  # to either side of the longer low-pass filter, pixels of the level before
_ENDINGS = (".jp2", ".j2k")

Prepare = Callable[[FloatArray, NDArray[np.float32], NDArray[np.float32]], FloatArray]
"""From numbers (bands, h, w) at rows and columns of the image to values, NaN for no data."""


def level_for(source: RasterFile, factor: int) -> int:
    """The coarsest level from which blocks of ``factor`` pixels are still means; 0 for none."""
    wanted = min(_MOST_LEVEL, (factor // _LEAST_LEFT).bit_length() - 1)
    if wanted < 1 or not source.header.has_levels:
        return 0
    with OPEN.use(source) as (_, data):
        there = [*map(int, data.overviews(1))]
        if not _is_jpeg2000(source, data):
            return 0
    return max((n for n in range(1, wanted + 1) if there[:n] == _halves(n)), default=0)


def _is_jpeg2000(source: RasterFile, data: Any) -> bool:
    """Whether pixels are those of JPEG 2000, or of whole files of equal size that are one product.

    A virtual raster from outside may cut or stretch its files, and their levels with them.
    """
    if data.driver != "VRT":
        return str(data.driver).startswith("JP2")
    files = opening_of(source).files
    if not files or not all(file.lower().endswith(_ENDINGS) for file in files):
        return False
    shapes = {shape_of(RasterFile(file).header.grid) for file in files}
    return shapes == {(data.height, data.width)}


def _halves(level: int) -> list[int]:
    return [2**n for n in range(1, level + 1)]


class LevelBlocks(NamedTuple):
    """Means over blocks of pixels from a level.

    Attributes
    ----------
    means : float32 array, shape (bands, h, w)
        0 where nothing is valid.
    cover, left_out : float32 arrays, shape (h, w)
        Fraction of each block that is valid, and that is left out since it is near invalid pixels.
    """

    means: FloatArray
    cover: FloatArray
    left_out: FloatArray


def block_edges(
    corner: Sequence[float], shape: tuple[int, int], factor: int
) -> tuple[Array, Array]:
    """Edges of the whole blocks of ``factor`` pixels in so many rows and columns."""
    rows, cols = (
        first + factor * np.arange(length // factor + 1.0)
        for first, length in zip(corner, shape, strict=True)
    )
    return rows, cols


def read_blocks(
    source: RasterFile,
    bands: tuple[int, ...],
    edges: tuple[Array, Array],
    reduction: tuple[int, int],
    prepare: Prepare,
) -> LevelBlocks:
    """Means over blocks of pixels, and how much of each is valid.

    Pixels of a level near invalid ones are mixed with them, so they are left out too.

    Parameters
    ----------
    source : RasterFile
    bands : tuple of int
    edges : (array (h + 1,), array (w + 1,))
        Of the blocks, in rows and columns of the image; what lies beyond it is invalid.
    reduction : (int, int)
        Pixels along a side that become one, and the level of :func:`level_for`.
    prepare : callable
    """
    factor, level = reduction
    step = 2**level
    coarse = replace(source, level=level)
    reach = -(-_TAPS * (step - 1) // step)
    # Between what is invalid and what is not lie mixed pixels on either side.
    margin = 2 * reach
    lengths = shape_of(source.header.grid)
    ends = [
        _on_level(np.clip(one, 0.0, length), step)
        for one, length in zip(edges, lengths, strict=True)
    ]
    if any(one[0] == one[-1] for one in ends):  # all of it lies beyond
        rows, cols = (len(one) - 1 for one in ends)
        nothing = np.zeros((rows, cols), np.float32)
        return LevelBlocks(np.zeros((len(bands), rows, cols), np.float32), nothing, nothing)
    low = [int(np.floor(one[0])) - margin for one in ends]
    high = [int(np.ceil(one[-1])) + margin for one in ends]
    under = Window(low[0], low[1], high[0] - low[0], high[1] - low[1])
    inside = under.clip(shape_of(coarse.header.grid))
    raw = coarse.read(inside, bands)
    at = [
        (np.arange(first, first + n) * step).astype(np.float32)
        for first, n in zip(inside.corner, inside.shape, strict=True)
    ]
    values = prepare(raw, at[0][:, None], at[1][None])
    weights = [
        _weights(one - first, n, step / factor)
        for one, first, n in zip(ends, inside.corner, inside.shape, strict=True)
    ]
    known = np.asarray(np.isfinite(values).all(axis=0), np.bool_)
    return _means(values, known, _away_from_invalid(known, margin), weights)


def _away_from_invalid(known: Mask, margin: int) -> Mask:
    """Pixels (h, w) that have no unknown one within so many rows and columns."""
    if known.all():
        return known
    around = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.erode(known.astype(np.uint8), around, borderValue=1) > 0, np.bool_)


def _means(values: FloatArray, known: Mask, solid: Mask, weights: list[Any]) -> LevelBlocks:
    """Of blocks over solid pixels; the others that are known are left out."""
    cover = _summed(solid.astype(np.float32), weights)
    left_out = np.zeros_like(cover)
    if solid is not known:
        left_out = _summed((known & ~solid).astype(np.float32), weights)
    scale = np.float32(1.0) / np.maximum(cover, np.float32(1e-6))
    means = [_summed(np.where(solid, band, np.float32(0.0)), weights) * scale for band in values]
    return LevelBlocks(np.stack(means).astype(np.float32, copy=False), cover, left_out)


def _on_level(edges: Array, step: int) -> Array:
    """Edges of pixels of the image, on a level whose pixel i has its centre at ``i + .5``."""
    return (edges - 0.5) / step + 0.5


def _weights(edges: Array, length: int, part: float) -> Any:
    """What fraction of a block each of ``length`` pixels fills, sparse (blocks, n).

    A pixel is ``part`` of a block along its side. The image may reach beyond its last pixels on a
    level: these count for the rest.
    """
    from scipy.sparse import csr_array

    lower, upper = edges[:-1, None], edges[1:, None]
    most = int(np.ceil(np.diff(edges).max(initial=1.0))) + 1
    pixels = np.floor(lower).astype(np.int64) + np.arange(most)
    parts = np.maximum(np.minimum(upper, pixels + 1) - np.maximum(lower, pixels), 0.0)
    places = ((part * parts).astype(np.float32).ravel(), np.clip(pixels, 0, length - 1).ravel())
    starts = np.arange(len(lower) + 1) * most
    return csr_array((*places, starts), shape=(len(lower), length))


def _summed(values: FloatArray, weights: list[Any]) -> FloatArray:
    """Weighted sums (h, w) over blocks."""
    down, across = weights
    return np.asarray((across @ (down @ values).T).T, np.float32)
