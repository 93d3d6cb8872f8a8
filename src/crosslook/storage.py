"""Folders of whole files, on this machine or in an object store.

A file appears whole or not at all: locally by a rename, remotely because an
object store makes an upload visible only when it is complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from crosslook import gdal_names
from crosslook.atomic import write_bytes, write_new
from crosslook.errors import CrosslookError, InputError, MissingExtraError, OutputError
from crosslook.gdal_names import is_address, without_keys, words_without_keys

Place = str | Path
"""A local path, an address, or a name that GDAL knows."""


@dataclass(frozen=True)
class Folder:
    """A place that holds named files.

    Attributes
    ----------
    path : Path
        Of this machine, or of an object store, which acts like it; see :func:`as_path`.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine."""
        return not is_remote(self.path)

    def child(self, name: str) -> Folder:
        """Return a folder inside this one."""
        return Folder(self.path / name)

    def has(self, name: str) -> bool:
        """Tell whether a whole file of this name is there, past any cached listing."""
        if not self.is_local:
            cast(Any, self.path).fs.invalidate_cache()
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """Read a whole file; InputError where it is missing or unreadable."""
        file = self.path / name
        try:
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror or error}.") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; OutputError where that fails, leaving no part."""
        file = self.path / name
        if self.is_local:
            return write_bytes(file, data)
        try:
            file.write_bytes(data)
        except OSError as error:
            raise OutputError(
                f"cannot write {file}: {error}. Check the address and the credentials."
            ) from error

    def write_new(self, name: str, data: bytes) -> bool:
        """Write a whole file unless it is there; tell whether this call wrote it.

        Of several writers at once one succeeds on this machine; stores do not
        keep two writers at one moment apart.
        """
        if self.is_local:
            return write_new(self.path / name, data)
        if self.has(name):
            return False
        self.write(name, data)
        return True


def open_folder(place: str | Path) -> Folder:
    """Open a local path or an address such as ``s3://bucket/prefix``.

    Raises
    ------
    MissingExtraError
        If the packages behind an address are not installed.
    """
    path = as_path(place)
    if is_remote(place):
        with _installed(place):
            _ = cast(Any, path).fs  # opened here: a path alone finds no package missing
    return Folder(path)


def is_remote(place: str | Path) -> bool:
    """Tell an address with a scheme from a local path, and from a name of GDAL that holds one."""
    return is_address(str(place))


ONLY_GDAL = ("http://", "https://", "gs://", "az://")
"""Addresses of images that are read through GDAL alone: no other package need reach them."""


def is_gdal_name(place: Place) -> bool:
    """Tell names that GDAL alone understands: ``/vsi...`` and subdatasets as ``NETCDF:"f":v``."""
    return gdal_names.is_gdal_name(str(place))


def name_of(place: Place) -> str:
    """The last part of a place, for messages and outputs; never a key that an address holds."""
    text = str(place)
    if is_gdal_name(text):
        return gdal_names.label_of(text)
    if is_remote(text):
        text = without_keys(text)
    text = text.partition("#")[0] if ".json#" in text else text
    return text.rstrip("/").rpartition("/")[2] or text


def path_to_keep(place: Place) -> str:
    """Where a place can be looked for later, from any folder.

    A local path becomes absolute, also inside a name of GDAL. An address is
    kept without its query and without a user: these may hold a key.
    """
    text = str(place)
    if is_gdal_name(text):
        for file in gdal_names.files_of(text):
            if not Path(file).is_absolute() and Path(file).exists():
                text = text.replace(file, str(Path(file).absolute()), 1)
        return without_keys(text)
    if is_remote(text):
        return without_keys(text)
    return str(Path(text).absolute())


def as_place(place: Place) -> Place:
    """Keep names of GDAL and web addresses as they are; take all else as a path."""
    text = str(place)
    if is_gdal_name(text) or text.startswith(("http://", "https://")):
        return text
    return as_path(text)


def as_path(place: str | Path) -> Path:
    """Take a place as a path: a local one, or one of an object store that acts like it.

    Paths of object stores list, open and join as local ones do
    (``universal_pathlib``), so that what reads data needs no second way.

    Raises
    ------
    MissingExtraError
        If the packages behind an address are not installed.
    """
    if not is_remote(place):
        return Path(place)
    try:
        from upath import UPath
    except ImportError:
        raise MissingExtraError(
            f"{place} needs universal_pathlib: pip install 'crosslook[remote]', "
            "or give a local path."
        ) from None
    with _installed(place):
        return cast(Path, UPath(place))


@contextmanager
def _installed(place: str | Path) -> Iterator[None]:
    try:
        yield
    except (ImportError, ValueError) as error:
        raise MissingExtraError(
            f"{place}: {error}. Install the package of that store, as s3fs for s3://."
        ) from None


def files_below(path: Path) -> list[Path]:
    """List the files of a folder and of those inside it, by name; of a file that alone."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def state_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of change in nanoseconds of a file, or of all files of a folder.

    Raises
    ------
    OSError
        If it is not there.
    """
    states = [file.stat() for file in files_below(path)] or [path.stat()]
    return sum(s.st_size for s in states), max(s.st_mtime_ns for s in states)


def for_gdal(path: Place) -> tuple[str, dict[str, str]]:
    """Name and options by which GDAL reads a path; windows of remote files need no copy.

    Returns
    -------
    name : str
    options : dict of str to str
        For ``rasterio.Env``, also where the file is read; empty for most local files.

    Raises
    ------
    MissingExtraError
        If GDAL has no reader for the store.
    """
    text = str(path)
    if is_gdal_name(text):
        driver, file, _ = gdal_names.split_name(text)
        reach = driver in _OF_FILES and is_remote(file)
        name = text.replace(file, for_gdal(file)[0], 1) if reach else text
        return name, _options(name) if "/vsis3/" in name or "/vsicurl" in name else {}
    scheme, separator, rest = text.partition("://")
    if not separator:
        # Nothing beside an image in an archive is trusted to belong to it.
        archive = text.lower().endswith(".zip")
        return text, {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if archive else {}
    if scheme not in _GDAL:
        raise MissingExtraError(
            f"{text}: images are read from {', '.join(_GDAL)} addresses and from local files. "
            "Copy it to one of these."
        )
    name = _GDAL[scheme] + (text if scheme.startswith("http") else rest)
    return name, _options(name)


def _options(name: str) -> dict[str, str]:
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if "/vsis3/" in name and endpoint:  # a server of one's own, as other clients name it
        secure, _, host = endpoint.rstrip("/").partition("://")
        options |= {
            "AWS_S3_ENDPOINT": host,
            "AWS_HTTPS": "YES" if secure == "https" else "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }
    return options


_OF_FILES = ("HDF5", "ZARR", "GTIFF_DIR", "NITF_IM", "SENTINEL2_L1C", "SENTINEL2_L2A")
"""Drivers whose names hold a file; others, as WMS, want the address as it is."""

_GDAL = {
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
    "http": "/vsicurl/",
    "https": "/vsicurl/",
}


@contextmanager
def reaching(place: str | Path) -> Iterator[None]:
    """Turn whatever an object store's client raises into one error with the next step.

    Raises
    ------
    InputError
        If the place is remote and something else than a crosslook error happens.
    """
    try:
        yield
    except CrosslookError:
        raise
    except Exception as error:
        if not is_remote(place):
            raise
        raise InputError(
            f"cannot reach {without_keys(str(place))}: "
            f"{words_without_keys(str(error)) or type(error).__name__}. "
            "Check the address, the credentials and the network."
        ) from error
