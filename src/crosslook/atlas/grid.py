"""The one grid that all basemaps of an atlas are brought onto."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crosslook.match.position import Georeference
from crosslook.match.thin_plate import Array


@dataclass(frozen=True)
class AtlasGrid:
    """Pixels of an atlas and the blocks that they are stored in.

    Attributes
    ----------
    reference : Georeference
        CRS, and where pixel (0, 0) begins.
    shape : (rows, columns) in pixels.
    block : int
        Side of a block in pixels.
    """

    reference: Georeference
    shape: tuple[int, int]
    block: int

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return (-(-self.shape[0] // self.block), -(-self.shape[1] // self.block))

    def every_block(self) -> Iterator[tuple[int, int]]:
        """All (row, column) of blocks, also those without data."""
        rows, cols = self.blocks
        return ((row, col) for row in range(rows) for col in range(cols))

    def window_reference(self, row: int, col: int) -> Georeference:
        """Georeference of a window whose upper left pixel is (row, col)."""
        a, b, c, d, e, f = self.reference.affine
        return Georeference(
            self.reference.crs, (a, b, a * col + b * row + c, d, e, d * col + e * row + f)
        )

    def ground_metres(self, points: Array) -> float:
        """Ground length of a pixel side, the mean over pixel positions (n, 2)."""
        return float(np.mean([self.reference.metres_per_pixel(point) for point in points]))
