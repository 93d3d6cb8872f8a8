"""Register a SAR image on an optical image whose place is roughly known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from crosslook.errors import CrosslookError, GridError, MatchError
from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_model
from crosslook.geo.grid import is_placed, rim
from crosslook.geo.image import ImageFile, open_image
from crosslook.geo.picture import Picture
from crosslook.geo.raster import RasterArray
from crosslook.geo.reading import Reading
from crosslook.match.align import Alignment, align
from crosslook.match.files import RESAMPLING
from crosslook.match.judge import Verdict, expected_error, judge
from crosslook.match.result import Failure, MatchResult, placement
from crosslook.match.settings import RegisterCall, RegisterSettings
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, identity, scaling, translation
from crosslook.match.warp import warp
from crosslook.options import after_one, after_two, record
from crosslook.progress import Timer, stage
from crosslook.storage import Place
from crosslook.types import Window

MAX_SIDE = 2048
MIN_SIDE = 128
_EDGE_STEPS = 21
MARGIN = 64
"""Optical pixels around the footprint that are matched too."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The two pictures that are matched, and how they lie in the images.

    A native position is ``origin + factor * position`` of each image. Where the
    two are of different CRSs the SAR picture has been brought onto the grid of
    the optical one, and ``brought`` maps its own pixels there.
    """

    sar: Picture
    optical: Picture
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


def working_frame(sar: ImageFile, optical: ImageFile, placed: Transform) -> Frame:
    """Choose the grid on which two images are compared, and read both there.

    It is that of the optical image around the SAR footprint, coarser where
    the SAR image is, and reduced so that no side exceeds 2,048 pixels. Only the
    parts that overlap are read.

    Parameters
    ----------
    placed : Transform
        SAR pixels to optical pixels, roughly.

    Raises
    ------
    MatchError
        If the two do not overlap or overlap by less than 128 pixels, or one
        is constant or nodata.
    """
    scale = placed.local_scale(np.array(sar.shape, np.float64) / 2)
    window = _overlap(sar, optical, placed)
    factor = max(1, round(scale), -(-max(window.height, window.width) // MAX_SIDE))
    part = _sar_part(sar, window, placed)
    sar_factor = max(1, round(factor / scale))
    picture = optical.read(window, factor).picture("optical")
    if min(picture.shape) < MIN_SIDE or min(part.height, part.width) * scale / factor < MIN_SIDE:
        raise MatchError(
            f"the images overlap by {window.height} x {window.width} optical pixels, compared at "
            f"{factor} a side; at least {MIN_SIDE} x {MIN_SIDE} after that are needed. "
            "Give larger images or a finer optical one."
        )
    move = Transform(translation(-window.row, -window.col), "shift")
    begin = Transform(translation(part.row, part.col), "shift").compose(scaling(sar_factor))
    start = scaling(factor).inverse.compose(move).compose(placed.compose(begin))
    sar_picture = sar.read(part, sar_factor).picture("sar")
    brought = None
    if start.projection is not None:
        brought, start = start, identity("shift")
        sar_picture = warp(sar_picture, brought, picture.shape)
    corners = ((part.row, part.col), (window.row, window.col))
    return Frame(sar_picture, picture, start, sar_factor, factor, *corners, brought)


def _overlap(sar: ImageFile, optical: ImageFile, placed: Transform) -> Window:
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
    top, left = np.clip(np.floor(low) - MARGIN, 0, None).astype(int)
    bottom, right = np.minimum(np.ceil(high) + MARGIN, (height, width)).astype(int)
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
    found: Alignment,
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
    seconds = {**timings, **found.seconds}
    lost = found.transform is None
    return MatchResult(
        verdict="no match" if lost else verdict.label,
        confidence=0.0 if lost else verdict.confidence,
        transform=None if found.transform is None else frame.to_native(found.transform),
        expected_error_px=None if lost else round(expected_error(found.evidence) * pixel, 3),
        tie_points=frame.points_to_native(found.tie_points),
        evidence=found.evidence,
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

    The georeferences say where to start; without any, both images start at
    the same upper left corner with pixels of one size. Shifts up to 64
    pixels of the working grid, rotations up to 3 degrees and scales up to 3 per
    cent are captured. The working grid is that of the optical image around
    the SAR footprint, coarser where the SAR image is, and reduced so that no
    side exceeds 2,048 pixels; errors are still given in optical pixels.

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
        If one image has a georeference and the other has none.
    MatchError
        If the two do not overlap, overlap by less than 128 pixels, are
        constant or hold nothing but nodata.
    """
    extractor = open_model(settings.extractor, settings)
    result = _registered(sar_image, optical_image, settings, extractor)
    if settings.out is not None:
        result.write(settings.out, force=settings.force)
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
    frame = working_frame(*images, _placed(*images) if start is None else start)
    read = lap()
    pictures = frame.sar, frame.optical
    found = align(*pictures, extractor, frame.start, settings.model, seed=settings.seed)
    return make_result(
        found,
        frame,
        images,
        settings=record(settings, RegisterSettings),
        timings={"read": read},
        verdict=judge(found.evidence),
    )


def _placed(sar: ImageFile, optical: ImageFile) -> Transform:
    if is_placed(sar.grid) != is_placed(optical.grid):
        has, lacks = (sar, optical) if is_placed(sar.grid) else (optical, sar)
        raise GridError(
            f"'{has.name}' has a CRS, '{lacks.name}' has none: where to start is not known. "
            "Give two georeferenced images, or two plain ones that begin at the same corner."
        )
    return placement(sar.grid, optical.grid)
