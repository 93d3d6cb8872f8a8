"""The shift between two pictures of one grid, by two measures that share nothing."""

from __future__ import annotations

import math

import numpy as np

from crosslook.errors import MatchError
from crosslook.extract.base import Extractor
from crosslook.match.channels import dense_channels
from crosslook.match.correlation import correlate, find_peaks
from crosslook.match.information import information_measure
from crosslook.match.picture import Picture
from crosslook.match.refine import Level, reduce_picture, refine
from crosslook.match.thin_plate import Array
from crosslook.match.transform import Transform, translation

_COARSE = 4
_FINE = (Level(2, 1.0, 1.5, 60), Level(1, 1.0, 0.5, 60))


def gradient_shift(
    sar: Picture, optical: Picture, extractor: Extractor, radius: float
) -> tuple[Array, float]:
    """Shift by correlating the features of the whole SAR picture.

    Returns
    -------
    shift : float64 array, shape (2,)
        Row and column in pixels: SAR (r, c) shows what optical has at
        (r, c) + shift.
    ratio : float
        Peak over second peak.

    Raises
    ------
    MatchError
        If the pictures are smaller than four times ``radius``.
    """
    _check(sar, optical, radius)
    here, there = dense_channels(sar, extractor), dense_channels(optical, extractor)
    reach = math.ceil(radius / there.stride)
    template = here.values[:, reach:-reach, reach:-reach]
    peaks = find_peaks(correlate(template[None], there.values[None]), exclusion=reach / 4)
    return (peaks.position[0] - reach) * there.stride, float(peaks.ratio[0])


def information_shift(sar: Picture, optical: Picture, radius: float) -> tuple[Array, float]:
    """Shift of greatest mutual information, searched on a grid and then refined.

    Returns
    -------
    shift : float64 array, shape (2,)
        As in :func:`gradient_shift`.
    score : float
        Height of the grid's best value over its mean, in its deviations.

    Raises
    ------
    MatchError
        If the pictures are smaller than four times ``radius``.
    """
    _check(sar, optical, radius)
    small = reduce_picture(sar, _COARSE), reduce_picture(optical, _COARSE)
    measure = information_measure(*small, 0.7)
    steps = np.arange(-math.ceil(radius / _COARSE), math.ceil(radius / _COARSE) + 1)
    grid = np.array(
        [
            [measure(Transform(translation(float(r), float(c)), "shift")) for c in steps]
            for r in steps
        ]
    )
    row, col = np.unravel_index(int(grid.argmax()), grid.shape)
    coarse = translation(float(steps[row] * _COARSE), float(steps[col] * _COARSE))
    found = refine(sar, optical, Transform(coarse, "shift"), _FINE, limit=2.0 * _COARSE)
    score = float((grid.max() - grid.mean()) / max(float(grid.std()), 1e-9))
    return np.array(found.transform.matrix[:2, 2]), score


def _check(sar: Picture, optical: Picture, radius: float) -> None:
    if sar.shape != optical.shape or min(sar.shape) < 4 * radius:
        raise MatchError(
            f"a shift of up to {radius:g} px cannot be looked for between pictures of {sar.shape} "
            f"and {optical.shape}; one shape of at least {4 * radius:g} px a side is needed."
        )
