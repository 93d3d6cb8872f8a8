"""Writes that either happen whole or leave nothing behind."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from crosslook.errors import OutputError

_MARK = ".crosslook-"


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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f"{_MARK}{os.getpid()}-", suffix=target.suffix, dir=target.parent
        )
        os.close(handle)
        Path(name).chmod(0o644)
    except OSError as error:
        raise OutputError(_cannot_write(target, error)) from error
    temporary = Path(name)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(target)
    except OSError as error:
        raise OutputError(_cannot_write(target, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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


def sweep(folder: Path) -> None:
    """Remove what writers that were killed left in ``folder`` and below.

    Temporary files carry the number of their process; those of a process that
    still runs on this machine are left alone.
    """
    for path in folder.rglob(f"{_MARK}*"):
        number = path.name.removeprefix(_MARK).partition("-")[0]
        if number.isdigit() and not _runs(int(number)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Create ``folder`` and prove that a file can be written there.

    Called before long work, so that a read-only or full disk is told at once.

    Raises
    ------
    OutputError
        If the folder is a file, or nothing can be written in it.
    """
    probe = folder / ".write-probe"
    with atomic_path(probe) as path:
        path.write_bytes(b"\0" * 4096)
    probe.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _cannot_write(target: Path, error: OSError) -> str:
    return (
        f"cannot write {target}: {error.strerror or error}. "
        "Choose another folder or free some space, then run the same command again."
    )
