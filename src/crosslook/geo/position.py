"""Positions: pixel, map coordinates, longitude and latitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyproj import Transformer
from pyproj.exceptions import ProjError

from crosslook.errors import GridError
from crosslook.types import Array

_LONLAT = "OGC:CRS84"


@dataclass(frozen=True)
class Georeference:
    """Where the pixels of a raster lie.

    Attributes
    ----------
    crs : str
        Authority string or WKT.
    affine : tuple of six floats
        ``x = a col + b row + c``, ``y = d col + e row + f`` in units of the
        CRS, as (a, b, c, d, e, f); (0, 0) is the upper left corner.
    """

    crs: str
    affine: tuple[float, float, float, float, float, float]

    def to_map(self, points: Array) -> Array:
        """Pixel (row, column) to map (x, y), shape (n, 2)."""
        a, b, c, d, e, f = self.affine
        rows, cols = points[:, 0], points[:, 1]
        return np.column_stack([a * cols + b * rows + c, d * cols + e * rows + f])

    def from_map(self, points: Array) -> Array:
        """Map (x, y) to pixel (row, column), shape (n, 2)."""
        a, b, c, d, e, f = self.affine
        matrix = np.array([[b, a], [e, d]])
        return np.asarray(np.linalg.solve(matrix, (points - [c, f]).T).T, np.float64)

    def to_lonlat(self, points: Array) -> Array:
        """Pixel (row, column) to (longitude, latitude) in degrees, WGS 84."""
        return change_crs(self.to_map(points), self.crs, _LONLAT)

    def from_lonlat(self, points: Array) -> Array:
        """(longitude, latitude) in degrees to pixel (row, column)."""
        return self.from_map(change_crs(points, _LONLAT, self.crs))

    def metres_per_pixel(self, point: Array) -> float:
        """Ground length of a pixel side at (row, column): the geodesic mean of both axes."""
        from pyproj import Geod

        steps = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])
        lon, lat = self.to_lonlat(point + steps).T
        lengths = Geod(ellps="WGS84").inv(lon[::2], lat[::2], lon[1::2], lat[1::2])[2]
        return float(np.sqrt(lengths[0] * lengths[1]))


def change_crs(points: Array, source: str, target: str) -> Array:
    """Bring (x, y) positions (n, 2) from one CRS to another, x first always.

    Raises
    ------
    GridError
        If the positions have no place in the target CRS.
    """
    try:
        x, y = Transformer.from_crs(source, target, always_xy=True).transform(
            points[:, 0], points[:, 1], errcheck=True
        )
    except ProjError as error:
        raise GridError(
            f"positions cannot be brought from {source[:60]} to {target[:60]}: {error}. "
            "Check the CRS of both images."
        ) from error
    return np.column_stack([x, y])
