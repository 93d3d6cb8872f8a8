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
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.types import Array

TOLERANCE = 1e-4
ROUGHLY = 5e-4
"""Of a surface that is only compared with values or with others."""
_ITERATIONS = 400
_LEAST_LOWEST, _MOST_LOWEST = 8, 32  # cosines along an axis that are solved exactly
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
    """The prior of a surface on a lattice of some shape, ready for many solutions.

    Attributes
    ----------
    shape : (int, int)
    spectrum : float64 array, shape (H, W)
        The precision of each cosine of a lattice a little larger, whose transforms are fast.
    """

    shape: tuple[int, int]
    spectrum: Array

    @classmethod
    def on(cls, shape: tuple[int, int], smoothness: Smoothness) -> Surface:
        """The precision of each cosine of a lattice (h, w)."""
        from scipy import fft

        fast = [fft.next_fast_len(n, real=True) for n in shape]
        down, along = (2.0 - 2.0 * np.cos(np.pi * np.arange(n) / n) for n in fast)
        kappa = 8.0 / smoothness.length**2  # squared
        scale = 1.0 / (4.0 * np.pi * kappa * smoothness.deviation**2)
        return cls(shape, scale * (kappa + down[:, None] + along) ** 2)

    def fit(
        self,
        values: Array,
        precision: Array,
        start: Array | None = None,
        tolerance: float = TOLERANCE,
    ) -> Array:
        """The most likely surface (h, w).

        Parameters
        ----------
        values : float64 array, shape (h, w)
            Anything finite where the precision is 0.
        precision : float64 array, shape (h, w)
            One over the variance of each value; 0 where there is none.
        start : float64 array, shape (h, w), optional
            A guess, which saves steps.
        tolerance : float
            Of the error of the cosines, relative to the surface.
        """
        counted = self._spread(precision)
        right = _cosines(counted * self._spread(values))
        if not right.any():
            return np.zeros(self.shape)
        easing = _Easing.of(self.spectrum, counted, float(precision.mean()))
        if start is None:
            x, rest = np.zeros(right.shape), right.copy()
        else:
            x = _cosines(self._spread(start, "edge"))
            rest = right - self._applied(x, counted)
        step = easing(rest)
        way, size = step.copy(), float(np.vdot(rest, step))
        enough = tolerance**2 * float(np.vdot(right, easing(right))) + _LEVEL
        for _ in range(_ITERATIONS):
            if size <= enough:
                break
            ahead = self._applied(way, counted)
            length = size / float(np.vdot(way, ahead))
            x += length * way
            rest -= length * ahead
            step = easing(rest)
            before, size = size, float(np.vdot(rest, step))
            way *= size / before
            way += step
        height, width = self.shape
        return np.ascontiguousarray(_cosines(x, back=True)[:height, :width])

    def _spread(self, plane: Array, mode: Any = "constant") -> Array:
        """A plane (h, w) on the larger lattice."""
        beyond = [(0, n - m) for n, m in zip(self.spectrum.shape, plane.shape, strict=True)]
        return np.pad(plane, beyond, mode=mode) if np.any(beyond) else plane

    def _applied(self, cosines: Array, precision: Array) -> Array:
        moved = self.spectrum * cosines
        moved += _cosines(precision * _cosines(cosines, back=True))
        return moved


@dataclass(frozen=True, eq=False)
class _Easing:
    """What preconditions the equations, in cosines.

    The lowest cosines are solved exactly, all others as if every node had the mean precision.
    The former carry values far into what is silent, which takes many steps otherwise.
    """

    inverse: Array
    lowest: tuple[int, int]
    factor: Any

    @classmethod
    def of(cls, spectrum: Array, precision: Array, mean: float) -> _Easing:
        from scipy import linalg

        lowest = tuple(min(n, _MOST_LOWEST, max(_LEAST_LOWEST, n // 8)) for n in spectrum.shape)
        down, along = (_products(k, n) for k, n in zip(lowest, spectrum.shape, strict=True))
        rows, cols = lowest
        block = (down @ precision @ along.T).reshape(rows, rows, cols, cols).transpose(0, 2, 1, 3)
        block = block.reshape(rows * cols, -1) + np.diag(spectrum[:rows, :cols].ravel())
        return cls(1.0 / (spectrum + mean), (rows, cols), linalg.cho_factor(block))

    def __call__(self, cosines: Array) -> Array:
        from scipy import linalg

        rows, cols = self.lowest
        eased = self.inverse * cosines
        low = linalg.cho_solve(self.factor, cosines[:rows, :cols].ravel(), check_finite=False)
        eased[:rows, :cols] = low.reshape(rows, cols)
        return eased


@lru_cache(maxsize=8)
def _products(count: int, length: int) -> Array:
    """Of each two of the lowest cosines the product (count**2, length)."""
    place = np.pi * (np.arange(length) + 0.5) / length
    waves = np.cos(np.arange(count)[:, None] * place) * np.sqrt(2.0 / length)
    waves[0] = np.sqrt(1.0 / length)
    return np.asarray((waves[:, None] * waves).reshape(count**2, length), np.float64)


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
            found = one.fit(given[..., axis], first * weight, surface[..., axis], ROUGHLY)
            surface[..., axis] = found
        off = np.linalg.norm(given - surface, axis=-1)
        weight = 1.0 / (1.0 + (off / (factor * threshold)) ** 2)
    return surface, np.where(known, weight, 0.0)
