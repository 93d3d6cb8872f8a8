"""How Sentinel-1 looked: the geolocation grid in the annotation of a measurement.

Product specification S1-RSL-SPEC (S1-RS-MDA-52-7441): each file below ``measurement`` has an XML
of the same name below ``annotation``. Its ``geolocationGrid`` gives line, pixel, latitude,
longitude and the incidence angle on the ellipsoid at some 21 x 10 places. Pixels are counted
away from the sensor, so the grid tells the direction of the range too, wherever it looked.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

import numpy as np

from crosslook.errors import InputError
from crosslook.types import Array

_MOST_TEXT = 64 << 20
_MOST_POINTS = 100_000
_LEAST_POINTS = 4
_POINT = "geolocationGrid/geolocationGridPointList/geolocationGridPoint"
_FIELDS = ("line", "pixel", "longitude", "latitude", "incidenceAngle")
_MEASUREMENT = re.compile(r"^s1\w-.*\.tiff?$", re.IGNORECASE)
_LOW, _HIGH = 5.0, 85.0  # degrees that an incidence angle may have


def annotation_of(file: str) -> tuple[str, Array] | None:
    """The grid of the annotation that belongs to a measurement; None where there is none.

    Parameters
    ----------
    file : str
        A local file, or one in a zip archive as GDAL names it.

    Returns
    -------
    (str, float64 array of shape (n, 5)) or None
        The name of the annotation; line, pixel, longitude, latitude (degrees) and incidence
        angle (degrees), sorted by line and pixel.

    Raises
    ------
    InputError
        If it is damaged; the message says how, and no more.
    """
    path = Path(file.removeprefix("/vsizip/"))
    if not _MEASUREMENT.match(path.name):
        return None
    for place in _places(path):
        archive = next((one for one in place.parents if one.suffix.lower() == ".zip"), None)
        try:
            state = (place if archive is None else archive).stat()
        except OSError:
            continue
        inside = "" if archive is None else place.relative_to(archive).as_posix()
        grid = _grid(str(archive or place), inside, state.st_mtime_ns, state.st_size)
        if grid is not None:
            return place.name, grid
    return None


def _places(measurement: Path) -> Iterator[Path]:
    """Where the annotation may lie; some makers of COGs name it as the file before."""
    names = dict.fromkeys((measurement.stem, re.sub(r"-cog$", "", measurement.stem)))
    for name in names:
        if measurement.parent.name == "measurement":
            yield measurement.parent.parent / "annotation" / f"{name}.xml"
        yield measurement.with_name(f"{name}.xml")


@lru_cache(maxsize=64)
def _grid(file: str, inside: str, _: int, __: int) -> Array | None:
    """The grid; None where an archive lacks the file."""
    try:
        text = _read(file, inside)
    except KeyError:
        return None
    except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"cannot be read: {error}") from None
    if len(text) > _MOST_TEXT:
        raise InputError(f"is longer than {_MOST_TEXT >> 20} MiB")
    try:
        root = _parsed(text.decode("utf-8-sig"))
        listed = root.findall(_POINT)[: _MOST_POINTS + 1]
        rows = [[float(point.findtext(name) or "nan") for name in _FIELDS] for point in listed]
    except (ParseError, ValueError) as error:  # no UTF-8, or words for a number, among them
        raise InputError(f"is no readable XML: {error}") from None
    return _checked(np.array(rows, np.float64).reshape(-1, len(_FIELDS)))


def _read(file: str, inside: str) -> bytes:
    if not inside:
        with Path(file).open("rb") as opened:
            return opened.read(_MOST_TEXT + 1)
    with zipfile.ZipFile(file) as archive, archive.open(inside) as member:
        return member.read(_MOST_TEXT + 1)


def _parsed(text: str) -> Element:
    """The document, which may declare nothing: so no entity grows or names another file."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it has a document type, which no annotation has")
    return fromstring(text)


def _checked(grid: Array) -> Array:
    """Points that are whole and possible, in order."""
    placed = (np.abs(grid[:, 2]) <= 360.0) & (np.abs(grid[:, 3]) <= 90.0)
    seen = (grid[:, 4] > _LOW) & (grid[:, 4] < _HIGH)
    left = grid[np.isfinite(grid).all(axis=1) & placed & seen]
    if not _LEAST_POINTS <= len(left) <= _MOST_POINTS:
        raise InputError(f"has {len(left)} points of its grid with a place and an incidence angle")
    return left[np.lexsort((left[:, 1], left[:, 0]))]
