"""Whether what GDAL reads of a file is what the file holds: damage, and overviews that are stale.

GDAL reads what is missing at the end of a PNG, a JPEG, a NITF or a classic
netCDF file as zeros, does not compare the checksums of a PNG, and only warns of
damaged JPEG data inside a TIFF.

Overviews are copies at a coarser scale, which GDAL reads in place of the
pixels. Nothing ties them to the pixels. They stay black where they were built
before the pixels were written, and stale where pixels were changed later,
inside the file or in an ``.ovr`` beside it.
"""

from __future__ import annotations

import logging
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from crosslook.errors import RasterError
from crosslook.geo.products.vrt import quiet
from crosslook.types import FloatArray

_BLOCK = 1 << 20
_TAIL_BYTES = 65_536  # what some programs append lies within
_PNG = b"\x89PNG\r\n\x1a\n"
_LENGTH_AT = 342  # of the field FL of a NITF, the length of the file
_UNKNOWN = 999_999_999_999  # of files that are sent while they are made
_LOG = logging.getLogger("rasterio")  # its modules pass on what GDAL warns of
_MOST_ARCHIVED = 1 << 30  # bytes in the archive; reading more takes too long
_CLASSIC = (b"CDF\x01", b"CDF\x02")


def damage_of(path: Path, driver: str) -> str:
    """What is wrong with a local file; empty where nothing is, or the format cannot tell.

    Parameters
    ----------
    path : Path
    driver : str
        GDAL's name of the format, as ``PNG``.
    """
    try:
        state = path.stat()
    except OSError:
        return ""
    return _damage_of(path, driver, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _damage_of(path: Path, driver: str, size: int, _: int) -> str:
    with path.open("rb") as file:
        if driver == "PNG":
            return _damage_of_png(file)
        if driver == "JPEG":
            file.seek(max(0, size - _TAIL_BYTES))
            return "" if b"\xff\xd9" in file.read() else _CUT
        if driver == "NITF":
            return _CUT if _is_shorter_than_said(file, size) else ""
        if driver == "netCDF" and file.read(4) in _CLASSIC:
            return _damage_of_netcdf(path)
    return ""


_CUT = "ends before its image does: it was cut short, as by a download that broke off"


def _damage_of_png(file: BinaryIO) -> str:
    """Compare the checksum of every chunk up to the last one."""
    if file.read(8) != _PNG:
        return ""  # a file of several images, whose first is elsewhere
    while True:
        head = file.read(8)
        if len(head) < 8:
            return _CUT
        length, name = struct.unpack(">I4s", head)
        checksum = zlib.crc32(name)
        while length:
            part = file.read(min(length, _BLOCK))
            if not part:
                return _CUT
            checksum = zlib.crc32(part, checksum)
            length -= len(part)
        # What may be left out of a PNG, as its text, begins with a small letter.
        if file.read(4) != struct.pack(">I", checksum) and name[:1].isupper():
            return f"is damaged: the checksum of its part {name.decode('latin-1')!r} differs"
        if name == b"IEND":
            return ""


def _is_shorter_than_said(file: BinaryIO, size: int) -> bool:
    """Whether a NITF file ends before its header says so."""
    start = file.read(_LENGTH_AT + 12)
    length = start[_LENGTH_AT:]
    if start[:9] not in (b"NITF02.10", b"NSIF01.00") or not length.isdigit():
        return False
    return size < int(length) != _UNKNOWN


def damage_in_archive(name: str) -> str:
    """What is wrong with a file in a local zip archive, as ``/vsizip/a.zip/in/b.tif`` names it.

    GDAL jumps about in it and so never gets to compare its checksum.
    """
    if not name.startswith("/vsizip/"):
        return ""
    inside = Path(name.removeprefix("/vsizip/").replace("{", "").replace("}", ""))
    archive = next((path for path in inside.parents if path.is_file()), None)
    if archive is None:
        return ""
    state = archive.stat()
    member = inside.relative_to(archive).as_posix()
    return _damage_of_member(archive, member, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _damage_of_member(archive: Path, member: str, _: int, __: int) -> str:
    try:
        with zipfile.ZipFile(archive) as opened:
            if opened.getinfo(member).compress_size > _MOST_ARCHIVED:
                return ""
            with opened.open(member) as file:
                while file.read(_BLOCK):
                    pass
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        return f"is damaged: {str(error).rstrip('.') or 'it ends too early'}"
    except (KeyError, RuntimeError, NotImplementedError):
        return ""  # GDAL knows more archives than Python does
    return ""


def _damage_of_netcdf(path: Path) -> str:
    """Whether all that the header of a classic file names lies within the file."""
    from scipy.io import netcdf_file

    try:
        with netcdf_file(path, "r", mmap=False):
            return ""
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, MemoryError):
        return "is damaged: it is shorter than its header says, or its header cannot be read"


class _Warnings(logging.Handler):
    """What libjpeg says of one thread's reads; GDAL only warns inside TIFFs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.thread, self.said = threading.get_ident(), ""

    def emit(self, record: Any) -> None:
        if record.thread == self.thread and "Corrupt JPEG data" in record.getMessage():
            self.said = self.said or record.getMessage().rpartition("JPEGLib:")[2]


@contextmanager
def heeding_warnings(called: str) -> Iterator[None]:
    """Refuse what is read within if the decoder warns that its data are corrupt.

    Raises
    ------
    RasterError
        If it does.
    """
    heard = _Warnings()
    _LOG.addHandler(heard)
    try:
        yield
    finally:
        _LOG.removeHandler(heard)
    if heard.said:
        raise RasterError(f"{called} is damaged: {heard.said.strip()}. Get the file again.")


_SITES = 4  # along each side
_SIDE = 8  # overview pixels of a site
_MOST_FACTOR = 32  # coarser ones are not looked at, but go with those that are
_MOST_BANDS = 3
_MOST_OFF = 0.375  # of the standard deviation of a site: three of a mean over 64 pixels
_ROUNDED = 1.0
_LEAST_BOTH = 0.5
_OF_WAVELETS = ("JP2OpenJPEG", "JP2ECW", "JP2KAK", "ECW", "MrSID")
_OF_THE_FORMAT = (*_OF_WAVELETS, "WMS", "WMTS", "PNG", "JPEG")
"""Drivers whose overviews are no copies, or come from a server."""


def has_levels(data: Any) -> bool:
    """Whether the overviews of an open raster are levels of its format, as wavelets have them.

    Such are true to the pixels and cost a fraction of them. A virtual raster, as of the bands of
    a Sentinel-2 product, has those of its files.
    """
    return bool(data.overviews(1)) and not _beside(data) and _drivers(data) <= set(_OF_WAVELETS)


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
            copied = _beside(whole) or not _drivers(whole) <= set(_OF_THE_FORMAT)
            return bool(whole.count and copied) and _differ(name, whole)
    except RasterioError:
        return False  # who reads it says what is wrong


def _beside(whole: Any) -> bool:
    return any(str(part).lower().endswith((".ovr", ".rrd")) for part in whole.files)


def _drivers(whole: Any) -> set[str]:
    """What reads the pixels: of a virtual raster, one file of each kind that it is made of."""
    if whole.driver != "VRT":
        return {whole.driver}
    kinds = {Path(part).suffix.lower(): part for part in whole.files if part != whole.name}
    found = set()
    for part in kinds.values():
        with suppress(RasterioError), rasterio.open(part) as file:
            found.add(file.driver)
    return found or {"VRT"}


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
    rows, cols = (
        np.unique(np.linspace(0, max(0, length - _SIDE), _SITES).astype(int))
        for length in (height, width)
    )
    size = (min(_SIDE, width), min(_SIDE, height))
    return [Window(int(col), int(row), *size) for row in rows for col in cols]


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
