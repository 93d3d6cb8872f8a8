"""Where the scenes of a set of pairs lie, and which way on the ground they are shifted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from pyproj import Geod
from scipy.stats import circmean

from crosslook.data.pairs import ScenePair
from crosslook.errors import CrosslookError
from crosslook.geo.grid import is_placed, shape_of, to_lonlat
from crosslook.geo.raster import RasterFile
from crosslook.storage import as_place
from crosslook.types import Array

_PATIENCE_S = 1.0  # that a page waits for headers; after that it asks again
_GEOD = Geod(ellps="WGS84")


class SceneGrids:
    """The grids of the optical images of a set of pairs, read one by one ahead of who asks.

    Parameters
    ----------
    pairs : dict of scene to ScenePair
    stop : callable
        Asked before each file; the rest is left out where it returns true.
    """

    def __init__(self, pairs: Mapping[str, ScenePair], stop: Callable[[], bool]) -> None:
        self._pairs = pairs
        self._stop = stop
        self._grids: dict[str, GeoBox | None] = {}
        self._done = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def known(self, scenes: Iterable[str]) -> tuple[dict[str, GeoBox], list[str], float]:
        """Grids of some scenes as far as they are read by now, after a second at most.

        Returns
        -------
        grids : dict of scene to GeoBox
            Of those that lie on the map.
        unplaced : list of str
            Scenes without a georeference, or whose file cannot be read.
        ready : float
            The fraction of the scenes whose file was looked at.
        """
        self._done.wait(_PATIENCE_S)
        known = [scene for scene in scenes if scene in self._pairs]
        seen = {scene: self._grids[scene] for scene in known if scene in self._grids}
        grids = {scene: grid for scene, grid in seen.items() if grid is not None}
        unplaced = [scene for scene, grid in seen.items() if grid is None]
        return grids, unplaced, len(seen) / max(1, len(known))

    def _read(self) -> None:
        for scene, pair in self._pairs.items():
            if self._stop():
                break
            self._grids[scene] = _grid_of(pair)
        self._done.set()


def _grid_of(pair: ScenePair) -> GeoBox | None:
    """The grid of an optical image; None where it lies nowhere or cannot be read."""
    try:
        grid = RasterFile(as_place(pair.optical)).header.grid
        if is_placed(grid) and np.isfinite(to_lonlat(grid, _ring(grid))).all():
            return grid
    except CrosslookError:  # the audit itself says why, in failed.csv
        pass
    return None


def describe_scenes(
    grids: Mapping[str, GeoBox], shifts: Mapping[str, tuple[float, float]]
) -> list[dict[str, Any]]:
    """Say where scenes lie, and where their shifts point.

    Parameters
    ----------
    grids : dict of scene to GeoBox
        Of the optical images.
    shifts : dict of scene to (float, float)
        Rows and columns in optical pixels.

    Returns
    -------
    list of dict
        ``scene``; ``ring``, longitude and latitude of the four corners from the
        first pixel on; ``centre``; ``metres`` and ``degrees``, length of the
        shift on the ground and its direction clockwise from north, None where
        there is no shift. Longitudes go on beyond 180 where the set lies across
        that meridian, so that it stays together.
    """
    if not grids:
        return []
    centres = {name: to_lonlat(grid, _centre(grid))[0] for name, grid in grids.items()}
    longitudes = [centre[0] for centre in centres.values()]
    base = float(circmean(longitudes, 180.0, -180.0))  # no meridian cuts it
    described = []
    for name, grid in grids.items():
        centre = _near(centres[name][None], base)
        ring = _near(to_lonlat(grid, _ring(grid)), float(centre[0, 0]))
        metres, degrees = _on_ground(grid, shifts.get(name))
        described.append(
            {
                "scene": name,
                "ring": np.round(ring, 7).tolist(),
                "centre": np.round(centre[0], 7).tolist(),
                "metres": metres,
                "degrees": degrees,
            }
        )
    return described


def _ring(grid: GeoBox) -> Array:
    """The corners of a grid in order, from the first pixel on."""
    height, width = shape_of(grid)
    return np.array([[0, 0], [0, width], [height, width], [height, 0]], np.float64)


def _centre(grid: GeoBox) -> Array:
    return np.array([shape_of(grid)], np.float64) / 2


def _near(lonlat: Array, longitude: float) -> Array:
    """The same places, each by its longitude within 180 degrees of one."""
    near = lonlat.copy()
    near[:, 0] = longitude + (lonlat[:, 0] - longitude + 180.0) % 360.0 - 180.0
    return near


def _on_ground(
    grid: GeoBox, shift: tuple[float, float] | None
) -> tuple[float | None, float | None]:
    """Length in metres and direction clockwise from north of a shift in pixels."""
    if shift is None:
        return None, None
    centre = _centre(grid)
    (lon, lat), (to_lon, to_lat) = to_lonlat(grid, np.vstack([centre, centre + np.array(shift)]))
    degrees, _, metres = _GEOD.inv(lon, lat, to_lon, to_lat)
    return round(float(metres), 2), round(float(degrees) % 360.0, 2)
