"""Folders of whole files, on this machine or in an object store.

A file appears whole or not at all: locally by a rename, remotely because an
object store makes an upload visible only when it is complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from crosslook.atomic import write_bytes
from crosslook.errors import InputError, MissingExtraError, OutputError


class Folder(Protocol):
    """A place that holds named files."""

    def has(self, name: str) -> bool:
        """Tell whether a whole file of this name is there."""

    def read(self, name: str) -> bytes:
        """Read a whole file; InputError where it is missing or unreadable."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file; OutputError where that fails, leaving no part."""

    def child(self, name: str) -> Folder:
        """Return a folder inside this one."""


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has(self, name: str) -> bool:
        """Tell whether the file is there."""
        return (self.path / name).is_file()

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {self.path / name}: {error.strerror}.") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file by a rename."""
        write_bytes(self.path / name, data)

    def child(self, name: str) -> LocalFolder:
        """Return a folder inside this one."""
        return LocalFolder(self.path / name)

    def __str__(self) -> str:
        return str(self.path)


class RemoteFolder:
    """A prefix of an object store, reached through fsspec."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._system, self._path = _open_system(self.url)

    def has(self, name: str) -> bool:
        """Ask the store, past any cached listing."""
        self._system.invalidate_cache()
        return bool(self._system.isfile(f"{self._path}/{name}"))

    def read(self, name: str) -> bytes:
        """Read a whole object."""
        try:
            data: bytes = self._system.cat_file(f"{self._path}/{name}")
        except OSError as error:
            raise InputError(f"cannot read {self.url}/{name}: {error}.") from error
        return data

    def write(self, name: str, data: bytes) -> None:
        """Upload a whole object."""
        try:
            self._system.pipe_file(f"{self._path}/{name}", data)
        except OSError as error:
            raise OutputError(
                f"cannot write {self.url}/{name}: {error}. Check the address and the credentials."
            ) from error

    def child(self, name: str) -> RemoteFolder:
        """Return a prefix inside this one."""
        return RemoteFolder(f"{self.url}/{name}")

    def __str__(self) -> str:
        return self.url

    def __reduce__(self) -> tuple[type[RemoteFolder], tuple[str]]:
        # A connection does not travel to another process; the address does.
        return (RemoteFolder, (self.url,))


def open_folder(place: str | Path) -> Folder:
    """Open a local path or an address such as ``s3://bucket/prefix``.

    Raises
    ------
    MissingExtraError
        If the package behind the scheme is not installed.
    """
    if is_remote(place):
        return RemoteFolder(str(place))
    return LocalFolder(Path(place))


def is_remote(place: str | Path) -> bool:
    """Tell an address with a scheme from a local path."""
    return "://" in str(place)


def _open_system(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError(
            f"{url} needs fsspec: pip install 'crosslook[remote]', or give a local folder."
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise MissingExtraError(
            f"{url}: {error}. Install the package of that store, as s3fs for s3://."
        ) from None
    return system, str(path)
