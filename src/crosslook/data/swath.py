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

from crosslook.data.raster import Source, read_window
from crosslook.types import FloatArray, Window

_LONGEST = 2048
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
        if self.outside is None:
            return values
        rows = np.arange(window.row, window.row + window.height) // self.block
        cols = np.arange(window.col, window.col + window.width) // self.block
        height, width = self.outside.shape
        near = self.outside[np.clip(rows, 0, height - 1)][:, np.clip(cols, 0, width - 1)]
        values[:, near & (values == 0).all(axis=0)] = np.nan
        return values


def find_swath(source: Source, height: int, width: int, bands: tuple[int, ...]) -> Swath:
    """Read a scene once, strip by strip, and find what lies outside the swath.

    Raises
    ------
    RasterError
        If the file is damaged.
    """
    block = -(-max(height, width) // _LONGEST)
    shape = (-(-height // block), -(-width // block))
    zero = np.zeros(shape, bool)
    valid = 0
    step = max(1, _STRIP_PIXELS // (width * len(bands) * block)) * block
    for row in range(0, height, step):
        strip = read_window(source, Window(row, 0, min(step, height - row), width), bands)
        nothing = (strip == 0).all(axis=0)
        valid += int(np.count_nonzero(np.isfinite(strip).all(axis=0) & ~nothing))
        part = _whole_blocks(nothing, block)
        zero[row // block : row // block + len(part)] = part
        inner = int(np.count_nonzero(nothing))
        valid += inner
    outside = _border_regions(zero, -(-_LEAST_PIXELS // block**2))
    if outside is None:
        return Swath(valid, block, None)
    valid = max(0, valid - int(np.count_nonzero(outside)) * block**2)
    if block > 1:
        outside = ndimage.binary_dilation(outside, np.ones((3, 3), bool))
    return Swath(valid, block, outside)


def _whole_blocks(nothing: NDArray[np.bool_], block: int) -> NDArray[np.bool_]:
    """Tell which blocks are all true; what is missing at the end counts as true."""
    if block == 1:
        return nothing
    height, width = nothing.shape
    padded = np.pad(nothing, ((0, -height % block), (0, -width % block)), constant_values=True)
    rows, cols = padded.shape[0] // block, padded.shape[1] // block
    whole: NDArray[np.bool_] = padded.reshape(rows, block, cols, block).all(axis=(1, 3))
    return whole


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
