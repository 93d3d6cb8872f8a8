"""Relief of a whole scene as an elevation model predicts it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import GridError, RasterError
from crosslook.geo.grid import is_placed, shape_of, window_of, zoomed
from crosslook.geo.raster import RasterFile
from crosslook.geo.sensor_view import SensorView
from crosslook.match.scene.consensus import Nodes
from crosslook.match.scene.plan import ScenePlan
from crosslook.storage import as_place
from crosslook.types import Array, Window

_ROUNDS, _SOFT = 12, 1.5
_LEAST_POINTS, _CLEARLY, _CAP_PX = 60, 0.9, 6.0
_LATTICE, _CUBIC = 13, 10  # nodes along a side, terms of third order
_LEAST_TIMES, _MOST_TIMES = 0.5, 1.5  # control points on the ground take a part of the relief


@dataclass(frozen=True, eq=False)
class Terrain:
    """Displacement by a metre of height, which varies over the swath as the incidence does.

    Attributes
    ----------
    coefficients : float64 array, shape (2, 3) or (2, 10)
        Pixels of the matched grid per metre, along rows and columns: at the centre, and its
        change to the last row, and to the last column; then terms of second and third order.
    extent : float64 array, shape (2,)
        Rows and columns of the matched grid.
    level : float
        Metres that displace nothing.
    by : str
        What predicted it; empty where it was found by tie points alone.
    times : float
        By what the prediction was multiplied to fit tie points.
    """

    coefficients: Array
    extent: Array
    level: float
    by: str = ""
    times: float = 1.0

    @property
    def origin(self) -> dict[str, Any]:
        """What predicted it, for ``match.json``; empty where nothing did."""
        return {"by": self.by, "times_predicted": round(self.times, 3)} if self.by else {}

    def per_metre(self, at: Array) -> Array:
        """Pixels by which a metre displaces at positions (..., 2), shape (..., 2)."""
        terms = _swath(at, self.extent, self.coefficients.shape[1])
        return np.asarray(terms @ self.coefficients.T)

    def displacement(self, heights: Array, at: Array) -> Array:
        """Of heights (h, w) at positions (h, w, 2); pixels, shape (h, w, 2). 0 where unknown."""
        above = np.nan_to_num(heights - self.level)
        return np.asarray(self.per_metre(at) * above[..., None])


def _swath(at: Array, extent: Array, terms: int = 3) -> Array:
    """One, how far from the centre along rows and columns, -.5 to .5, and powers of both."""
    row, col = np.moveaxis(at / extent - 0.5, -1, 0)
    one = np.ones_like(row)
    powers = [one, row, col]
    if terms > len(powers):
        powers += [row * row, row * col, col * col]
        powers += [row**3, row * row * col, row * col * col, col**3]
    return np.stack(powers[:terms], axis=-1)


def predicted_terrain(plan: ScenePlan, view: SensorView) -> Terrain:
    """Displacement by a metre of height over a scene, by what is known of the sensor."""
    extent = np.array(plan.shape, np.float64) * plan.spacing
    sides = (np.linspace(0.0, length, _LATTICE) for length in extent)
    at = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    places = at * plan.factor + plan.window.corner
    found = view.per_metre(plan.optical.grid, places) / plan.factor
    solved = np.linalg.lstsq(_swath(at, extent, _CUBIC), found, rcond=None)[0]
    return Terrain(np.asarray(solved.T, np.float64), extent, 0.0, view.by)


def fit_terrain(
    nodes: Nodes, at: Array, heights: Array, predicted: Terrain | None = None
) -> tuple[Array, Terrain] | None:
    """One affine map and the displacement by height, fitted together: slopes look like scales.

    Where the displacement by a metre was predicted, its size alone is fitted to the tie points,
    unless they are clearly better explained without that, or by another size than any error of
    the product's geometry would give.

    Parameters
    ----------
    nodes : Nodes
    at : float64 array, shape (h, w, 2)
        Positions of the nodes, pixels of the matched grid.
    heights : float64 array, shape (h, w)
        Metres at the nodes, NaN where not known.
    predicted : Terrain, optional

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
    above = heights[known] - level
    design = np.column_stack([swath, swath * above[:, None]])
    target, std = nodes.displacement[known], nodes.std[known]
    _, before = _solved(design[:, :3], target, std)
    solved, error = _solved(design, target, std)
    terrain = Terrain(solved[3:].T, extent, level)
    if predicted is not None:
        moved = predicted.per_metre(at[known]) * above[:, None]
        sized, times, of_predicted = _solved_by_size(design[:, :3], moved, target, std)
        if _LEAST_TIMES <= times <= _MOST_TIMES and error >= _CLEARLY * of_predicted:
            solved, error = sized, of_predicted
            grown = predicted.coefficients * times
            terrain = replace(predicted, coefficients=grown, level=level, times=times)
    if not error < _CLEARLY * before:
        return None
    # From the centre in units of the extent to pixels from the corner.
    slopes = solved[1:3].T / extent
    return np.column_stack([slopes, solved[0] - 0.5 * (solved[1] + solved[2])]), terrain


def _solved(design: Array, target: Array, std: Array) -> tuple[Array, float]:
    """Coefficients (k, 2), whatever the outliers, and the mean distance from what they give."""
    weight = 1.0 / std**2
    solved = np.zeros((design.shape[1], 2))
    off = np.zeros(len(target))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)[:, None]
        solved = np.asarray(
            np.linalg.lstsq(design * root, target * root, rcond=None)[0], np.float64
        )
        off = np.linalg.norm(design @ solved - target, axis=1)
        weight = _weight(off, std)
    return solved, float(np.minimum(off, _CAP_PX).mean())


def _solved_by_size(
    swath: Array, moved: Array, target: Array, std: Array
) -> tuple[Array, float, float]:
    """The map (3, 2), the size of displacements ``moved`` (n, 2), and the mean distance.

    With the map solved for any size, that of both components is one: their least squares share it.
    """
    weight = 1.0 / std**2
    solved, times = np.zeros((swath.shape[1], 2)), 1.0
    off = np.zeros(len(target))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)[:, None]
        design, both = swath * root, np.hstack([moved, target]) * root
        flat = np.linalg.lstsq(design, both, rcond=None)[0]
        left = both - design @ flat
        grown, rest = left[:, :2].ravel(), left[:, 2:].ravel()
        times = float(grown @ rest / max(float(grown @ grown), 1e-12))
        solved = np.asarray(flat[:, 2:] - times * flat[:, :2], np.float64)
        off = np.linalg.norm(swath @ solved + times * moved - target, axis=1)
        weight = _weight(off, std)
    return solved, times, float(np.minimum(off, _CAP_PX).mean())


def _weight(off: Array, std: Array) -> Array:
    """What tie points count for that lie so far (pixels) from what was fitted to them."""
    soft = max(_SOFT, float(np.median(off)))
    return np.asarray(1.0 / std**2 / (1.0 + (off / soft) ** 2))


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
