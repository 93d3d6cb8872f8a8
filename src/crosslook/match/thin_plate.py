"""Thin-plate splines: the smoothest field through scattered displacements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ThinPlate:
    """A displacement field ``p -> U(|frame(p) - knots|) @ weights``.

    Bookstein, "Principal warps: thin-plate splines and the decomposition of
    deformations", PAMI 1989; ``U(r) = r^2 log r``. The affine part of the
    spline lives in the matrix of the transform that carries this field.

    Attributes
    ----------
    knots : float64 array, shape (n, 2)
        Row and column, in units of ``frame``.
    weights : float64 array, shape (n, 2)
        Output displacement, pixels.
    frame : float64 array, shape (3, 3)
        Affine map applied to a position before distances are taken; it keeps
        the numbers near one and lets a spline be composed with affine maps.
    """

    knots: Array
    weights: Array
    frame: Array

    def displacement(self, points: Array) -> Array:
        """Displacement (n, 2) in pixels at positions (n, 2)."""
        framed = points @ self.frame[:2, :2].T + self.frame[:2, 2]
        out = np.empty_like(points)
        for start in range(0, len(points), 65536):  # bounds memory for whole images
            part = slice(start, start + 65536)
            out[part] = kernel(framed[part], self.knots) @ self.weights
        return out


def kernel(points: Array, knots: Array) -> Array:
    """``r^2 log r`` between positions (n, 2) and knots (m, 2), shape (n, m)."""
    squared = ((points[:, None, :] - knots[None, :, :]) ** 2).sum(axis=2)
    result: Array = 0.5 * squared * np.log(np.maximum(squared, 1e-300))
    return result


def fit_thin_plate(source: Array, target: Array, smoothing: float) -> tuple[Array, ThinPlate]:
    """Fit a smoothing thin-plate spline from ``source`` to ``target``.

    Parameters
    ----------
    source, target : float64 array, shape (n, 2)
        Positions, row and column, in pixels; n >= 3, not on one line.
    smoothing : float
        0 interpolates; larger values bend less (Wahba, "Spline models for
        observational data", 1990), in units of the kernel at the spread of
        the points.

    Returns
    -------
    matrix : float64 array, shape (3, 3)
        The affine part.
    field : ThinPlate
        The bent part, added to it.
    """
    centre, spread = source.mean(axis=0), float(source.std()) or 1.0
    frame = np.diag([1.0 / spread, 1.0 / spread, 1.0])
    frame[:2, 2] = -centre / spread
    knots = (source - centre) / spread
    n = len(knots)
    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = kernel(knots, knots) + smoothing * n * np.eye(n)
    system[:n, n], system[:n, n + 1 :] = 1.0, knots
    system[n:, :n] = system[:n, n:].T
    right = np.zeros((n + 3, 2))
    right[:n] = target
    solved = np.asarray(np.linalg.lstsq(system, right, rcond=None)[0], np.float64)
    affine = np.eye(3)
    affine[:2, :2], affine[:2, 2] = solved[n + 1 :].T, solved[n]
    return affine @ frame, ThinPlate(knots, solved[:n], frame)
