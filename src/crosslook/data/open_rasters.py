"""Rasters kept open, so that many windows of a scene do not open it again."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.vrt import WarpedVRT

from crosslook.errors import RasterError
from crosslook.storage import for_gdal, reaching

if TYPE_CHECKING:
    from crosslook.data.raster import Grid

DTYPES = ("uint8", "uint16", "int16", "float32", "float64")
_GDAL_CACHE_MIB = 64


@dataclass(frozen=True)
class Source:
    """A raster, read as it lies or brought onto another grid window by window.

    Attributes
    ----------
    path : Path
    onto : Grid or None
        The grid to resample onto; None reads the raster's own pixels.
    resampling : str
        A method of GDAL: ``nearest``, ``bilinear``, ``cubic``, ``average`` ...
    """

    path: Path
    onto: Grid | None = None
    resampling: str = "bilinear"


def as_source(source: Source | Path) -> Source:
    """Take a path as a source that is read as it lies."""
    return source if isinstance(source, Source) else Source(source)


def reading(path: Path) -> AbstractContextManager[Any]:
    """Hold GDAL's block cache small, which else takes a share of all memory.

    Also tells GDAL how the store of a remote path is reached.
    """
    _, options = for_gdal(path)
    env: AbstractContextManager[Any] = rasterio.Env(GDAL_CACHEMAX=_GDAL_CACHE_MIB, **options)
    return env


class _Entry:
    """Open handles of one source and the lock that lets one thread read them."""

    def __init__(self, source: Source) -> None:
        self.lock = Lock()
        self.closed = False
        self.handles = _open(source)

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
    def use(self, source: Source) -> Iterator[Any]:
        """Yield the open dataset of ``source``; other threads wait for it.

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
                yield entry.handles[-1]
                return

    def close(self) -> None:
        """Close all rasters that no thread is reading just now, wait for the others."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.close()

    def __len__(self) -> int:
        return len(self._entries)

    def _get(self, source: Source) -> _Entry:
        try:
            with reaching(source.path):
                status = source.path.stat()
        except OSError as error:
            raise RasterError(
                f"cannot open {source.path}: {error.strerror or 'it is not there'}. Check the path."
            ) from error
        key = (source, status.st_mtime_ns, status.st_size, os.getpid())
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


def _open(source: Source) -> list[Any]:
    with warnings.catch_warnings(), reading(source.path):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            data = rasterio.open(for_gdal(source.path)[0])
        except RasterioIOError as error:
            raise RasterError(
                f"{source.path} cannot be opened as a raster: {str(error).rstrip('.')}. "
                "GeoTIFF, PNG and JPEG are read; check that the file is whole."
            ) from error
        unknown = [dtype for dtype in data.dtypes if dtype not in DTYPES]
        if unknown:
            data.close()
            raise RasterError(
                f"{source.path} has pixels of type {unknown[0]}; {', '.join(DTYPES)} are read. "
                "Convert it first (complex radar data: take the amplitude)."
            )
        if source.onto is None:
            return [data]
        try:
            return [data, _warped(data, source, source.onto)]
        except RasterioError as error:
            data.close()
            raise RasterError(
                f"{source.path} cannot be brought onto another grid: {error}."
            ) from error


def _warped(data: Any, source: Source, onto: Grid) -> Any:
    missing = data.nodata
    if missing is None and data.dtypes[0].startswith("float"):
        missing = float("nan")
    # In float32 with NaN for no data: what lies outside the raster is told from 0.
    return WarpedVRT(
        data,
        crs=onto.crs,
        transform=onto.transform,
        height=onto.height,
        width=onto.width,
        resampling=Resampling[source.resampling],
        dtype="float32",
        nodata=float("nan"),
        **({} if missing is None else {"src_nodata": missing}),
    )
