"""Relief of a whole scene as an elevation model predicts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import GridError, RasterError
from crosslook.geo.grid import is_placed, shape_of, window_of, zoomed
from crosslook.geo.raster import RasterFile
from crosslook.match.scene.consensus import Nodes
from crosslook.match.scene.plan import ScenePlan
from crosslook.storage import as_place
from crosslook.types import Array, Window

_ROUNDS, _SOFT = 12, 1.5
_LEAST_POINTS, _CLEARLY, _CAP_PX = 60, 0.9, 6.0


@dataclass(frozen=True, eq=False)
class Terrain:
    """Displacement by a metre of height, which varies over the swath as the incidence does.

    Attributes
    ----------
    coefficients : float64 array, shape (2, 3)
        Pixels of the matched grid per metre, along rows and columns: at the centre, and its
        change to the last row, and to the last column.
    extent : float64 array, shape (2,)
        Rows and columns of the matched grid.
    level : float
        Metres that displace nothing.
    """

    coefficients: Array
    extent: Array
    level: float

    def displacement(self, heights: Array, at: Array) -> Array:
        """Of heights (h, w) at positions (h, w, 2); pixels, shape (h, w, 2). 0 where unknown."""
        above = np.nan_to_num(heights - self.level)
        return np.asarray((_swath(at, self.extent) @ self.coefficients.T) * above[..., None])


def _swath(at: Array, extent: Array) -> Array:
    """One, and how far from the centre along rows and columns, -.5 to .5."""
    place = at / extent - 0.5
    return np.concatenate([np.ones((*at.shape[:-1], 1)), place], axis=-1)


def fit_terrain(nodes: Nodes, at: Array, heights: Array) -> tuple[Array, Terrain] | None:
    """One affine map and the displacement by height, fitted together: slopes look like scales.

    Returns
    -------
    (matrix, Terrain) or None
        The map (2, 3), as :func:`~crosslook.match.scene.field.fit_geometry` has it; None where
        heights do not clearly explain what one map leaves.
    """
    known: NDArray[np.bool_] = nodes.inlier & np.isfinite(heights)
    if int(known.sum()) < _LEAST_POINTS:
        return None
    level = float(np.median(heights[known]))
    extent = at.reshape(-1, 2).max(axis=0) + 1.0
    swath = _swath(at, extent)[known]
    design = np.column_stack([swath, swath * (heights[known] - level)[:, None]])
    target, std = nodes.displacement[known], nodes.std[known]
    _, without = _solved(design[:, :3], target, std)
    solved, rest = _solved(design, target, std)
    error, before = (float(np.minimum(one, _CAP_PX).mean()) for one in (rest, without))
    if not error < _CLEARLY * before:
        return None
    # From the centre in units of the extent to pixels from the corner.
    slopes = solved[1:3].T / extent
    matrix = np.column_stack([slopes, solved[0] - 0.5 * (solved[1] + solved[2])])
    return matrix, Terrain(solved[3:].T, extent, level)


def _solved(design: Array, target: Array, std: Array) -> tuple[Array, Array]:
    """Coefficients (k, 2) and distances (n,), whatever the outliers."""
    weight = 1.0 / std**2
    solved = np.zeros((design.shape[1], 2))
    off = np.zeros(len(target))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)[:, None]
        solved = np.asarray(
            np.linalg.lstsq(design * root, target * root, rcond=None)[0], np.float64
        )
        off = np.linalg.norm(design @ solved - target, axis=1)
        soft = max(_SOFT, float(np.median(off)))
        weight = 1.0 / std**2 / (1.0 + (off / soft) ** 2)
    return solved, np.asarray(off, np.float64)


def heights_of(plan: ScenePlan, dem: Path | str, step: int, centred: bool = True) -> Array:
    """Metres of the ground (h, w) on a lattice over the scene; NaN where not known.

    Parameters
    ----------
    plan : ScenePlan
    dem : path
    step : int
        Optical pixels between nodes.
    centred : bool
        Whether the first node lies half a step from the corner of the window, or on it.

    Raises
    ------
    GridError
        If the optical image has no place, or the elevation model lies elsewhere.
    RasterError
        If the model cannot be read, or has no CRS.
    """
    if not is_placed(plan.optical.grid):
        raise GridError(
            f"'{plan.optical.name}' has no CRS, so where --dem has its heights is not known. "
            "Give a georeferenced optical image, or leave --dem out."
        )
    source = RasterFile(as_place(dem))
    if not is_placed(source.header.grid):
        raise RasterError(f"'{source.header.name}' has no CRS; give an elevation model with one.")
    covered = plan.pixels(Window.whole(plan.shape))
    grid = zoomed(window_of(plan.optical.grid, covered), step)
    if not centred:
        rows, cols = (n + 1 for n in shape_of(grid))
        grid = GeoBox((rows, cols), grid.affine @ Affine.translation(-0.5, -0.5), grid.crs)
    own = source.on(grid, "average" if _is_finer(source, grid) else "bilinear")
    return np.asarray(own.read(Window.whole(shape_of(grid)), (1,))[0], np.float64)


def _is_finer(source: RasterFile, grid: GeoBox) -> bool:
    """Whether several heights fall into a cell."""
    from crosslook.geo.grid import mean_metres

    own = source.header.grid
    sides = [mean_metres(g, np.array([shape_of(g)]) / 2.0) for g in (own, grid)]
    return 1.5 * sides[0] < sides[1]
