"""Writes that either happen whole or leave nothing behind."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import secrets
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time

from crosslook.errors import OutputError

_NAME = re.compile(r"\.crosslook-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}(\..*)?", re.DOTALL)
_ABANDONED_SECONDS = 24 * 3600.0
_under_way: set[Path] = set()


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; rename it over on success.

    The temporary name keeps the suffix of the target, because writers choose
    the format by it. On any failure the temporary file is removed.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full.
    """
    with _temporary(target, target.parent) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(target)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def write_csv(target: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV with Unix line ends, atomically."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(target, text.getvalue())


def write_bytes(target: Path, data: bytes) -> None:
    """Write ``data``, atomically."""
    with atomic_path(target) as path:
        path.write_bytes(data)


def write_new(target: Path, data: bytes) -> bool:
    """Write ``data`` unless the file is there; tell whether this call wrote it.

    Of several processes that try at once, exactly one gets True.

    Raises
    ------
    OutputError
        If the folder cannot be written or the disk is full.
    """
    if target.exists():
        return False
    with _temporary(target, target.parent) as temporary:
        temporary.write_bytes(data)
        _sync(temporary)
        try:
            target.hardlink_to(temporary)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links: only a rename is left
            if target.exists():
                return False
            temporary.replace(target)
    return True


def sweep(folder: Path, *, below: bool = True) -> None:
    """Remove what writers that were killed left in ``folder`` and, by default, below.

    Temporary files carry the machine and the number of their process; those
    of a process that still runs are left alone, and those of other machines
    (or containers), whose processes cannot be seen from here, for a day.
    """
    for path in folder.rglob(".crosslook-*") if below else folder.glob(".crosslook-*"):
        matched = _NAME.fullmatch(path.name)
        if matched is None:  # not a name that is made here
            continue
        with suppress(OSError):
            if matched[1] == _here():
                dead = not _runs(int(matched[2]))
            else:
                dead = time() - path.stat().st_mtime > _ABANDONED_SECONDS
            if dead:
                path.unlink(missing_ok=True)


def is_temporary(path: Path) -> bool:
    """Tell whether the name is one that a write under way has."""
    return _NAME.fullmatch(path.name) is not None


def discard_unfinished() -> None:
    """Remove the temporary files of this process: it ends now, in the middle of its work."""
    for path in list(_under_way):
        _discard(path)


def check_writable(folder: Path) -> None:
    """Create ``folder``, prove that a file can be written there, and sweep it (not below).

    Called before long work, so that a read-only or full disk is reported at once.

    Raises
    ------
    OutputError
        If the folder is a file, or nothing can be written in it.
    """
    with _temporary(folder, folder) as path:
        path.write_bytes(b"\0" * 4096)
        _sync(path)
    sweep(folder, below=False)


@contextmanager
def _temporary(target: Path, folder: Path) -> Iterator[Path]:
    """Make an empty file in ``folder``, gone at the end; errors name ``target``."""
    name = f".crosslook-{_here()}-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}"
    temporary = folder / name
    _under_way.add(temporary)  # before it is there: a signal may come at any moment
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The mode is that of any new file: the user's umask decides who may read it.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        temporary.unlink(missing_ok=True)
    except BaseException as error:
        _discard(temporary)
        # Not all that GDAL raises where a disk is full is an OSError.
        if isinstance(error, OSError) or type(error).__module__.startswith("rasterio."):
            raise OutputError(_cannot_write(target, error)) from error
        raise
    _under_way.discard(temporary)


def _discard(temporary: Path) -> None:
    """Remove a temporary file and what its writer put beside it, as GDAL does for overviews."""
    with suppress(OSError):
        for path in temporary.parent.glob(f"{temporary.name.removesuffix(temporary.suffix)}*"):
            path.unlink(missing_ok=True)
    _under_way.discard(temporary)


def _here() -> str:
    """Eight characters for this machine, or this container of it.

    Containers may share the name of their machine, but number their own processes.
    """
    try:
        processes = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        processes = ""
    return hashlib.sha256(f"{socket.gethostname()}/{processes}".encode()).hexdigest()[:8]


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _cannot_write(target: Path, error: BaseException) -> str:
    while error.__cause__ is not None:  # the last error of GDAL's points to the first one only
        error = error.__cause__
    reason = getattr(error, "strerror", None) or str(error).rstrip(".") or type(error).__name__
    return (
        f"cannot write {target}: {reason}. "
        "Choose another folder or free some space, then run the same command again."
    )
