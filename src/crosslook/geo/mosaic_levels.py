"""Reduced pixels of many files on one grid, from the resolution levels of those that have them.

A file is read from a level where it could be alone and the grid is that of its pixels, shifted; the
others by their pixels. The means of both are joined block by block, where the first wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.geo.basemaps import Bounds
from crosslook.geo.blocks import block_means
from crosslook.geo.grid import shape_of, shared_offset, window_of, zoomed
from crosslook.geo.levels import LevelBlocks, block_edges, read_blocks
from crosslook.geo.mosaic import Basemap, bands_of, in_bytes, read_window, span
from crosslook.geo.raster import RasterFile
from crosslook.types import FloatArray, Mask, Window

_FULL = 1.0 - 1e-4  # of a block, but for rounding

_REACH = 1
"""Blocks to either side within which what two files are left out of is one gap."""

_Blocks = tuple[FloatArray, FloatArray]
"""Means (bands, h, w) and the fraction of each block that is valid (h, w)."""

_Footprint = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Where a file begins and ends in each row of blocks (2, h) and in each column (2, w), 0..1."""


@dataclass(frozen=True)
class _Asked:
    """Blocks of ``factor`` pixels of a window of the grid, in so many bands."""

    grid: GeoBox
    window: Window
    factor: int
    count: int

    def part(self, blocks: Window) -> _Asked:
        """Some of the blocks."""
        row, col = (self.factor * first for first in blocks.corner)
        pixels = Window(row, col, self.factor * blocks.height, self.factor * blocks.width)
        return replace(self, window=pixels.shifted(*self.window.corner))

    @property
    def place(self) -> GeoBox:
        """Where the blocks lie."""
        return zoomed(window_of(self.grid, self.window), self.factor)

    def in_count(self, values: FloatArray) -> FloatArray:
        """Bands (B, h, w) of one file as those of all: grey where another is."""
        return values if len(values) <= self.count else values.mean(axis=0, keepdims=True)


def level_of(one: Basemap, grid: GeoBox, factor: int) -> int:
    """The level from which blocks of the grid are read of a file; 0 for its pixels."""
    if shared_offset(one.image.grid, one.turned(grid)) is None:
        return 0
    return one.image.level(factor)


def read_blocks_of_all(
    maps: Sequence[Basemap],
    levels: Mapping[Basemap, int],
    grid: GeoBox,
    window: Window,
    factor: int,
) -> tuple[FloatArray, FloatArray]:
    """Means over blocks of a window of the grid, and how much of each is valid at least.

    Within a block that several files share, the mean of a later file is that over all of its
    pixels there, weighted by how many the files before leave open.

    Parameters
    ----------
    maps : sequence of Basemap
        Where they overlap the first wins.
    levels : mapping
        Of each file that of :func:`level_of`.
    grid : GeoBox
    window : Window
        Whole blocks, from its corner on.
    factor : int
        Pixels along the side of a block.

    Returns
    -------
    means : float32 array, shape (bands, h, w)
        0..255, as :func:`~crosslook.geo.mosaic.read_window` has them; 0 where nothing is valid.
    cover : float32 array, shape (h, w)
        0..1.
    """
    asked = _Asked(grid, window, factor, bands_of(maps))
    place = asked.place
    means = np.zeros((asked.count, *shape_of(place)), np.float32)
    cover = np.zeros(shape_of(place), np.float32)
    before: list[_Footprint] = []
    losing = np.zeros(cover.shape, np.uint8)
    for by_level, group in groupby(maps, lambda one: levels[one] > 0):
        # Pixels of files are joined as such; from levels each file is read by itself.
        for some in [[one] for one in group] if by_level else [list(group)]:
            needed = [one for one in some if _is_needed(one, place, cover)]
            if not needed:
                continue
            part, found = Window.whole(cover.shape), None
            if by_level:
                part, found = _by_level(needed[0], levels[needed[0]], asked)
                losing[part.slices] += _near(found.left_out)
            blocks = found[:2] if found else _by_pixels(needed, asked)
            here = [_footprint(one.bounds, place) for one in needed]
            shared = sum((_shared(a, b) for a in here for b in before), np.zeros(cover.shape))
            _add((means[:, *part.slices], cover[part.slices]), blocks, shared[part.slices])
            before += here
    _mend(means, cover, losing > 1, maps, asked)
    return means, cover


def _is_needed(one: Basemap, place: GeoBox, cover: FloatArray) -> bool:
    """Whether a file reaches blocks that are not full yet."""
    rows, cols = span(one.bounds, place)
    if rows.start >= rows.stop or cols.start >= cols.stop:
        return False
    return bool((cover[rows, cols] < _FULL).any())


def _by_level(one: Basemap, level: int, asked: _Asked) -> tuple[Window, LevelBlocks]:
    """The blocks of a window that a file reaches, and what its level says of them."""
    image, window, factor = one.image, asked.window, asked.factor
    offset = shared_offset(image.grid, one.turned(asked.grid))
    assert offset is not None
    assert isinstance(image.source, RasterFile)
    rows, cols = span(one.bounds, asked.place)
    part = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)

    def prepare(
        raw: FloatArray, at_rows: NDArray[np.float32], at_cols: NDArray[np.float32]
    ) -> FloatArray:
        cleared = image.survey.clear(raw, at_rows, at_cols)
        # Limits clip before the mean is taken, as they do pixels.
        return in_bytes(image.radiometry.apply(cleared, image.stretch), image.header.dtype)

    corner = [
        begin + base + factor * first
        for begin, base, first in zip(offset, window.corner, part.corner, strict=True)
    ]
    edges = block_edges(corner, (factor * part.height, factor * part.width), factor)
    found = read_blocks(image.source, image.bands, edges, (factor, level), prepare)
    return part, found._replace(means=asked.in_count(found.means))


def _by_pixels(maps: Sequence[Basemap], asked: _Asked) -> _Blocks:
    """All blocks, of files that are read by their pixels."""
    values, valid = read_window(maps, asked.grid, asked.window.corner, asked.window.shape)
    means, cover = block_means(values.astype(np.float32), valid, asked.factor)
    return asked.in_count(means), cover


def _near(left_out: FloatArray) -> NDArray[np.uint8]:
    """1 at blocks near those of which some is left out, 0 elsewhere."""
    some = (left_out > 0).astype(np.uint8)
    return np.asarray(cv2.dilate(some, np.ones((2 * _REACH + 1,) * 2, np.uint8)), np.uint8)


def _mend(
    means: FloatArray, cover: FloatArray, torn: Mask, maps: Sequence[Basemap], asked: _Asked
) -> None:
    """Fill what is open where torn, in place, from pixels: there two files meet within a block.

    Each is left out near what the other holds, so that a gap would open between them.
    """
    torn = torn & (cover < _FULL)
    if not torn.any():
        return
    at = np.argwhere(torn)
    part = Window.around(at.min(axis=0), at.max(axis=0) + 1)
    found, solid = _by_pixels(maps, asked.part(part))
    here = torn[part.slices]
    np.copyto(means[:, *part.slices], found, where=here)
    np.copyto(cover[part.slices], solid, where=here)


def _add(into: _Blocks, found: _Blocks, shared: NDArray[np.float64]) -> None:
    """Add blocks behind those that are there, in place.

    Parameters
    ----------
    into, found : means (bands, h, w) and cover (h, w)
    shared : array, shape (h, w)
        How much of a block lies in both at most. Where they hold data in it is not known.
    """
    means, cover = into
    more, of_it = found
    together = np.maximum(np.maximum(cover, of_it), cover + of_it - shared.astype(np.float32))
    together = np.minimum(together, np.float32(1.0))
    part = (together - cover) / np.maximum(together, np.float32(1e-6))
    means += part * (more - means)
    cover[...] = together


def _footprint(bounds: Bounds, place: GeoBox) -> _Footprint:
    """Of a file in each row and column of blocks."""
    a, _, c, _, e, f = tuple(place.affine)[:6]
    left, bottom, right, top = bounds
    ends = ((top - f) / e, (bottom - f) / e), ((left - c) / a, (right - c) / a)
    rows, cols = (
        np.clip(np.subtract.outer(np.array(pair), np.arange(length)), 0.0, 1.0)
        for pair, length in zip(ends, shape_of(place), strict=True)
    )
    return rows, cols


def _shared(one: _Footprint, other: _Footprint) -> NDArray[np.float64]:
    """The fraction of each block (h, w) that lies in two footprints."""
    rows, cols = (
        np.maximum(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0.0)
        for a, b in zip(one, other, strict=True)
    )
    return np.outer(rows, cols)
