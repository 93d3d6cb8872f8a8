"""Calibration: what makes the descriptors of two sensors comparable.

Each modality is moved, scaled or whitened by its own statistics, so no pair
and no label is needed. Everything is fitted on the calibration set only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import CalibrationError, SettingError, did_you_mean
from crosslook.types import Array, FloatArray, Indices, Modality

_FLAT = 1e-6
"""A dimension whose standard deviation is below this fraction of the largest is constant."""
_NOTHING = 1e-10
"""A direction whose variance is below this fraction of the largest is rounding."""
MOST_DIRECTIONS = 1024
"""Directions that ``whiten`` turns, at most; all others are taken to have the shrunk variance."""
FITTED_ROWS = 8192
"""Descriptors that directions are fitted on at most, evenly over the calibration set."""
_PASSES = 4
_AT_ONCE = 1024


DescriptorMap = Callable[[FloatArray], FloatArray]
"""Maps descriptors (N, D) of one modality to calibrated ones (N, D')."""


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration: one transform per modality."""

    name: str
    sar: DescriptorMap
    optical: DescriptorMap

    def apply(self, descriptors: FloatArray, modality: Modality) -> FloatArray:
        """Calibrate descriptors (N, D) of ``modality``; lengths are left as they fall."""
        return (self.sar if modality == "sar" else self.optical)(descriptors)


@dataclass(frozen=True)
class _Affine:
    mean: FloatArray
    inverse_std: FloatArray | None = None

    def __call__(self, descriptors: FloatArray) -> FloatArray:
        out: FloatArray = descriptors - self.mean
        if self.inverse_std is not None:
            out *= self.inverse_std
        return out


@dataclass(frozen=True)
class _Whitening:
    """``x -> a * (x - mean) + V diag(b - a) V' (x - mean)``.

    ``V`` holds the directions with variance, so a descriptor of any length
    costs no D x D matrix.
    """

    mean: FloatArray
    directions: FloatArray
    gain: FloatArray
    rest: float

    def __call__(self, descriptors: FloatArray) -> FloatArray:
        centred = np.asarray(descriptors - self.mean, np.float32)
        change = np.asarray(self.gain - self.rest, np.float32)
        inside = np.asarray((centred @ self.directions.T) * change, np.float32)
        centred *= np.float32(self.rest)
        centred += inside @ self.directions
        return centred


def fit_calibration(
    name: str, sar: FloatArray, optical: FloatArray, *, shrinkage: float = 0.1
) -> Calibration:
    """Fit a calibration.

    Parameters
    ----------
    name : str
        ``none``; ``center`` subtracts the mean of the modality;
        ``standardize`` also divides every dimension by its standard deviation;
        ``whiten`` turns the shrunk covariance into the identity (ZCA), in its
        1,024 strongest directions at most.
    sar, optical : float32 arrays, shapes (n, D) and (m, D)
        Descriptors of the calibration set; rows need not be pairs.
    shrinkage : float
        For ``whiten``: fraction of the mean variance in the covariance,
        ``(1 - s) * C + s * trace(C) / D * I`` (Ledoit and Wolf 2004), 0..1.

    Raises
    ------
    SettingError
        If the name is unknown or the shrinkage is out of range.
    CalibrationError
        If there are too few descriptors, or all of them are the same.
    """
    if name not in CALIBRATIONS:
        raise SettingError(
            f"unknown calibration '{name}'; allowed are: {', '.join(CALIBRATIONS)}."
            + did_you_mean(name, list(CALIBRATIONS))
        )
    if not 0 < shrinkage <= 1:
        raise SettingError(f"shrinkage is {shrinkage}; it must lie above 0 and at most at 1.")
    fit = CALIBRATIONS[name]
    if name != "none":
        _check(sar, "sar")
        _check(optical, "optical")
    return Calibration(name, fit(sar, shrinkage), fit(optical, shrinkage))


def _standardize(x: FloatArray, shrinkage: float) -> DescriptorMap:
    mean, square = _mean(x), np.zeros(x.shape[1])
    for part in _parts(x):
        square += ((part - mean).astype(np.float64) ** 2).sum(axis=0)
    std = np.sqrt(square / len(x))
    flat = std <= _FLAT * std.max()
    # A constant dimension says nothing; it is switched off, not blown up.
    inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, std))
    return _Affine(mean, inverse.astype(np.float32))


def _whiten(x: FloatArray, shrinkage: float) -> DescriptorMap:
    mean = _mean(x)
    centred = x - mean
    n, dimensions = centred.shape
    directions, variances = _principal(centred, MOST_DIRECTIONS)
    average = float(np.einsum("nd,nd->", centred, centred, dtype=np.float64)) / n / dimensions
    gain = 1.0 / np.sqrt((1 - shrinkage) * variances + shrinkage * average)
    rest = 1.0 / np.sqrt(shrinkage * average)
    return _Whitening(mean, directions, gain.astype(np.float32), float(rest))


def fit_directions(sides: Sequence[FloatArray], count: int) -> FloatArray:
    """Directions (D, count) that keep most of the descriptors of both modalities.

    The principal ones of all rows together, without taking a mean away, so that
    cosines before any calibration stay as near as so many numbers allow
    (Jolliffe, "Principal Component Analysis", 2002, ch. 14.2.3).

    Parameters
    ----------
    sides : sequence of float32 arrays, shape (n, D)
        Of the calibration set alone.
    count : int
        Fewer where there are not as many rows or dimensions.
    """
    return np.ascontiguousarray(_principal(np.concatenate(sides), count)[0].T)


def thin(rows: Indices, most: int) -> Indices:
    """At most so many rows, evenly over all: over all clusters, which lie one after the other."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)])


def _principal(centred: FloatArray, most: int) -> tuple[FloatArray, NDArray[np.float64]]:
    """At most so many directions (r, D) and their variances (r,), the strongest first.

    Exact from the smaller Gram matrix; where more directions are there than are
    kept, by a randomised range finder with seeded draws (Halko, Martinsson and
    Tropp, SIAM Review 2011), which costs no matrix of either size squared.
    """
    n, dimensions = centred.shape
    if min(n, dimensions) > most:
        from sklearn.utils.extmath import randomized_svd

        _, lengths, right = randomized_svd(centred, most, n_iter=_PASSES, random_state=0)
        variances = lengths.astype(np.float64) ** 2 / n
    else:
        exact = centred.astype(np.float64)
        axes = principal_axes(exact, n)
        right, variances = axes.directions(exact, _NOTHING)[::-1], axes.values[::-1]
    keep = variances > variances[0] * _NOTHING
    return np.asarray(right[keep], np.float32), variances[keep]


def _parts(x: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, len(x), _AT_ONCE):
        yield x[start : start + _AT_ONCE]


def _mean(x: FloatArray) -> FloatArray:
    return np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)


def _check(x: FloatArray, modality: str) -> None:
    if len(x) < 2:
        raise CalibrationError(
            f"{len(x)} {modality} descriptor(s) to fit a calibration on; at least 2 are needed. "
            "Set more scenes aside, or use --calibrations none."
        )
    if not all(np.isfinite(part).all() for part in _parts(x)):
        raise CalibrationError(f"the {modality} descriptors hold NaN or infinity.")
    if np.ptp(x, axis=0).max() == 0:
        raise CalibrationError(
            f"all {len(x)} {modality} descriptors of the calibration set are the same; "
            "check that the images are not constant."
        )


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Eigenvectors of a Gram matrix of ``n`` rows of ``D`` numbers, the weakest first.

    Attributes
    ----------
    values : float64 array, shape (r,)
        Squared lengths of the rows along each axis, over ``divisor``; ``r`` is
        the smaller of n and D.
    vectors : float64 array, shape (r, r)
        One axis a column: weights of the rows where these are ``few``, else of the dimensions.
    few : bool
        Whether the rows are no more than the dimensions.
    divisor : int
    """

    values: Array
    vectors: Array
    few: bool
    divisor: int

    def directions(self, rows: Array, least: float) -> Array:
        """Unit vectors (r, D) of all axes, for the rows that they were found for.

        Lengths below the root of ``least`` times the largest are rounding, and raised to it.
        """
        if not self.few:
            return self.vectors.T
        floor = self.values[-1] * least
        lengths = np.sqrt(np.maximum(self.values, floor) * self.divisor)
        return np.asarray((self.vectors.T @ rows) / lengths[:, None], np.float64)

    def scores(self, rows: Array, count: int) -> Array:
        """Those rows on the ``count`` strongest axes, the strongest first, shape (n, count)."""
        order = np.argsort(-self.values, kind="stable")[:count]
        if not self.few:
            return np.asarray(rows @ self.vectors[:, order], np.float64)
        lengths = np.sqrt(np.clip(self.values[order], 0.0, None) * self.divisor)
        return np.asarray(self.vectors[:, order] * lengths, np.float64)


def principal_axes(rows: Array, divisor: int = 1) -> PrincipalAxes:
    """All axes of rows (n, D), from the matrix of whichever side is the smaller.

    Parameters
    ----------
    rows : float64 array, shape (n, D)
        Centred, where a mean is to be taken away.
    divisor : int
        What the products are divided by: the number of rows for variances.
    """
    few = rows.shape[0] <= rows.shape[1]
    gram = rows @ rows.T if few else rows.T @ rows
    values, vectors = np.linalg.eigh(gram / divisor)
    return PrincipalAxes(values, vectors, few, divisor)


CALIBRATIONS: dict[str, Callable[[FloatArray, float], DescriptorMap]] = {
    "none": lambda x, shrinkage: lambda descriptors: descriptors,
    "center": lambda x, shrinkage: _Affine(_mean(x)),
    "standardize": _standardize,
    "whiten": _whiten,
}
