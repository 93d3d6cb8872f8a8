"""One scene pair, open: its windows as images in 0..1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crosslook.data.grids import sar_on_optical
from crosslook.data.open_rasters import Source
from crosslook.data.pairs import ScenePair
from crosslook.data.radiometry import OpticalRadiometry, SarRadiometry, Stretch
from crosslook.data.raster import Grid, read_raster, read_window
from crosslook.data.swath import OVERVIEW, Mask, cut, outside_swath
from crosslook.errors import RasterError
from crosslook.types import FloatArray, Modality, Window


@dataclass(frozen=True)
class Side:
    """One modality of a scene: where its pixels are and how they are scaled."""

    source: Source
    radiometry: SarRadiometry | OpticalRadiometry
    stretch: Stretch
    outside: Mask
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Scene:
    """A scene pair on the optical grid.

    Attributes
    ----------
    pair : ScenePair
    grid : Grid
        Of the optical image.
    synthetic : bool
        Whether a tag of a file says that it is simulated.
    """

    pair: ScenePair
    grid: Grid
    synthetic: bool
    sides: dict[Modality, Side]

    def read(self, modality: Modality, window: Window) -> FloatArray:
        """Read a window as (3, h, w) in 0..1, NaN where invalid."""
        side = self.sides[modality]
        raw = _shifted(side, window)
        outside = cut(side.outside, window, self.grid.height, self.grid.width)
        raw[:, outside] = np.nan
        return side.radiometry.apply(raw, side.stretch)


def open_scene(
    pair: ScenePair,
    sar: SarRadiometry,
    optical: OpticalRadiometry,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Scene:
    """Open a pair: compare its grids and fit its radiometry on an overview.

    ``shift`` is (row, col): SAR pixel (r, c) shows the ground that the optical
    image has at (r + row, c + col).

    Raises
    ------
    GridError
        If the two grids cannot be brought together.
    RasterError
        If a file is missing or damaged, or a side has no valid pixel.
    """
    sar_file, optical_file = read_raster(pair.sar), read_raster(pair.optical)
    grid = optical_file.grid
    sides: dict[Modality, Side] = {
        "sar": _open_side(
            sar_on_optical(pair, sar_file, optical_file), grid, sar, sar_file.dtype,
            sar_file.bands, shift,
        ),
        "optical": _open_side(
            Source(pair.optical), grid, optical, optical_file.dtype, optical_file.bands,
        ),
    }  # fmt: skip
    return Scene(pair, grid, sar_file.synthetic or optical_file.synthetic, sides)


def _open_side(
    source: Source,
    grid: Grid,
    radiometry: SarRadiometry | OpticalRadiometry,
    dtype: str,
    count: int,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Side:
    shrink = max(1.0, max(grid.height, grid.width) / OVERVIEW)
    shape = (max(1, round(grid.height / shrink)), max(1, round(grid.width / shrink)))
    overview = read_window(source, bands=radiometry.choose(count), shape=shape)
    outside = outside_swath(overview)
    overview[:, outside] = np.nan
    if not np.isfinite(overview).any():
        raise RasterError(
            f"{source.path} has no valid pixel on its {grid.height} x {grid.width} px grid: all "
            "nodata, NaN or zeros. Leave the pair out or get the file again."
        )
    return Side(source, radiometry, radiometry.fit(overview, dtype, count), outside, shift)


def _shifted(side: Side, window: Window) -> FloatArray:
    """Read a window, moved by the alignment of the scene (bilinear)."""
    row, col = side.shift
    bands = side.stretch.bands
    if row == 0 and col == 0:
        return read_window(side.source, window, bands)
    top, left = window.row - row, window.col - col
    first_row, first_col = math.floor(top), math.floor(left)
    larger = Window(first_row, first_col, window.height + 1, window.width + 1)
    raw = read_window(side.source, larger, bands)
    down, right = np.float32(top - first_row), np.float32(left - first_col)
    # Weights of 0 must not spread NaN from a neighbour that is not needed.
    rows = raw[:, :-1] if down == 0 else raw[:, :-1] * (1 - down) + raw[:, 1:] * down
    return rows[:, :, :-1] if right == 0 else rows[:, :, :-1] * (1 - right) + rows[:, :, 1:] * right
