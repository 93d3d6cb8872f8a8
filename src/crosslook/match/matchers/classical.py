"""Matchers without weights: key points of OpenCV, and phase correlation of squares."""

from __future__ import annotations

import cv2
import numpy as np

from crosslook.match.matchers.tiled import Correspondences, ImageMatcher
from crosslook.types import FloatArray

_KEY_POINTS, _RATIO = 4000, 0.8
_SQUARE, _STEP = 128, 64


class SiftMatcher(ImageMatcher):
    """Scale-invariant key points (Lowe 2004), by OpenCV, with the ratio test of the paper."""

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        detector = cv2.SIFT_create(_KEY_POINTS)
        seen = [detector.detectAndCompute(_bytes(image), None) for image in (sar, optical)]
        (here, described), (there, other) = seen
        pairs = []
        if described is not None and other is not None and len(other) > 1:
            best_two = cv2.BFMatcher().knnMatch(described, other, k=2)
            pairs = [(a, b) for a, b in best_two if a.distance < _RATIO * b.distance]
        return Correspondences.from_xy(
            np.array([here[a.queryIdx].pt for a, _ in pairs]),
            np.array([there[a.trainIdx].pt for a, _ in pairs]),
            np.array([1.0 - a.distance / max(b.distance, 1e-9) for a, b in pairs]),
        )


class PhaseCorrelation(ImageMatcher):
    """Phase correlation (Kuglin and Hines 1975) of squares of 128 pixels, by OpenCV.

    Each square gives one shift, to a part of a pixel; half of it overlaps with the next.
    Of an image that is smaller the whole is one square.
    """

    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        side = min(_SQUARE, *sar.shape)
        window = cv2.createHanningWindow((side, side), cv2.CV_32F)
        corners = [
            (row, col) for row in _starts(sar.shape[0], side) for col in _starts(sar.shape[1], side)
        ]
        shifts, scores = [], []
        for row, col in corners:
            at = (slice(row, row + side), slice(col, col + side))
            (right, down), score = cv2.phaseCorrelate(
                np.ascontiguousarray(sar[at]), np.ascontiguousarray(optical[at]), window
            )
            shifts.append((down, right))
            scores.append(score)
        centres = np.array(corners, np.float64) + side / 2
        return Correspondences(centres, centres + np.array(shifts), np.array(scores))


def _starts(length: int, side: int) -> list[int]:
    return sorted({*range(0, length - side, _STEP), length - side})


def _bytes(image: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(np.clip(image * 255.0 + 0.5, 0, 255), np.uint8)
