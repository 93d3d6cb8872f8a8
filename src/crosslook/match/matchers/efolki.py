"""EFolki: dense optical flow between rank-filtered images, by iterated local least squares.

Plyer, Le Besnerais and Champagnat, "Massively parallel Lucas Kanade optical flow for
real-time video processing applications" (Journal of Real-Time Image Processing, 2016);
Brigot, Colin-Koeniguer, Plyer and Janez, "Adaptation and evaluation of an optical flow
method applied to coregistration of forest remote sensing images" (IEEE JSTARS, 2016).
Written after these papers.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from crosslook.match.matchers.tiled import Correspondences, ImageMatcher
from crosslook.types import FloatArray

_RANK_RADIUS = 4
_RADII = (32, 24, 16, 8)  # of the windows, from wide to narrow
_ITERATIONS = 2
_LEVELS = 5
_LEAST_SIDE = 32
_STEP = 16  # pixels between the points that are read off the flow
_STEADY = 1e-4  # keeps a window without structure from moving


class EFolki(ImageMatcher):
    """A flow from the optical to the SAR image, read off every 16 pixels.

    Both images are replaced by the rank of each pixel among its neighbours,
    which most differences of tone leave alone. From coarse to fine, and from
    wide to narrow windows, each window then moves by the least squares of the
    brightness equation (Lucas and Kanade 1981) around where it is.
    """

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        down, right, left = flow(rank(optical, _RANK_RADIUS), rank(sar, _RANK_RADIUS))
        rows, cols = (np.arange(_STEP // 2, length, _STEP) for length in optical.shape)
        grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
        at = tuple(grid.T)
        there = np.asarray(grid + 0.5, np.float64)
        here = there + np.column_stack([down[at], right[at]]).astype(np.float64)
        return Correspondences(here, there, 1.0 / (1.0 + left[at].astype(np.float64)))


def rank(image: FloatArray, radius: int) -> FloatArray:
    """Fraction of the neighbours of each pixel that are darker than it, 0..1.

    Parameters
    ----------
    image : float32 array, shape (H, W)
    radius : int
        Neighbours are those of a square of ``2 radius + 1`` pixels.
    """
    padded = cv2.copyMakeBorder(image, *(radius,) * 4, cv2.BORDER_REFLECT_101)
    height, width = image.shape
    darker = np.zeros(image.shape, np.float32)
    for row in range(2 * radius + 1):
        for col in range(2 * radius + 1):
            darker += padded[row : row + height, col : col + width] < image
    return darker / np.float32((2 * radius + 1) ** 2 - 1)


class Flow(NamedTuple):
    """A shift for each pixel, and the squared difference that it leaves."""

    down: FloatArray
    right: FloatArray
    left: FloatArray


def flow(fixed: FloatArray, moving: FloatArray) -> Flow:
    """The flow by which ``moving``, read at each pixel plus its shift, is ``fixed``.

    Parameters
    ----------
    fixed, moving : float32 array, shape (H, W)

    Returns
    -------
    Flow
        float32 arrays (H, W), pixels.
    """
    pyramid: list[tuple[FloatArray, ...]] = [(fixed, moving)]
    while len(pyramid) < _LEVELS and min(pyramid[-1][0].shape) >= 2 * _LEAST_SIDE:
        pyramid.append(tuple(cv2.pyrDown(image) for image in pyramid[-1]))
    down: FloatArray = np.zeros(pyramid[-1][0].shape, np.float32)
    right, left = down, down
    for one, other in reversed(pyramid):
        size = (one.shape[1], one.shape[0])
        tall, wide = one.shape[0] / down.shape[0], one.shape[1] / down.shape[1]
        down = cv2.resize(down, size, interpolation=cv2.INTER_LINEAR) * np.float32(tall)
        right = cv2.resize(right, size, interpolation=cv2.INTER_LINEAR) * np.float32(wide)
        down, right, left = _at_level(one, other, down, right)
    return Flow(down, right, left)


def _at_level(fixed: FloatArray, moving: FloatArray, down: FloatArray, right: FloatArray) -> Flow:
    """Improve a flow at one resolution, window after window."""
    rows, cols = (axis.astype(np.float32) for axis in np.indices(fixed.shape))
    by_row, by_col = np.gradient(fixed)
    left = np.zeros_like(fixed)
    for radius in _RADII:
        size = (2 * radius + 1,) * 2
        yy, xy, xx = (cv2.blur(p, size) for p in (by_row**2, by_row * by_col, by_col**2))
        yy, xx = yy + np.float32(_STEADY), xx + np.float32(_STEADY)
        within = yy * xx - xy * xy
        for _ in range(_ITERATIONS):
            seen = cv2.remap(moving, cols + right, rows + down, cv2.INTER_LINEAR,
                             borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
            apart = fixed - seen
            # The equation is written around the present shift of each pixel of the window.
            linear = apart + by_row * down + by_col * right
            along, across = (cv2.blur(linear * slope, size) for slope in (by_row, by_col))
            down = (xx * along - xy * across) / within
            right = (yy * across - xy * along) / within
            left = cv2.blur(apart**2, size)
    return Flow(down, right, left)
