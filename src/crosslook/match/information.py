"""Mutual information of two pictures under a transform."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.match.picture import Picture, warp_array
from crosslook.match.thin_plate import Array
from crosslook.match.transform import Transform
from crosslook.types import FloatArray

_OUTSIDE = -1e5  # so low that a linear mix with any level stays negative
_MIN_SAMPLES = 256


@dataclass(frozen=True, eq=False)
class InformationMeasure:
    """Mutual information between a SAR picture and an optical one, in nats.

    Grey levels are spread evenly (histogram equalised) over ``bins``; the
    joint histogram uses a linear Parzen window on the warped SAR levels and is
    smoothed by a cubic B-spline along both axes (Thevenaz and Unser,
    "Optimization of mutual information for multiresolution image
    registration", 2000).

    Attributes
    ----------
    sar : float32 array, shape (H, W)
        Levels 0..bins - 1, very low where invalid.
    optical : int64 array, shape (H', W')
        Levels 0..bins - 1, -1 where invalid.
    bins : int
    """

    sar: FloatArray
    optical: NDArray[np.int64]
    bins: int

    def __call__(self, transform: Transform) -> float:
        """Mutual information of the overlap; 0 where they hardly overlap."""
        shape = (int(self.optical.shape[0]), int(self.optical.shape[1]))
        moved = warp_array(self.sar, transform, shape, cv2.INTER_LINEAR, outside=_OUTSIDE)
        inside = (moved >= 0) & (self.optical >= 0)
        if int(inside.sum()) < _MIN_SAMPLES:
            return 0.0
        return mutual_information(_joint(moved[inside], self.optical[inside], self.bins))


def information_measure(
    sar: Picture, optical: Picture, blur: float, bins: int = 32
) -> InformationMeasure:
    """Prepare the measure; ``blur`` (pixels) softens speckle and aliasing first."""
    return InformationMeasure(
        np.where(sar.valid, _levels(sar, blur, bins), np.float32(_OUTSIDE)),
        np.where(optical.valid, _levels(optical, blur, bins), -1.0).astype(np.int64),
        bins,
    )


def mutual_information(joint: Array) -> float:
    """``sum p(a, b) log(p(a, b) / (p(a) p(b)))`` in nats (Shannon 1948).

    ``joint`` holds counts or probabilities, shape (A, B), not negative.
    """
    share = joint / joint.sum()
    expected = share.sum(axis=1, keepdims=True) * share.sum(axis=0, keepdims=True)
    filled = share > 0
    return float((share[filled] * np.log(share[filled] / expected[filled])).sum())


def _joint(moved: FloatArray, fixed: NDArray[np.int64], bins: int) -> Array:
    low = np.minimum(moved.astype(np.int64), bins - 2)
    upper = moved - low
    index = low * bins + fixed
    size = bins * bins
    counts = np.bincount(index, 1.0 - upper, size) + np.bincount(index + bins, upper, size)[:size]
    smooth = np.array([1.0, 4.0, 1.0]) / 6.0
    result = cv2.sepFilter2D(
        counts.reshape(bins, bins), cv2.CV_64F, smooth, smooth, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(result, np.float64)


def _levels(picture: Picture, blur: float, bins: int) -> FloatArray:
    """Equalised grey levels as floats in 0..bins - 1."""
    values = picture.values
    if blur > 0:
        values = cv2.GaussianBlur(values, (0, 0), blur, borderType=cv2.BORDER_REFLECT_101)
    sample = values[picture.valid][:: max(1, int(picture.valid.sum()) // 100_000)]
    edges = np.unique(np.quantile(sample, np.linspace(0.0, 1.0, 257)))
    rank = np.linspace(0.0, bins - 1.001, len(edges))
    return np.asarray(np.interp(values, edges, rank), np.float32)
