"""Relief: displacements along one line, which no single shift can take out, and how to follow it.

Measured as the line on which displacements lie; followed as a smooth field of
displacements through tie points, or as terrain predicts it, by what files and
options say of the ground and of how the sensor looked at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import GridError, RasterError
from crosslook.geo.grid import (
    ground_axes,
    is_placed,
    mean_metres,
    shape_of,
    to_lonlat,
    window_of,
    zoomed,
)
from crosslook.geo.image import ImageFile
from crosslook.geo.raster import RasterFile
from crosslook.geo.sensor_view import SensorView, sensor_view
from crosslook.match.channels import Channels
from crosslook.match.field import FLAT, Field, fit_field
from crosslook.match.pair import ImagePair
from crosslook.match.robust_fit import similarity_matrix
from crosslook.match.settings import ReliefOptions
from crosslook.match.tie_points import ScoreMaps, Stage, TiePoints, find_tie_points, score_maps
from crosslook.match.transform import Affine, ReliefField, Transform
from crosslook.match.working_grid import WorkingGrid
from crosslook.storage import as_place
from crosslook.types import Array, Window

HILLY_PX = 6.0
"""An extent beyond this is more than one transform should be trusted with."""

CLEAR_RATIO = 1.15
"""Least peak over second peak of a tie point that tells of relief."""

_LEAST_POINTS = 12
_NEIGHBOURS = 5
_CONSISTENT_PX = 4.0
_ON_LINE_PX = 3.0  # to either side
_LEAST_FRACTION = 0.5  # points scattered over 24 px give about a fifth
_STEP_DEGREES = 3.0
_PARALLAX_PX = 4.0


@dataclass(frozen=True)
class Relief:
    """What tie points say of the ground's height.

    A side-looking radar moves what lies higher towards the sensor, by
    ``height / tan(incidence)`` on the ground, and never along its track. So
    over hills the displacements of an image that was not corrected for terrain
    lie on one line, along the range.

    Attributes
    ----------
    extent : float
        Pixels between the 10 % and the 90 % quantile along the line.
    degrees : float
        Direction of the line, 0 up to 180, from the columns towards the rows;
        NaN where the extent is below 4 px, so too short to have one.
    """

    extent: float
    degrees: float


def measure_relief(displacement: Array) -> Relief | None:
    """Find the line on which most displacements lie, and how far they spread along it.

    Parameters
    ----------
    displacement : float64 array, shape (n, 2)
        Rows and columns by which tie points are off one transform.

    Returns
    -------
    Relief or None
        None for fewer than twelve points, or where less than half of them lie
        on one line.
    """
    if len(displacement) < _LEAST_POINTS:
        return None
    best, degrees, level = 0.0, 0.0, 0.0
    for angle in np.arange(0.0, 180.0, _STEP_DEGREES):
        consensus, centre = _densest(displacement @ direction_of(angle)[1])
        if consensus > best:
            best, degrees, level = consensus, float(angle), centre
    along, across = (displacement @ axis for axis in direction_of(degrees))
    on_line = np.abs(across - level) <= _ON_LINE_PX
    if on_line.mean() < _LEAST_FRACTION:
        return None
    low, high = np.quantile(along[on_line], [0.1, 0.9])
    extent = float(high - low)
    return Relief(extent, degrees if extent >= _PARALLAX_PX else float("nan"))


def share_on_line(displacement: Array, relief: Relief) -> float:
    """Of the points that are displaced by more than their noise, the fraction on the line.

    Parameters
    ----------
    displacement : float64 array, shape (n, 2)
        As for :func:`measure_relief`.
    relief : Relief
        With a direction.
    """
    along, across = (displacement @ axis for axis in direction_of(relief.degrees))
    off = np.abs(across - np.median(across))
    on_line = off <= _ON_LINE_PX
    far = np.hypot(along - np.median(along[on_line]), off) > _PARALLAX_PX
    return float(on_line[far].mean()) if far.any() else 0.0


def is_consistent(position: Array, displacement: Array) -> NDArray[np.bool_]:
    """Tell points that are displaced as those around them are, as on smooth ground.

    Scattered wrong points lie on any line too, and would pass for relief.

    Parameters
    ----------
    position, displacement : float64 array, shape (n, 2)
        Pixels.

    Returns
    -------
    bool array, shape (n,)
        True within 4 px of the median of the five nearest others; all False
        for fewer than six points.
    """
    from scipy.spatial import KDTree

    if len(position) <= _NEIGHBOURS:
        return np.zeros(len(position), np.bool_)
    _, near = KDTree(position).query(position, k=_NEIGHBOURS + 1)
    around = np.median(displacement[near[:, 1:]], axis=1)
    close = np.linalg.norm(displacement - around, axis=1) <= _CONSISTENT_PX
    return np.asarray(close, np.bool_)


def clear_points(points: TiePoints, base: Transform) -> TiePoints:
    """Those that are clear, and displaced from where ``base`` puts them as those around them."""
    clear = points.ratio >= CLEAR
    displacement = points.optical - base(points.sar)
    clear[clear] = is_consistent(points.optical[clear], displacement[clear])
    return points.only(clear)


def direction_of(degrees: float) -> Array:
    """Unit vectors (row, column) along a line and across it, shape (2, 2)."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return np.array([[sine, cosine], [cosine, -sine]])


def _densest(values: Array) -> tuple[float, float]:
    """Where most values lie within 3 px: their consensus score, and their mean.

    A value counts ``1 - (distance from the mean / 3 px)^2``, so that of
    two lines with as many points the narrower one wins.
    """
    ordered = np.sort(values)
    sums, squares = (np.append(0.0, np.cumsum(v)) for v in (ordered, ordered**2))
    first = np.searchsorted(ordered, ordered - _ON_LINE_PX)
    last = np.searchsorted(ordered, ordered + _ON_LINE_PX, side="right")
    count = last - first
    mean = (sums[last] - sums[first]) / count
    scatter = squares[last] - squares[first] - count * mean**2
    consensus = count - scatter / _ON_LINE_PX**2
    at = int(consensus.argmax())
    return float(consensus[at]), float(mean[at])


CLEAR = 1.1
"""Least peak over second peak of a tie point within the band along the range."""

_BAND_PX = 6.0  # across the range: noise, and what one transform fits ill
_SPACING = 8.0
_LEAST_FOLLOWED = 20
_DENSE = 44  # templates along a side, at most
_SOFT_PX = 1.5
_TERRAIN_ROUNDS = 20
_LEAST_JACOBIAN = 0.1


@dataclass(frozen=True)
class ViewGeometry:
    """What is known of how the sensor looked.

    Attributes
    ----------
    direction : float or None
        Of the range, degrees from the columns towards the rows: the ground
        that is high lies that way from where it is seen.
    per_metre : float or None
        Optical pixels by which a metre of height displaces.
    swath : float64 array, shape (h, w), or None
        How the displacement varies over the image as the incidence does, times that at the
        centre: at nodes spread evenly from corner to corner. None where it is one.
    """

    direction: float | None = None
    per_metre: float | None = None
    swath: Array | None = None

    def seen(self, heights: Array) -> Array:
        """Heights (H, W) above a level, as they would displace alike at the centre."""
        if self.swath is None:
            return heights
        axes = [
            (np.arange(n) + 0.5) / n * (nodes - 1)
            for n, nodes in zip(heights.shape, self.swath.shape, strict=True)
        ]
        cols, rows = np.meshgrid(axes[1].astype(np.float32), axes[0].astype(np.float32))
        return np.asarray(heights * cv2.remap(self.swath, cols, rows, cv2.INTER_LINEAR))


NOTHING_KNOWN = ViewGeometry()


@dataclass(frozen=True, eq=False)
class ReliefFit:
    """What following the relief gave.

    Attributes
    ----------
    transform : Transform
        Of model ``relief``.
    base : Transform
        Without the relief: the matrix alone.
    points : TiePoints
        Clear and consistent ones of the last pass.
    direction : float
        Degrees from the columns towards the rows.
    field : Field
        The part that follows the tie points, on top of what terrain predicts.
    template : float
        Side of the templates of ``points``, optical pixels.
    per_metre : float64 array, shape (2,), or None
        Optical pixels (row, column) per metre of height, where terrain is known.
    """

    transform: Transform
    base: Transform
    points: TiePoints
    direction: float
    field: Field
    template: float
    per_metre: Array | None = None


def follow_relief(
    pair: ImagePair,
    base: Transform,
    view: ViewGeometry = NOTHING_KNOWN,
    heights: Array | None = None,
    worth: Callable[[Transform], bool] | None = None,
) -> ReliefFit | None:
    """Warp a transform by the displacements that hills cause.

    Parameters
    ----------
    pair : ImagePair
    base : Transform
        SAR to optical pixels, an affine map at most.
    view : ViewGeometry
        What is known; the rest is found: the direction as the line on which
        displacements lie, or, with heights, as the way they grow with them.
    heights : float64 array, shape (H, W), optional
        Metres of the ground on the optical pixels, NaN where not known.

    worth : callable, optional
        Tells of what a pass gave whether it is worth another one.

    Returns
    -------
    ReliefFit or None
        None where too few tie points are clear, or show no line, or nothing is worth it.
    """
    known = None if heights is None else view.seen(_filled(heights))
    current, fitted, direction = base, None, view.direction
    # What terrain leaves is followed when its direction and size are settled.
    settled, shape = known is None, pair.optical.shape
    for stage in _stages(min(shape)):
        maps = _maps_to_the_rim(pair, current, stage)
        if direction is None:
            direction = _direction(maps, current, base)
            if direction is None:
                return None
        points = _points_along(maps, current, base, direction)
        if len(points) < _LEAST_FOLLOWED:
            break
        per_metre = None
        if known is not None:
            base, per_metre = fit_terrain(points, _sampled(known, points.optical), base, view)
            direction = float(np.degrees(np.arctan2(*per_metre)))
        rest = points.optical - base(points.sar)
        if known is not None and per_metre is not None:
            rest -= _sampled(known, points.optical)[:, None] * per_metre
        smoothness = None if settled else (FLAT, FLAT)
        axes = direction_of(direction)
        field = fit_field(points.optical, rest, axes, stage.template, smoothness)
        terrain = None if known is None or per_metre is None else known[..., None] * per_metre
        current = relief_transform(base, field, shape, terrain)
        fitted = ReliefFit(current, base, points, direction, field, stage.template, per_metre)
        settled = True
        if worth is not None and not worth(current):
            return None
    return fitted


def fit_terrain(
    points: TiePoints, heights: Array, base: Transform, view: ViewGeometry
) -> tuple[Transform, Array]:
    """A similarity after ``base``, and the pixels by which a metre of height displaces from it.

    Both at once, robustly, since a slope of the ground and a change of scale
    look alike. What ``view`` knows is taken as it is.

    Parameters
    ----------
    points : TiePoints
    heights : float64 array, shape (n,)
        Metres at their optical positions.
    base : Transform
    view : ViewGeometry

    Returns
    -------
    (Transform, float64 array of shape (2,))
    """
    rows, cols = base(points.sar).T
    one, zero = np.ones(len(rows)), np.zeros(len(rows))
    # Unknowns: real and imaginary part of the similarity, its shift, then the displacement.
    down, right = np.stack([rows, cols, one, zero], 1), np.stack([cols, -rows, zero, one], 1)
    target = points.optical
    given = np.zeros(2)
    if view.direction is None:
        ways = np.eye(2)
    elif view.per_metre is None:
        ways = direction_of(view.direction)[:1]
    else:
        ways, given = np.zeros((0, 2)), direction_of(view.direction)[0] * view.per_metre
    extra = [heights[:, None] * ways[:, k] for k in (0, 1)]
    design = np.vstack([np.hstack([down, extra[0]]), np.hstack([right, extra[1]])])
    rest = (target - heights[:, None] * given).T.ravel()
    weight = np.ones(len(design))
    solved: Array = np.zeros(design.shape[1])
    for _ in range(_TERRAIN_ROUNDS):
        solved = np.asarray(
            np.linalg.lstsq(design * weight[:, None], rest * weight, rcond=None)[0], np.float64
        )
        off = np.hypot(*(design @ solved - rest).reshape(2, -1))
        scale = max(_SOFT_PX, float(np.median(off)))
        weight = np.tile(1.0 / np.sqrt(1.0 + (off / scale) ** 2), 2)
    matrix = similarity_matrix(complex(solved[0], solved[1]), complex(solved[3], solved[2]))
    per_metre = given + solved[4:] @ ways
    if view.per_metre is not None and view.direction is None:
        per_metre = per_metre / max(float(np.linalg.norm(per_metre)), 1e-12) * view.per_metre
    return Transform(matrix, "similarity") @ base, per_metre


def _filled(heights: Array) -> Array:
    """Heights above their median; at the median where they are not known."""
    known = np.isfinite(heights)
    median = float(np.median(heights[known])) if known.any() else 0.0
    return np.where(known, heights - median, 0.0)


def _sampled(heights: Array, points: Array) -> Array:
    """Heights (H, W) at positions (n, 2), bilinear."""
    from scipy.ndimage import map_coordinates

    return np.asarray(map_coordinates(heights, (points - 0.5).T, order=1, mode="nearest"))


def _stages(side: int) -> tuple[Stage, ...]:
    """Large templates that find where hills went, then small ones that follow their slopes."""
    wide, fine = max(48.0, min(96.0, 0.2 * side)), max(36.0, min(80.0, 0.125 * side))
    apart = side / _DENSE
    return (
        Stage(wide, 44.0, max(wide / 3, apart), 3.0),
        Stage(fine, 14.0, max(fine / 3, apart), 3.0),
        Stage(wide, 9.0, max(wide / 4, apart), 3.0),
    )


def _maps_to_the_rim(pair: ImagePair, current: Transform, stage: Stage) -> ScoreMaps:
    """Score maps of templates of which up to half hang over the rim of the image.

    Each stands for the centre of what it holds.
    """
    moved, fixed = pair.channels(current)
    room = max(1, int(stage.template / 2 / fixed.stride))
    maps = score_maps(_padded(moved, room), _padded(fixed, room), stage, pair.device)
    centres = maps.centres - room * maps.stride
    half = maps.side * maps.stride / 2
    low, high = np.maximum(centres - half, 0.0), np.minimum(centres + half, pair.optical.shape)
    return replace(maps, centres=(low + high) / 2)


def _padded(channels: Channels, room: int) -> Channels:
    """The same with invalid cells around."""
    values = np.pad(channels.values, ((0, 0), (room, room), (room, room)))
    return Channels(values, np.pad(channels.valid, room), channels.stride)


def _direction(maps: ScoreMaps, current: Transform, base: Transform) -> float | None:
    points = find_tie_points(maps, current)
    displacement = points.optical - base(points.sar)
    clear = (points.ratio >= CLEAR) & is_consistent(points.optical, displacement)
    relief = measure_relief(displacement[clear])
    return None if relief is None or np.isnan(relief.degrees) else relief.degrees


def _points_along(
    maps: ScoreMaps, current: Transform, base: Transform, direction: float
) -> TiePoints:
    """Clear tie points within a band along the range that are displaced as those around them."""
    across = direction_of(direction)[1]
    offsets = (np.arange(maps.scores.shape[1]) - maps.reach) * maps.stride
    off_line = np.abs(across[0] * offsets[:, None] + across[1] * offsets) > _BAND_PX
    scores = np.where(off_line, np.float32(-1.0), maps.scores)
    points = find_tie_points(replace(maps, scores=scores), current)
    return clear_points(points, base)


def relief_transform(
    base: Transform, field: Field, shape: tuple[int, int], terrain: Array | None = None
) -> Transform:
    """The transform that adds a field, and what terrain predicts (H, W, 2), to an affine map."""
    spacing = (_SPACING if terrain is None else _SPACING / 2) * max(1, max(shape) // 1024)
    rows, cols = (np.arange(0, length + spacing, spacing) for length in shape)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    at = grid.reshape(-1, 2)
    values = _without_folds(field(at).reshape(grid.shape), spacing)
    if terrain is not None:  # this may fold, as layover does
        values = values + np.stack(
            [_sampled(terrain[..., k], at).reshape(values.shape[:2]) for k in (0, 1)], axis=-1
        )
    return Transform(ReliefField.on_grid(values, spacing, Affine(base.matrix)), "relief")


def _without_folds(values: Array, spacing: float) -> Array:
    """The field (h, w, 2), smoothed until the ground keeps its order everywhere."""
    blur = 0.5
    while _least_jacobian(values, spacing) < _LEAST_JACOBIAN and blur < 64.0:
        values = np.asarray(
            cv2.GaussianBlur(values, (0, 0), blur, borderType=cv2.BORDER_REPLICATE), np.float64
        )
        blur *= 1.5
    return values


def _least_jacobian(values: Array, spacing: float) -> float:
    """Least area, over the nodes, to which a pixel of the ground shrinks in the SAR image."""
    down, right = (np.gradient(values, spacing, axis=k) for k in (0, 1))
    area = (1 - down[..., 0]) * (1 - right[..., 1]) - down[..., 1] * right[..., 0]
    return float(area.min())


_INCIDENCE = ("incidence", "incidence_angle", "incidenceangle", "incidence_angle_mid_swath")
_SWATH_NODES = 9
_HEADING = ("heading", "platform_heading", "platformheading", "orbit_heading")


def view_geometry(grid: WorkingGrid, settings: ReliefOptions) -> ViewGeometry:
    """How the sensor looked, in pixels of the working grid.

    The options count first, then what the product says over the swath, then tags of the SAR file
    that name a heading or an incidence angle; what none says is left to be found. Where only a
    heading is known the sensor is taken to look to the right, as nearly all do, and images
    without a place to have north up.
    """
    optical = grid.optical
    if (view := _of_product(grid.sar, settings)) is not None and is_placed(optical.grid):
        return _over_swath(grid, view)
    heading, incidence = _numbers(grid.sar, settings)
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


def known_view(sar: ImageFile, grid: GeoBox, settings: ReliefOptions) -> SensorView | None:
    """Incidence and range over an optical image, where a product, tags or options tell both."""
    if not is_placed(grid):
        return None
    if (view := _of_product(sar, settings)) is not None:
        return view
    heading, incidence = _numbers(sar, settings)
    if heading is None or incidence is None:
        return None
    centre = to_lonlat(grid, np.array([shape_of(grid)]) / 2.0)
    by = "heading and incidence angle, taken as one for all of it"
    return SensorView(by, centre, np.array([incidence]), np.array([heading + 90.0]))


def _numbers(sar: ImageFile, settings: ReliefOptions) -> tuple[float | None, float | None]:
    """Heading and incidence by options, else by tags."""
    heading = settings.heading if settings.heading is not None else _number(sar, _HEADING)
    incidence = settings.incidence if settings.incidence is not None else _number(sar, _INCIDENCE)
    return heading, incidence


def _of_product(sar: ImageFile, settings: ReliefOptions) -> SensorView | None:
    """What the product says over the swath, unless an option says otherwise."""
    if settings.heading is not None or settings.incidence is not None:
        return None
    return sensor_view(sar)


def _over_swath(grid: WorkingGrid, view: SensorView) -> ViewGeometry:
    """Range and variation by the product.

    The size is left to be fitted: control points at the heights of the ground have taken a part
    of the relief away already.
    """
    sides = [
        low + np.linspace(0.0, length, _SWATH_NODES)
        for low, length in zip(grid.window.corner, grid.window.shape, strict=True)
    ]
    at = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
    found = view.per_metre(grid.optical.grid, at.reshape(-1, 2))
    row, col = found[len(found) // 2]
    size = np.linalg.norm(found, axis=1).reshape(at.shape[:2]) / np.hypot(row, col)
    return ViewGeometry(float(np.degrees(np.arctan2(row, col))), swath=size)


def view_sources(sar: ImageFile, settings: Mapping[str, Any]) -> dict[str, str]:
    """Which of ``heading``, ``incidence`` and ``swath`` is known, and from where; by name.

    ``swath`` is an account of both that varies over the image.
    """
    given = {
        name: f"--{name}" for name in ("heading", "incidence") if settings.get(name) is not None
    }
    if not given and (view := sensor_view(sar)) is not None:
        return {"swath": view.by}
    for name, tags in (("heading", _HEADING), ("incidence", _INCIDENCE)):
        if name not in given and _number(sar, tags) is not None:
            given[name] = f"a tag of {sar.name}"
    return given


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


def _number(image: ImageFile, names: tuple[str, ...]) -> float | None:
    """The first finite number among the tags of these names."""
    source = image.source
    tags = source.labels.tags if isinstance(source, RasterFile) else {}
    lower = {name.lower(): text for name, text in tags.items()}
    for text in (lower[name] for name in names if name in lower):
        with suppress(ValueError):
            if np.isfinite(value := float(text)):
                return value
    return None
