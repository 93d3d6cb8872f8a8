"""Several files as one image, and pixels that are no numbers yet, as virtual rasters (VRT).

Complex pixels become their amplitude, palettes their colours; what SICD and
SIDD hold is told from their metadata (:mod:`crosslook.geo.products.nitf`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element, tostring

import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from crosslook.errors import RasterError
from crosslook.geo.products.nitf import keeps_numbers, nitf_raster
from crosslook.geo.products.vrt import (
    COMPLEX,
    add_amplitude,
    add_band,
    add_colours,
    head,
    placement_of,
    quiet,
    remarks_of,
)
from crosslook.storage import name_of

_PART = re.compile(r"^(?:(?P<real>i|real)|q|imag|imaginary)(?:[_ ](?P<of>.*))?$", re.IGNORECASE)


def stack(files: Sequence[str], names: Sequence[str]) -> str:
    """Write the virtual raster of one or more files, all bands of each, on the grid of the first.

    Raises
    ------
    RasterError
        If a file cannot be read.
    """
    root: Element | None = None
    for file, name in zip(files, names, strict=True):
        try:
            with quiet(), rasterio.open(file) as data:
                text = nitf_raster(data)
                if text is None:
                    root = _with_bands(root, data, file, name)
                else:
                    with rasterio.open(text) as understood:
                        root = _with_bands(root, understood, text, name)
        except RasterioError as error:
            raise RasterError(f"{name_of(file)} cannot be read: {error}.") from error
    return "" if root is None else tostring(root, encoding="unicode")


def normalised(data: Any, *, indexed: bool = False) -> str | None:
    """Write the virtual raster of an open file whose pixels are no numbers yet; None for others.

    ``indexed`` takes the numbers of a palette for what they are.
    """
    if (text := nitf_raster(data)) is not None:
        return text
    if pairs := _pairs_by_name(data):
        root = _head_of(data, MAGNITUDE="YES")
        for first, label in pairs:
            add_amplitude(root, data, data.name, (first, first + 1), label)
    elif data.dtypes[0] in COMPLEX:
        root = _head_of(data)
        for band in range(1, data.count + 1):
            add_band(root, data, data.name, band, str(data.descriptions[band - 1] or ""))
    elif data.colorinterp[0] is ColorInterp.palette and not (indexed or keeps_numbers(data)):
        root = _head_of(data)
        add_colours(root, data, data.name)
    else:
        return None
    return tostring(root, encoding="unicode")


def _pairs_by_name(data: Any) -> list[tuple[int, str]]:
    """First band and name of each pair, where all bands are named as real and imaginary parts."""
    names = [_PART.match(str(text or "").strip()) for text in data.descriptions]
    firsts, seconds = names[::2], names[1::2]
    if data.dtypes[0] in COMPLEX or data.count % 2 or not all(names):
        return []
    pairs = [(a, b) for a, b in zip(firsts, seconds, strict=True) if a and b]
    if any(a["real"] is None or b["real"] or a["of"] != b["of"] for a, b in pairs):
        return []
    return [(2 * n + 1, a["of"] or "") for n, (a, _) in enumerate(pairs)]


def _head_of(data: Any, **remarks: str) -> Element:
    return head(data.height, data.width, placement_of(data), remarks_of(data) | remarks)


def _with_bands(root: Element | None, data: Any, file: str, name: str) -> Element:
    root = _head_of(data) if root is None else root
    for band in range(1, data.count + 1):
        add_band(root, data, file, band, f"{name} {band}" if data.count > 1 else name)
    return root
