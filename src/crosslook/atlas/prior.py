"""Where on an atlas a query may lie, as the user knows it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosslook.atlas.store import Atlas
from crosslook.errors import MatchError, SettingError
from crosslook.geo.grid import from_lonlat, is_placed, metres_per_pixel, to_lonlat
from crosslook.geo.image import ImageFile
from crosslook.types import Array

_EDGE = 9  # positions along an edge of a box that are brought to the grid


@dataclass(frozen=True)
class Prior:
    """Pixels of the atlas within which the centre of the query must lie."""

    top: float
    left: float
    bottom: float
    right: float

    def in_cells(self, cell: int) -> tuple[float, float, float, float]:
        """The same box in cells of ``cell`` pixels."""
        return self.top / cell, self.left / cell, self.bottom / cell, self.right / cell

    def sample(self) -> Array:
        """Its corners and centre, shape (5, 2)."""
        return _corners_and_centre(self.top, self.left, self.bottom, self.right)


def make_prior(
    atlas: Atlas,
    image: ImageFile,
    near: tuple[float, float] | None,
    radius_km: float | None,
    bbox: tuple[float, float, float, float] | None,
) -> Prior | None:
    """Read the prior; None where nothing was said.

    Parameters
    ----------
    near : (longitude, latitude) in degrees, optional
        The centre of the query itself where only a radius is given.
    radius_km : float, optional
        Goes with ``near``.
    bbox : (west, south, east, north) in degrees, optional

    Raises
    ------
    SettingError
        If the values do not form a prior.
    MatchError
        If the atlas holds nothing there.
    """
    if near is None and radius_km is None and bbox is None:
        return None
    if bbox is not None and (near is not None or radius_km is not None):
        raise SettingError("both a box and a place were given; use --bbox or --near, not both.")
    prior = _box(atlas, bbox) if bbox is not None else _disc(atlas, image, near, radius_km)
    side = atlas.grid.block
    rows = (prior.top / side, prior.bottom / side)
    cols = (prior.left / side, prior.right / side)
    for row, col in atlas.manifest.blocks:
        if row < rows[1] and row + 1 > rows[0] and col < cols[1] and col + 1 > cols[0]:
            return prior
    raise MatchError(
        f"the prior is empty: atlas '{atlas.name}' holds nothing there. "
        "Check longitude and latitude, widen the radius, or see atlas info."
    )


def whole_sample(atlas: Atlas) -> Array:
    """Corners and centre of what the atlas holds, shape (5, 2)."""
    blocks = np.array(list(atlas.manifest.blocks), np.float64)
    low = blocks.min(axis=0) * atlas.grid.block
    high = np.minimum((blocks.max(axis=0) + 1) * atlas.grid.block, atlas.grid.shape)
    return _corners_and_centre(low[0], low[1], high[0], high[1])


def _corners_and_centre(top: float, left: float, bottom: float, right: float) -> Array:
    centre = ((top + bottom) / 2, (left + right) / 2)
    return np.array([(top, left), (top, right), (bottom, left), (bottom, right), centre])


def _disc(
    atlas: Atlas,
    image: ImageFile,
    near: tuple[float, float] | None,
    radius_km: float | None,
) -> Prior:
    if radius_km is None:
        raise SettingError("--near needs --radius, in kilometres.")
    if not radius_km > 0:
        raise SettingError(f"the prior is empty: --radius is {radius_km} km; above 0 is needed.")
    if near is None:
        if not is_placed(image.grid):
            raise SettingError(
                f"--radius without --near means around the query, but '{image.name}' has no "
                "georeference. Give --near LON LAT."
            )
        centre = np.array([image.shape], np.float64) / 2
        lon, lat = to_lonlat(image.grid, centre)[0]
    else:
        lon, lat = near
    pixels = atlas.grid.pixels
    row, col = from_lonlat(pixels, np.array([[lon, lat]]))[0]
    down, along = (
        radius_km * 1000 / side for side in metres_per_pixel(pixels, np.array([row, col]))
    )
    return Prior(float(row - down), float(col - along), float(row + down), float(col + along))


def _box(atlas: Atlas, bbox: tuple[float, float, float, float]) -> Prior:
    west, south, east, north = bbox
    if west > east and east >= -180 and west <= 180:
        east += 360.0  # over the 180th meridian
    if not (west < east and south < north):
        raise SettingError(
            f"the prior is empty: the box {west:g} {south:g} {east:g} {north:g} has no area. "
            "Give --bbox WEST SOUTH EAST NORTH in degrees."
        )
    if not (west >= -360 and east <= 540 and south >= -90 and north <= 90):
        raise SettingError(
            f"the box {west:g} {south:g} {east:g} {north:g} is not on Earth; "
            "longitude and latitude in degrees are needed."
        )
    fraction = np.linspace(0.0, 1.0, _EDGE)
    lon, lat = np.meshgrid(west + fraction * (east - west), south + fraction * (north - south))
    pixels = from_lonlat(atlas.grid.pixels, np.column_stack([lon.ravel(), lat.ravel()]))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return Prior(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
