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
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crosslook.extract.base import Extractor, Geometry, is_grey, pad_to_multiple
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
        from crosslook.extract.oriented import gather_cells, normalise_blocks

        cell, bins = int(self.options["cell"]), int(self.options["bins"])
        soft, blur = bool(self.options["soft"]), float(self.options["blur"])
        rows, cols = (_shares(length, cell, soft) for length in images.shape[2:])
        height, width = images.shape[2] // cell, images.shape[3] // cell
        out = np.empty((len(images), bins, height, width), np.float32)
        for image, result in zip(images, out, strict=True):
            grey = image[0] if is_grey(image[None]) else _mean(image)
            cells = np.zeros((height + 2, bins, width + 2), np.float32)
            gather_cells(*_gradients(grey, blur), bins, rows, cols, cells)
            normalise_blocks(cells, float(self.options["clip"]), _EPSILON**2, result)
        return out, None


def _mean(image: FloatArray) -> FloatArray:
    """Mean of three planes; of equal ones exactly any of them."""
    first = image[0]
    return np.asarray(first + ((image[1] - first) + (image[2] - first)) / np.float32(3.0))


def _gradients(grey: FloatArray, blur: float) -> tuple[FloatArray, FloatArray]:
    """Magnitude and angle (radians, 0 along columns) of the gradients of an image (H, W)."""
    import cv2

    image = np.ascontiguousarray(grey, dtype=np.float32)
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur, borderType=cv2.BORDER_REFLECT_101)
    down = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=1, borderType=cv2.BORDER_REPLICATE)
    right = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=1, borderType=cv2.BORDER_REPLICATE)
    magnitude, angle = cv2.cartToPolar(right, down)
    return magnitude, angle


@lru_cache(maxsize=32)
def _shares(length: int, cell: int, soft: bool) -> tuple[NDArray[np.int64], FloatArray]:
    """Which two neighbouring cells share each pixel of a line, and what either takes.

    Hard: the mean of a cell. Soft: a triangle twice as wide, centred on the
    cell, so that an edge on a border counts half on either side.

    Returns
    -------
    first : int64 array, shape (length,)
        The first of the two; cells are counted from 1, since 0 lies beyond the image.
    shares : float32 array, shape (2, length)
        So that what a cell takes sums to 1; 0 beyond the image.
    """
    position = (np.arange(length) + 0.5) / cell
    position += 0.5 if soft else 1.0
    first = position.astype(np.int64)
    far = position - first if soft else np.zeros(length)
    shares, count = np.stack([1.0 - far, far]), length // cell
    for share, place in zip(shares, (first, first + 1), strict=True):
        share[(place < 1) | (place > count)] = 0.0
    total = sum(
        np.bincount(place, share, count + 2)
        for share, place in zip(shares, (first, first + 1), strict=True)
    )
    shares /= np.maximum(total, 1e-12)[np.stack([first, first + 1])]
    return first, shares.astype(np.float32)
