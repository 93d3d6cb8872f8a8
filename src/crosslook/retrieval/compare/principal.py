"""Principal axes of descriptors (Hotelling 1933), from the smaller of their two Gram matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosslook.types import Array


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
        Less their mean, where that is wanted.
    divisor : int
        What the products are divided by: the number of rows for variances.
    """
    few = rows.shape[0] <= rows.shape[1]
    gram = rows @ rows.T if few else rows.T @ rows
    values, vectors = np.linalg.eigh(gram / divisor)
    return PrincipalAxes(values, vectors, few, divisor)
