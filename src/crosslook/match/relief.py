"""Relief: displacements along one line, which no single shift can take out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from crosslook.types import Array

HILLY_PX = 6.0
"""An extent beyond this is more than one transform should be trusted with."""

CLEAR_RATIO = 1.15
"""Least peak over second peak of a tie point that tells of relief."""

_LEAST_POINTS = 12
_NEIGHBOURS = 5
_CONSISTENT_PX = 4.0
_ON_LINE_PX = 3.0  # to either side
_LEAST_FRACTION = 0.5  # points scattered over 24 px give about a fifth
_STEP_DEGREES = 3.0
_PARALLAX_PX = 4.0


@dataclass(frozen=True)
class Relief:
    """What tie points say of the ground's height.

    A side-looking radar moves what stands higher towards the sensor, by
    ``height / tan(incidence)`` on the ground, and never along its track. So
    over hills the displacements of an image that was not corrected for terrain
    lie on one line, along the range.

    Attributes
    ----------
    extent : float
        Pixels between the 10 % and the 90 % quantile along the line.
    degrees : float
        Direction of the line, 0 up to 180, from the columns towards the rows;
        NaN where the extent is below 4 px, so too short to have one.
    fraction : float
        Of the tie points that lie on the line, 0..1.
    """

    extent: float
    degrees: float
    fraction: float


def measure_relief(displacement: Array) -> Relief | None:
    """Find the line on which most displacements lie, and how far they spread along it.

    Parameters
    ----------
    displacement : float64 array, shape (n, 2)
        Rows and columns by which tie points are off one transform.

    Returns
    -------
    Relief or None
        None for fewer than twelve points, or where less than half of them lie
        on one line.
    """
    if len(displacement) < _LEAST_POINTS:
        return None
    best, degrees, level = 0.0, 0.0, 0.0
    for angle in np.arange(0.0, 180.0, _STEP_DEGREES):
        support, centre = _densest(displacement @ direction_of(angle)[1])
        if support > best:
            best, degrees, level = support, float(angle), centre
    along, across = (displacement @ axis for axis in direction_of(degrees))
    on_line = np.abs(across - level) <= _ON_LINE_PX
    fraction = float(on_line.mean())
    if fraction < _LEAST_FRACTION:
        return None
    low, high = np.quantile(along[on_line], [0.1, 0.9])
    extent = float(high - low)
    return Relief(extent, degrees if extent >= _PARALLAX_PX else float("nan"), fraction)


def is_consistent(position: Array, displacement: Array) -> NDArray[np.bool_]:
    """Tell points that are displaced as those around them are, as on smooth ground.

    Scattered wrong points lie on any line too, and would pass for relief.

    Parameters
    ----------
    position, displacement : float64 array, shape (n, 2)
        Pixels.

    Returns
    -------
    bool array, shape (n,)
        True within 4 px of the median of the five nearest others; all False
        for fewer than six points.
    """
    if len(position) <= _NEIGHBOURS:
        return np.zeros(len(position), np.bool_)
    _, near = KDTree(position).query(position, k=_NEIGHBOURS + 1)
    around = np.median(displacement[near[:, 1:]], axis=1)
    close = np.linalg.norm(displacement - around, axis=1) <= _CONSISTENT_PX
    return np.asarray(close, np.bool_)


def direction_of(degrees: float) -> Array:
    """Unit vectors (row, column) along a line and across it, shape (2, 2)."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.array([[sine, cosine], [cosine, -sine]])


def _densest(values: Array) -> tuple[float, float]:
    """Where most values lie within 3 px: their support, and their mean.

    A value counts ``1 - (distance from the mean / 3 px)^2``, so that of
    two lines with as many points the narrower one wins.
    """
    ordered = np.sort(values)
    sums, squares = (np.append(0.0, np.cumsum(v)) for v in (ordered, ordered**2))
    first = np.searchsorted(ordered, ordered - _ON_LINE_PX)
    last = np.searchsorted(ordered, ordered + _ON_LINE_PX, side="right")
    count = last - first
    mean = (sums[last] - sums[first]) / count
    scatter = squares[last] - squares[first] - count * mean**2
    support = count - scatter / _ON_LINE_PX**2
    at = int(support.argmax())
    return float(support[at]), float(mean[at])
