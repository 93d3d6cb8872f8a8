"""GDAL's datasets: opened with what is unusual put right, and kept open.

What is unusual becomes a virtual raster first: complex pixels become amplitude,
palettes become colours, the bands of a product folder become one image
(:mod:`crosslook.geo.products`). What has ground control points or rational
polynomials in place of a map is rectified on the fly
(:mod:`crosslook.geo.rectify`), so that every raster has an affine grid.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.session import DummySession
from rasterio.vrt import WarpedVRT

from crosslook.errors import RasterError
from crosslook.gdal_names import words_without_keys
from crosslook.geo.explain import refusal
from crosslook.geo.grid import shape_of
from crosslook.geo.products.containers import describe_container
from crosslook.geo.products.nitf import is_shorter_than_said, nitf_raster
from crosslook.geo.products.resolve import Opening, resolve
from crosslook.geo.products.virtual import normalised
from crosslook.geo.products.vrt import COMPLEX, quiet, remarks_of
from crosslook.geo.rectify import EXACT_PX, Placed, rectified
from crosslook.geo.sequential import decode_whole, must_decode_whole
from crosslook.storage import (
    ONLY_GDAL,
    Place,
    as_path,
    for_gdal,
    is_gdal_name,
    is_remote,
    name_of,
    reaching,
)

_GDAL_CACHE_MIB = 64


@dataclass(frozen=True)
class Recipe:
    """How GDAL opens a raster: as it lies, or brought onto another grid.

    Attributes
    ----------
    place : path, address or name that GDAL knows
    bands : tuple of str
        Bands of a product folder, where others than its visible ones are wanted.
    onto : GeoBox or None
        The grid to resample onto; None reads the raster's own pixels.
    resampling : str
        ``nearest``, ``bilinear``, ``cubic``, ``average`` ...
    height : float or None
        Metres above the ellipsoid, for rational polynomials.
    dem : str or None
        Elevation model, for the same.
    missing : float or None
        A stored number that stands for no data though the file does not say so;
        heeded when the raster is brought onto another grid.
    indexed : bool
        Leave a palette its numbers instead of its colours.
    stored : bool
        Leave all numbers what they are in the file, complex ones too; see
        :mod:`crosslook.geo.stored`.
    label : str
        What to call it instead of its file, where that has a name of no meaning.
    driver : str
        Of GDAL, for a file from someone who is not trusted: no other driver is tried, the
        place is a file and no name of GDAL or product, and nothing that it names is opened.
    """

    place: Place
    bands: tuple[str, ...] = ()
    onto: GeoBox | None = None
    resampling: str = "bilinear"
    height: float | None = None
    dem: str | None = None
    missing: float | None = None
    indexed: bool = False
    stored: bool = False
    label: str = ""
    driver: str = ""

    def __post_init__(self) -> None:
        if self.driver and not Path(self.place).is_file():
            raise RasterError(f"{self.name} cannot be opened: it is no file of this machine.")

    @property
    def name(self) -> str:
        """What messages and outputs call it."""
        return self.label or name_of(self.place)


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
        Of the first band, of numbers that stand for themselves.
    is_magnitude : bool
        Whether they are the lengths of complex ones.
    joined : bool
        Whether numbers as stored are those of a virtual raster of the file.
    """

    placed_by: str
    notes: tuple[str, ...]
    dtype: str
    is_magnitude: bool
    joined: bool = False


class _Entry:
    """Open handles of one source and the lock that lets one thread read them."""

    def __init__(self, source: Recipe) -> None:
        self.lock = Lock()
        self.closed = False
        self._source = source
        self._ready = False
        self.handles, self.about = _open(source)

    def make_ready(self) -> None:
        """Decode what can only be read from its beginning; headers do not need that."""
        if not self._ready and any(must_decode_whole(handle) for handle in self.handles):
            handles = self.handles
            self.handles, self.about = _open(self._source, decoded=True)
            for handle in reversed(handles):
                handle.close()
        self._ready = True

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

        ``pixels`` says that more than the header is wanted.

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
                    entry.make_ready()
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
        key = (source, *_state_of(source.place), os.getpid())
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


def reason(error: Exception) -> str:
    """Say what GDAL itself says of an error; rasterio's own text may only point to it."""
    cause = error.__cause__ or error
    return words_without_keys(str(cause)).strip().rstrip(".") or type(cause).__name__


def _state_of(place: Place) -> tuple[int, int]:
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
    _, options = for_gdal(place)
    if alone:
        options = {**options, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    # With keys of a cloud in the environment rasterio asks boto3 for a session each time, at
    # 40 ms of the processor, for local files too.
    local = not (is_remote(place) or is_gdal_name(place))
    env: AbstractContextManager[Any] = rasterio.Env(
        DummySession() if local else None, GDAL_CACHEMAX=_GDAL_CACHE_MIB, **options
    )
    return env


def opening_of(source: Recipe) -> Opening:
    """What GDAL opens: of a file from outside itself, and nothing that its name may stand for."""
    if source.driver:
        return Opening(str(Path(source.place).absolute()))  # GDAL's prefixes begin no such path
    return resolve(source.place, source.bands)


def _open(source: Recipe, *, decoded: bool = False) -> tuple[list[Any], About]:
    """Handles from the file to what is read of it, each made from the one before."""
    opening = opening_of(source)
    with quiet(), reading(source.place, alone=bool(source.driver)):
        handles = [_open_file(source, opening)]
        try:
            unusual = _meaning(handles[0], source)
            if unusual is not None:
                handles.append(rasterio.open(unusual))
            remarks, dtype = remarks_of(handles[-1]), handles[-1].dtypes[0]
            if decoded:
                handles.append(decode_whole(handles[-1], source.name))
            placed = rectified(
                handles[-1],
                source.name,
                source.height,
                source.dem,
                source.resampling if source.stored else None,
                source.driver,
            )
            if placed.view is not None:
                handles.append(placed.view)
            if source.onto is not None:
                handles.append(_warped(handles[-1], source, source.onto))
        except RasterioError as error:
            for handle in reversed(handles):
                handle.close()
            raise RasterError(
                f"{source.name} cannot be brought onto another grid: {reason(error)}."
            ) from error
    magnitude = handles[0].dtypes[0] in COMPLEX or remarks.get("MAGNITUDE") == "YES"
    magnitude |= remarks.get("scale") == "amplitude"
    notes = (*_of_several(handles[0], remarks.get("PARTS", "")), *_of_place(placed, remarks))
    joined = source.stored and unusual is not None
    return handles, About(remarks.get("PLACED_BY", placed.by), notes, dtype, magnitude, joined)


def _meaning(data: Any, source: Recipe) -> str | None:
    """The virtual raster of a file whose bands are no numbers yet; None for others.

    What is brought along keeps its numbers; only parts of complex ones are joined.
    """
    if source.stored:
        return nitf_raster(data, lengths=False)
    return normalised(data, indexed=source.indexed, driver=source.driver)


def _of_several(file: Any, said: str) -> tuple[str, ...]:
    """Say which image is taken of a file that holds more than the parts of one."""
    names, parts = list(file.subdatasets), int(said) if said.isdecimal() else 1
    if len(names) <= parts:
        return ()
    return (
        f"holds {len(names)} images, the first is taken; name another as GDAL does: {names[parts]}",
    )


def _of_place(placed: Placed, remarks: dict[str, str]) -> tuple[str, ...]:
    by = remarks.get("PLACED_BY", placed.by)
    said = {"nothing": "it lies nowhere", "affine": "placed by its affine map"}
    told = said.get(by, f"placed by its {by}") + placed.note
    if by in said and not placed.note:
        told = ""
    return tuple(part for part in (told, remarks.get("NOTE", "")) if part)


def _open_file(source: Recipe, opening: Opening) -> Any:
    try:
        data = rasterio.open(opening.name, driver=source.driver or None)
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
    if _is_cut_short(opening.name, data.driver):
        data.close()
        raise RasterError(
            f"{source.name} ends before its image does: it was cut short, as by a download "
            "that broke off. Get the file again."
        )
    if data.count == 0:
        message = describe_container(source.name, data)
        data.close()
        raise RasterError(message)
    return data


_LAST_MARK = {"PNG": b"IEND", "JPEG": b"\xff\xd9"}
_TAIL_BYTES = 65_536  # what some programs append lies within


def _is_cut_short(name: str, driver: str) -> bool:
    """Whether a local PNG or JPEG lacks its last mark, or a NITF file the length it states.

    GDAL reads what is missing as zeros.
    """
    mark = _LAST_MARK.get(driver)
    if driver == "NITF" and Path(name).is_file():
        return is_shorter_than_said(Path(name))
    if mark is None or not Path(name).is_file():
        return False
    with Path(name).open("rb") as file:
        file.seek(max(0, Path(name).stat().st_size - _TAIL_BYTES))
        return mark not in file.read()


def _warped(data: Any, source: Recipe, onto: GeoBox) -> Any:
    missing = data.nodata if source.missing is None else source.missing
    if missing is None and data.dtypes[0].startswith("float"):
        missing = float("nan")
    height, width = shape_of(onto)
    # In float32 with NaN for no data: what lies outside the raster is told from 0.
    return WarpedVRT(
        data,
        crs=str(onto.crs),
        transform=onto.affine,
        height=height,
        width=width,
        resampling=Resampling[source.resampling],
        tolerance=EXACT_PX,
        dtype="float32",
        nodata=float("nan"),
        **({} if missing is None else {"src_nodata": missing}),
    )
