"""Calibration: what makes the descriptors of two sensors comparable.

Each modality is moved, scaled or whitened by its own statistics, so no pair
and no label is needed. Everything is fitted on the calibration units only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crosslook.errors import CalibrationError, SettingError, did_you_mean
from crosslook.types import FloatArray, Modality

_FLAT = 1e-6
"""A dimension whose deviation is below this share of the largest is constant."""


class Transform(Protocol):
    """Maps descriptors (N, D) of one modality to calibrated ones (N, D')."""

    def __call__(self, descriptors: FloatArray) -> FloatArray:
        """Apply the fitted statistics."""


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration: one transform per modality."""

    name: str
    sar: Transform
    optical: Transform

    def apply(self, descriptors: FloatArray, modality: Modality) -> FloatArray:
        """Calibrate descriptors (N, D) of ``modality``; lengths are left as they fall."""
        return (self.sar if modality == "sar" else self.optical)(descriptors)


@dataclass(frozen=True)
class _Identity:
    def __call__(self, descriptors: FloatArray) -> FloatArray:
        return descriptors


@dataclass(frozen=True)
class _Affine:
    mean: FloatArray
    inverse_deviation: FloatArray | None = None

    def __call__(self, descriptors: FloatArray) -> FloatArray:
        out: FloatArray = descriptors - self.mean
        if self.inverse_deviation is not None:
            out *= self.inverse_deviation
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
        ``standardize`` also divides every dimension by its deviation;
        ``whiten`` turns the shrunk covariance into the identity (ZCA).
    sar, optical : float32 arrays, shapes (n, D) and (m, D)
        Descriptors of the calibration units; rows need not be pairs.
    shrinkage : float
        For ``whiten``: share of the mean variance in the covariance,
        ``(1 - s) * C + s * trace(C) / D * I`` (Ledoit and Wolf 2004), 0..1.

    Raises
    ------
    SettingError
        If the name is unknown or the shrinkage is out of range.
    CalibrationError
        If there are too few descriptors, or all of them are the same.
    """
    if name not in CALIBRATIONS:
        known = list(CALIBRATIONS)
        raise SettingError(
            f"unknown calibration '{name}'; allowed are: {', '.join(known)}."
            + did_you_mean(name, known)
        )
    if not 0 < shrinkage <= 1:
        raise SettingError(f"shrinkage is {shrinkage}; it must lie above 0 and at most at 1.")
    fit = CALIBRATIONS[name]
    if name != "none":
        _check(sar, "sar")
        _check(optical, "optical")
    return Calibration(name, fit(sar, shrinkage), fit(optical, shrinkage))


def _center(x: FloatArray, shrinkage: float) -> Transform:
    return _Affine(_mean(x))


def _standardize(x: FloatArray, shrinkage: float) -> Transform:
    deviation = x.std(axis=0, dtype=np.float64)
    flat = deviation <= _FLAT * deviation.max()
    # A constant dimension says nothing; it is switched off, not blown up.
    inverse = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, deviation))
    return _Affine(_mean(x), inverse.astype(np.float32))


def _whiten(x: FloatArray, shrinkage: float) -> Transform:
    mean = _mean(x)
    centred = (x - mean).astype(np.float64)
    n, dimensions = centred.shape
    directions, variances = _principal(centred)
    average = float((centred**2).sum()) / n / dimensions
    gain = 1.0 / np.sqrt((1 - shrinkage) * variances + shrinkage * average)
    rest = 1.0 / np.sqrt(shrinkage * average)
    return _Whitening(mean, directions.astype(np.float32), gain.astype(np.float32), float(rest))


def _principal(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (r, D) and variances (r,) from the smaller Gram matrix."""
    n, dimensions = centred.shape
    if n <= dimensions:
        values, left = np.linalg.eigh(centred @ centred.T / n)
        keep = values > values[-1] * 1e-10
        directions = (left[:, keep].T @ centred) / np.sqrt(values[keep] * n)[:, None]
        return directions, values[keep]
    values, vectors = np.linalg.eigh(centred.T @ centred / n)
    keep = values > values[-1] * 1e-10
    return vectors[:, keep].T, values[keep]


def _identity(x: FloatArray, shrinkage: float) -> Transform:
    return _Identity()


def _mean(x: FloatArray) -> FloatArray:
    return np.asarray(x.mean(axis=0, dtype=np.float64), np.float32)


def _check(x: FloatArray, modality: str) -> None:
    if len(x) < 2:
        raise CalibrationError(
            f"{len(x)} {modality} descriptor(s) to fit a calibration on; at least 2 are needed. "
            "Set more scenes aside, or use --calibrations none."
        )
    if not np.isfinite(x).all():
        raise CalibrationError(f"the {modality} descriptors hold NaN or infinity.")
    if np.ptp(x, axis=0).max() == 0:
        raise CalibrationError(
            f"all {len(x)} {modality} descriptors of the calibration units are the same; "
            "check that the images are not constant."
        )


CALIBRATIONS: dict[str, Callable[[FloatArray, float], Transform]] = {
    "none": _identity,
    "center": _center,
    "standardize": _standardize,
    "whiten": _whiten,
}
