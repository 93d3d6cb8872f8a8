"""Writes that either happen whole or leave nothing behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crosslook.errors import OutputError


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
            prefix=f".{target.stem[:40]}-", suffix=target.suffix, dir=target.parent
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


def write_bytes(target: Path, data: bytes) -> None:
    """Write ``data``, atomically."""
    with atomic_path(target) as path:
        path.write_bytes(data)


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


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _cannot_write(target: Path, error: OSError) -> str:
    return (
        f"cannot write {target}: {error.strerror or error}. "
        "Choose another folder or free some space, then run the same command again."
    )
