"""The shift between two pictures of one grid, by two measures that share nothing."""

from __future__ import annotations

import math

import numpy as np

from crosslook.errors import MatchError
from crosslook.extract.base import Extractor
from crosslook.match.channels import dense_channels
from crosslook.match.correlation import correlate, find_peaks
from crosslook.match.information import InformationMeasure, information_measure
from crosslook.match.picture import Picture
from crosslook.match.refine import reduce_picture
from crosslook.match.thin_plate import Array
from crosslook.match.transform import Transform, translation

_COARSE = 4
_MOST_STEPS = 12


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
    """Find the shift of greatest mutual information, to a fraction of a pixel.

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
    shift = np.array([steps[row], steps[col]], np.float64) * _COARSE
    for factor in (2, 1):
        pair = reduce_picture(sar, factor), reduce_picture(optical, factor)
        shift = _climb(information_measure(*pair, 1.0), shift / factor) * factor
    score = float((grid.max() - grid.mean()) / max(float(grid.std()), 1e-9))
    return shift, score


def _climb(measure: InformationMeasure, start: Array) -> Array:
    """Walk to the best whole shift nearby, then fit a parabola along each axis."""
    known: dict[tuple[int, int], float] = {}

    def at(row: int, col: int) -> float:
        if (row, col) not in known:
            place = translation(float(row), float(col))
            known[row, col] = measure(Transform(place, "shift"))
        return known[row, col]

    row, col = (round(float(value)) for value in start)
    for _ in range(_MOST_STEPS):
        around = [(row + r, col + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        best = max(around, key=lambda place: at(*place))
        if at(*best) <= at(row, col):
            break
        row, col = best
    return np.array(
        [
            row + _vertex(at(row - 1, col), at(row, col), at(row + 1, col)),
            col + _vertex(at(row, col - 1), at(row, col), at(row, col + 1)),
        ]
    )


def _vertex(before: float, peak: float, after: float) -> float:
    bend = before - 2 * peak + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _check(sar: Picture, optical: Picture, radius: float) -> None:
    if sar.shape != optical.shape or min(sar.shape) < 4 * radius:
        raise MatchError(
            f"a shift of up to {radius:g} px cannot be looked for between pictures of {sar.shape} "
            f"and {optical.shape}; one shape of at least {4 * radius:g} px a side is needed."
        )
