"""What files and options say of the ground and of how the sensor looked at it."""

from __future__ import annotations

import numpy as np

from crosslook.errors import GridError, RasterError
from crosslook.geo.grid import (
    ground_axes,
    is_placed,
    mean_metres,
    shape_of,
    window_of,
    zoomed,
)
from crosslook.geo.image import ImageFile
from crosslook.geo.raster import RasterFile
from crosslook.match.relief import ViewGeometry
from crosslook.match.settings import ReliefOptions
from crosslook.match.working_grid import WorkingGrid
from crosslook.storage import as_place
from crosslook.types import Array, Window

_INCIDENCE = ("incidence", "incidence_angle", "incidenceangle", "incidence_angle_mid_swath")
_HEADING = ("heading", "platform_heading", "platformheading", "orbit_heading")


def view_geometry(grid: WorkingGrid, settings: ReliefOptions) -> ViewGeometry:
    """How the sensor looked, in pixels of the working grid.

    The options count first, then tags of the SAR file that name a heading or
    an incidence angle; what neither says is left to be found. The sensor is
    taken to look to the right, as nearly all do, and images without a place to
    have north up.
    """
    optical, tags = grid.optical, _tags(grid.sar)
    heading = settings.heading if settings.heading is not None else _number(tags, _HEADING)
    incidence = settings.incidence if settings.incidence is not None else _number(tags, _INCIDENCE)
    centre = np.array(optical.shape, np.float64) / 2
    placed = is_placed(optical.grid)
    direction = None
    if heading is not None:
        azimuth = np.radians(heading + 90.0)
        ahead = np.array([np.sin(azimuth), np.cos(azimuth)])
        axes = ground_axes(optical.grid, centre) if placed else np.array([[0.0, 1.0], [-1.0, 0.0]])
        row, col = np.linalg.solve(axes, ahead)
        direction = float(np.degrees(np.arctan2(row, col)))
    if incidence is None or not placed or settings.dem is None:
        return ViewGeometry(direction)
    metres = mean_metres(optical.grid, centre[None]) * grid.factor
    return ViewGeometry(direction, float(1.0 / (np.tan(np.radians(incidence)) * metres)))


def heights_on(working: WorkingGrid, shape: tuple[int, int], settings: ReliefOptions) -> Array:
    """Metres of the ground on the pixels that are matched, NaN where the model has none.

    Raises
    ------
    GridError
        If the optical image has no place, or the elevation model lies elsewhere.
    RasterError
        If the model cannot be read.
    """
    optical, factor = working.optical, working.factor
    rows, cols = (length * factor for length in shape)
    window = Window(working.window.row, working.window.col, rows, cols)
    if not is_placed(optical.grid):
        raise GridError(
            f"'{optical.name}' has no CRS, so where --dem has its heights is not known. "
            "Give a georeferenced optical image, or leave --dem out."
        )
    grid = zoomed(window_of(optical.grid, window), factor)
    source = RasterFile(as_place(settings.dem or ""))
    if not is_placed(source.header.grid):
        raise RasterError(f"'{source.header.name}' has no CRS; give an elevation model with one.")
    rows, cols = shape_of(grid)
    heights = np.asarray(source.on(grid).read(Window(0, 0, rows, cols), (1,))[0], np.float64)
    if not np.isfinite(heights).any():
        raise GridError(
            f"'{source.header.name}' holds no height where '{optical.name}' is matched. "
            "Give an elevation model of this place."
        )
    return heights


def _tags(image: ImageFile) -> dict[str, str]:
    source = image.source
    tags = source.labels.tags if isinstance(source, RasterFile) else {}
    return {name.lower(): text for name, text in tags.items()}


def _number(tags: dict[str, str], names: tuple[str, ...]) -> float | None:
    for name in names:
        try:
            value = float(tags[name])
        except (KeyError, ValueError):
            continue
        if np.isfinite(value):
            return value
    return None
