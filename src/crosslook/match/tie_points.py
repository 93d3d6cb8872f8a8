"""Tie points: places of the SAR image found again in the optical image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from crosslook.match.thin_plate import Array


@dataclass(frozen=True, eq=False)
class TiePoints:
    """``n`` correspondences; positions are (row, column), centres at +0.5.

    Attributes
    ----------
    sar, optical : float64 array, shape (n, 2)
        Pixels of either image.
    score : float64 array, shape (n,)
        Peak of the normalised correlation, -1..1.
    ratio : float64 array, shape (n,)
        Peak over second peak, >= 1.
    inlier : bool array, shape (n,)
        True where the robust fit kept the point.
    """

    sar: Array
    optical: Array
    score: Array
    ratio: Array
    inlier: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sar)

    def marked(self, inlier: NDArray[np.bool_]) -> TiePoints:
        """The same points with another inlier mask."""
        return replace(self, inlier=inlier)
