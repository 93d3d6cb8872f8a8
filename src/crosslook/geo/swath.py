"""What of a scene lies outside the swath: zeros that hang together at its border.

Rule: a pixel is outside the swath where all its bands are exactly zero and it
belongs to a region of such pixels, connected over edges, that touches the
border of the scene and holds at least 64 pixels. Dark water inside a scene and
single zeros at its border stay valid.

Scenes longer than 2,048 pixels are looked at in blocks (a block counts where
all of it is zero), so that memory does not grow with the scene; then zeros of
the next block around such a region count too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from crosslook.geo.raster import Source, read_window
from crosslook.types import FloatArray, Window

_LONGEST = 2048
_OVERVIEW = 512
_LEAST_PIXELS = 64
_STRIP_PIXELS = 4_000_000


@dataclass(frozen=True)
class Swath:
    """The valid part of a scene.

    Attributes
    ----------
    valid : int
        Pixels that hold data and lie inside the swath (an upper bound where
        the scene was looked at in blocks).
    block : int
        Pixels along the side of a block.
    outside : bool array, shape (rows of blocks, columns of blocks), or None
        Blocks that may hold pixels outside the swath; None where there are none.
    """

    valid: int
    block: int
    outside: NDArray[np.bool_] | None

    def clear(self, values: FloatArray, window: Window) -> FloatArray:
        """Set pixels outside the swath to NaN, in place.

        ``values`` are the raw pixels (bands, h, w) of ``window``, which may
        reach beyond the scene.
        """
        rows = np.arange(window.row, window.row + window.height)
        cols = np.arange(window.col, window.col + window.width)
        return self.clear_at(values, rows, cols)

    def clear_at(
        self, values: FloatArray, rows: NDArray[np.int64], cols: NDArray[np.int64]
    ) -> FloatArray:
        """Do as :meth:`clear` for the pixels at these rows and columns."""
        if self.outside is None:
            return values
        height, width = self.outside.shape
        near = self.outside[np.clip(rows // self.block, 0, height - 1)]
        near = near[:, np.clip(cols // self.block, 0, width - 1)]
        values[:, near & (values == 0).all(axis=0)] = np.nan
        return values


def survey(
    source: Source, height: int, width: int, bands: tuple[int, ...]
) -> tuple[Swath, FloatArray]:
    """Read a scene once, strip by strip: its swath and an overview.

    Returns
    -------
    Swath
    float32 array, shape (bands, rows, columns)
        Every n-th pixel, 512 to 1,023 along the longer side of a scene that
        has so many; NaN where there is no data or outside the swath.

    Raises
    ------
    RasterError
        If the file is damaged.
    """
    longest = max(height, width)
    block, step = -(-longest // _LONGEST), max(1, longest // _OVERVIEW)
    first = min(step // 2, height - 1, width - 1)
    zero = np.zeros((-(-height // block), -(-width // block)), bool)
    rows, cols = np.arange(first, height, step), np.arange(first, width, step)
    overview = np.empty((len(bands), len(rows), len(cols)), np.float32)
    pixels = 0
    deep = max(1, _STRIP_PIXELS // (width * len(bands) * block)) * block
    for top in range(0, height, deep):
        strip = read_window(source, Window(top, 0, min(deep, height - top), width), bands)
        pixels += int(np.count_nonzero(np.isfinite(strip).all(axis=0)))
        part = _whole_blocks((strip == 0).all(axis=0), block)
        zero[top // block : top // block + len(part)] = part
        here = (rows >= top) & (rows < top + deep)
        overview[:, here] = strip[:, rows[here] - top][:, :, cols]
    swath = _swath_of(zero, block, pixels)
    return swath, swath.clear_at(overview, rows, cols)


def _swath_of(zero: NDArray[np.bool_], block: int, pixels: int) -> Swath:
    outside = _border_regions(zero, -(-_LEAST_PIXELS // block**2))
    if outside is None:
        return Swath(pixels, block, None)
    pixels = max(0, pixels - int(np.count_nonzero(outside)) * block**2)
    if block == 1:
        return Swath(pixels, block, outside)
    grown: NDArray[np.bool_] = np.asarray(ndimage.binary_dilation(outside, np.ones((3, 3), bool)))
    return Swath(pixels, block, grown)


def _whole_blocks(nothing: NDArray[np.bool_], block: int) -> NDArray[np.bool_]:
    """Tell which blocks are all true; what is missing at the end counts as true."""
    if block == 1:
        return nothing
    height, width = nothing.shape
    padded = np.pad(nothing, ((0, -height % block), (0, -width % block)), constant_values=True)
    rows, cols = padded.shape[0] // block, padded.shape[1] // block
    return np.asarray(padded.reshape(rows, block, cols, block).all(axis=(1, 3)))


def _border_regions(zero: NDArray[np.bool_], least: int) -> NDArray[np.bool_] | None:
    if not zero.any():
        return None
    labels, count = ndimage.label(zero)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    keep = np.zeros(count + 1, bool)
    keep[np.unique(border)] = True
    keep &= sizes >= least
    keep[0] = False
    return keep[labels] if keep.any() else None
