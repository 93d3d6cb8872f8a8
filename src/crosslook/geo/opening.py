"""From a recipe to open handles of GDAL, kept open between reads and safe across threads.

What is unusual becomes a virtual raster first: complex pixels become amplitude,
palettes become colours, the bands of a product folder become one image
(:mod:`crosslook.geo.products`). What has ground control points or rational
polynomials in place of a map is rectified on the fly
(:mod:`crosslook.geo.rectify`), so that every raster has an affine grid.

A PNG, a JPEG or a compressed TIFF of one strip cannot be read from its centre: each
window that lies before the last one costs all that comes before it once more.
Such an image is decoded once, into tiles.
"""

from __future__ import annotations

import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from odc.geo.geobox import GeoBox
from pyproj import CRS
from pyproj.exceptions import CRSError
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.vrt import WarpedVRT

from crosslook.errors import RasterError
from crosslook.geo.explain import reason as reason
from crosslook.geo.explain import refusal
from crosslook.geo.grid import FRAME, shape_of, text_of_crs
from crosslook.geo.integrity import are_stale, damage_in_archive, damage_of, has_levels
from crosslook.geo.products.files import describe_container
from crosslook.geo.products.nitf import nitf_raster
from crosslook.geo.products.resolve import Opening, resolve
from crosslook.geo.products.virtual import normalised
from crosslook.geo.products.vrt import COMPLEX, quiet, remarks_of
from crosslook.geo.recipe import EXACT_PX, Recipe
from crosslook.geo.rectify import Placed, rectified
from crosslook.storage import ONLY_GDAL, Place, as_path, for_gdal, is_gdal_name, is_remote, reaching

_FROM_THE_TOP = ("PNG", "JPEG", "GIF", "BIGGIF")
_CACHED_BYTES = 32 << 20  # what GDAL keeps anyway is decoded once anyway
_LARGE_BLOCK_BYTES = 4 << 20


def must_decode_whole(data: Any) -> bool:
    """Whether windows of an open raster in any order cost far more than one pass over it."""
    if not isinstance(data, rasterio.DatasetReader) or data.count == 0:
        return False
    kind = data.dtypes[0]
    number = 8 if kind.startswith(("complex_int", "cint")) else np.dtype(kind).itemsize
    if data.width * data.height * data.count * number <= _CACHED_BYTES:
        return False
    if data.driver in _FROM_THE_TOP:
        return True
    rows, cols = data.block_shapes[0]
    if rows * cols * number > _LARGE_BLOCK_BYTES:
        return data.compression is not None or data.driver != "GTiff"
    # GDAL shows one strip as lines, of which only the first has a place in the file.
    return (
        data.driver == "GTiff"
        and data.compression is not None
        and cols == data.width
        and data.height > rows
        and data.get_tag_item("BLOCK_OFFSET_0_1", "TIFF", bidx=1) is None
    )


def decode_whole(data: Any, name: str) -> Any:
    """Write an open raster as tiles into a file that has no name any more.

    Its numbers, nodata, mask, place and tags stay. The file takes as much of the folder for
    temporary files as the pixels take in memory.

    Raises
    ------
    RasterError
        If the raster is damaged, or the disk is full.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decoded.tif"
        try:
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                rasterio.shutil.copy(
                    data, path, driver="GTiff", strict=False, tiled=True, bigtiff="if_safer"
                )
            return rasterio.open(path)  # stays readable when its name is gone
        except (RasterioError, CPLE_BaseError) as error:  # what `copy` lets through is GDAL's own
            raise RasterError(
                f"{name} cannot be decoded to the end: {error.__cause__ or error}. The file is "
                f"damaged, or {tempfile.gettempdir()} has no room for its pixels."
            ) from error


_GDAL_CACHE = 256 << 20  # bytes, as rasterio takes a number
"""Holds a row of 1,024 px blocks of three bands of 16 bits, 40,000 px wide: what reads a wide
basemap strip by strip else decodes each block again for every strip."""
_LONGEST_WKT = 65_536


@dataclass(frozen=True)
class About:
    """What became of a raster when it was opened.

    Attributes
    ----------
    placed_by : str
        As in :class:`~crosslook.geo.raster.Raster`.
    notes : tuple of str
        What a user should know of it, each after the name of the file.
    dtype : str
        Of the first band, of numbers that are values.
    is_magnitude : bool
        Whether they are the lengths of complex ones.
    joined : bool
        Whether numbers as stored are those of a virtual raster of the file.
    stale_overviews : bool
        Whether it has overviews that differ from its pixels; they are not read.
    has_levels : bool
        Whether its overviews are levels of its format.
    """

    placed_by: str
    notes: tuple[str, ...]
    dtype: str
    is_magnitude: bool
    joined: bool = False
    stale_overviews: bool = False
    has_levels: bool = False


def state_of(place: Place) -> tuple[int, int]:
    """Time of change and size of a local or stored file; nothing for what only GDAL reaches."""
    if is_gdal_name(place) or str(place).startswith(ONLY_GDAL):
        return 0, 0
    path = as_path(str(place).partition("#")[0] if ".json#" in str(place) else place)
    try:
        with reaching(path):
            status = path.stat()
    except OSError as error:
        raise RasterError(
            f"cannot open {place}: {error.strerror or 'it is not there'}. Check the path."
        ) from error
    return status.st_mtime_ns, status.st_size


def reading(place: Place, *, alone: bool = False) -> AbstractContextManager[Any]:
    """Hold GDAL's block cache small, which else takes a part of all memory.

    Also tells GDAL how the store of a remote place is reached, and to look at no file
    beside one that is read ``alone``.
    """
    options: dict[str, Any] = for_gdal(place)[1]
    if alone:
        options = {**options, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    # With keys of a cloud in the environment rasterio asks boto3 for a session each time, at
    # 40 ms of the processor, for local files too.
    local = not (is_remote(place) or is_gdal_name(place))
    session = DummySession() if local else None
    options = {"GDAL_CACHEMAX": _GDAL_CACHE, "GDAL_ERROR_ON_LIBJPEG_WARNING": True, **options}
    env: AbstractContextManager[Any] = rasterio.Env(session, **options)
    return env


def opening_of(source: Recipe) -> Opening:
    """What GDAL opens: of a file from outside itself, and nothing else that its name may mean."""
    if source.driver:
        return Opening(str(Path(source.place).absolute()))  # GDAL's prefixes begin no such path
    # What is brought along keeps its numbers, also where its product would not have them matched.
    return resolve(source.place, source.bands, masked=not source.stored)


def open_handles(source: Recipe, *, decoded: bool = False) -> tuple[list[Any], About]:
    """Handles from the file to what is read of it, each made from the one before."""
    opening = opening_of(source)
    with quiet(), reading(source.place, alone=bool(source.driver)):
        file, stale = _open_file(source, opening)
        handles = [file]
        try:
            # Bands that are no numbers yet. What is brought along keeps its numbers; only parts
            # of complex ones are joined.
            if source.stored:
                unusual = nitf_raster(file, lengths=False)
            else:
                unusual = normalised(file, indexed=source.indexed, driver=source.driver)
            if unusual is not None:
                handles.append(rasterio.open(unusual))
            remarks, dtype = remarks_of(handles[-1]), handles[-1].dtypes[0]
            levels = not (source.driver or decoded or stale) and has_levels(handles[-1])
            if decoded:
                handles.append(decode_whole(handles[-1], source.name))
            placed = rectified(handles[-1], source)
            if placed.view is not None:
                handles.append(placed.view)
            if source.onto is not None:
                own = crs_of_map(source, handles[-1])
                handles.append(_warped(handles[-1], source, source.onto, own))
        except (RasterioError, CPLE_BaseError) as error:  # some calls let GDAL's own through
            for handle in reversed(handles):
                handle.close()
            raise RasterError(
                f"{source.name} cannot be brought onto another grid: {reason(error)}."
            ) from error
    magnitude = handles[0].dtypes[0] in COMPLEX or remarks.get("MAGNITUDE") == "YES"
    magnitude |= remarks.get("scale") == "amplitude"
    notes = (*_of_several(handles[0], remarks.get("PARTS", "")), *_of_place(placed, remarks))
    joined = source.stored and unusual is not None
    by = remarks.get("PLACED_BY", placed.by)
    return handles, About(by, notes, dtype, magnitude, joined, stale, levels)


def _of_several(file: Any, said: str) -> tuple[str, ...]:
    """Say which image is taken of a file that holds more than the parts of one."""
    names, parts = list(file.subdatasets), int(said) if said.isdecimal() else 1
    note = f"holds {len(names)} images, the first is taken; name another as GDAL does: "
    return (note + names[parts],) if len(names) > parts else ()


def _of_place(placed: Placed, remarks: dict[str, str]) -> tuple[str, ...]:
    by = remarks.get("PLACED_BY", placed.by)
    plain = {"nothing": "it lies nowhere", "affine": "placed by its affine map"}
    words = plain.get(by, f"placed by its {by}") + placed.note
    notes = ("" if by in plain and not placed.note else words, remarks.get("NOTE", ""))
    return tuple(filter(None, notes))


def _open_file(source: Recipe, opening: Opening) -> tuple[Any, bool]:
    """The file, found whole, and whether its overviews are left out since they are stale."""
    try:
        level = {"OVERVIEW_LEVEL": source.level - 1} if source.level else {}
        data = rasterio.open(opening.name, driver=source.driver or None, **level)
    except (RasterioError, UnicodeError) as error:
        if answered := refusal(reason(error)):
            raise RasterError(f"{source.name} cannot be read: {answered}.") from error
        raise RasterError(
            f"{source.name} cannot be opened as a raster: {reason(error)}. "
            "A readable GeoTIFF, COG, VRT, JPEG 2000, PNG or JPEG is needed; "
            "check that the file is whole."
        ) from error
    if source.driver and data.tags(ns="OVERVIEWS"):  # asked first: else GDAL opens what it names
        data.close()
        raise RasterError(
            f"{source.name} names another file that holds its overviews, which is not read here. "
            "Write it without, or with overviews inside."
        )
    archived = map(damage_in_archive, opening.files or (opening.name,))
    file = data.files[0] if is_gdal_name(opening.name) and data.files else opening.name
    damage = damage_of(Path(file), data.driver)
    if damage := damage or next(filter(None, archived), ""):
        data.close()
        raise RasterError(f"{source.name} {damage}. Get the file again.")
    if data.count == 0:
        message = describe_container(source.name, data)
        data.close()
        raise RasterError(message)
    # A file from outside may name another one that holds its overviews: none is looked for there.
    overviews = not source.driver and data.overviews(1)
    stale = bool(overviews) and are_stale(opening.name, state_of(source.place))
    if stale:  # what GDAL reads in place of pixels must be what they are
        data.close()
        data = rasterio.open(opening.name, OVERVIEW_LEVEL="NONE")
    return data, stale


def crs_of_map(source: Recipe, data: Any) -> str | None:
    """The CRS in which the affine map of a raster lies; None where it has no map.

    That of the file; else the one requested, that of a ``.prj`` file beside
    it, and :data:`~crosslook.geo.grid.FRAME` where none is known.
    """
    if data.transform.is_identity:
        return None
    if data.crs:
        return _text_of_wkt(data.crs.to_wkt())
    return source.crs or _crs_beside(source.place) or FRAME


@lru_cache(maxsize=64)
def _text_of_wkt(wkt: str) -> str:
    return text_of_crs(CRS.from_user_input(wkt))


def _crs_beside(place: Place) -> str | None:
    """The CRS of a ``.prj`` file of the same name, as lies beside world files."""
    if is_gdal_name(place) or is_remote(place):
        return None
    for suffix in (".prj", ".PRJ"):
        with suppress(OSError, ValueError, CRSError):  # not there, no text, or a folder as '.'
            text = Path(str(place)).with_suffix(suffix).open(encoding="utf-8-sig")
            with text as file:
                return text_of_crs(CRS.from_wkt(file.read(_LONGEST_WKT)))
    return None


def _warped(data: Any, source: Recipe, onto: GeoBox, own: str | None) -> Any:
    missing = source.missing[0] if source.missing else data.nodata
    if missing is None and data.dtypes[0].startswith("float"):
        missing = float("nan")
    height, width = shape_of(onto)
    how = {"resampling": Resampling[source.resampling], "tolerance": EXACT_PX}
    how |= {} if missing is None else {"src_nodata": missing}
    # In float32 with NaN for no data: what lies outside the raster is known from 0.
    how |= {"dtype": "float32", "nodata": float("nan")}
    place = {"crs": str(onto.crs), "transform": onto.affine, "height": height, "width": width}
    return WarpedVRT(data, src_crs=own, **place, **how)


class _Entry:
    """Open handles of one source and the lock that lets one thread read them."""

    def __init__(self, source: Recipe) -> None:
        self.lock = Lock()
        self.closed = False
        self._source = source
        self._decoded = False
        self.handles, self.about = open_handles(source)

    def decode(self) -> None:
        """Decode what can only be read from its beginning; headers do not need that."""
        if not self._decoded and any(must_decode_whole(handle) for handle in self.handles):
            handles = self.handles
            self.handles, self.about = open_handles(self._source, decoded=True)
            for handle in reversed(handles):
                handle.close()
        self._decoded = True

    def close(self) -> None:
        with self.lock:
            self.closed = True
            for handle in reversed(self.handles):
                handle.close()


class OpenRasters:
    """The last ``limit`` rasters used, kept open; safe across threads.

    A file that has changed since it was opened is opened anew, and a forked
    process opens its own.
    """

    def __init__(self, limit: int = 16) -> None:
        self.limit = limit
        self._lock = Lock()
        self._entries: OrderedDict[tuple[object, ...], _Entry] = OrderedDict()

    @contextmanager
    def use(self, source: Recipe, *, pixels: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield the file and what is read of it, maybe warped; other threads wait for it.

        ``pixels`` says that more than the header is read.

        Raises
        ------
        RasterError
            If the file is missing, no raster or of a type not supported.
        """
        while True:
            entry = self._get(source)
            with entry.lock:
                if entry.closed:  # dropped by another thread in between
                    continue
                if pixels:
                    entry.decode()
                yield entry.handles[1 if entry.about.joined else 0], entry.handles[-1]
                return

    def about(self, source: Recipe) -> About:
        """What became of a raster when it was opened; RasterError as for :meth:`use`."""
        return self._get(source).about

    def close(self) -> None:
        """Close all rasters that no thread is reading just now, wait for the others."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.close()

    def __len__(self) -> int:
        return len(self._entries)

    def _get(self, source: Recipe) -> _Entry:
        key = (source, *state_of(source.place), os.getpid())
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                return entry
        fresh = _Entry(source)
        with self._lock:
            entry = self._entries.setdefault(key, fresh)
            self._entries.move_to_end(key)
            surplus = len(self._entries) - self.limit
            old = [self._entries.popitem(last=False)[1] for _ in range(max(0, surplus))]
        if entry is not fresh:
            old.append(fresh)
        for unused in old:
            unused.close()
        return entry


OPEN = OpenRasters()
"""The rasters that this process holds open."""
