"""Means over square blocks of pixels, of which half must be valid."""

from __future__ import annotations

import cv2
import numpy as np

from crosslook.types import FloatArray, Mask

_LEAST_COVER = 0.5


def block_means(values: FloatArray, valid: Mask, factor: int) -> tuple[FloatArray, FloatArray]:
    """Mean over the valid pixels of whole blocks, and the fraction of each that is valid.

    Parameters
    ----------
    values : float32 array, shape (bands, h, w)
    valid : bool array, shape (h, w)
    factor : int
        Pixels along the side of a block; what is left over is cut off.

    Returns
    -------
    means : float32 array, shape (bands, h // factor, w // factor)
        0 where no pixel is valid.
    cover : float32 array, shape (h // factor, w // factor)
        0..1.
    """
    size = (values.shape[2] // factor, values.shape[1] // factor)
    cover = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    means = [
        cv2.resize(band * valid, size, interpolation=cv2.INTER_AREA) / np.maximum(cover, 1e-6)
        for band in values
    ]
    return np.stack(means).astype(np.float32, copy=False), np.asarray(cover, np.float32)


def where_covered(means: FloatArray, cover: FloatArray) -> tuple[FloatArray, Mask]:
    """Means (bands, h, w), 0 where less than half of a block is valid, and where it is more."""
    valid: Mask = np.asarray(cover >= _LEAST_COVER, np.bool_)
    return np.where(valid, means, np.float32(0.0)), valid
