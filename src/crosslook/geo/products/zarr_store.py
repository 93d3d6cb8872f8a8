"""A Zarr store, of version 2 or 3: its groups and arrays from their metadata, and their pixels.

A store is a folder, a ZIP archive of one, or an address. Its metadata are small
JSON texts; consolidated they are one. Pixels are read by GDAL where it can,
else by the ``zarr`` package: GDAL up to 3.11 reads hardly any Zarr 3, and up to
3.12 no sharded array. Such an array is copied once, block by block, into a
tiled GeoTIFF of this process.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count as counter
from math import prod
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from crosslook.errors import InputError, MissingExtraError, OutputError
from crosslook.gdal_names import files_of, split_name, without_keys
from crosslook.geo.products.vrt import quiet
from crosslook.storage import as_path, for_gdal, is_gdal_name, is_remote, name_of, reaching

_OF_GROUP = (".zmetadata", "zarr.json", ".zgroup", ".zarray")
_KEYS = (".zarray", ".zgroup", ".zattrs", "zarr.json")
_MOST_JSON = 64 << 20
_PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Node:
    """A group or an array.

    Attributes
    ----------
    path : str
        Inside the store; empty for the outermost.
    attributes : mapping
    shape : tuple of int
        Empty for a group.
    dimensions : tuple of str
        Names of the axes; empty where the store does not say.
    fill : object
        What means no data, where the format takes it so (version 2).
    """

    path: str
    attributes: Mapping[str, Any]
    shape: tuple[int, ...] = ()
    dimensions: tuple[str, ...] = ()
    fill: Any = None

    @property
    def group(self) -> str:
        """Path of the group that it is in."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Store:
    """Where a Zarr hierarchy lies.

    Attributes
    ----------
    root : str
        Folder, archive or address.
    inside : str
        Folder in the archive.
    below : str
        The requested group or array; empty for all.
    """

    root: str
    inside: str = ""
    below: str = ""

    @property
    def is_archive(self) -> bool:
        """Whether it is a ZIP file."""
        return self.root.lower().endswith(".zip")

    def gdal_name(self, path: str) -> str:
        """The name by which GDAL opens one of its arrays."""
        root = for_gdal(self.root)[0]
        if self.is_archive:
            root = f"/vsizip/{root}/{self.inside}".rstrip("/")
        return f'ZARR:"{root}":/{path}'

    @property
    def nodes(self) -> dict[str, Node]:
        """All groups and arrays by path; InputError where the metadata cannot be read."""
        return _all_nodes(self.root, self.inside, self.changed)

    @property
    def changed(self) -> int:
        """Time of change of a local store in nanoseconds, else 0."""
        if is_remote(self.root):
            return 0
        texts = [Path(self.root), *(Path(self.root) / key for key in _OF_GROUP)]
        return max(text.stat().st_mtime_ns for text in texts if text.exists())

    def read_metadata(self) -> dict[str, Any]:
        """Metadata by key: from one text where they are consolidated, else from each."""
        with reaching(self.root):
            texts = self._consolidated()
            return texts if texts is not None else dict(self._walk())

    def is_there(self, path: str) -> bool:
        """Whether an array of the metadata is in the store: a copy of one may have broken off."""
        keys = (f"{path}/{key}".lstrip("/") for key in (".zarray", "zarr.json"))
        return any(self._read(key) is not None for key in keys)

    def _consolidated(self) -> dict[str, Any] | None:
        """Metadata by key, where one text holds all; what else there is of a single array."""
        if (whole := self._json(".zmetadata")) is not None:
            found: dict[str, Any] = whole.get("metadata", {})
            return found
        top = self._json("zarr.json") or {}
        inner = (top.get("consolidated_metadata") or {}).get("metadata") or {}
        if inner or top.get("node_type") == "array":
            return {"zarr.json": top, **{f"{path}/zarr.json": one for path, one in inner.items()}}
        return None

    def _walk(self) -> Iterator[tuple[str, Any]]:
        """Metadata of every node, one text each."""
        if is_remote(self.root):
            single = {key: self._json(key) for key in _KEYS}
            if single[".zarray"] is None:
                raise InputError(
                    f"{name_of(self.root)} has no consolidated metadata, and what an address "
                    "holds cannot be listed. Name one array of it, or consolidate its metadata."
                )
            yield from ((key, one) for key, one in single.items() if one is not None)
            return
        for key in self._keys():
            if key.rpartition("/")[2] in _KEYS and (loaded := self._json(key)) is not None:
                yield key, loaded

    def _keys(self) -> list[str]:
        if not self.is_archive:
            root = Path(self.root)
            return sorted(
                path.relative_to(root).as_posix() for key in _KEYS for path in root.rglob(key)
            )
        start = f"{self.inside}/" if self.inside else ""
        with zipfile.ZipFile(self.root) as archive:
            return [n.removeprefix(start) for n in archive.namelist() if n.startswith(start)]

    def _json(self, key: str) -> dict[str, Any] | None:
        data = self._read(key)
        if data is None:
            return None
        if len(data) > _MOST_JSON:
            raise InputError(f"{key} of {name_of(self.root)} is over {_MOST_JSON >> 20} MiB.")
        try:
            loaded = json.loads(data)
        except ValueError as error:
            raise InputError(f"{key} of {name_of(self.root)} is not JSON: {error}.") from error
        if not isinstance(loaded, dict):
            raise InputError(f"{key} of {name_of(self.root)} holds no Zarr metadata.")
        return loaded

    def _read(self, key: str) -> bytes | None:
        """A small file of the store; None where it is not there."""
        if self.root.startswith(("http://", "https://")):
            return _fetched(f"{self.root}/{key}")
        if self.is_archive:
            return _unpacked(self.root, f"{self.inside}/{key}".lstrip("/"))
        try:
            return bytes((as_path(self.root) / key).read_bytes())
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None


@lru_cache(maxsize=16)
def _all_nodes(root: str, inside: str, changed: int) -> dict[str, Node]:
    try:
        return {node.path: node for node in _nodes(Store(root, inside).read_metadata())}
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the metadata of {name_of(root)} are no Zarr metadata: {error}. Get the store again."
        ) from error


def find_store(text: str) -> Store | None:
    """The Zarr store that a place names, or lies in; None for anything else.

    Raises
    ------
    InputError
        If it is an address with a query, which would have to go to each of its files.
    """
    below = ""
    if is_gdal_name(text):
        driver, _, below = split_name(text)
        if driver not in ("", "ZARR"):
            return None
        text = next(iter(files_of(text)), text)
    if is_remote(text):
        return _remote_store(text, below)
    path = Path(text)
    if path.is_file():
        return _archived_store(path, below) if path.suffix.lower() == ".zip" else None
    return _local_store(path, below)


def _local_store(path: Path, below: str) -> Store | None:
    if not is_zarr_folder(path):
        return None
    root = path.absolute()
    while is_zarr_folder(root.parent):
        root = root.parent
    inner = path.absolute().relative_to(root).as_posix()
    return Store(str(root), below=f"{'' if inner == '.' else inner}/{below}".strip("/"))


def is_zarr_folder(path: Path) -> bool:
    """Whether a folder holds the metadata of a Zarr group or array."""
    return path.is_dir() and any((path / key).is_file() for key in _OF_GROUP)


def _archived_store(path: Path, below: str) -> Store | None:
    try:
        with zipfile.ZipFile(path) as archive:
            tops = [n for n in archive.namelist() if PurePosixPath(n).name in _OF_GROUP]
    except (OSError, zipfile.BadZipFile):
        return None
    if not tops:
        return None
    top = min(tops, key=lambda name: name.count("/"))
    return Store(str(path), top.rpartition("/")[0], below.strip("/"))


def _remote_store(text: str, below: str) -> Store | None:
    address, question, _ = text.partition("?")
    start, ending, inner = address.partition(".zarr")
    if ending and inner.lower() == ".zip":
        raise InputError(
            f"{name_of(text)} is an archive of a Zarr store at an address. Copy it to this "
            "machine, or give the address of the store itself."
        )
    if not ending or (inner and not inner.startswith("/")):
        return None
    if question:
        raise InputError(
            f"{without_keys(text)} is a Zarr store at a signed address: the signature would have "
            "to go to each of its files. Give an s3://, gs:// or az:// address, with the key in "
            "the environment, or copy the store."
        )
    return Store(f"{start}.zarr", below=f"{inner}/{below}".strip("/"))


def _fetched(address: str) -> bytes | None:
    try:
        with urlopen(address, timeout=_PATIENCE) as answer:
            return bytes(answer.read(_MOST_JSON + 1))
    except HTTPError as error:
        if error.code in (403, 404):  # stores that cannot be listed forbid what is not there
            return None
        raise


def _unpacked(root: str, key: str) -> bytes | None:
    try:
        with zipfile.ZipFile(root) as archive, archive.open(key) as file:
            return file.read(_MOST_JSON + 1)
    except KeyError:
        return None


def _nodes(read: Mapping[str, Any]) -> Iterator[Node]:
    for key, one in read.items():
        path, _, kind = key.rpartition("/")
        if ".." in path.split("/"):  # nothing outside of the store
            continue
        if kind == "zarr.json" and isinstance(one, dict):
            yield Node(path, _mapping(one.get("attributes")), _shape(one), _names(one))
        elif kind in (".zarray", ".zgroup"):
            attributes = _mapping(read.get(f"{path}/.zattrs".lstrip("/")))
            names = {"dimension_names": attributes.get("_ARRAY_DIMENSIONS")}
            yield Node(path, attributes, _shape(one), _names(names), one.get("fill_value"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shape(one: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(side) for side in one.get("shape") or ())


def _names(one: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(name) for name in one.get("dimension_names") or ())


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


_NUMBERS = counter()


def is_copy(name: str) -> bool:
    """Whether a file is a copy made here, whose name and time say nothing of the image."""
    return Path(name).parent.name.startswith(_COPIES)


@lru_cache(maxsize=1)
def _folder() -> TemporaryDirectory[str]:
    """Where copies lie until the process ends."""
    return TemporaryDirectory(prefix=_COPIES)


def new_copy() -> Path:
    """A name for a GeoTIFF that lasts until the process ends."""
    return Path(_folder().name) / f"{next(_NUMBERS)}.tif"


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
    target = new_copy()
    profile = {
        "driver": "GTiff", "count": count, "height": height, "width": width, "dtype": dtype.name,
        "tiled": True, "blockxsize": _TILE, "blockysize": _TILE, "bigtiff": "if_safer",
    }  # fmt: skip
    deep = max(_TILE, _STRIP_BYTES // max(1, width * dtype.itemsize) // _TILE * _TILE)
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
