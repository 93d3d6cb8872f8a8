"""What basemaps of many parts share as sources: 8 bits, and reading a coarser lattice by rows."""

from __future__ import annotations

from collections.abc import Callable

from odc.geo.geobox import GeoBox

from crosslook.geo.grid import shape_of
from crosslook.geo.raster import Raster
from crosslook.geo.spread import read_rows
from crosslook.types import FloatArray, Window

BlockReader = Callable[[Window], tuple[FloatArray, FloatArray]]
"""Means (bands, h, w) over blocks of a window, and the fraction of each that is valid (h, w)."""


class BasemapSource:
    """A source whose pixels lie in several places; what it is made of reads its windows.

    Attributes
    ----------
    grid : GeoBox
    """

    grid: GeoBox

    def read(
        self, window: Window | None, bands: tuple[int, ...], shape: tuple[int, int] | None = None
    ) -> FloatArray:
        """Numbers (bands, h, w) of a window, NaN where there is no data.

        ``shape`` takes so many rows and columns of it, evenly spread: memory is that of a strip.
        """
        window = window or Window.whole(shape_of(self.grid))
        if shape is None:
            return self._strip(window, bands)
        return read_rows(self._strip, window, bands, shape)

    def block_reader(self, bands: tuple[int, ...], factor: int) -> BlockReader | None:
        """What reads blocks of ``factor`` pixels from levels; None where all are read by pixels."""
        return None

    def _strip(self, window: Window, bands: tuple[int, ...]) -> FloatArray:
        """All pixels (bands, h, w) of a window."""
        raise NotImplementedError


def basemap_header(name: str, grid: GeoBox, count: int, notes: tuple[str, ...]) -> Raster:
    """What a file of so many bands of 8 bits would say."""
    return Raster(
        name, grid, count, "uint8", None, ("",) * count, (1.0,) * count, (0.0,) * count, False,
        "affine", notes=notes,
    )  # fmt: skip
