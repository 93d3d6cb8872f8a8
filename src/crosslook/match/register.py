"""Register a SAR image on an optical image whose place is roughly known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.errors import GridError, MatchError
from crosslook.extract.registry import open_model
from crosslook.geo.image import GeoImage, open_image
from crosslook.geo.picture import Picture
from crosslook.match.align import Alignment, align
from crosslook.match.files import RESAMPLING
from crosslook.match.judge import Verdict, expected_error, judge
from crosslook.match.refine import reduce_picture
from crosslook.match.result import MatchResult, outline, placement
from crosslook.match.settings import RegisterCall, RegisterSettings
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, scaling, translation
from crosslook.options import Reading, after_two, record, refuse_reading
from crosslook.progress import Timer
from crosslook.types import Window

MAX_SIDE = 2048
MIN_SIDE = 128
MARGIN = 64
"""Optical pixels around the footprint that are matched too."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The two pictures that are matched, and how they lie in the images.

    A native position is ``origin + factor * position``; SAR pixels have no
    origin.
    """

    sar: Picture
    optical: Picture
    start: Transform
    sar_factor: int
    optical_factor: int
    origin: tuple[int, int]

    def to_native(self, transform: Transform) -> Transform:
        """The same map between pixels of the images."""
        grow, shrink = scaling(self.optical_factor), scaling(self.sar_factor).inverse
        move = Transform(translation(*self.origin), "shift")
        native = move.compose(grow).compose(transform.compose(shrink))
        # Equal factors cancel, so the model is what was fitted.
        cancel = self.sar_factor == self.optical_factor
        return replace(native, model=transform.model) if cancel else native

    def points_to_native(self, points: TiePoints) -> TiePoints:
        """The same tie points in pixels of the images."""
        return replace(
            points,
            sar=points.sar * self.sar_factor,
            optical=points.optical * self.optical_factor + np.array(self.origin, np.float64),
        )


def working_frame(sar: GeoImage, optical: GeoImage, placed: Transform) -> Frame:
    """Choose the grid on which two images are compared.

    It is that of the optical image around the SAR footprint, coarser where
    the SAR image is, and reduced so that no side exceeds 2,048 pixels.

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
    top, left, bottom, right = _window(sar, optical, placed)
    coarsest = max(1, round(scale))
    side = max(bottom - top, right - left)
    factor = max(coarsest, -(-side // MAX_SIDE))
    part = replace(
        optical,
        bands=optical.bands[:, top:bottom, left:right],
        valid=optical.valid[top:bottom, left:right],
    )
    picture = reduce_picture(part.picture("optical"), factor)
    if min(picture.shape) < MIN_SIDE or min(sar.shape) * scale / factor < MIN_SIDE:
        raise MatchError(
            f"the images overlap by {bottom - top} x {right - left} optical pixels, compared at "
            f"{factor} a side; at least {MIN_SIDE} x {MIN_SIDE} after that are needed. "
            "Give larger images or a finer optical one."
        )
    sar_factor = max(1, round(factor / scale))
    move = Transform(translation(-top, -left), "shift")
    start = scaling(factor).inverse.compose(move).compose(placed.compose(scaling(sar_factor)))
    sar_picture = reduce_picture(sar.picture("sar"), sar_factor)
    return Frame(sar_picture, picture, start, sar_factor, factor, (top, left))


def _window(sar: GeoImage, optical: GeoImage, placed: Transform) -> tuple[int, int, int, int]:
    """Optical rows and columns that the SAR image may cover."""
    ring = placed(outline(*sar.shape))
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
    return int(top), int(left), int(bottom), int(right)


def make_result(
    found: Alignment,
    frame: Frame,
    images: tuple[GeoImage, GeoImage],
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


@after_two(RegisterCall)
def register(
    sar_image: str | Path | GeoImage, optical_image: str | Path | GeoImage, settings: RegisterCall
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
    sar_image, optical_image : path or GeoImage
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
    lap = Timer().lap
    reading = settings.reading()
    images = _opened(sar_image, reading), _opened(optical_image, reading)
    placed = _placed(*images, spline=settings.model == "tps")
    frame = working_frame(*images, placed)
    read = lap()
    extractor = open_model(settings.extractor, settings)
    found = align(
        frame.sar,
        frame.optical,
        extractor,
        frame.start,
        settings.model,
        seed=settings.seed,
    )
    result = make_result(
        found,
        frame,
        images,
        settings=record(settings, RegisterSettings),
        timings={"read": read},
        verdict=judge(found.evidence),
    )
    if settings.out is not None:
        result.write(settings.out, force=settings.force)
    return result


def _opened(image: str | Path | GeoImage, reading: Reading) -> GeoImage:
    refuse_reading(reading)
    return image if isinstance(image, GeoImage) else open_image(image)


def _placed(sar: GeoImage, optical: GeoImage, *, spline: bool) -> Transform:
    if (sar.reference is None) != (optical.reference is None):
        has, lacks = (optical, sar) if sar.reference is None else (sar, optical)
        raise GridError(
            f"'{has.name}' has a CRS, '{lacks.name}' has none: where to start is not known. "
            "Give two georeferenced images, or two plain ones that begin at the same corner."
        )
    return placement(sar.reference, optical.reference, sar.shape, affine=spline)
