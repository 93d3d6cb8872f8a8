"""Register a SAR image on an optical image whose place is roughly known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from crosslook.errors import CrosslookError, MatchError, TooSmallError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_model
from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import is_placed, mean_metres, rim
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.align import Alignment, align, align_near, align_wide
from crosslook.match.evidence import Verdict, error_bound, expected_error, judge
from crosslook.match.files import check_out
from crosslook.match.geometry import FLAT_MODELS, Geometry, choose_geometry
from crosslook.match.parts import read_grey
from crosslook.match.pose_range import PoseRange
from crosslook.match.reason import Search, likely_cause
from crosslook.match.result import Failure, MatchResult
from crosslook.match.settings import (
    Model,
    RegisterCall,
    RegisterModel,
    RegisterSettings,
    TransformModel,
    factors,
)
from crosslook.match.starts import start_of
from crosslook.match.terrain import heights_on, look_of
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, identity, scaling, translation
from crosslook.match.warp import warp
from crosslook.match.warped_file import RESAMPLING
from crosslook.options import after_one, after_two, record
from crosslook.progress import Timer, stage
from crosslook.storage import Place
from crosslook.types import Window

MAX_SIDE = 2048
MIN_SIDE = 128
_EDGE_STEPS = 21
_FOLLOWED_DEGREES, _FOLLOWED_SCALE = 3.0, 1.03
MARGIN = 64
"""Optical pixels around the footprint that are matched too."""

_SHAPES = 25.0
"""What a free choice of unequal pixels and shear counts for, as poses that were tried."""

WIDENED = PoseRange(rotation=30.0, scale=(0.8, 1.25))
"""What is searched over the whole overlap where the start leads nowhere."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The two images that are matched, and how they lie in the images.

    A native position is ``origin + factor * position`` of each image. Where the
    two are of different CRSs the SAR image has been brought onto the grid of
    the optical one, and ``brought`` maps its own pixels there.
    """

    sar: GreyImage
    optical: GreyImage
    start: Transform
    sar_factor: int
    optical_factor: int
    sar_origin: tuple[int, int]
    origin: tuple[int, int]
    brought: Transform | None = None

    def to_native(self, transform: Transform) -> Transform:
        """The same map between pixels of the images."""
        if self.brought is not None:
            transform = transform.compose(self.brought)
        grow, shrink = scaling(self.optical_factor), scaling(self.sar_factor).inverse
        move = Transform(translation(*self.origin), "shift")
        back = Transform(translation(-self.sar_origin[0], -self.sar_origin[1]), "shift")
        native = move.compose(grow).compose(transform.compose(shrink.compose(back)))
        # Equal factors cancel, so the model is what was fitted.
        cancel = self.sar_factor == self.optical_factor
        return replace(native, model=transform.model) if cancel else native

    def points_to_native(self, points: TiePoints) -> TiePoints:
        """The same tie points in pixels of the images."""
        sar = points.sar
        if self.brought is not None and len(sar):
            sar = self.brought.inverse(sar)
        return replace(
            points,
            sar=sar * self.sar_factor + np.array(self.sar_origin, np.float64),
            optical=points.optical * self.optical_factor + np.array(self.origin, np.float64),
        )


def working_frame(
    sar: ImageFile, optical: ImageFile, placed: Transform, margin: int = MARGIN
) -> Frame:
    """Choose the grid on which two images are compared, and read both there.

    It is that of the optical image around the SAR footprint, coarser where
    the SAR image is, and reduced so that no side exceeds 2,048 pixels. Only the
    parts that overlap are read.

    Parameters
    ----------
    placed : Transform
        SAR pixels to optical pixels, roughly.
    margin : int
        Optical pixels around the SAR footprint that are read too.

    Raises
    ------
    MatchError
        If the two do not overlap or overlap by less than 128 pixels, or one
        is constant or nodata.
    """
    scale = placed.local_scale(np.array(sar.shape, np.float64) / 2)
    window = _overlap(sar, optical, placed, margin)
    factor = max(1, round(scale), -(-max(window.height, window.width) // MAX_SIDE))
    part = _sar_part(sar, window, placed)
    sar_factor = max(1, round(factor / scale))
    optical_side = min(window.height, window.width) // factor
    if min(optical_side, round(min(part.height, part.width) * scale / factor)) < MIN_SIDE:
        raise _too_small(sar, optical, placed, factor)
    optical_grey = read_grey(optical, "optical", window, factor)
    move = Transform(translation(-window.row, -window.col), "shift")
    begin = Transform(translation(part.row, part.col), "shift").compose(scaling(sar_factor))
    start = scaling(factor).inverse.compose(move).compose(placed.compose(begin))
    sar_grey = read_grey(sar, "sar", part, sar_factor)
    brought = None
    if not start.is_flat:
        brought, start = start, identity("shift")
        sar_grey = warp(sar_grey, brought, optical_grey.shape)
    corners = ((part.row, part.col), (window.row, window.col))
    return Frame(sar_grey, optical_grey, start, sar_factor, factor, *corners, brought)


def _too_small(sar: ImageFile, optical: ImageFile, placed: Transform, factor: int) -> MatchError:
    """The error for an overlap that is too small, counted without the margin around it."""
    ring = placed(rim(sar.grid))
    low, high = (np.clip(np.rint(end), 0, optical.shape) for end in (ring.min(0), ring.max(0)))
    rows, cols = (high - low).astype(int)
    side = MIN_SIDE * factor
    scale = placed.local_scale(np.array(sar.shape) / 2)
    alone = min(*optical.shape, min(sar.shape) * scale) < MIN_SIDE
    why = f", since {factor} x {factor} of them are compared as one" if factor > 1 else ""
    return (TooSmallError if alone else MatchError)(
        f"'{sar.name}' and '{optical.name}' overlap by {rows} x {cols} optical pixels; at least "
        f"{side} x {side} are needed{why}. Give images that share more ground, or finer ones."
    )


def _overlap(sar: ImageFile, optical: ImageFile, placed: Transform, margin: int) -> Window:
    """Optical pixels that the SAR image may cover."""
    ring = placed(rim(sar.grid))
    low, high = ring.min(axis=0), ring.max(axis=0)
    height, width = optical.shape
    if (high <= 0).any() or low[0] >= height or low[1] >= width:
        raise MatchError(
            f"'{sar.name}' and '{optical.name}' do not overlap: the SAR image lies at optical rows "
            f"{low[0]:.0f}..{high[0]:.0f} and columns {low[1]:.0f}..{high[1]:.0f}, the optical "
            f"image has {height} x {width}. Give an optical image of the same place, or use "
            "locate to search for it."
        )
    top, left = np.clip(np.floor(low) - margin, 0, None).astype(int)
    bottom, right = np.minimum(np.ceil(high) + margin, (height, width)).astype(int)
    return Window(int(top), int(left), int(bottom - top), int(right - left))


def _sar_part(sar: ImageFile, window: Window, placed: Transform) -> Window:
    """SAR pixels that may lie in a window of the optical image; all where it holds them all."""
    ring = placed(rim(sar.grid))
    size = np.array([window.height, window.width])
    inside = ring - [window.row, window.col]
    if (inside >= 0).all() and (inside <= size).all():
        return Window(0, 0, *sar.shape)
    fraction = np.linspace(0.0, 1.0, _EDGE_STEPS)
    rows, cols = np.meshgrid(window.row + fraction * size[0], window.col + fraction * size[1])
    back = placed.inverse(np.column_stack([rows.ravel(), cols.ravel()]))
    low = np.clip(np.floor(back.min(axis=0)) - MARGIN, 0, np.array(sar.shape) - 1).astype(int)
    high = np.clip(np.ceil(back.max(axis=0)) + MARGIN, low + 1, sar.shape).astype(int)
    return Window(int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1]))


def make_result(
    alignment: Alignment,
    frame: Frame,
    images: tuple[ImageFile, ImageFile],
    *,
    settings: dict[str, Any],
    timings: dict[str, float],
    verdict: Verdict,
    alternatives: tuple[dict[str, Any], ...] = (),
    window: Window | None = None,
) -> MatchResult:
    """Bring what was found back to the pixels of both images."""
    pixel = frame.optical_factor
    seconds = {**timings, **alignment.seconds}
    lost = alignment.transform is None
    none = lost or verdict.label == "no match"  # so nothing has an accuracy
    return MatchResult(
        verdict="no match" if lost else verdict.label,
        confidence=0.0 if lost else verdict.confidence,
        transform=None if alignment.transform is None else frame.to_native(alignment.transform),
        expected_error_px=None if none else round(expected_error(alignment.evidence) * pixel, 3),
        error_bound_px=None if none else round(error_bound(alignment.evidence) * pixel, 3),
        tie_points=frame.points_to_native(alignment.tie_points),
        evidence=alignment.evidence,
        sar=images[0],
        optical=images[1],
        alternatives=alternatives,
        timings={**seconds, "total": sum(seconds.values())},
        settings={**settings, "resampling": RESAMPLING},
        window=window,
        working_pixel=pixel,
    )


class Pair(Protocol):
    """What is needed of a scene pair."""

    @property
    def id(self) -> str:
        """Name of the scene."""

    @property
    def sar(self) -> Place:
        """The SAR image."""

    @property
    def optical(self) -> Place:
        """The optical image."""


@after_one(RegisterSettings)
def register_all(
    pairs: Iterable[Pair], settings: RegisterSettings
) -> Iterator[MatchResult | Failure]:
    """Register many pairs, as :func:`register` does one, and yield what each gives, in order.

    A pair that cannot be read or matched gives a
    :class:`~crosslook.match.result.Failure`; the others go on.
    """
    extractor = open_model(settings.extractor, settings)
    for pair in pairs:
        try:
            yield _registered(pair.sar, pair.optical, settings, extractor)
        except CrosslookError as error:
            yield Failure(pair.id, error)


@after_two(RegisterCall)
def register(
    sar_image: Place | RasterArray | ImageFile,
    optical_image: Place | RasterArray | ImageFile,
    settings: RegisterCall,
) -> MatchResult:
    """Find the transform that brings a SAR image onto an optical one.

    The georeferences say where to start, also in a frame of their own that both share (world
    files without CRS); without any, both images start at the same upper left corner with pixels
    of one size. Shifts up to 64 pixels of the working grid, rotations up to
    3 degrees and scales up to 3 per cent are followed from there. ``shift``, ``rotation``,
    ``scale``, ``aspect`` and ``flip`` search further (:mod:`crosslook.match.pose_search`), and
    finer where that finds no match; without any, a start that leads to no match is given up for
    a search over the whole overlap, 30 degrees to either side and a scale of 0.8 to 1.25,
    unless ``near_only`` forbids it. ``search`` of the result says which it was. The working
    grid is that of the optical image around the SAR footprint, coarser where the SAR image is,
    and reduced so that no side exceeds 2,048 pixels; errors are still given in optical pixels.
    What a similarity cannot follow, unequal pixels, shear, perspective and hills, is followed
    where that predicts tie points better (:mod:`crosslook.match.geometry`); ``geometry`` of the
    result has the comparison. Verdict and errors stay those of the similarity, on which they
    were fitted.

    Parameters
    ----------
    sar_image, optical_image : path, address, product folder, array or opened image
    settings : RegisterCall
        Or its fields as keywords.

    Returns
    -------
    MatchResult

    Raises
    ------
    SettingError
        If an option is unknown or not allowed.
    RasterError
        If a file cannot be read.
    GridError
        If one image has a georeference and the other has none, or in another frame.
    MatchError
        If the two do not overlap, overlap by less than 128 pixels, are
        constant or hold nothing but nodata.
    """
    check_out(settings)
    extractor = open_model(settings.extractor, settings)
    result = _registered(sar_image, optical_image, settings, extractor)
    if settings.out is not None:
        result.write(settings.out, force=settings.force, overwrite=settings.overwrite)
    return result


def register_from(
    sar_image: Place | RasterArray | ImageFile,
    optical_image: Place | RasterArray | ImageFile,
    start: Transform,
    settings: RegisterSettings,
) -> MatchResult:
    """Register as :func:`register` does, but begin where ``start`` puts the SAR image.

    Parameters
    ----------
    start : Transform
        SAR pixels to optical pixels, good to 60 pixels of the working grid: two
        or three tie points set by hand give one.
    """
    extractor = open_model(settings.extractor, settings)
    return _registered(sar_image, optical_image, settings, extractor, start)


def _registered(
    sar_image: Place | RasterArray | ImageFile,
    optical_image: Place | RasterArray | ImageFile,
    settings: RegisterSettings,
    extractor: Extractor,
    start: Transform | None = None,
) -> MatchResult:
    lap = Timer().lap
    stage("read")
    reading = Reading.parse(settings.reading())
    images = open_image(sar_image, "sar", reading), open_image(optical_image, "optical", reading)
    if settings.mask is not None:
        images = images[0].masked(settings.mask), images[1]
    if settings.optical_mask is not None:
        images = images[0], images[1].masked(settings.optical_mask)
    opened = lap()
    alignment, frame, search, geometry = _searched(images, settings, extractor, start)
    verdict = judge(alignment.evidence)
    cause = ""
    if verdict.label == "no match" or alignment.transform is None:
        cause = likely_cause(frame.sar, frame.optical, frame.start, alignment, search)
    result = make_result(
        alignment,
        frame,
        images,
        settings=record(settings, RegisterSettings),
        timings={"open": opened},
        verdict=verdict,
    )
    comparison = None if geometry is None else geometry.to_dict(frame.optical_factor)
    return replace(result, search=search, reason=cause, geometry=comparison)


def _searched(
    images: tuple[ImageFile, ImageFile],
    settings: RegisterSettings,
    extractor: Extractor,
    start: Transform | None = None,
) -> tuple[Alignment, Frame, Search, Geometry | None]:
    """Align near the start or in the range requested; where no match, over the whole overlap."""
    placed = start_of(*images, settings.points) if start is None else start
    model, seed = _aligned_by(settings.model), settings.seed
    shape = partial(_shaped, images=images, settings=settings, extractor=extractor)
    lap = Timer().lap
    if settings.is_wide:
        shift = _in_pixels(images, placed, settings.shift)
        margin = MARGIN if shift is None else MARGIN + int(np.ceil(shift))
        frame = working_frame(*images, placed, margin)
        wanted = _range_of(settings, None if shift is None else shift / frame.optical_factor)
        read = {"read": lap()}
        images_on_grid = frame.sar, frame.optical
        begin = frame.start
        within = align_wide(*images_on_grid, extractor, begin, wanted, model, seed, again=True)
        timed = replace(within, seconds=read | within.seconds)
        within, geometry = shape(timed, frame, within.transform)
        return within, frame, "requested", geometry
    frame = working_frame(*images, placed)
    read = {"read": lap()}
    near = align_near(frame.sar, frame.optical, extractor, frame.start, model, seed)
    near, geometry = shape(replace(near, seconds=read | near.seconds), frame, frame.start)
    sure = judge(near.evidence)
    if settings.near_only or sure.label == "match":
        return near, frame, "near", geometry
    around = working_frame(*images, placed, _spare(images[0], placed))
    wide = align_wide(around.sar, around.optical, extractor, around.start, WIDENED, model, seed)
    wide, other = shape(wide, around, wide.transform)
    names = {*near.seconds, *wide.seconds}
    seconds = {n: near.seconds.get(n, 0.0) + wide.seconds.get(n, 0.0) for n in sorted(names)}
    if judge(wide.evidence).confidence > sure.confidence:
        return replace(wide, seconds=seconds), around, "widened", other
    return replace(near, seconds=seconds), frame, "widened", geometry


def _aligned_by(model: RegisterModel) -> Model:
    """What the search and its evidence fit; the rest is found from there.

    The verdict was fitted on the evidence of similarities, and holds for
    evidence gathered in the same way alone. So whatever follows is chosen
    after it, and the evidence stays that of the similarity.
    """
    return model if model in ("shift", "tps") else "similarity"


def _shaped(
    alignment: Alignment,
    frame: Frame,
    start: Transform | None,
    *,
    images: tuple[ImageFile, ImageFile],
    settings: RegisterSettings,
    extractor: Extractor,
) -> tuple[Alignment, Geometry | None]:
    """Follow what the similarity of an alignment cannot, as the settings ask for.

    ``start`` is what a shift is counted from: the georeference or, after a
    search of poses, which may have mirrored the image, what was found.
    """
    model = settings.model
    if alignment.transform is None or start is None or model in ("shift", "similarity", "tps"):
        return alignment, None
    lap = Timer().lap
    sure = judge(alignment.evidence).label == "match"
    flat = FLAT_MODELS if start is frame.start else FLAT_MODELS[1:]
    wanted: tuple[TransformModel, ...] = (*flat, "relief") if sure else flat
    if model != "auto":
        wanted = (model,)
    heights = None
    if settings.dem is not None and "relief" in wanted:
        rows, cols = (length * frame.optical_factor for length in frame.optical.shape)
        window = Window(*frame.origin, rows, cols)
        heights = heights_on(images[1], window, frame.optical_factor, settings)
    geometry = choose_geometry(
        frame.sar,
        frame.optical,
        extractor,
        start,
        alignment.transform,
        wanted,
        look_of(*images, frame.optical_factor, settings),
        heights,
        settings.seed,
    )
    seconds = alignment.seconds | {"geometry": lap()}
    if geometry is None or (model == "auto" and geometry.transform is alignment.transform):
        return replace(alignment, seconds=seconds), geometry  # it has been sharpened already
    shaped = replace(
        alignment, transform=geometry.transform, tie_points=geometry.points, seconds=seconds
    )
    if sure or model == "relief":
        return shaped, geometry
    # Unequal pixels or shear may be all that kept it from being a match.
    bent = warp(frame.sar, geometry.transform, frame.optical.shape)
    again = align(bent, frame.optical, extractor, identity(), seed=settings.seed, placed=identity())
    evidence = replace(again.evidence, poses=max(alignment.evidence.poses, _SHAPES))
    if judge(evidence).confidence > judge(alignment.evidence).confidence:
        return replace(shaped, evidence=evidence), geometry
    return replace(alignment, seconds=seconds), None


def _spare(sar: ImageFile, placed: Transform) -> int:
    """Optical pixels around the footprint that the working grid holds without being reduced."""
    extent = float(np.ptp(placed(rim(sar.grid)), axis=0).max())
    scale = placed.local_scale(np.array(sar.shape, np.float64) / 2)
    return max(MARGIN, int((MAX_SIDE * max(1, round(scale)) - extent) / 2) - 1)


def _in_pixels(
    images: tuple[ImageFile, ImageFile], placed: Transform, shift: float | None
) -> float | None:
    """A shift in optical pixels; it is given in metres where the images have a place."""
    sar, optical = images
    if shift is None or not is_placed(optical.grid):
        return shift
    return shift / mean_metres(optical.grid, placed(np.array([sar.shape], np.float64) / 2))


def _range_of(settings: RegisterSettings, shift: float | None) -> PoseRange:
    """What is told, and never less than is followed without being told."""
    low, high = factors(settings.scale)
    return PoseRange(
        max(settings.rotation, _FOLLOWED_DEGREES),
        (min(low, 1 / _FOLLOWED_SCALE), max(high, _FOLLOWED_SCALE)),
        settings.flip,
        shift,
        aspect=factors(settings.aspect),
    )
