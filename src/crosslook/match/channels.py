"""Dense calibrated features of one picture, as correlation needs them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.extract.base import Extractor
from crosslook.match.picture import Picture
from crosslook.types import FloatArray


@dataclass(frozen=True, eq=False)
class Channels:
    """Features on a grid of cells, standardised, zero where invalid.

    Attributes
    ----------
    values : float32 array, shape (C, h, w)
    valid : bool array, shape (h, w)
    stride : float
        Pixels per cell; cell (i, j) covers rows ``[i * stride, (i + 1) * stride)``.
    """

    values: FloatArray
    valid: NDArray[np.bool_]
    stride: float


def dense_channels(picture: Picture, extractor: Extractor, margin: float = 3.0) -> Channels:
    """Extract features and make them comparable with those of the other sensor.

    Each channel is brought to mean 0 and deviation 1 over the valid cells of
    this picture: statistics per modality, without labels. A cell is valid when
    no invalid pixel lies in it or within ``margin`` pixels of it.
    """
    images = np.ascontiguousarray(np.broadcast_to(picture.values, (1, 3, *picture.shape)))
    features = extractor.extract(images)
    values = features.values[0]
    valid = _valid_cells(picture.valid, values.shape[1:], features.stride, margin)
    if not valid.any():
        return Channels(np.zeros_like(values), valid, features.stride)
    inside = values[:, valid]
    mean = inside.mean(axis=1, dtype=np.float64).astype(np.float32)[:, None, None]
    deviation = inside.std(axis=1, dtype=np.float64).astype(np.float32)[:, None, None]
    scaled = (values - mean) / np.maximum(deviation, np.float32(1e-6))
    return Channels(np.where(valid, scaled, np.float32(0.0)), valid, features.stride)


def _valid_cells(
    valid: NDArray[np.bool_], cells: tuple[int, ...], stride: float, margin: float
) -> NDArray[np.bool_]:
    holes = (~valid).astype(np.uint8)
    if not holes.any():
        return np.ones(cells, np.bool_)
    reach = 2 * int(np.ceil(margin + stride / 2)) + 1
    grown = cv2.dilate(holes, np.ones((reach, reach), np.uint8))
    rows = np.minimum((np.arange(cells[0]) + 0.5) * stride, valid.shape[0] - 1).astype(int)
    cols = np.minimum((np.arange(cells[1]) + 0.5) * stride, valid.shape[1] - 1).astype(int)
    return np.asarray(grown[np.ix_(rows, cols)] == 0, np.bool_)
