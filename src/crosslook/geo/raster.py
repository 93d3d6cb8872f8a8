"""Rasters on disk: their grids, and windows read from them."""

from __future__ import annotations

import math
import os
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.vrt import WarpedVRT

from crosslook.errors import RasterError
from crosslook.storage import for_gdal, reaching
from crosslook.types import FloatArray, Window

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


__all__ = ["DTYPES", "Grid", "Raster", "Source", "read_grid", "read_raster", "read_window"]


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a raster lie.

    Attributes
    ----------
    crs : str or None
        Authority string or WKT; None where the raster has no georeference.
    transform : Affine
        From pixel (column, row) to world (x, y); pixel corners are whole numbers.
    height, width : int
        Rows and columns.
    """

    crs: str | None
    transform: Affine
    height: int
    width: int

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """World rectangle (left, bottom, right, top) that holds all corners."""
        corners = [_map(self.transform, *corner) for corner in self._corners]
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def invertible(self) -> bool:
        """Whether a world position has exactly one pixel position."""
        values = [*tuple(self.transform)[:6], self.transform.determinant]
        return all(math.isfinite(value) for value in values) and values[-1] != 0.0

    @cached_property
    def _corners(self) -> tuple[tuple[float, float], ...]:
        return (0, 0), (self.width, 0), (0, self.height), (self.width, self.height)

    def xy(self, row: float, col: float) -> tuple[float, float]:
        """World (x, y) of a pixel position; (0.5, 0.5) is the first pixel's centre."""
        return _map(self.transform, col, row)

    def row_col(self, x: float, y: float) -> tuple[float, float]:
        """Pixel position (row, column) of a world position."""
        col, row = _map(~self.transform, x, y)
        return row, col

    def same_as(self, other: Grid, tolerance: float = 0.01) -> bool:
        """Whether all corners agree within ``tolerance`` pixels, in the same CRS."""
        if (self.height, self.width) != (other.height, other.width):
            return False
        if not self._same_crs(other) or not (self.invertible and other.invertible):
            return False
        back = ~self.transform
        for corner in self._corners:
            col, row = _map(back, *_map(other.transform, *corner))
            if math.hypot(col - corner[0], row - corner[1]) > tolerance:
                return False
        return True

    def _same_crs(self, other: Grid) -> bool:
        if self.crs is None or other.crs is None or self.crs == other.crs:
            return self.crs == other.crs
        return bool(CRS.from_user_input(self.crs) == CRS.from_user_input(other.crs))

    def __str__(self) -> str:
        size = f"{self.height} x {self.width} px"
        if self.crs is None:
            return f"{size}, no georeference"
        crs = self.crs if len(self.crs) < 40 else f"{self.crs[:37]}..."
        box = ", ".join(f"{value:.10g}" for value in self.bounds)
        step = math.hypot(self.transform.a, self.transform.d)
        return f"{size}, {crs}, pixel {step:.6g}, bounds ({box})"


@dataclass(frozen=True)
class Raster:
    """What the header of a raster says.

    ``colours`` names each band (``red``, ``gray``, ``undefined`` ...); an alpha
    band is not counted among the ``bands``. ``synthetic`` is true where a tag
    of the file says that its content is simulated.
    """

    path: Path
    grid: Grid
    bands: int
    dtype: str
    nodata: float | None
    colours: tuple[str, ...]
    synthetic: bool


def read_raster(path: Path) -> Raster:
    """Read the header of a raster.

    Raises
    ------
    RasterError
        If the file is missing, no raster, or of a pixel type that is not
        supported (see ``DTYPES``).
    """
    with OPEN.use(Source(path)) as data:
        colours = tuple(
            colour.name for colour in data.colorinterp if colour is not ColorInterp.alpha
        )
        return Raster(
            path, _grid(data), len(colours), data.dtypes[0], data.nodata, colours, _synthetic(data)
        )


def read_grid(path: Path) -> Grid:
    """Read the grid of a raster; errors as of :func:`read_raster`."""
    return read_raster(path).grid


def read_window(
    source: Source | Path,
    window: Window | None = None,
    bands: tuple[int, ...] | None = None,
    shape: tuple[int, int] | None = None,
) -> FloatArray:
    """Read a window of a raster.

    Parameters
    ----------
    source : Source or Path
        The raster, or the raster brought onto another grid.
    window : Window, optional
        May reach beyond the raster; what lies outside is NaN. The whole
        raster by default.
    bands : tuple of int, optional
        Bands counted from 1; all but an alpha band by default.
    shape : tuple of int, optional
        Decimate to this many rows and columns (nearest pixel); then the
        window must lie inside the raster.

    Returns
    -------
    float32 array, shape (bands, height, width)
        NaN where the raster has no data: nodata, mask, alpha 0, infinity.

    Raises
    ------
    RasterError
        If the file is missing, damaged, or has no such band.
    """
    source = as_source(source)
    with OPEN.use(source) as data, reading(source.path):
        if window is None:
            window = Window(0, 0, data.height, data.width)
        chosen = _bands(data, bands, source)
        inside = _inside(window, data.height, data.width)
        out_shape = shape or (window.height, window.width)
        out = np.full((len(chosen), *out_shape), np.nan, np.float32)
        if inside.height <= 0 or inside.width <= 0:
            return out
        try:
            values = _read(data, inside, chosen, shape)
        except RasterioError as error:
            raise RasterError(
                f"{source.path} cannot be read to the end (rows {inside.row}.."
                f"{inside.row + inside.height}): {reason(error)}. "
                "The file is damaged or cut off; fetch or write it again."
            ) from error
    if shape is not None:
        return values
    top, left = inside.row - window.row, inside.col - window.col
    out[:, top : top + inside.height, left : left + inside.width] = values
    return out


def _map(transform: Affine, x: float, y: float) -> tuple[float, float]:
    # By hand: releases of affine differ in the operator that applies to a point.
    a, b, c, d, e, f = (float(value) for value in tuple(transform)[:6])
    return a * x + b * y + c, d * x + e * y + f


def _read(
    data: Any, inside: Window, bands: tuple[int, ...], shape: tuple[int, int] | None
) -> FloatArray:
    region = rasterio.windows.Window(inside.col, inside.row, inside.width, inside.height)
    out_shape = None if shape is None else (len(bands), *shape)
    raw = data.read(list(bands), window=region, out_shape=out_shape)
    values: FloatArray = raw.astype(np.float32)
    if any(MaskFlags.all_valid not in data.mask_flag_enums[band - 1] for band in bands):
        masks = data.read_masks(list(bands), window=region, out_shape=out_shape)
        values[masks == 0] = np.nan
    if raw.dtype.kind == "f":
        values[~np.isfinite(values)] = np.nan
    return values


def _bands(data: Any, bands: tuple[int, ...] | None, source: Source) -> tuple[int, ...]:
    alpha = [colour is ColorInterp.alpha for colour in data.colorinterp]
    if bands is None:
        return tuple(i + 1 for i in range(data.count) if not alpha[i])
    wrong = [band for band in bands if not 1 <= band <= data.count]
    if wrong:
        raise RasterError(
            f"{source.path} has no band {wrong[0]}; its bands are 1..{data.count}. "
            "Name other bands in the radiometry."
        )
    return bands


def _inside(window: Window, height: int, width: int) -> Window:
    top, left = max(window.row, 0), max(window.col, 0)
    bottom = min(window.row + window.height, height)
    right = min(window.col + window.width, width)
    return Window(top, left, bottom - top, right - left)


def _grid(data: Any) -> Grid:
    crs = data.crs.to_string() if data.crs else None
    return Grid(crs or None, data.transform, data.height, data.width)


def _synthetic(data: Any) -> bool:
    for key, value in data.tags().items():
        if "synthetic" in key.lower():
            return str(value).lower() not in ("no", "false", "0")
        if "synthetic" in str(value).lower():
            return True
    return False


def reason(error: Exception) -> str:
    """Say what GDAL itself says of an error; rasterio's own text may only point to it."""
    cause = error.__cause__ or error
    return str(cause).strip().rstrip(".") or type(cause).__name__
