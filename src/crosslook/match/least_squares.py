"""Weighted least squares of each transform model, no point taken for an outlier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crosslook.match.thin_plate import Array
from crosslook.match.transform import Model, Transform


def fit_exact(source: Array, target: Array, model: Model) -> Transform:
    """Least squares over all points, none taken for an outlier; no spline."""
    return Transform(LEAST_SQUARES[model](source, target, np.ones(len(source))), model)


def as_complex(points: Array) -> NDArray[np.complex128]:
    """Columns as real, rows as imaginary part, so that a similarity is a product."""
    return np.asarray(points[:, 1] + 1j * points[:, 0], np.complex128)


def similarity_matrix(turn: complex, shift: complex) -> Array:
    """The matrix of ``z -> turn z + shift``, shape (3, 3)."""
    matrix = np.eye(3)
    matrix[:2] = [[turn.real, turn.imag, shift.imag], [-turn.imag, turn.real, shift.real]]
    return matrix


def _fit_shift(source: Array, target: Array, weight: Array) -> Array:
    matrix = np.eye(3)
    matrix[:2, 2] = np.average(target - source, axis=0, weights=weight)
    return matrix


def _fit_similarity(source: Array, target: Array, weight: Array) -> Array:
    """Weighted least squares over rotation, scale and shift (Umeyama 1991)."""
    a, b = as_complex(source), as_complex(target)
    a0, b0 = np.average(a, weights=weight), np.average(b, weights=weight)
    power = float((weight * np.abs(a - a0) ** 2).sum())
    turn = (weight * np.conj(a - a0) * (b - b0)).sum() / max(power, 1e-12)
    return similarity_matrix(turn, b0 - turn * a0)


def _fit_affine(source: Array, target: Array, weight: Array) -> Array:
    design = np.column_stack([source, np.ones(len(source))])
    root = np.sqrt(weight)[:, None]
    matrix = np.eye(3)
    matrix[:2] = np.linalg.lstsq(design * root, target * root, rcond=None)[0].T
    return matrix


def _fit_homography(source: Array, target: Array, weight: Array) -> Array:
    """Weighted direct linear transform in centred coordinates (Hartley 1997)."""
    centre, spread = source.mean(axis=0), float(source.std()) or 1.0
    frame = np.diag([1.0 / spread, 1.0 / spread, 1.0])
    frame[:2, 2] = -centre / spread
    p = np.column_stack([(source - centre) / spread, np.ones(len(source))])
    q = (target - centre) / spread
    zero = np.zeros_like(p)
    root = np.sqrt(weight)[:, None]
    top = np.hstack([p, zero, -q[:, :1] * p]) * root
    bottom = np.hstack([zero, p, -q[:, 1:] * p]) * root
    solution = np.linalg.svd(np.vstack([top, bottom]))[2][-1].reshape(3, 3)
    matrix = np.linalg.inv(frame) @ solution @ frame
    return np.asarray(matrix / matrix[2, 2], np.float64)


LEAST_SQUARES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "shift": _fit_shift,
    "similarity": _fit_similarity,
    "affine": _fit_affine,
    "homography": _fit_homography,
}
