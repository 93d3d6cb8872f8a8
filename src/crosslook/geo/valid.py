"""One rule for which pixels hold data, for every image and every command.

A pixel is invalid where any of the bands in use is

- declared so: the file's nodata, mask or alpha, NaN or infinite;
- a constant that fills the outside, though no nodata was declared: at least 64
  pixels of one value that is far from all others (-9999, 65535), or, in an
  image of floats, that forms a region at the border; there may be up to three,
  as steps of a chain leave them, and the bands of a stack may hold them in
  different places;
- zero outside the swath: zeros of all bands in regions of at least 64 pixels
  that hold a corner of the image and leave, or are, a convex area. Dark water
  and single zeros stay data;
- zero or less in an image of power in floats, which has no such values.

Invalid regions of at most 25 pixels (speckle zeros, NaN sprinkled over a
product) are filled from their neighbours and counted, so that a hole never
spreads over a feature cell or a resampled block.

Images longer than 2,048 pixels are surveyed on a lattice instead of pixel by
pixel, so that no image is ever read whole. What is zero (or the fill) next to
a lattice point outside the swath then counts as outside too.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.geo.grid import shape_of
from crosslook.geo.raster import Source
from crosslook.geo.spread import read_rows
from crosslook.types import FloatArray, Mask, Window

_LONGEST = 2048
_OVERVIEW = 512
_LEAST_PIXELS = 64
_LARGEST_HOLE = 25
_CHEAP_PIXELS = 36_000_000  # an image of so many may be touched everywhere once
_SITES = 10  # lattice points along each side of a larger one
_SITE_SIDE = 48
_STRIP_PIXELS = 4_000_000
_STRAIGHT = 0.9
_MOST_FILLS = 3
_FEW_VALUES = 512
_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
_FAR = 1.0  # a fill lies at least so many ranges (1 to 99 %) of the rest away

MARGIN = 8
"""Pixels around a window that must be read too for its small holes to be filled."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What a survey of an image found of its invalid pixels.

    Attributes
    ----------
    sample : float32 array, shape (bands, n)
        Values of valid pixels spread over the image.
    spacing : int
        Pixels between lattice points.
    outside : bool array, shape (rows, columns), or None
        Lattice points where zeros lie outside the swath; None where there are none.
    fills : tuple of float
        Undeclared constants that are no data wherever they are.
    fraction : float
        Of the image that is filled with them or lies outside, 0..1.
    empty : tuple of bool
        Of each band: whether it holds no data at all.
    fractions : tuple of float
        Of the image that holds data in each band, 0..1.
    common : float
        Of the image that holds data in all bands that hold any, 0..1.
    apart : tuple of int
        Bands that hold data in different places, of which one alone is read.
    """

    sample: FloatArray
    spacing: int
    outside: Mask | None
    fills: tuple[float, ...]
    fraction: float
    empty: tuple[bool, ...]
    fractions: tuple[float, ...] = (1.0,)
    common: float = 1.0
    apart: tuple[int, ...] = ()

    def clear(
        self, values: FloatArray, rows: NDArray[np.float32], cols: NDArray[np.float32]
    ) -> FloatArray:
        """Set the fill, and zeros outside the swath, to NaN, in place.

        Parameters
        ----------
        values : float32 array, shape (bands, h, w)
        rows, cols : float arrays that broadcast to (h, w)
            Where the pixels lie in the image that was surveyed.
        """
        for number in self.fills:
            values[:, (values == np.float32(number)).any(axis=0)] = np.nan
        if self.outside is not None and (zero := (values == 0).all(axis=0)).any():
            values[:, zero & self.is_outside(rows, cols)] = np.nan
        return values

    def is_outside(self, rows: NDArray[np.float32], cols: NDArray[np.float32]) -> Mask:
        """Whether positions are near a lattice point outside the swath, shape (h, w)."""
        if self.outside is None:
            return np.zeros(np.broadcast_shapes(rows.shape, cols.shape), np.bool_)
        height, width = self.outside.shape
        row = np.clip(rows // self.spacing, 0, height - 1).astype(np.intp)
        col = np.clip(cols // self.spacing, 0, width - 1).astype(np.intp)
        return np.asarray(self.outside[row, col], np.bool_)


def survey(source: Source, bands: tuple[int, ...], zeros: str = "auto") -> Survey:
    """Look over an image once, whole where it is small, on a lattice where it is large.

    Raises
    ------
    RasterError
        If the file is damaged.
    """
    height, width = shape_of(source.header.grid)
    if max(height, width) <= _LONGEST:
        pixels = _read_strips(source, bands, height, width)
        spacing = 1
        sample = pixels[:, :: max(1, height // _OVERVIEW), :: max(1, width // _OVERVIEW)]
    elif height * width <= _CHEAP_PIXELS or source.header.has_levels:
        spacing = -(-max(height, width) // _LONGEST)
        shape = (max(1, height // spacing), max(1, width // spacing))
        if source.header.stale_overviews:  # then the pixels themselves
            pixels = read_rows(source.read, Window.whole((height, width)), bands, shape)
        else:
            pixels = source.read(None, bands, shape)
        sample = pixels
    else:
        pixels, sample, spacing = _read_sites(source, bands, height, width)
    empty = tuple(bool(~np.isfinite(band).any()) for band in pixels)
    holding = [all(empty) or not nothing for nothing in empty]
    used = pixels[holding]
    fills, lost = _find_fills(used, source.header.dtype)
    outside = _zeros_outside(used, lost, zeros, spacing)
    if outside is not None and zeros == "auto" and _is_constant(used, lost | outside):
        outside = None  # zeros and one other value: a mask or a scan, no swath
    full = np.isfinite(pixels) & ~np.isin(pixels, np.array(fills, np.float32))
    fractions, common = tuple(float(band.mean()) for band in full), full[holding].all(axis=0).mean()
    fraction = float((lost if outside is None else lost | outside).mean())
    if outside is not None and spacing > 1:
        outside = _grown(outside, np.ones((3, 3), np.uint8))
    values = _values_of(sample, holding, fills, outside is not None)
    return Survey(values, spacing, outside, fills, fraction, empty, fractions, float(common))


def _is_constant(pixels: FloatArray, lost: Mask) -> bool:
    """Whether all that is left of an image is one value."""
    rest = pixels[:, np.isfinite(pixels).all(axis=0) & ~lost]
    return bool(rest.shape[1]) and bool((rest == rest[:, :1]).all())


def fill_small_holes(values: FloatArray, valid: Mask) -> Mask:
    """Fill invalid regions of at most 25 pixels from their neighbours, in place.

    Parameters
    ----------
    values : float32 array, shape (bands, h, w)
        Any number where invalid.
    valid : bool array, shape (h, w)
        Set where a hole was filled, in place too.

    Returns
    -------
    bool array, shape (h, w)
        The pixels filled.
    """
    small = np.zeros(valid.shape, np.bool_)
    if valid.all() or not valid.any():
        return small
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (~valid).astype(np.uint8), connectivity=4
    )
    few = stats[:, cv2.CC_STAT_AREA] <= _LARGEST_HOLE
    few[0] = False
    if count < 2 or not few.any():
        return small
    small = fill_from_neighbours(values, valid, np.asarray(few[labels], np.bool_))
    valid |= small
    return small


def fill_from_neighbours(values: FloatArray, valid: Mask, holes: Mask) -> Mask:
    """Fill holes (h, w) of values (bands, h, w) from their rims inwards, in place.

    Returns
    -------
    bool array, shape (h, w)
        The pixels filled; a hole beside which nothing is valid is not.
    """
    known = valid.copy()
    left = holes.copy()
    while left.any():
        weight = cv2.blur(known.astype(np.float32), (3, 3), borderType=cv2.BORDER_CONSTANT)
        now = left & (weight > 0)
        if not now.any():
            break
        for band in values:
            there = np.where(known, band, np.float32(0.0))
            total = cv2.blur(there, (3, 3), borderType=cv2.BORDER_CONSTANT)
            band[now] = total[now] / weight[now]
        known |= now
        left &= ~now
    return np.asarray(holes & known, np.bool_)


def _read_strips(source: Source, bands: tuple[int, ...], height: int, width: int) -> FloatArray:
    out = np.empty((len(bands), height, width), np.float32)
    deep = max(1, _STRIP_PIXELS // (width * len(bands)))
    for strip in Window(0, 0, height, width).tiles(deep, width):
        out[:, *strip.slices] = source.read(strip, bands)
    return out


def _read_sites(
    source: Source, bands: tuple[int, ...], height: int, width: int
) -> tuple[FloatArray, FloatArray, int]:
    """Values at lattice points (bands, rows, cols), all of the windows there, and the spacing."""
    spacing = -(-max(height, width) // _SITES)
    rows, cols = -(-height // spacing), -(-width // spacing)
    points = np.empty((len(bands), rows, cols), np.float32)
    windows = []
    for row in range(rows):
        for col in range(cols):
            top = min(row * spacing + spacing // 2, height - 1) - _SITE_SIDE // 2
            left = min(col * spacing + spacing // 2, width - 1) - _SITE_SIDE // 2
            window = source.read(Window(top, left, _SITE_SIDE, _SITE_SIDE), bands)
            points[:, row, col] = window[:, _SITE_SIDE // 2, _SITE_SIDE // 2]
            windows.append(window)
    return points, np.concatenate(windows, axis=1), spacing


def _find_fills(pixels: FloatArray, dtype: str) -> tuple[tuple[float, ...], Mask]:
    """The undeclared constants that mean no data, and where they are."""
    lost = np.zeros(pixels.shape[1:], np.bool_)
    found: list[float] = []
    while len(found) < _MOST_FILLS:
        more = (
            _find_fill(pixels, lost, dtype)
            or _find_both(pixels, lost)
            or _find_by_band(pixels, lost, dtype)
        )
        if not more:
            break
        found += more
        for number in more:
            lost |= (pixels == np.float32(number)).any(axis=0)
    return tuple(found[:_MOST_FILLS]), lost


def _find_fill(pixels: FloatArray, lost: Mask, dtype: str) -> list[float]:
    """A constant that means no data besides those that are lost already; maybe none."""
    finite: Mask = np.asarray(np.isfinite(pixels).all(axis=0) & ~lost, np.bool_)
    if not finite.any():
        return []
    band = np.where(lost, np.float32(np.nan), pixels[0])
    rim = np.concatenate(
        [side[np.isfinite(side)] for side in (band[0], band[-1], band[:, 0], band[:, -1])]
    )
    values, counts = np.unique(rim, return_counts=True)
    commonest = [values[counts.argmax()]] if len(values) else []
    known = band[finite]
    for value in dict.fromkeys([known.min(), known.max(), *commonest]):
        alike = (pixels == value).all(axis=0)
        if not _enough(alike):
            continue
        rest = band[finite & ~alike]
        if not len(rest):
            continue
        if _is_far(rest, value):
            return [float(value)]
        if _least_spread(rest) <= 0 and _spread(rest) <= 0:  # two values, as of a mask, are data
            continue
        floats = dtype.startswith("float") and value != 0
        if floats and _border_regions(alike, np.asarray(~finite), _LEAST_PIXELS) is not None:
            return [float(value)]
    return []


def _find_both(pixels: FloatArray, lost: Mask) -> list[float]:
    """The least and the greatest value, where each is far from the rest but not from all others."""
    finite = np.isfinite(pixels).all(axis=0) & ~lost
    if not finite.any():
        return []
    band = pixels[0]
    known = band[finite]
    least, most = known.min(), known.max()
    both = [(pixels == value).all(axis=0) for value in (least, most)]
    if not all(map(_enough, both)):
        return []
    rest = band[finite & ~both[0] & ~both[1]]
    if not len(rest):
        return []
    far = _is_far(rest, least) and _is_far(rest, most)
    return [float(least), float(most)] if far else []


def _find_by_band(pixels: FloatArray, lost: Mask, dtype: str) -> list[float]:
    """An end of all values that two bands or more hold far from their others, maybe nowhere both.

    Dates of a stack that saw different ground have the number in common, not the pixels. In
    whole numbers the upper end of one channel is what saturates.
    """
    finite = np.isfinite(pixels) & ~lost
    if len(pixels) < 2 or not finite.any():
        return []
    ends = [pixels[finite].min(), pixels[finite].max()]
    for value in ends if dtype.startswith("float") else [end for end in ends if end < 0]:
        holding = [
            (band[known & (band != value)], value)
            for band, known in zip(pixels, finite, strict=True)
            if _enough(np.asarray(known & (band == value), np.bool_))
        ]
        if len(holding) > 1 and all(_is_far(*each) for each in holding):
            return [float(value)]
    return []


def _is_far(rest: FloatArray, value: float) -> bool:
    """Whether a value lies more than the range of the others from all of them."""
    if not len(rest):
        return False
    gap = max(float(rest.min()) - float(value), float(value) - float(rest.max()))
    if gap <= _FAR * _least_spread(rest):
        return False
    return gap > _FAR * _spread(rest) > 0


def _spread(values: FloatArray) -> float:
    low, high = (float(end) for end in np.percentile(values, (1.0, 99.0)))
    return high - low


def _least_spread(values: FloatArray) -> float:
    """What :func:`_spread` is at least, at a fraction of its time: a few values say it mostly."""
    some = np.sort(values[:: max(1, len(values) // _FEW_VALUES)])
    low, high = float(some[len(some) // 10]), float(some[-1 - len(some) // 10])
    enough = 0.01 * len(values) + 1.0  # below and above, to hold both percentiles
    sure = min(np.count_nonzero(values <= low), np.count_nonzero(values >= high)) > enough
    return high - low if sure else 0.0


def _enough(alike: Mask) -> bool:
    """Whether pixels of one value are so many that it may be a fill."""
    return int(alike.sum()) >= max(2, min(_LEAST_PIXELS, alike.size // 100))


def _zeros_outside(pixels: FloatArray, lost: Mask, zeros: str, spacing: int) -> Mask | None:
    """Lattice points whose zeros lie outside the swath."""
    nothing = (pixels == 0).all(axis=0)
    if zeros == "data" or not nothing.any():
        return None
    if zeros == "nodata":
        return np.ones(nothing.shape, np.bool_)
    missing = np.asarray(lost | ~np.isfinite(pixels).all(axis=0), np.bool_)
    least = max(1, -(-_LEAST_PIXELS // spacing**2))
    return _border_regions(nothing, missing, least, swath=True)


def _border_regions(alike: Mask, missing: Mask, least: int, *, swath: bool = False) -> Mask | None:
    """Regions of equal pixels at the border or beside large missing ones, connected over edges.

    With ``swath`` those at the border alone must have the shape of one.
    """
    if not alike.any():
        return None
    count, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    large = np.bincount(labels.ravel(), minlength=count) >= least
    large[0] = False
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    border = border[large[border]]
    if swath:
        border = np.array([n for n in border if _swath_shaped(labels == n)], np.intp)
    keep = np.zeros(count, bool)
    keep[border] = True
    regions, holes = cv2.connectedComponents(missing.astype(np.uint8), connectivity=4)
    if regions > 1:  # only large ones: a lake beside a stray NaN is not the outside
        wide = np.bincount(holes.ravel()) >= _LEAST_PIXELS
        wide[0] = False
        keep[np.unique(labels[_grown(wide[holes], _CROSS) & alike])] = True
    keep &= large
    return np.asarray(keep[labels], np.bool_) if keep.any() else None


def _swath_shaped(region: Mask) -> bool:
    """Whether zeros at a border lie outside a swath, and are not water that reaches it.

    A swath is a convex strip: what lies outside holds a corner of the image,
    and it or what remains is convex, but for a ragged edge.
    """
    in_corner = bool(region[[0, 0, -1, -1], [0, -1, 0, -1]].any())
    return in_corner and max(_solidity(region), _solidity(~region)) >= _STRAIGHT


def _grown(region: Mask, shape: NDArray[np.uint8]) -> Mask:
    """The region and what a kernel of this shape reaches from it."""
    return np.asarray(cv2.dilate(region.astype(np.uint8), shape) > 0, np.bool_)


def _solidity(region: Mask) -> float:
    """Area over the area of the convex hull, 0..1."""
    solid = region.astype(np.uint8)
    inner = cv2.erode(solid, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    points = np.argwhere(region & (inner == 0)).astype(np.float32)
    if len(points) < 3:
        return 1.0
    # Hulls run through pixel centres: half a pixel is missing all around.
    hull = cv2.convexHull(points)
    area = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return float(min(1.0, region.sum() / area))


def _values_of(
    sample: FloatArray, holding: list[bool], fills: tuple[float, ...], no_zeros: bool
) -> FloatArray:
    """The values (bands, n) of a sample that are data in all bands that hold any."""
    flat = sample.reshape(len(sample), -1)
    used = flat[holding]
    kept = np.isfinite(used).all(axis=0)
    kept &= ~np.isin(used, np.array(fills, np.float32)).any(axis=0)
    if no_zeros:
        kept &= ~(used == 0).all(axis=0)
    return np.ascontiguousarray(flat if kept.all() else flat[:, kept])
