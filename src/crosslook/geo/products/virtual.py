"""Several files as one image, and pixels that are no numbers yet, as virtual rasters (VRT).

Complex pixels become their amplitude, palettes their colours; what SICD and
SIDD hold is known from their metadata (:mod:`crosslook.geo.products.nitf`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element, tostring

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from crosslook.errors import RasterError
from crosslook.geo.explain import explain
from crosslook.geo.products.bands import Part
from crosslook.geo.products.nitf import keeps_numbers, nitf_raster
from crosslook.geo.products.vrt import (
    COMPLEX,
    add_amplitude,
    add_band,
    add_colours,
    head,
    pinned,
    placement_of,
    quiet,
    remarks_of,
)
from crosslook.storage import name_of

_PART = re.compile(r"^(?:(?P<real>i|real)|q|imag|imaginary)(?:[_ ](?P<of>.*))?$", re.IGNORECASE)


def stack(
    parts: Sequence[Part],
    names: Sequence[str],
    scale: str = "",
    points: Sequence[tuple[float, float, float, float]] = (),
) -> str:
    """Write the virtual raster of one or more files, on the grid of the first.

    Complex pixels stay so: :func:`normalised` takes their amplitude, and what
    is brought along keeps its phase.

    Parameters
    ----------
    parts : sequence of Part
        One band of each file, or all of it.
    names : sequence of str
    scale : str
        What the numbers are, where the product says so.
    points : sequence of (row, column, longitude, latitude)
        Where the first file lies, unless it says so itself.

    Raises
    ------
    RasterError
        If a file cannot be read, or has no such band.
    """
    root: Element | None = None
    ground: _Ground | None = None
    for part, name in zip(parts, names, strict=True):
        try:
            with quiet(), _understood(part) as (data, taken):
                if root is None:
                    root, ground = _begun(data, scale, points), _ground_of(data)
                elif not _shares(ground, _ground_of(data)):
                    raise RasterError(
                        f"the bands {names[0]} and {name} of {name_of(part.file)} cover other "
                        "ground. Name bands of one grid, or one band."
                    )
                _add_part(root, data, taken, name)
        except RasterioError as error:
            raise RasterError(f"{name_of(part.file)} {explain(error)}.") from error
    return "" if root is None else tostring(root, encoding="unicode")


@contextmanager
def _understood(part: Part) -> Iterator[tuple[Any, Part]]:
    """Open a file; one of radar in NITF as the virtual raster of what it means."""
    with rasterio.open(part.file) as data:
        if (text := nitf_raster(data)) is None:
            yield data, part
        else:
            with rasterio.open(text) as meant:
                yield meant, replace(part, file=text)


_Ground = tuple[Any, NDArray[np.float64], float]


def _ground_of(data: Any) -> _Ground | None:
    """CRS, two opposite corners, and the longer side of a pixel; None without a map."""
    if data.transform.is_identity:
        return None
    corners = [data.transform @ at for at in ((0, 0), (data.width, data.height))]
    side = max(abs(number) for number in tuple(data.transform)[:2] + tuple(data.transform)[3:5])
    return data.crs, np.array(corners, np.float64), side


def _shares(first: _Ground | None, other: _Ground | None) -> bool:
    """Whether two images cover the same ground, to a pixel of the coarser."""
    if first is None or other is None:
        return True
    near = np.abs(first[1] - other[1]).max() <= max(first[2], other[2])
    return bool(first[0] == other[0] and near)


def _begun(data: Any, scale: str, points: Sequence[tuple[float, float, float, float]]) -> Element:
    at = placement_of(data)
    if points and not (at.affine or len(at.points) or at.rpc):
        listed = np.array([(col, row, lon, lat, 0.0) for row, col, lon, lat in points])
        at = replace(at, points=listed, points_crs="EPSG:4326")
    return head(data.height, data.width, at, remarks_of(data) | ({"scale": scale} if scale else {}))


def _add_part(root: Element, data: Any, part: Part, name: str) -> None:
    for band in (part.number,) if part.number else range(1, data.count + 1):
        if band > data.count:
            raise RasterError(f"{name_of(part.file)} has no band {band} ({name}).")
        label = f"{name} {band}" if data.count > 1 and not part.number else name
        add_band(root, data, part, band, label, lengths=False)


def normalised(data: Any, *, indexed: bool = False, driver: str = "") -> str | None:
    """Write the virtual raster of an open file whose pixels are no numbers yet; None for others.

    ``indexed`` takes the numbers of a palette for what they are; ``driver`` is the only
    one by which the file is opened again.
    """
    if not driver and (text := nitf_raster(data)) is not None:
        return text
    name = pinned(data.name, driver)
    if pairs := _pairs_by_name(data):
        root = _head_of(data, MAGNITUDE="YES")
        for first, label in pairs:
            add_amplitude(root, data, name, (first, first + 1), label)
    elif data.dtypes[0] in COMPLEX:
        root = _head_of(data)
        for band in range(1, data.count + 1):
            label = str(data.descriptions[band - 1] or "")
            add_band(root, data, Part(name), band, label)
    elif data.colorinterp[0] is ColorInterp.palette and not (indexed or keeps_numbers(data)):
        root = _head_of(data)
        add_colours(root, data, name)
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
