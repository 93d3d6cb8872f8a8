"""The grid on which two images are compared, and the parts of both that are read there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crosslook.errors import MatchError, TooSmallError
from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import rim, window_of
from crosslook.geo.image import Image, ImageFile, overlap
from crosslook.geo.raster import RasterFile
from crosslook.match.cached_image import shared_part
from crosslook.match.overlays import LeftOut, leave_out
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import Transform, identity, scaling, shift_by
from crosslook.match.warp import warp
from crosslook.types import FloatArray, Modality, Window

MAX_SIDE = 2048
MIN_SIDE = 128
MARGIN = 64
"""Optical pixels around the footprint that are matched too."""

_LEAST_PIXELS = 4096
_OPTIONS: dict[Modality, str] = {"sar": "--mask", "optical": "--optical-mask"}


@dataclass(frozen=True, eq=False)
class WorkingGrid:
    """The grid of the optical image around the SAR footprint, coarser where the SAR image is.

    A position on the grid is one of the optical window, divided by ``factor``.
    Where the two images are of different CRSs the SAR image is brought onto the
    grid when it is read.

    Attributes
    ----------
    sar, optical : ImageFile
    placed : Transform
        SAR to optical pixels of the files, roughly.
    part, window : Window
        What is read of the SAR image and of the optical one.
    sar_factor, factor : int
        By how much either is reduced.
    """

    sar: ImageFile
    optical: ImageFile
    placed: Transform
    part: Window
    window: Window
    sar_factor: int
    factor: int

    @property
    def start(self) -> Transform:
        """SAR to optical pixels of the grid, as the images are placed."""
        return identity("shift") if self._projects else self._from_reduced

    @property
    def _projects(self) -> bool:
        return not self._from_reduced.is_flat

    @property
    def _from_reduced(self) -> Transform:
        """From the reduced part of the SAR image to the grid."""
        move = shift_by(-self.window.row, -self.window.col)
        begin = shift_by(*self.part.corner) @ scaling(self.sar_factor)
        return scaling(self.factor).inverse @ move @ (self.placed @ begin)

    def read(self, *, framed: bool = True) -> tuple[GreyImage, GreyImage, tuple[LeftOut, ...]]:
        """The SAR image and the optical one, as they are matched, and what was left out of both.

        Raises
        ------
        MatchError
            If one is constant or nodata.
        """
        optical, theirs = shared_part(
            self.optical, self.window, self.factor,
            lambda: _read_grey(self.optical, "optical", self.window, self.factor),
        )  # fmt: skip
        sar, ours = _read_grey(self.sar, "sar", self.part, self.sar_factor)
        offsets = self.frame_offsets if framed else []
        sar, optical, said = leave_out(sar, optical, (ours, theirs), offsets)
        if self._projects:
            sar = warp(sar, self._from_reduced, optical.shape)
        return sar, optical, said

    @property
    def frame_offsets(self) -> list[tuple[int, int]]:
        """Optical pixel less SAR pixel, as they are read, where the two frames share a corner."""
        axes = []
        for axis in (0, 1):
            ours, theirs = self.part.corner[axis], self.window.corner[axis]
            first = ours / self.sar_factor - theirs / self.factor
            longer = self.optical.shape[axis] / self.factor - self.sar.shape[axis] / self.sar_factor
            axes.append({round(first), round(first + longer)})
        return sorted((row, col) for row in axes[0] for col in axes[1])

    def to_native(self, transform: Transform) -> Transform:
        """The same map between pixels of the files."""
        if self._projects:
            transform = transform @ self._from_reduced
        grow, shrink = scaling(self.factor), scaling(self.sar_factor).inverse
        back = shift_by(-self.part.row, -self.part.col)
        native = shift_by(*self.window.corner) @ grow @ (transform @ (shrink @ back))
        # Equal factors cancel, so the model is what was fitted.
        cancel = self.sar_factor == self.factor
        return replace(native, model=transform.model) if cancel else native

    def points_to_native(self, points: TiePoints) -> TiePoints:
        """The same tie points in pixels of the files."""
        sar = points.sar
        if self._projects and len(sar):
            sar = self._from_reduced.inverse(sar)
        optical = points.optical * self.factor + np.array(self.window.corner, np.float64)
        return replace(
            points, sar=sar * self.sar_factor + np.array(self.part.corner), optical=optical
        )


def choose_grid(sar: ImageFile, optical: ImageFile, placed: Transform, margin: int) -> WorkingGrid:
    """Choose the grid on which two images are compared.

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
        If the two do not overlap or overlap by less than 128 pixels.
    """
    scale = placed.local_scale(np.array(sar.shape, np.float64) / 2)
    window = _overlap(sar, optical, placed, margin)
    factor = max(1, round(scale), -(-max(window.height, window.width) // MAX_SIDE))
    part = _sar_part(sar, optical, window, placed)
    sar_factor = max(1, round(factor / scale))
    optical_side = min(window.height, window.width) // factor
    if min(optical_side, round(min(part.height, part.width) * scale / factor)) < MIN_SIDE:
        raise _too_small(sar, optical, placed, factor)
    return WorkingGrid(sar, optical, placed, part, window, sar_factor, factor)


def widest_margin(sar: ImageFile, placed: Transform) -> int:
    """Optical pixels around the footprint that the grid holds without being reduced."""
    extent = float(np.ptp(placed(rim(sar.grid)), axis=0).max())
    scale = placed.local_scale(np.array(sar.shape, np.float64) / 2)
    return max(MARGIN, int((MAX_SIDE * max(1, round(scale)) - extent) / 2) - 1)


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
    return Window.around(low, high).pad(margin).clip(optical.shape)


def _sar_part(sar: ImageFile, optical: ImageFile, window: Window, placed: Transform) -> Window:
    """SAR pixels that may lie in a window of the optical image; all where it holds them all."""
    ring = placed(rim(sar.grid))
    size, inside = np.array(window.shape), ring - window.corner
    if (inside >= 0).all() and (inside <= size).all():
        return Window.whole(sar.shape)
    back = placed.inverse(rim(window_of(optical.grid, window)) + window.corner)
    return Window.around(back.min(axis=0), back.max(axis=0)).pad(MARGIN).clip(sar.shape)


def _read_grey(
    image: ImageFile, modality: Modality, window: Window, factor: int
) -> tuple[GreyImage, FloatArray]:
    """Read a part of an image, reduced by ``factor``, as matching takes it, and before it is so.

    Raises
    ------
    MatchError
        If nothing is valid or all is one value; the mask is named where it is to blame, and
        the other images of a file that holds several.
    """
    seen = image.read(window, factor)
    if image.mask is not None and seen.valid.sum() < _LEAST_PIXELS:
        _check_mask(image, modality, image.mask, seen, window, factor)
    try:
        return seen.grey_image(modality), seen.grey(modality)
    except MatchError as error:
        if image.mask is not None and _is_image(image, modality, window, factor):
            raise MatchError(
                f"{_OPTIONS[modality]} {image.mask.name} leaves pixels of one value of "
                f"'{image.name}': there is nothing to match. Give a mask that is not 0 where "
                "there is something to see, or leave it out."
            ) from error
        others = image.source.others if isinstance(image.source, RasterFile) else ()
        if others:
            raise MatchError(
                f"{error} The file holds {len(others)} images, of which the first was read; name "
                f"another as {others[-1]}."
            ) from error
        raise


def _is_image(image: ImageFile, modality: Modality, window: Window, factor: int) -> bool:
    """Whether there would be something to match without the mask."""
    try:
        replace(image, mask=None).read(window, factor).grey_image(modality)
    except MatchError:
        return False
    return True


def _check_mask(
    image: ImageFile, modality: Modality, mask: RasterFile, seen: Image, window: Window, factor: int
) -> None:
    """Blame the mask where it, and not the image, leaves too few pixels."""
    bare = int(replace(image, mask=None).read(window, factor).valid.sum())
    kept, option = int(seen.valid.sum()), f"{_OPTIONS[modality]} {mask.name}"
    if bare < _LEAST_PIXELS:
        return
    own = replace(mask, onto=None).header.grid
    if mask.onto is not None and not overlap(own, image.grid):
        raise MatchError(
            f"{option} lies elsewhere: it shares no ground with '{image.name}'. Give the mask of "
            "this image."
        )
    if kept == 0:
        raise MatchError(
            f"{option} leaves no pixel of '{image.name}': it is 0, or has no data, wherever the "
            "two images meet, and 0 means not to be matched. Give one that is 1 where there is "
            "something to match (a cloud mask the other way round), or leave it out."
        )
    raise MatchError(
        f"{option} leaves {kept:,} of {bare:,} pixels of '{image.name}' that are matched; at "
        f"least {_LEAST_PIXELS:,} are needed. 0 means not to be matched: is it the other way round?"
    )
