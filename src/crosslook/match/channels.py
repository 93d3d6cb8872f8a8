"""Dense calibrated features of one image, as correlation needs them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.extract.base import Extractor
from crosslook.extract.joined import JoinedFeatures
from crosslook.geo.grey import GreyImage
from crosslook.types import FloatArray

_MARGIN = 3.0


@dataclass(frozen=True, eq=False)
class Channels:
    """Features on a grid of cells, standardised, zero where invalid.

    Attributes
    ----------
    values : float32 array, shape (C, h, w)
    valid : bool array, shape (h, w)
    stride : float
        Pixels per cell; cell (i, j) covers rows ``[i * stride, (i + 1) * stride)``.
    gaps : bool array, shape (h, w), or None
        Invalid cells of thin gaps, which are left out where images are compared.
    """

    values: FloatArray
    valid: NDArray[np.bool_]
    stride: float
    gaps: NDArray[np.bool_] | None = None


def dense_channels(image: GreyImage, extractor: Extractor) -> Channels:
    """Extract features and make them comparable with those of the other sensor.

    Each channel is brought to mean 0 and standard deviation 1 over the valid cells of
    this image: statistics per modality, without labels. Cells where the
    image is flat fade, since what a normalised feature says of open water is
    noise. A cell is valid when no invalid pixel lies in it or within three
    pixels of it. Of thin gaps, whose values are interpolated, half its pixels may be; the
    cells beside gaps are brought to mean 0 by themselves, since what interpolation does to
    them is alike in both images.
    """
    features = extractor.extract(np.broadcast_to(image.values, (1, 3, *image.shape)))
    values = features.values[0]
    cells, stride = values.shape[1:], features.stride
    valid = valid_cells(image.known, cells, stride, _MARGIN)
    parts, gaps = [valid], None
    if image.gaps is not None:
        whole = valid_cells(image.valid, cells, stride, _MARGIN)
        gaps = valid & ~filled_cells(image.valid, cells, stride)
        valid = valid & ~gaps
        parts = [valid & whole, valid & ~whole]
    if not valid.any():
        return Channels(np.zeros_like(values), valid, stride)
    scaled = _standardised(values, parts[0])
    for part in parts[1:]:
        scaled[:, part] = _standardised(values, part)[:, part]
    contrast = local_std(image, cells, stride)
    weight = contrast_weight(contrast, float(np.median(contrast[valid])))
    weight[~valid] = 0.0
    scaled *= weight
    if isinstance(extractor, JoinedFeatures):
        scaled *= extractor.weights[:, None, None]
    return Channels(scaled, valid, stride, gaps)


def _standardised(values: FloatArray, part: NDArray[np.bool_]) -> FloatArray:
    """Channels (C, h, w) less their mean over some cells, over their standard deviation there."""
    counted = part.astype(np.uint8)
    moments = np.array([cv2.meanStdDev(channel, mask=counted) for channel in values])
    mean, std = moments.reshape(-1, 2).T.astype(np.float32)[..., None, None]
    scaled: FloatArray = values - mean
    scaled /= np.maximum(std, np.float32(1e-6))
    return scaled


def valid_cells(
    valid: NDArray[np.bool_], cells: tuple[int, ...], stride: float, margin: float
) -> NDArray[np.bool_]:
    """Cells (h, w) without an invalid pixel in them or within ``margin`` pixels."""
    holes = (~valid).astype(np.uint8)
    if not holes.any():
        return np.ones(cells, np.bool_)
    reach = 2 * int(np.ceil(margin + stride / 2)) + 1
    grown = cv2.dilate(holes, np.ones((reach, reach), np.uint8))
    return np.asarray(grown[_centres(valid.shape, cells, stride)] == 0, np.bool_)


def filled_cells(
    valid: NDArray[np.bool_], cells: tuple[int, ...], stride: float
) -> NDArray[np.bool_]:
    """Cells (h, w) of whose pixels, and those half a cell around, half are valid."""
    side = 2 * round(stride / 2) + 1
    share = cv2.blur(valid.astype(np.float32), (side, side), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(share[_centres(valid.shape, cells, stride)] >= 0.5, np.bool_)


def local_std(image: GreyImage, cells: tuple[int, ...], stride: float) -> FloatArray:
    """Standard deviation of the image around each cell (h, w), four cells wide."""
    side = 2 * round(2 * stride) + 1
    soft = cv2.GaussianBlur(image.values, (0, 0), 1.0)
    at = _centres(image.shape, cells, stride)
    mean = cv2.boxFilter(soft, cv2.CV_32F, (side, side))[at]
    square = cv2.sqrBoxFilter(soft, cv2.CV_32F, (side, side))[at]
    return np.asarray(np.sqrt(np.maximum(square - mean * mean, 0.0)), np.float32)


def contrast_weight(contrast: FloatArray, median: float) -> FloatArray:
    """``s / (s + m)``: fades cells that are flat against the usual standard deviation ``m``."""
    return np.asarray(contrast / (contrast + max(median, 1e-6)), np.float32)


def _centres(
    shape: tuple[int, ...], cells: tuple[int, ...], stride: float
) -> tuple[NDArray[np.int64], ...]:
    """Index of the pixel at the centre of every cell, for ``array[...]``."""
    rows = np.minimum((np.arange(cells[0]) + 0.5) * stride, shape[0] - 1).astype(np.int64)
    cols = np.minimum((np.arange(cells[1]) + 0.5) * stride, shape[1] - 1).astype(np.int64)
    return np.ix_(rows, cols)
