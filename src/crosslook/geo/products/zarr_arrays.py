"""Pixels of a Zarr array: by GDAL where it can, else by the ``zarr`` package.

GDAL up to 3.11 reads hardly any Zarr 3, and up to 3.12 no sharded array. Such
an array is copied once, block by block, into a tiled GeoTIFF of this process.
"""

from __future__ import annotations

import shutil
from functools import lru_cache
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from crosslook.errors import InputError, MissingExtraError, OutputError
from crosslook.geo.products.vrt import quiet
from crosslook.geo.products.zarr_tree import Store
from crosslook.storage import is_remote, name_of, reaching

_STRIP_BYTES = 32 << 20
_TILE = 512
_COPIES = "crosslook-zarr-"
_MOST_AXIS = 1 << 22  # numbers of an axis or a lattice of control points


def raster_of(store: Store, path: str) -> str:
    """The name by which GDAL opens the pixels of an array.

    Raises
    ------
    MissingExtraError
        If GDAL cannot read it and ``zarr`` is not installed.
    InputError
        If it is not there, or neither reads it.
    OutputError
        If the disk cannot hold a copy.
    """
    name = store.gdal_name(path)
    if not is_remote(store.root) and not store.is_there(path):
        raise InputError(
            f"{name_of(store.root)} lists the array {path}, but it is not there: the store is "
            "incomplete, as by a copy that broke off. Copy it again."
        )
    try:
        with quiet(), rasterio.open(name) as data:
            if not is_remote(store.root):  # to see that its chunks can be unpacked
                data.read(1, window=Window(0, 0, 1, 1))
    except RasterioError as error:
        return _copied(store, path, str(error), store.changed)
    return name


def values_of(store: Store, path: str) -> NDArray[Any]:
    """All numbers of a small array.

    Raises
    ------
    MissingExtraError, InputError
        As :func:`raster_of`.
    """
    return _values(store, path, store.changed)


@lru_cache(maxsize=64)
def _values(store: Store, path: str, changed: int) -> NDArray[Any]:
    if prod(store.nodes[path].shape) > _MOST_AXIS:
        raise InputError(f"{path} of {name_of(store.root)} is too large for an axis.")
    try:
        with quiet(), rasterio.open(store.gdal_name(path)) as data:
            values: NDArray[Any] = data.read(1)
            return values.reshape(store.nodes[path].shape)
    except RasterioError as error:
        read = np.asarray(_by_zarr(store, path, str(error))[...])
        return read.astype(np.int64) if read.dtype.kind == "M" else read


def is_copy(name: str) -> bool:
    """Whether a file is a copy made here, whose name and time say nothing of the image."""
    return Path(name).parent.name.startswith(_COPIES)


@lru_cache(maxsize=1)
def _folder() -> TemporaryDirectory[str]:
    """Where copies lie until the process ends."""
    return TemporaryDirectory(prefix=_COPIES)


@lru_cache(maxsize=64)
def _copied(store: Store, path: str, why: str, changed: int) -> str:
    """Copy an array into a GeoTIFF, a strip at a time, and return its name."""
    array = _by_zarr(store, path, why)
    shape = (1, *array.shape) if array.ndim == 2 else array.shape
    dtype = _writable(array.dtype)
    folder = Path(_folder().name)
    if prod(shape) * dtype.itemsize > shutil.disk_usage(folder).free:
        raise OutputError(f"{folder} cannot hold a copy of {path}. Free some space, or set TMPDIR.")
    count, height, width = shape
    target = folder / f"{len(list(folder.iterdir()))}.tif"
    profile = {
        "driver": "GTiff", "count": count, "height": height, "width": width, "dtype": dtype.name,
        "tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "bigtiff": "if_safer",
    }  # fmt: skip
    deep = max(1, _STRIP_BYTES // max(1, width * dtype.itemsize))
    deep = max(_TILE, deep // _TILE * _TILE)
    with quiet(), reaching(store.root), rasterio.open(target, "w", **profile) as file:
        for band in range(count):
            for top in range(0, height, deep):
                rows = slice(top, min(top + deep, height))
                strip = array[rows] if array.ndim == 2 else array[band, rows]
                window = Window(0, top, width, rows.stop - top)
                file.write(np.asarray(strip).astype(dtype), band + 1, window=window)
    return str(target)


def _writable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which GeoTIFF keeps the same numbers."""
    if dtype.kind == "b":
        return np.dtype("uint8")
    return np.dtype("float32") if dtype == np.float16 else dtype.newbyteorder("=")


def _by_zarr(store: Store, path: str, why: str) -> Any:
    """Open an array by the ``zarr`` package."""
    try:
        import zarr
    except ImportError:
        raise MissingExtraError(
            f"{name_of(store.root)}: GDAL {rasterio.__gdal_version__} does not read its array "
            f"{path} ({why.strip('.')}). Install zarr: pip install 'crosslook[zarr]'. GDAL 3.12, "
            "of rasterio 1.5 for Python 3.12 and later, reads Zarr 3 that is not sharded."
        ) from None
    try:
        if store.is_archive:
            inside = f"{store.inside}/{path}".strip("/")
            return zarr.open_array(zarr.storage.ZipStore(store.root), path=inside, mode="r")
        return zarr.open_array(store.root, path=path, mode="r")
    except ImportError as error:  # of what reaches an address
        raise MissingExtraError(
            f"{name_of(store.root)}: {error}. Install it: pip install 'crosslook[zarr,remote]'."
        ) from error
    except Exception as error:  # of any store and codec
        raise InputError(
            f"{name_of(store.root)}: neither GDAL ({why.strip('.')}) nor zarr reads its array "
            f"{path}: {error}."
        ) from error
