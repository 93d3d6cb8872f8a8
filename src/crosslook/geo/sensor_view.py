"""How a radar looked at the ground, as its product says: incidence and range over the swath."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Geod

from crosslook.errors import InputError
from crosslook.geo.grid import ground_axes, to_lonlat
from crosslook.geo.image import ImageFile
from crosslook.geo.opening import opening_of
from crosslook.geo.products.annotation import annotation_of
from crosslook.geo.raster import RasterFile
from crosslook.types import Array

_EARTH = Geod(ellps="WGS84")
_POINTS_FOR = (6, 15, 40)  # from which on polynomials have degree 1, 2, 3


@dataclass(frozen=True, eq=False)
class SensorView:
    """Incidence and range at places on the ground, smooth between.

    Attributes
    ----------
    by : str
        What says it, for messages.
    lonlat : float64 array, shape (n, 2)
        Longitude and latitude, degrees.
    incidence : float64 array, shape (n,)
        Angle between the ray and the vertical of the ellipsoid, degrees.
    azimuth : float64 array, shape (n,)
        Of the range, away from the sensor: degrees clockwise from north.
    """

    by: str
    lonlat: Array
    incidence: Array
    azimuth: Array

    def per_metre(self, grid: GeoBox, points: Array) -> Array:
        """Pixels by which a metre of height displaces: ``1 / tan(incidence)`` along the range.

        On an image that was not corrected for terrain, the ground that is high lies that way
        from where it is seen.

        Parameters
        ----------
        grid : GeoBox
            On Earth.
        points : float64 array, shape (n, 2)
            Row and column.

        Returns
        -------
        float64 array, shape (n, 2)
            Along rows and columns.
        """
        found = self._terms(to_lonlat(grid, points)) @ self._fit
        known = self._values[:, 0]
        size = np.clip(found[:, 0], known.min(), known.max())
        ahead = found[:, 1:] / np.maximum(np.linalg.norm(found[:, 1:], axis=1, keepdims=True), 1e-9)
        steps = [
            np.linalg.solve(ground_axes(grid, point), way)
            for point, way in zip(points, ahead, strict=True)
        ]
        return np.asarray(np.stack(steps) * size[:, None])

    @cached_property
    def _values(self) -> Array:
        """What is fitted: the cotangent of the incidence, and the range east and north."""
        angle = np.radians(self.azimuth)
        cotangent = 1.0 / np.tan(np.radians(self.incidence))
        return np.column_stack([cotangent, np.sin(angle), np.cos(angle)])

    @cached_property
    def _fit(self) -> Array:
        return np.asarray(np.linalg.lstsq(self._terms(self.lonlat), self._values, rcond=1e-6)[0])

    @cached_property
    def _reach(self) -> float:
        return max(float(np.abs(self._plane(self.lonlat)).max()), 1e-9)

    def _plane(self, lonlat: Array) -> Array:
        """Degrees from the first point, of equal length both ways; over the 180th meridian too."""
        lon, lat = self.lonlat[0]
        east = (lonlat[:, 0] - lon + 180.0) % 360.0 - 180.0
        return np.column_stack([east * np.cos(np.radians(lat)), lonlat[:, 1] - lat])

    def _terms(self, lonlat: Array) -> Array:
        """Monomials of the place, (n, k); places beyond the swath count as its rim."""
        own = self._plane(self.lonlat)
        at = np.clip(self._plane(lonlat), own.min(axis=0), own.max(axis=0)) / self._reach
        degree = sum(len(own) >= least for least in _POINTS_FOR)
        powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
        return np.column_stack([at[:, 0] ** i * at[:, 1] ** j for i, j in powers])


def sensor_view(image: ImageFile) -> SensorView | None:
    """How the radar looked, where the product of an image says; None where it does not."""
    return _looked_up(image)[0]


def view_problem(image: ImageFile) -> str:
    """What is wrong with a product's account of how the radar looked; else empty."""
    return _looked_up(image)[1]


def _looked_up(image: ImageFile) -> tuple[SensorView | None, str]:
    if not isinstance(image.source, RasterFile):
        return None, ""
    for file in opening_of(image.source).files or (str(image.source.place),):
        try:
            found = annotation_of(file)
        except InputError as error:
            return None, (
                f"{image.name}: the annotation of its measurement {error}; incidence angles and "
                "range are not taken from it"
            )
        if found is not None:
            return view_of_grid(f"the annotation {found[0]}", found[1]), ""
    return None, ""


def view_of_grid(by: str, grid: Array) -> SensorView | None:
    """The view by a grid of points whose pixels count away from the sensor.

    Parameters
    ----------
    by : str
    grid : float64 array, shape (n, 5)
        Line, pixel, longitude, latitude and incidence angle, sorted by line and pixel.

    Returns
    -------
    SensorView or None
        None where no line has two points, so that the range is not known.
    """
    lines, lon, lat = grid[:, 0], grid[:, 2], grid[:, 3]
    found: NDArray[Any] = np.full(len(grid), np.nan)
    there, back, length = _EARTH.inv(lon[:-1], lat[:-1], lon[1:], lat[1:])
    same = (lines[1:] == lines[:-1]) & (np.asarray(length) > 0)
    found[1:][same] = (np.asarray(back)[same] + 180.0) % 360.0  # the last of a line has no next
    found[:-1][same] = np.asarray(there)[same] % 360.0
    known = np.isfinite(found)
    if not known.any():
        return None
    return SensorView(by, grid[known, 2:4], grid[known, 4], found[known])
