"""Features that need no weights: block means of the image, and histograms of oriented gradients.

Block means are the baseline that any feature must beat. HOG: Dalal and Triggs,
"Histograms of oriented gradients for human detection", CVPR 2005; the
normalisation over the four blocks around a cell follows Felzenszwalb et al.,
"Object detection with discriminatively trained part-based models", PAMI 2010.
Gradients are unsigned, since an edge that brightens in one sensor often darkens
in the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import product
from typing import ClassVar

import numpy as np

from crosslook import threads
from crosslook.extract.base import Extractor, Geometry, pad_to_multiple
from crosslook.extract.spec import Option
from crosslook.types import FloatArray


class Raw(Extractor):
    """Mean of every block of ``cell`` x ``cell`` pixels, per channel."""

    OPTIONS: ClassVar[dict[str, Option]] = {
        "cell": Option(16, "side of a block in pixels", low=1, high=512)
    }

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole blocks; the last ones are padded by edge values."""
        return pad_to_multiple(height, width, int(self.options["cell"]))

    def reach(self) -> int:
        """Pixels around a cell that its features depend on: none."""
        return 0

    def _features(self, images: FloatArray) -> tuple[FloatArray, None]:
        cell, (count, bands, height, width) = int(self.options["cell"]), images.shape
        blocks = images.reshape(count, bands, height // cell, cell, width // cell, cell)
        return np.asarray(blocks.mean(axis=(3, 5)), np.float32), None


_EPSILON = 1e-3
_FILTERED = 5  # largest cell that is pooled by a filter


class Hog(Extractor):
    """Oriented gradients per cell, softly binned and block normalised.

    Each pixel gives its gradient magnitude to the two nearest of ``bins``
    orientations over 180 degrees. A cell gathers its pixels, with a linear
    fall-off into the next cells when ``soft`` is on. The histogram is divided
    by the norm of each of the four 2 x 2 blocks of cells that contain it and
    clipped at ``clip``. The four are averaged.
    """

    OPTIONS: ClassVar[dict[str, Option]] = {
        "cell": Option(16, "side of a cell in pixels", low=2, high=256),
        "bins": Option(9, "orientations over 180 degrees", low=2, high=36),
        "blur": Option(1.5, "Gaussian blur before gradients, pixels", low=0.0, high=20.0),
        "clip": Option(0.3, "upper bound of a normalised bin", low=0.01, high=1.0),
        "soft": Option(True, "share a pixel between neighbouring cells"),
    }

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole cells; the last ones are padded by edge values."""
        return pad_to_multiple(height, width, int(self.options["cell"]))

    def reach(self) -> int:
        """Pixels around a cell that its features depend on: blocks, soft cells, blur."""
        # OpenCV cuts the Gaussian of a float image at four standard deviations.
        return 2 * int(self.options["cell"]) + math.ceil(4.0 * float(self.options["blur"])) + 2

    def _features(self, images: FloatArray) -> tuple[FloatArray, None]:
        cell, bins = int(self.options["cell"]), int(self.options["bins"])
        height, width = images.shape[2], images.shape[3]
        soft = bool(self.options["soft"])
        small = soft and cell <= _FILTERED
        pool = _pool_filtered if small else partial(_pool_weighted, soft=soft)
        out = np.empty((len(images), bins, height // cell, width // cell), np.float32)
        # The products are small: threads would wait for each other longer than they work.
        with threads.limited(in_pieces=True):
            for image, cells in zip(images, out, strict=True):
                planes = _oriented_planes(image.mean(axis=0), bins, float(self.options["blur"]))
                histograms = np.stack([pool(plane, cell) for plane in planes])
                cells[:] = _normalise_blocks(histograms, float(self.options["clip"]))
        return out, None


def _oriented_planes(grey: FloatArray, bins: int, blur: float) -> Iterator[FloatArray]:
    """Gradient magnitude of an image (H, W) split over orientations, plane by plane.

    Bin ``b`` is centred on ``b * 180 / bins`` degrees, 0 along columns. The sum over
    bins is the magnitude. Each plane lies in the memory of the one before.
    """
    import cv2

    image = np.ascontiguousarray(grey, dtype=np.float32)
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur, borderType=cv2.BORDER_REFLECT_101)
    down = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=1, borderType=cv2.BORDER_REPLICATE)
    right = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=1, borderType=cv2.BORDER_REPLICATE)
    magnitude, position = cv2.cartToPolar(right, down)
    position *= np.float32(bins / np.pi)
    # Half a turn is the same orientation: fold 0..2 * bins into 0..bins.
    np.subtract(position, np.float32(bins), out=position, where=position >= bins)
    plane, falling = np.empty(image.shape, np.float32), np.empty(image.shape, np.float32)
    for index in range(bins):
        # A triangle of height 1 and half-width 1 around the bin; bin 0 is also the one after all.
        np.add(position, np.float32(1 - index if index else 1 - bins), out=plane)
        np.subtract(np.float32(1 + index), position, out=falling)
        (cv2.min if index else cv2.max)(plane, falling, plane)
        cv2.max(plane, 0.0, plane)
        cv2.multiply(plane, magnitude, plane)
        yield plane


def _pool_weighted(plane: FloatArray, cell: int, soft: bool) -> FloatArray:
    rows, cols = (_pooling_matrix(n, cell, soft) for n in plane.shape)
    return np.asarray(rows @ plane @ cols.T, np.float32)


def _pool_filtered(plane: FloatArray, cell: int) -> FloatArray:
    """Small cells: a triangle has few weights, and most of the matrix would be zeros."""
    import cv2

    distance = np.arange(2 * cell - cell % 2) - (2 * cell - cell % 2 - 1) / 2
    kernel = (1.0 - np.abs(distance) / cell).astype(np.float32)
    anchor = (len(kernel) - 1) // 2
    first = (cell - 1) // 2
    sums = cv2.sepFilter2D(
        plane, cv2.CV_32F, kernel, kernel, anchor=(anchor, anchor), borderType=cv2.BORDER_CONSTANT
    )[first::cell, first::cell]
    down, right = (_weight_sums(n, cell) for n in plane.shape)
    return np.asarray(sums / (down[:, None] * right), np.float32)


@lru_cache(maxsize=32)
def _weight_sums(length: int, cell: int) -> FloatArray:
    """Sum of a triangle's weights within an image, for each of its cells."""
    centres = (np.arange(length // cell) + 0.5) * cell
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / cell
    return np.asarray(np.maximum(0.0, 1.0 - distance).sum(axis=1), np.float32)


@lru_cache(maxsize=32)
def _pooling_matrix(length: int, cell: int, soft: bool) -> FloatArray:
    """Weights (length / cell, length) that gather pixels into cells.

    Hard: the mean of a cell. Soft: a triangle twice as wide, centred on the
    cell, so that an edge on a border counts half on either side.
    """
    centres = (np.arange(length // cell) + 0.5) * cell
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / cell
    weights = np.maximum(0.0, 1.0 - distance) if soft else (distance < 0.5).astype(np.float64)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _normalise_blocks(histograms: FloatArray, clip: float) -> FloatArray:
    energy = np.pad((histograms**2).sum(axis=0), 1, mode="edge")
    blocks = energy[:-1, :-1] + energy[1:, :-1] + energy[:-1, 1:] + energy[1:, 1:]
    inverse = 1.0 / np.sqrt(blocks + np.float32(_EPSILON**2))
    result, part = np.zeros_like(histograms), np.empty_like(inverse[1:, 1:])
    halves = slice(None, -1), slice(1, None)
    for histogram, total in zip(histograms, result, strict=True):  # which stay in the cache
        for rows, cols in product(halves, halves):
            np.multiply(histogram, inverse[rows, cols], out=part)
            total += np.minimum(part, np.float32(clip), out=part)
    result *= np.float32(0.25)
    return result
