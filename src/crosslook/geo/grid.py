"""Where pixels lie: functions over the one grid type, ``odc.geo``'s ``GeoBox``.

A ``GeoBox`` is a shape, an affine map from pixel (column, row) to map (x, y)
and a CRS, and never changes. It crops, pads, zooms and compares; what it does
not have is here: positions as (row, column) arrays, exact maps between two
CRSs, metres of the ground along each axis, and longitudes that go on over the
180th meridian. A plain image is a ``GeoBox`` without CRS. A map whose CRS is not
known, as of a world file, lies in :data:`FRAME`, a local frame of its own.

Positions are float64 arrays (n, 2): pixel (row, column) with pixel centres at
+0.5, map (x, y), longitude before latitude.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError

from crosslook.errors import GridError, SettingError
from crosslook.types import Array, Window

LONLAT = "OGC:CRS84"
_MOST_LATITUDE = 91.0  # a pixel of a global grid may reach beyond the pole
_EARTH = Geod(ellps="WGS84")
_STEPS = np.array([[-0.5, 0.0], [0.5, 0.0], [0.0, -0.5], [0.0, 0.5]])  # down, then along
_NAMES_FILES = re.compile(r"init=|grids=|file=", re.IGNORECASE)
FRAME = (
    'ENGCRS["map without CRS",EDATUM["unknown"],CS[Cartesian,2],'
    'AXIS["x",east,ORDER[1]],AXIS["y",north,ORDER[2]],LENGTHUNIT["metre",1]]'
)
"""The frame of maps whose CRS is not known: two of them are taken to be in the same one."""


def make_grid(
    crs: str | CRS | None, affine: Affine | tuple[float, ...], height: int, width: int
) -> GeoBox:
    """Build a grid from its parts; six numbers are x = a col + b row + c, y = d col + e row + f."""
    return GeoBox((height, width), Affine(*tuple(affine)[:6]), crs)


def plain_grid(height: int, width: int) -> GeoBox:
    """The grid of an image that lies nowhere."""
    return make_grid(None, Affine.identity(), height, width)


def shape_of(grid: GeoBox) -> tuple[int, int]:
    """Rows and columns."""
    return int(grid.shape[0]), int(grid.shape[1])


def is_placed(grid: GeoBox) -> bool:
    """Whether the grid lies on Earth, so that its pixels have longitude and latitude."""
    return grid.crs is not None and _is_on_earth(str(grid.crs))


def has_map(grid: GeoBox) -> bool:
    """Whether the grid has an affine map, on Earth or in a local frame."""
    return grid.crs is not None


def is_unnamed(grid: GeoBox) -> bool:
    """Whether the grid has a map whose CRS is not known, as a world file gives."""
    return grid.crs is not None and _is_frame(str(grid.crs))


def shares_frame(first: GeoBox, second: GeoBox) -> bool:
    """Whether positions of one grid have a place in the other one."""
    same = has_map(first) and first.crs == second.crs
    return same or (is_placed(first) and is_placed(second))


@lru_cache(maxsize=256)
def _is_on_earth(crs: str) -> bool:
    """Local (engineering) frames and other bodies have no way to longitude and latitude."""
    try:
        return not CRS.from_user_input(crs).is_engineering and bool(_transformer(crs, LONLAT))
    except ProjError:
        return False


@lru_cache(maxsize=256)
def _is_frame(crs: str) -> bool:
    return bool(CRS.from_user_input(crs) == CRS.from_user_input(FRAME))


def is_invertible(grid: GeoBox) -> bool:
    """Whether a map position has exactly one pixel position."""
    numbers = [*tuple(grid.affine)[:6], grid.affine.determinant]
    return all(math.isfinite(number) for number in numbers) and numbers[-1] != 0.0


def window_of(grid: GeoBox, window: Window) -> GeoBox:
    """Cut a window out of a grid; it may reach beyond."""
    return GeoBox(window.shape, grid.translate_pix(window.col, window.row).affine, grid.crs)


def zoomed(grid: GeoBox, factor: int) -> GeoBox:
    """The grid of whole blocks of ``factor`` x ``factor`` pixels; what is left over is cut off."""
    if factor == 1:
        return grid
    height, width = (max(1, length // factor) for length in shape_of(grid))
    return GeoBox((height, width), grid.affine @ Affine.scale(factor), grid.crs)


def crs_text(grid: GeoBox) -> str | None:
    """Authority string where there is one, else WKT; None for a plain image."""
    return None if grid.crs is None else _text_of(str(grid.crs))


@lru_cache(maxsize=256)
def _text_of(crs: str) -> str:
    return text_of_crs(CRS.from_user_input(crs))


def frame_name(grid: GeoBox) -> str:
    """What the positions of a grid are counted in, for messages."""
    text = crs_text(grid)
    if text is None:
        return "no map"
    if is_unnamed(grid):
        return "a map without CRS"
    name = text if len(text) < 40 else crs_of(grid).name
    return name if is_placed(grid) else f"the local frame '{crs_of(grid).name}'"


def file_crs(grid: GeoBox) -> str | None:
    """The CRS as files hold it: none for a plain image and a map whose CRS is not known."""
    return None if is_unnamed(grid) else crs_text(grid)


def crs_of(grid: GeoBox) -> CRS:
    """The CRS of a placed grid; GridError for a plain image."""
    return CRS.from_user_input(_crs(grid))


def text_of_crs(crs: CRS) -> str:
    """Authority string where there is one, else WKT."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else str(crs.to_wkt())


def parse_crs(text: str) -> CRS:
    """Read a CRS as a user gives it.

    Raises
    ------
    SettingError
        If there is no such CRS.
    """
    if _NAMES_FILES.search(text):
        raise SettingError(
            f"'{text[:60]}' names files of this machine. Give a CRS by its code, as EPSG:32611."
        )
    try:
        return CRS.from_user_input(text)
    except CRSError as error:
        raise SettingError(f"'{text}' is no CRS: {error}. Give one as EPSG:32611.") from error


def check_latitudes(name: str, grid: GeoBox) -> None:
    """Refuse a CRS of degrees for a map that reaches beyond the poles: it is not its own."""
    if grid.crs is None or not grid.crs.geographic:
        return
    reach = float(np.abs(to_map(grid, corners(grid))[:, 1]).max())
    if reach > _MOST_LATITUDE:
        raise GridError(
            f"the map of '{name}' reaches {reach:.10g}, which is no latitude, but "
            f"{crs_text(grid)} is in degrees. Give the CRS that the map is in, as EPSG:32611."
        )


def same_grid(first: GeoBox, second: GeoBox, tolerance: float = 0.01) -> bool:
    """Whether all corners agree within ``tolerance`` pixels, in the same CRS."""
    alike = first.shape == second.shape and first.crs == second.crs
    if not (alike and is_invertible(first) and is_invertible(second)):
        return False
    at = corners(first)
    away = np.linalg.norm(from_map(first, to_map(second, at)) - at, axis=1)
    return bool(away.max() <= tolerance)


def whole_offset(source: GeoBox, target: GeoBox) -> tuple[int, int] | None:
    """Row and column of the target's first pixel among those of the source.

    None unless the pixels of both coincide, to a hundredth of one, over the
    whole of the target: then one is read for the other, without resampling.
    """
    first = shared_offset(source, target)
    if first is None or any(abs(number - round(number)) > 0.01 for number in first):
        return None
    return round(first[0]), round(first[1])


def shared_offset(source: GeoBox, target: GeoBox) -> tuple[float, float] | None:
    """Where the target begins in rows and columns of the source.

    None unless one is the other shifted, to a hundredth of a pixel over the whole of the target.
    """
    if source.crs != target.crs or not (has_map(source) and has_map(target)):
        return None
    at = from_map(source, to_map(target, corners(target)))
    if (np.abs(at - corners(target) - at[0]) > 0.01).any():
        return None
    return float(at[0, 0]), float(at[0, 1])


def corners(grid: GeoBox) -> Array:
    """The four outer corners as pixels, shape (4, 2)."""
    height, width = shape_of(grid)
    return np.array([[0, 0], [0, width], [height, 0], [height, width]], np.float64)


def rim(grid: GeoBox, steps: int = 21) -> Array:
    """Positions along the four edges and over the inside, shape (steps^2, 2)."""
    fraction = np.linspace(0.0, 1.0, steps)
    sides = np.meshgrid(*(fraction * length for length in shape_of(grid)), indexing="ij")
    return np.column_stack([side.ravel() for side in sides])


def to_map(grid: GeoBox, points: Array) -> Array:
    """Pixel (row, column) to map (x, y), shape (n, 2)."""
    a, b, c, d, e, f = tuple(grid.affine)[:6]
    rows, cols = points[:, 0], points[:, 1]
    return np.column_stack([a * cols + b * rows + c, d * cols + e * rows + f])


def from_map(grid: GeoBox, points: Array) -> Array:
    """Map (x, y) to pixel (row, column), shape (n, 2)."""
    a, b, c, d, e, f = tuple(grid.affine)[:6]
    matrix = np.array([[b, a], [e, d]])
    return np.asarray(np.linalg.solve(matrix, (points - [c, f]).T).T, np.float64)


def to_lonlat(grid: GeoBox, points: Array) -> Array:
    """Pixel (row, column) to (longitude, latitude) in degrees, longitudes in -180..180."""
    lonlat = change_crs(to_map(grid, points), _crs(grid), LONLAT)
    lonlat[:, 0] = (lonlat[:, 0] + 180.0) % 360.0 - 180.0
    return lonlat


def from_lonlat(grid: GeoBox, points: Array) -> Array:
    """(longitude, latitude) in degrees to pixel (row, column).

    In a CRS of degrees a place has many longitudes, 360 apart; the one nearest
    to the centre of the grid is taken, so grids over the 180th meridian work.
    """
    return from_map(grid, near_grid(grid, change_crs(points, LONLAT, _crs(grid))))


def near_grid(grid: GeoBox, positions: Array) -> Array:
    """Map positions with the longitude nearest to the centre of a grid in degrees."""
    if grid.crs is None or not grid.crs.geographic:
        return positions
    centre = to_map(grid, np.array([shape_of(grid)]) / 2)[0, 0]
    out = positions.copy()
    out[:, 0] += 360.0 * np.round((centre - out[:, 0]) / 360.0)
    return out


def between(source: GeoBox, target: GeoBox, points: Array) -> Array:
    """Pixels of one grid to pixels of another, exactly: nothing approximates the projection.

    Raises
    ------
    GridError
        If a grid has no CRS, or the positions have no place in the other one.
    """
    if source.crs == target.crs:
        moved = to_map(source, points)
    else:
        moved = change_crs(to_map(source, points), _crs(source), _crs(target))
    return from_map(target, near_grid(target, moved))


def metres_per_pixel(grid: GeoBox, point: Array) -> tuple[float, float]:
    """Geodesic length of a pixel side at (row, column): down the rows, along the columns."""
    lon, lat = to_lonlat(grid, np.asarray(point, np.float64) + _STEPS).T
    down, along = _EARTH.inv(lon[::2], lat[::2], lon[1::2], lat[1::2])[2]
    return float(down), float(along)


def distances(place: Array, others: Array) -> Array:
    """Geodesic metres from one (longitude, latitude) to others (n, 2), shape (n,)."""
    lon, lat = (np.full(len(others), value) for value in place)
    return np.asarray(_EARTH.inv(lon, lat, others[:, 0], others[:, 1])[2], np.float64)


def ground_axes(grid: GeoBox, point: Array) -> Array:
    """Metres (east, north) of one step down the rows and one along the columns at (row, column).

    Returns
    -------
    float64 array, shape (2, 2)
        Column 0 is the step down, column 1 the step along.
    """
    lon, lat = to_lonlat(grid, np.asarray(point, np.float64) + _STEPS).T
    azimuth, _, length = _EARTH.inv(lon[::2], lat[::2], lon[1::2], lat[1::2])
    angle = np.radians(azimuth)
    return np.stack([length * np.sin(angle), length * np.cos(angle)])


def mean_metres(grid: GeoBox, points: Array) -> float:
    """Geodesic length of a pixel side, the mean of both axes over pixel positions (n, 2)."""
    return float(np.mean([math.sqrt(math.prod(metres_per_pixel(grid, p))) for p in points]))


def change_crs(points: Array, source: str, target: str) -> Array:
    """Bring (x, y) positions (n, 2) from one CRS to another, x first always.

    Raises
    ------
    GridError
        If the positions have no place in the target CRS.
    """
    try:
        x, y = _transformer(source, target).transform(points[:, 0], points[:, 1], errcheck=True)
    except ProjError as error:
        raise GridError(
            f"positions cannot be brought from {source[:60]} to {target[:60]}: {error}. "
            "Check the CRS of both images."
        ) from error
    return np.column_stack([x, y])


@lru_cache(maxsize=256)
def _transformer(source: str, target: str) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def bounds_on(grid: GeoBox, crs: CRS) -> tuple[float, float, float, float]:
    """Rectangle (left, bottom, right, top) in another CRS that holds a grid.

    In degrees the rectangle goes on over the 180th meridian, where the grid
    does: left is then below right, and one of both beyond -180 or 180.

    Raises
    ------
    GridError
        If the grid has no place there.
    """
    moved = to_map(grid, rim(grid))
    if crs_of(grid) != crs:
        moved = change_crs(moved, _crs(grid), text_of_crs(crs))
        if crs.is_geographic:  # one branch of longitude for all, that of the centre
            centre = moved[len(moved) // 2, 0]
            moved[:, 0] += 360.0 * np.round((centre - moved[:, 0]) / 360.0)
    if not np.isfinite(moved).all():
        raise GridError("the grid lies where the CRS is not defined.")
    low, high = moved.min(axis=0), moved.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def pixel_size(grid: GeoBox, crs: CRS) -> tuple[float, float]:
    """Units of a CRS per pixel along x and y, at the centre; those of the grid itself in its own.

    A rotated grid keeps the true length of its pixel sides.
    """
    a, b, _, d, e, _ = tuple(grid.affine)[:6]
    if crs_of(grid) == crs:
        return math.hypot(a, d), math.hypot(b, e)
    steps = to_map(grid, np.array(shape_of(grid)) / 2 + _STEPS)
    moved = change_crs(steps, _crs(grid), text_of_crs(crs))
    area = np.linalg.det(np.stack([moved[1] - moved[0], moved[3] - moved[2]]))
    if not crs.is_geographic:
        return (side := math.sqrt(abs(float(area)))), side
    # Square on the ground, not in degrees.
    squeeze = math.cos(math.radians(float(moved[:, 1].mean())))
    down = math.sqrt(abs(float(area)) * squeeze)
    return down / max(squeeze, 1e-6), down


def describe_grid(grid: GeoBox) -> str:
    """Size, CRS, pixel and bounds in one line, for messages."""
    size = "{} x {} px".format(*shape_of(grid))
    crs = crs_text(grid)
    if crs is None:
        return f"{size}, no georeference"
    name = "a map without CRS" if is_unnamed(grid) else crs
    name = name if len(name) < 40 else f"{name[:37]}..."
    box = to_map(grid, corners(grid))
    sides = ", ".join(f"{value:.10g}" for value in (*box.min(axis=0), *box.max(axis=0)))
    return f"{size}, {name}, pixel {math.hypot(grid.affine.a, grid.affine.d):.6g}, bounds ({sides})"


def _crs(grid: GeoBox) -> str:
    text = crs_text(grid)
    if text is None:
        raise GridError("a plain image has no place on a map; give a georeferenced image.")
    return text
