"""A query at the scale of an atlas: its poses, its templates, and where it may lie."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import cv2
import numpy as np

from crosslook.atlas.settings import LocateSettings
from crosslook.atlas.store import Atlas, Level, corners_and_centre
from crosslook.errors import GridError, MatchError, SettingError
from crosslook.extract.base import Extractor
from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import (
    between,
    distances,
    frame_name,
    from_lonlat,
    ground_axes,
    has_map,
    is_placed,
    is_unnamed,
    metres_per_pixel,
    rim,
    to_lonlat,
)
from crosslook.geo.image import ImageFile
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.matchers.template import Stages
from crosslook.match.ncc import box_sums
from crosslook.match.placement import placement
from crosslook.match.refine import FRACTION, LEVELS, PyramidLevel
from crosslook.match.result import outline
from crosslook.match.robust_fit import fit_exact
from crosslook.match.settings import Factors, factors
from crosslook.match.sides import Warned, announced, check_query
from crosslook.match.tie_points import Stage
from crosslook.match.transform import Transform, grid_points, scaling, shift_by, similarity
from crosslook.match.warp import sample_maps, warp
from crosslook.types import Array, FloatArray

_SMALL = 448
_COARSE_FRACTION = 0.25


def stages_for(shape: tuple[int, int]) -> Stages:
    """Stages for a query of this shape: about as many templates whatever its size.

    The place is known to a few pixels by now, so no stage looks far; small
    queries need templates closer together than register does.
    """
    step = float(np.clip(max(shape) / 7, 32.0, 96.0))
    return Stages(
        wide=Stage(template=128.0, radius=32.0, step=step, threshold=10.0),
        second=Stage(template=112.0, radius=16.0, step=step, threshold=6.0),
        last=Stage(template=96.0, radius=12.0, step=0.75 * step, threshold=3.0),
    )


def refinement_for(shape: tuple[int, int]) -> tuple[tuple[PyramidLevel, ...], float]:
    """Levels of the refinement on an optical part of this shape, and the fraction of the way to go.

    The finest level is left out for a large one, to save its time; half the
    resolution shows the optimum less well, so less of the way to it is gone.
    """
    return (LEVELS, FRACTION) if max(shape) <= _SMALL else (LEVELS[:-1], _COARSE_FRACTION)


FAR_KM = 100.0
"""From there on the convergence of a grid differs from that of the atlas by a degree or more."""

LEAST_SIDE = 64
"""Pixels of the atlas that a query must have along either side."""

MOST_CELLS = 64
"""Largest side of a template in cells."""

ROTATION_STEP, SCALE_STEP = 2.5, 0.025
_LARGEST = 1024
_MOST_PARTS = 20  # along a side
_MOST_SCALE = 32.0
_EDGE = 9  # positions along an edge of a box that are brought to the grid
_HALF_CIRCLE = 180.0
_FLAT_ENOUGH_PX = 0.1


@dataclass(frozen=True, eq=False)
class Query:
    """A SAR image as it is looked for.

    Attributes
    ----------
    image : ImageFile
    grey_image : GreyImage
        Reduced to about the pixel of the atlas where it was finer.
    base : Transform
        Pixels of ``grey`` to atlas pixels, without a place: scale, and
        the rotation that its georeference states.
    factor : int
        Pixels of the image per pixel of ``grey_image``.
    warnings : tuple of Warned
        What was noticed of the query, as a georeference far from the atlas.
    """

    image: ImageFile
    grey_image: GreyImage
    base: Transform
    factor: int
    warnings: tuple[Warned, ...] = ()

    @property
    def is_far(self) -> bool:
        """Whether its georeference lies so far from the atlas that it tells no orientation."""
        return any(one.kind == "far away" for one in self.warnings)


@dataclass(frozen=True, eq=False)
class Pose:
    """A query, or a part of it, under one rotation and scale.

    Attributes
    ----------
    rotation, scale : float
        Degrees and factor, beyond what the query itself tells.
    source : GreyImage
        The query, not rotated.
    placed : Transform
        Pixels of ``source`` to pixels of the pose's image.
    shape : (rows, columns) of that image
    """

    rotation: float
    scale: float
    source: GreyImage
    placed: Transform
    shape: tuple[int, int]

    @property
    def grey_image(self) -> GreyImage:
        """What is searched with; made anew at each call, since a search may try thousands."""
        if self.shape == self.source.shape and np.allclose(self.placed.matrix, np.eye(3), 0, 1e-9):
            return self.source
        return warp(self.source, self.placed, self.shape)

    @property
    def centre(self) -> Array:
        """Where the centre of the whole query lies in the image, or beside it; shape (2,)."""
        return self.placed(np.array(self.source.shape, np.float64) / 2)

    @property
    def extent(self) -> Array:
        """Rows and columns that the whole query covers, whatever is searched with; shape (2,)."""
        return np.asarray(np.ptp(self.placed(outline(*self.source.shape)), axis=0), np.float64)


@dataclass(frozen=True, eq=False)
class Template:
    """What is looked for.

    Attributes
    ----------
    values : float32 array, shape (C, h, w)
        Calibrated, mean 0 per channel, zero where not valid; at most 64 cells a side.
    aside : (float, float)
        Cells from the centre of the whole query to that of the template.
    """

    values: FloatArray
    aside: tuple[float, float] = (0.0, 0.0)


def place_warnings(image: ImageFile, atlas: Atlas) -> tuple[Warned, ...]:
    """Say where the georeference of a query puts it beside the atlas that it is searched on."""
    if not is_placed(image.grid):
        return ()
    away = _kilometres_from(image, atlas)
    if away == 0.0:
        return ()
    lon, lat = to_lonlat(image.grid, np.array([image.shape], np.float64) / 2)[0]
    said = f"'{image.name}' says that it lies at {lon:.4f} {lat:.4f}"
    if away <= FAR_KM:
        text = f"{said}, {away:,.1f} km beside the atlas; all of the atlas is searched."
        return (Warned("beside", text),)
    text = (
        f"{said}, {away:,.0f} km from the atlas. Its georeference gives the pixel size alone, and "
        "north is taken to be up: check the file and the atlas, or search with --rotation 180."
    )
    return (Warned("far away", text),)


def _kilometres_from(image: ImageFile, atlas: Atlas) -> float:
    """From the footprint of a query to the nearest ground of the atlas; 0 where they overlap."""
    pixels = atlas.grid.pixels
    with suppress(GridError):  # a place that the CRS of the atlas does not hold
        ring = between(image.grid, pixels, rim(image.grid))
        low, high = ring.min(axis=0), ring.max(axis=0)
        if np.isfinite(ring).all() and (high > 0).all() and (low < atlas.grid.shape).all():
            return 0.0
    here, there = (to_lonlat(grid, rim(grid)) for grid in (image.grid, pixels))
    return min(float(distances(place, there).min()) for place in here) / 1000


def prepare_query(image: ImageFile, atlas: Atlas, gsd: float | None, near: Array) -> Query:
    """Bring a query to the scale of the atlas.

    Parameters
    ----------
    image : ImageFile
    atlas : Atlas
    gsd : float, optional
        Metres on the ground per pixel of a query without georeference.
    near : float64 array, shape (n, 2)
        Pixels of the atlas at which its own pixel size is taken.

    Raises
    ------
    GridError
        If neither a georeference nor ``gsd`` tells the pixel size.
    SettingError
        If both do.
    MatchError
        If the query is constant, all nodata, or its pixels or itself far too small or large.
    """
    warned = announced((*check_query(image), *place_warnings(image, atlas)))
    is_far = any(one.kind == "far away" for one in warned)
    base = _scale_of(image, atlas, gsd, near, is_far=is_far)
    centre = np.array(image.shape, np.float64) / 2
    scale = base.local_scale(centre)
    if not 1 / _MOST_SCALE <= scale <= _MOST_SCALE:
        raise MatchError(
            f"one pixel of '{image.name}' is {scale:.3g} pixels of the atlas; "
            f"1/{_MOST_SCALE:g}..{_MOST_SCALE:g} can be compared. Check --gsd."
        )
    extent = np.ptp(base(outline(*image.shape)), axis=0)
    if extent.min() < LEAST_SIDE:
        raise MatchError(
            f"the query '{image.name}' covers {extent[0]:.0f} x {extent[1]:.0f} pixels of the "
            f"atlas; at least {LEAST_SIDE} x {LEAST_SIDE} are needed. "
            "Give a larger query or a finer atlas; check --gsd."
        )
    factor = max(1, round(1 / scale))
    grey = image.read(None, factor).grey_image("sar")
    return Query(image, grey, _linear(base @ scaling(factor)), factor, warned)


def make_poses(query: Query, rotation: float, scale: Factors) -> list[Pose]:
    """Rotate and scale a query over a range.

    Parameters
    ----------
    query : Query
    rotation : float
        Largest rotation in degrees, 0..180, tried in steps of at most 2.5 in both directions.
    scale : str, float or pair
        As ``--scale`` of register: a fraction, or the lowest and highest
        factor; tried in steps of 0.025 from 1.
    """
    low, high = factors(scale)
    first, last = (low - 1.0) / SCALE_STEP, (high - 1.0) / SCALE_STEP
    steps = np.arange(np.floor(first + 1e-9), np.ceil(last - 1e-9) + 1)
    return [
        _pose(query, float(degrees), float(factor))
        for degrees in _rotations(rotation)
        for factor in 1.0 + steps * SCALE_STEP
    ]


def cut_poses(poses: Sequence[Pose], side: int, least_valid: float) -> list[Pose]:
    """Cut poses into parts that overlap by half.

    A part of a query may lie in an atlas where the whole does not, and whether
    a query is larger than the atlas or laps over its edge is not known before.

    Parameters
    ----------
    poses : sequence of Pose
    side : int
        Of a part, pixels of the atlas.
    least_valid : float
        Least fraction of valid pixels of a part that is used, 0..1.
    """
    parts = []
    for pose in poses:
        ring = pose.placed(outline(*pose.source.shape))
        low, high = np.floor(ring.min(axis=0)), np.ceil(ring.max(axis=0))
        starts = [_even_starts(a, b, side) for a, b in zip(low, high, strict=True)]
        for row, col in ((r, c) for r in starts[0] for c in starts[1]):
            shape = [int(min(side, b - a)) for a, b in zip((row, col), high, strict=True)]
            placed = shift_by(-row, -col) @ pose.placed
            part = replace(pose, placed=placed, shape=(shape[0], shape[1]))
            if part.grey_image.valid.mean() >= least_valid:
                parts.append(part)
    return parts


def _even_starts(low: float, high: float, side: int) -> list[float]:
    """Where parts of a length begin."""
    spare = max(0.0, high - low - side)
    count = min(_MOST_PARTS, int(np.ceil(spare / (side / 2))) + 1)
    return [float(v) for v in np.round(np.linspace(low, low + spare, count))]


def make_template(
    pose: Pose, level: Level, extractor: Extractor
) -> tuple[Template, tuple[int, int]]:
    """Features of a pose on the cells of a level, and its first cell.

    Of a query with more than 64 cells a side that part is taken which has the
    most contrast.
    """
    grey = pose.grey_image
    channels = on_cells(dense_channels(grey, extractor), grey.shape, level.cell)
    values = centred(channels)
    energy = np.einsum("chw,chw->hw", values, values)
    height, width = (min(MOST_CELLS, length) for length in energy.shape)
    sums = box_sums(energy[None].astype(np.float64), height, width)[0]
    start = divmod(int(sums.argmax()), sums.shape[1])
    rows, cols = (slice(first, first + MOST_CELLS) for first in start)
    part = np.ascontiguousarray(values[:, rows, cols])
    aside = np.array(start) + np.array(part.shape[1:]) / 2 - pose.centre / level.cell
    return Template(part, (float(aside[0]), float(aside[1]))), start


def on_cells(channels: Channels, shape: tuple[int, int], cell: int) -> Channels:
    """Resample channels to whole cells of ``cell`` pixels, where they have another stride."""
    if channels.stride == cell:
        rows, cols = (max(1, length // cell) for length in shape)
        return Channels(channels.values[:, :rows, :cols], channels.valid[:rows, :cols], cell)
    at = [(np.arange(max(1, n // cell)) + 0.5) * cell / channels.stride - 0.5 for n in shape]
    values = sample_maps(channels.values, at)
    solid = sample_maps(channels.valid[None], at, cv2.BORDER_CONSTANT)[0]
    valid = np.asarray(solid > 0.999, np.bool_)
    return Channels(np.where(valid, values, np.float32(0.0)), valid, float(cell))


def centred(channels: Channels) -> FloatArray:
    """Channels without their mean over valid cells: what is left says where, not how much."""
    values = channels.values
    count = max(1, int(channels.valid.sum()))
    mean = (values.sum(axis=(1, 2), dtype=np.float64) / count).astype(np.float32)
    return np.asarray((values - mean[:, None, None]) * channels.valid, np.float32)


def with_projection(placed: Transform, query: Query, atlas: Atlas) -> Transform:
    """The map of a query's pixels with the curvature of its own projection.

    A candidate is placed by an affine map. Between two CRSs the exact shape of
    a large image is not affine: it is taken from where the image says that it
    lies, and moved to where it was found.

    Parameters
    ----------
    placed : Transform
        Affine, pixels of the image to pixels of the atlas.
    """
    image = query.image
    is_flat = not is_placed(image.grid) or image.grid.crs == atlas.grid.pixels.crs
    if is_flat or query.is_far:
        return placed
    own = placement(image.grid, atlas.grid.pixels)
    points = grid_points(*image.shape)
    try:
        there = own(points)
    except GridError:  # it says a place that the CRS of the atlas does not hold
        return placed
    flat = fit_exact(points, there, "affine")
    if np.linalg.norm(flat(points) - there, axis=1).max() <= _FLAT_ENOUGH_PX:
        return placed
    return placed @ flat.inverse @ own


def _scale_of(
    image: ImageFile, atlas: Atlas, gsd: float | None, near: Array, *, is_far: bool
) -> Transform:
    """Steps of the query in pixels of the atlas.

    Within one CRS as the two affine maps say; else both are measured in metres
    on the ground, where the query says that it lies. So each axis has its own
    scale, as in an atlas in degrees, and north is north in both. Where it says a
    place far from the atlas, how its grid lies to north there means nothing.
    """
    pixels = atlas.grid.pixels
    if is_placed(image.grid):
        if gsd is not None:
            raise SettingError(
                f"'{image.name}' has a georeference that tells its pixel size; leave --gsd out."
            )
        if image.grid.crs == pixels.crs:
            return _linear(placement(image.grid, pixels))
        centre = np.array([image.shape], np.float64) / 2
        own = ground_axes(image.grid, centre[0])
        if is_far:
            own = _grid_north_up(own, image)
        else:
            with suppress(GridError):  # a place that the CRS of the atlas does not hold
                near = between(image.grid, pixels, centre)
    elif gsd is None and is_unnamed(image.grid):
        raise GridError(
            f"'{image.name}' has a map but no CRS (a world file?), so its pixel size on the "
            "ground is not known. Give the CRS with --crs, or the size in metres with --gsd."
        )
    elif gsd is None:
        frame = (
            f"lies in {frame_name(image.grid)}" if has_map(image.grid) else "has no georeference"
        )
        raise GridError(
            f"'{image.name}' {frame}, so its pixel size on the ground is not known. "
            "Give it in metres with --gsd."
        )
    else:  # a plain image lies along the axes of the map
        sides = np.mean([metres_per_pixel(pixels, point) for point in near], axis=0)
        return Transform(np.diag([*(gsd / sides), 1.0]), "affine")
    ground = np.mean([ground_axes(pixels, point) for point in near], axis=0)
    matrix = np.eye(3)
    matrix[:2, :2] = np.linalg.solve(ground, own)
    return Transform(matrix, "affine")


def _grid_north_up(ground: Array, image: ImageFile) -> Array:
    """Ground axes (2, 2) without the convergence of the grid: its north is taken for north."""
    a, b, _, d, e, _ = tuple(image.grid.affine)[:6]
    own = np.array([[b, a], [e, d]])
    _, size, right = np.linalg.svd(ground @ np.linalg.inv(own))  # map units to metres
    stretched = right.T @ np.diag(size) @ right  # its polar decomposition without the rotation
    return np.asarray(stretched @ own, np.float64)


def _pose(query: Query, rotation: float, scale: float) -> Pose:
    rotated = similarity((0.0, 0.0), rotation, scale) @ query.base
    ring = rotated(outline(*query.grey_image.shape))
    low, high = ring.min(axis=0), ring.max(axis=0)
    size = np.maximum(1, np.round(high - low)).astype(int)
    # What is searched with is bounded; the whole query is matched afterwards.
    cut = np.minimum(size, _LARGEST)
    origin = low + (size - cut) // 2
    placed = shift_by(-origin[0], -origin[1]) @ rotated
    return Pose(rotation, scale, query.grey_image, placed, (int(cut[0]), int(cut[1])))


def _linear(transform: Transform) -> Transform:
    """The same map with the origin staying where it is."""
    matrix = transform.matrix.copy()
    matrix[:2, 2] = 0.0
    return Transform(matrix, "affine" if transform.model != "shift" else "similarity")


def _rotations(limit: float) -> Array:
    """Rotations tried; 180 degrees to the left are 180 degrees to the right."""
    count = int(np.ceil(limit / ROTATION_STEP - 1e-9))
    rotations = np.linspace(-limit, limit, 2 * count + 1)
    return rotations[1:] if limit >= _HALF_CIRCLE else rotations


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
        return corners_and_centre(self.top, self.left, self.bottom, self.right)


def make_prior(atlas: Atlas, image: ImageFile, settings: LocateSettings) -> Prior | None:
    """Where the settings say that a query lies; None where they say nothing.

    Raises
    ------
    SettingError
        If the values do not form a prior.
    MatchError
        If the atlas holds nothing there.
    """
    if settings.bbox is not None:
        prior = _box(atlas, settings.bbox)
    elif settings.radius_km is not None:
        prior = _disc(atlas, image, settings.near, settings.radius_km)
    else:
        return None
    top, left, bottom, right = prior.in_cells(atlas.grid.block)
    for row, col in atlas.manifest.blocks:
        if top - 1 < row < bottom and left - 1 < col < right:
            return prior
    raise MatchError(
        f"the prior is empty: atlas '{atlas.name}' holds nothing there. "
        "Check longitude and latitude, expand the radius, or see atlas info."
    )


def _disc(
    atlas: Atlas, image: ImageFile, near: tuple[float, float] | None, radius_km: float
) -> Prior:
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
