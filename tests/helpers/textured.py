"""A textured SAR image and its optical one under a known transform."""

from __future__ import annotations

import cv2
import numpy as np

from crosslook.geo.raster import RasterArray
from crosslook.match.transform import Transform
from crosslook.match.warp import opencv_matrix


def textured_pair(
    truth: Transform, seed: int = 0, side: int = 320, coarse: float = 5.0
) -> tuple[RasterArray, RasterArray]:
    """A SAR image that ``truth`` brings onto its optical one; contrast reversed, speckled."""
    rng = np.random.default_rng(seed)
    ground = sum(
        cv2.GaussianBlur(rng.normal(size=(side, side)).astype(np.float32), (0, 0), s) * s
        for s in (2.0, coarse)
    )
    low, high = np.percentile(ground, [1, 99])
    optical = np.clip((ground - low) / (high - low), 0.02, 1.0).astype(np.float32)
    matrix, size = opencv_matrix(truth.inverse), (side, side)
    seen = cv2.warpPerspective(optical, matrix, size)
    inside = cv2.warpPerspective(np.ones_like(optical), matrix, size) > 0.999
    sar = (1.05 - seen) * rng.gamma(8.0, 1 / 8.0, seen.shape)
    return (
        RasterArray.of((sar * 200).astype(np.float32), inside, name="sar"),
        RasterArray.of((optical * 250).astype(np.uint8), name="optical"),
    )
