"""One scene pair, open: its windows as images in 0..1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crosslook.data.grids import onto_optical
from crosslook.data.open_rasters import Source
from crosslook.data.pairs import ScenePair
from crosslook.data.radiometry import OpticalRadiometry, SarRadiometry, Stretch
from crosslook.data.raster import Grid, Raster, read_raster, read_window
from crosslook.data.swath import Swath, survey
from crosslook.errors import RasterError
from crosslook.types import FloatArray, Modality, Window


@dataclass(frozen=True)
class Side:
    """One modality of a scene: where its pixels are and how they are scaled."""

    source: Source
    radiometry: SarRadiometry | OpticalRadiometry
    stretch: Stretch
    swath: Swath
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
        return side.radiometry.apply(_shifted(side, window), side.stretch)


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
    source = onto_optical(sar_file, optical_file)
    sides: dict[Modality, Side] = {
        "sar": _open_side(sar_file, source, grid, sar, shift),
        "optical": _open_side(optical_file, Source(pair.optical), grid, optical),
    }
    return Scene(pair, grid, sar_file.synthetic or optical_file.synthetic, sides)


def _open_side(
    raster: Raster,
    source: Source,
    grid: Grid,
    radiometry: SarRadiometry | OpticalRadiometry,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Side:
    bands = radiometry.choose(raster.bands)
    swath, overview = survey(source, grid.height, grid.width, bands)
    if swath.valid and np.isfinite(overview).any():
        stretch = radiometry.fit(overview, raster.dtype, raster.bands)
        return Side(source, radiometry, stretch, swath, shift)
    raise RasterError(
        f"{raster.path} has no usable pixel on the {grid.height} x {grid.width} px grid: all is "
        "nodata, NaN or zeros outside the swath. Leave the pair out or get the file again."
    )


def _shifted(side: Side, window: Window) -> FloatArray:
    """Read a window, moved by the alignment of the scene (bilinear)."""
    row, col = side.shift
    bands = side.stretch.bands
    if row == 0 and col == 0:
        return side.swath.clear(read_window(side.source, window, bands), window)
    top, left = window.row - row, window.col - col
    first_row, first_col = math.floor(top), math.floor(left)
    larger = Window(first_row, first_col, window.height + 1, window.width + 1)
    raw = side.swath.clear(read_window(side.source, larger, bands), larger)
    down, right = np.float32(top - first_row), np.float32(left - first_col)
    # Weights of 0 must not spread NaN from a neighbour that is not needed.
    rows = raw[:, :-1] if down == 0 else raw[:, :-1] * (1 - down) + raw[:, 1:] * down
    return rows[:, :, :-1] if right == 0 else rows[:, :, :-1] * (1 - right) + rows[:, :, 1:] * right
