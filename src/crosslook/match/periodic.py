"""Ground that repeats itself, as orchards, parcels and rows of containers: places one period away.

Such ground fits as well one period beside, and nothing that is measured at the answer tells. So
both images are correlated at all shifts around the answer. Where the optical image repeats itself,
and the SAR image fits there nearly as well, that place is listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.geo.grey import GreyImage
from crosslook.match.pair import ImagePair
from crosslook.match.transform import Transform
from crosslook.match.warp import warp
from crosslook.types import FloatArray

_MOST_PX = 512  # of the centre of an image: what repeats itself all over does so there
_LEAST_CELLS = 3.0
_REACH = 0.4  # of the side
_NEARLY = 0.7  # of the score of the answer
_ALIKE = 0.5  # correlation of an image with itself; of real ground at most .3
_CELL, _FINEST, _COARSEST = 3, 1.2, 12.0  # pixels
_MOST_REPEATS = 8


@dataclass(frozen=True)
class Repeat:
    """Another place that fits nearly as well.

    Attributes
    ----------
    shift : (float, float)
        From the answer, rows and columns, pixels of the optical grid.
    score : float
        Of the score of the answer, about 0.7..1.
    """

    shift: tuple[float, float]
    score: float

    def to_dict(self, pixel: int) -> dict[str, object]:
        """What ``match.json`` has of it, in optical pixels."""
        return {"shift": [round(v * pixel, 1) for v in self.shift], "score": round(self.score, 3)}


def repeats(pair: ImagePair, transform: Transform) -> tuple[Repeat, ...]:
    """Places around an answer that fit nearly as well since the ground repeats itself.

    Parameters
    ----------
    pair : ImagePair
    transform : Transform
        SAR pixels to optical pixels: the answer.

    Returns
    -------
    tuple of Repeat
        The best first, at most eight; none of ground that does not repeat itself.
    """
    theirs, alike = pair.optical.cached("alike", lambda: _alike(pair.optical))
    # Of most ground the optical image alone tells, which has no speckle.
    if not alike.any():
        return ()
    joint = np.abs(_correlation(_detail(warp(pair.sar, transform, pair.optical.shape)), theirs))
    joint = cv2.dilate(joint, np.ones((3, 3), np.uint8))
    centre = tuple(n // 2 for n in joint.shape)
    here = max(float(joint[centre]), 1e-6)
    rows, cols = np.nonzero(alike & (joint >= _NEARLY * here))
    order = np.argsort(-joint[rows, cols], kind="stable")[:_MOST_REPEATS]
    apart = np.stack([rows[order] - centre[0], cols[order] - centre[1]], axis=1) * float(_CELL)
    scores = joint[rows[order], cols[order]] / here
    return tuple(
        Repeat((float(down), float(right)), float(score))
        for (down, right), score in zip(apart, scores, strict=True)
    )


def _alike(image: GreyImage) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The detail of an image, and the shifts at which it is like itself."""
    detail = _detail(image)
    itself = _correlation(detail, detail)
    alike = itself >= np.maximum(cv2.dilate(itself, np.ones((3, 3), np.uint8)), _ALIKE)
    return detail, alike & _beyond(itself.shape)


def _detail(image: GreyImage) -> FloatArray:
    """Structure of up to some 20 pixels in the centre of an image, and where it is known.

    The centre alone, so that the work does not grow with the image: what repeats itself all
    over does so there.

    Returns
    -------
    float32 array, shape (2, h, w)
        On every third pixel.
    """
    centre = [slice(max(0, (n - _MOST_PX) // 2), (n + _MOST_PX) // 2) for n in image.shape]
    values, known = image.values[*centre], image.valid[*centre]
    fine = cv2.GaussianBlur(values, (0, 0), _FINEST) - cv2.GaussianBlur(values, (0, 0), _COARSEST)
    fine /= np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), _COARSEST) + 1e-6)
    part = slice(_CELL // 2, None, _CELL)
    solid = known[part, part].astype(np.float32)
    return np.stack([fine[part, part] * solid, solid])


def _correlation(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Normalised correlation at all shifts up to a part of the side; no shift in the centre."""
    from scipy import fft

    shape = ours.shape[1:]
    reach = [int(_REACH * n) for n in shape]
    size = [fft.next_fast_len(n + r, real=True) for n, r in zip(shape, reach, strict=True)]
    spectra = [
        fft.rfft2(np.stack([values, values * values, known]), size)
        for values, known in (ours, theirs)
    ]
    turned = np.conj(spectra[0])
    products = [turned[a] * spectra[1][b] for a, b in ((0, 0), (1, 2), (2, 1))]
    raw, own, other = fft.irfft2(np.stack(products), size)
    scores = raw / np.sqrt(np.maximum(own, 1e-3) * np.maximum(other, 1e-3))
    scores = np.roll(scores, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
    return np.asarray(scores, np.float32)


def _beyond(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Shifts of a few cells and more."""
    rows, cols = (np.arange(n) - n // 2 for n in shape)
    return np.asarray(np.hypot(rows[:, None], cols) > _LEAST_CELLS, np.bool_)
