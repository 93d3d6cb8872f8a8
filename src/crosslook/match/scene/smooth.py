"""A smooth surface through noisy values on a lattice: sparse, level where nothing is known.

The surface is the mean of a Gaussian process with a Matern covariance, whose precision on a
lattice is sparse: ``(kappa^2 - Laplacian)^2`` (Lindgren, Rue and Lindstrom, "An explicit link
between Gaussian fields and Gaussian Markov random fields", JRSS B 2011). The cosine transform
diagonalises it, so that conjugate gradients need a few dozen transforms whatever the number of
values: time and memory are linear in the nodes. Away from all values the surface goes back to
zero within its length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.types import Array

_ITERATIONS, _TOLERANCE = 400, 1e-4
_LEVEL = 1e-12


@dataclass(frozen=True)
class Smoothness:
    """How a surface follows values.

    Attributes
    ----------
    length : float
        Nodes over which the surface is alike.
    deviation : float
        Standard deviation of the surface, in the unit of the values.
    """

    length: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Surface:
    """The prior of a surface on a lattice of some shape, ready for many solutions."""

    spectrum: Array

    @classmethod
    def on(cls, shape: tuple[int, int], smoothness: Smoothness) -> Surface:
        """The precision of each cosine of a lattice (h, w)."""
        down, along = (2.0 - 2.0 * np.cos(np.pi * np.arange(n) / n) for n in shape)
        kappa = 8.0 / smoothness.length**2  # squared
        scale = 1.0 / (4.0 * np.pi * kappa * smoothness.deviation**2)
        return cls(scale * (kappa + down[:, None] + along) ** 2)

    def fit(self, values: Array, precision: Array, start: Array | None = None) -> Array:
        """The most likely surface (h, w).

        Parameters
        ----------
        values : float64 array, shape (h, w)
            Anything finite where the precision is 0.
        precision : float64 array, shape (h, w)
            One over the variance of each value; 0 where there is none.
        start : float64 array, shape (h, w), optional
            A guess, which saves steps.
        """
        right = precision * values
        if not right.any():
            return np.zeros(values.shape)
        mean = float(precision.mean())
        x = np.zeros(values.shape) if start is None else start.copy()
        rest = right - self._applied(x, precision)
        step = self._eased(rest, mean)
        way, size = step.copy(), float((rest * step).sum())
        enough = _TOLERANCE**2 * float((right * self._eased(right, mean)).sum()) + _LEVEL
        for _ in range(_ITERATIONS):
            if size <= enough:
                break
            ahead = self._applied(way, precision)
            length = size / float((way * ahead).sum())
            x += length * way
            rest -= length * ahead
            step = self._eased(rest, mean)
            before, size = size, float((rest * step).sum())
            way = step + size / before * way
        return x

    def _applied(self, x: Array, precision: Array) -> Array:
        return precision * x + _cosines(self.spectrum * _cosines(x), back=True)

    def _eased(self, x: Array, mean: float) -> Array:
        """The exact solution where all nodes have the mean precision: what preconditions."""
        return _cosines(_cosines(x) / (self.spectrum + mean), back=True)


def _cosines(values: Array, *, back: bool = False) -> Array:
    from scipy import fft

    change: Any = fft.idctn if back else fft.dctn
    return np.asarray(change(values, norm="ortho"), np.float64)


def fit_robustly(
    values: Array,
    std: Array,
    known: NDArray[np.bool_],
    surfaces: tuple[Surface, Surface],
    threshold: float,
) -> tuple[Array, Array]:
    """Two surfaces through the two components of values, whatever the outliers.

    Iteratively reweighted, as for errors of Student's t distribution; the threshold falls from
    three times its size, so that a wrong start does not decide.

    Parameters
    ----------
    values : float64 array, shape (h, w, 2)
    std : float64 array, shape (h, w)
    known : bool array, shape (h, w)
    surfaces : (Surface, Surface)
    threshold : float
        Distance at which a value counts half.

    Returns
    -------
    surface : float64 array, shape (h, w, 2)
    weight : float64 array, shape (h, w)
        What each value counted for in the last round, 0..1.
    """
    given = np.where(known[..., None], values, 0.0)
    first = np.where(known, 1.0 / np.maximum(std, 1e-3) ** 2, 0.0)
    surface, weight = np.zeros(given.shape), np.ones(known.shape)
    for factor in (3.0, 3.0, 2.0, 1.0, 1.0):
        for axis, one in enumerate(surfaces):
            surface[..., axis] = one.fit(given[..., axis], first * weight, surface[..., axis])
        off = np.linalg.norm(given - surface, axis=-1)
        weight = 1.0 / (1.0 + (off / (factor * threshold)) ** 2)
    return surface, np.where(known, weight, 0.0)
