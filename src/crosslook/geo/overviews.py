"""Whether the overviews of a file answer to its pixels.

Overviews are copies at a coarser scale, which GDAL reads in place of the pixels. Nothing ties
them to the pixels: they stay black where they were built before the pixels were written, and
stale where pixels were changed later, inside the file or in an ``.ovr`` beside it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from crosslook.geo.products.vrt import quiet
from crosslook.types import FloatArray

_SITES = 4  # along each side
_SIDE = 8  # overview pixels of a site
_MOST_FACTOR = 32  # coarser ones are not looked at, but go with those that are
_MOST_BANDS = 3
_MOST_OFF = 0.375  # of the standard deviation of a site: three of a mean over 64 pixels
_ROUNDED = 1.0
_LEAST_BOTH = 0.5
_OF_THE_FORMAT = ("JP2OpenJPEG", "JP2ECW", "JP2KAK", "ECW", "MrSID", "WMS", "WMTS", "PNG", "JPEG")
"""Drivers whose overviews are no copies, or come from a server."""


@lru_cache(maxsize=4096)
def are_stale(name: str, state: tuple[int, int]) -> bool:
    """Whether a raster has overviews that differ from its pixels at one of 16 sites.

    Parameters
    ----------
    name : str
        As GDAL opens it.
    state : (int, int)
        Of the file: a changed one is looked at anew.
    """
    try:
        with quiet(), rasterio.open(name) as whole:
            beside = any(str(part).lower().endswith((".ovr", ".rrd")) for part in whole.files)
            if (
                not whole.count
                or not whole.overviews(1)
                or (whole.driver in _OF_THE_FORMAT and not beside)
            ):
                return False
            return _differ(name, whole)
    except RasterioError:
        return False  # who reads it says what is wrong


def _differ(name: str, whole: Any) -> bool:
    bands = list(range(1, min(whole.count, _MOST_BANDS) + 1))
    if any(kind.startswith(("complex", "cint")) for kind in whole.dtypes):
        return False
    for level, factor in enumerate(whole.overviews(1)):
        if factor > _MOST_FACTOR:
            break
        with rasterio.open(name, OVERVIEW_LEVEL=level) as small:
            for site in _sites(small.height, small.width):
                down, across = whole.height / small.height, whole.width / small.width
                under = Window(
                    site.col_off * across, site.row_off * down, site.width * across,
                    site.height * down,
                ).round_offsets().round_lengths()  # fmt: skip
                if _apart(_read(small, bands, site), _read(whole, bands, under)):
                    return True
    return False


def _sites(height: int, width: int) -> list[Window]:
    """Windows spread over an image of this size."""
    starts = [
        np.unique(np.linspace(0, max(0, length - _SIDE), _SITES).astype(int))
        for length in (height, width)
    ]
    size = (min(_SIDE, height), min(_SIDE, width))
    return [Window(int(c), int(r), size[1], size[0]) for r in starts[0] for c in starts[1]]


def _read(data: Any, bands: list[int], window: Window) -> FloatArray:
    values: NDArray[Any] = data.read(bands, window=window, masked=True)
    filled: FloatArray = np.ma.filled(values.astype(np.float32), np.nan)
    filled[~np.isfinite(filled)] = np.nan
    return filled


def _apart(small: FloatArray, whole: FloatArray) -> bool:
    """Whether a site of an overview is something else than its pixels, in any band."""
    for copy, pixels in zip(small, whole, strict=True):
        here, there = np.isfinite(copy), np.isfinite(pixels)
        if abs(float(here.mean()) - float(there.mean())) > _LEAST_BOTH:
            return True
        if here.mean() < _LEAST_BOTH or there.mean() < _LEAST_BOTH:
            continue  # at a rim of data an overview may hold more or less of it
        spread = float(pixels[there].std())
        off = abs(float(copy[here].mean()) - float(pixels[there].mean()))
        step = _ROUNDED if spread > _ROUNDED else 1e-3 * spread
        if off > _MOST_OFF * spread + step + 1e-5 * abs(float(pixels[there].mean())):
            return True
    return False
