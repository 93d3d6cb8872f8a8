"""What uploads and results take on disk together, and the most that they may."""

from __future__ import annotations

import threading
from pathlib import Path

from crosslook.errors import TooLargeError

_MEBI = 2**20
_BLOCK = 4096
_MOST_KEPT = 20_000
"""Uploads and jobs together; each is a folder of a few files, however small."""


class Quota:
    """Bytes by owner, an upload or a job, counted as they come and go; safe across threads.

    Parameters
    ----------
    most : int
        Bytes of all of them.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._bytes: dict[str, int] = {}
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes of all."""
        return self._used

    def put(self, owner: str, size: int) -> None:
        """Note what an owner takes by now."""
        with self._lock:
            self._used += size - self._bytes.get(owner, 0)
            self._bytes[owner] = size

    def drop(self, owner: str) -> None:
        """Note that an owner is gone."""
        with self._lock:
            self._used -= self._bytes.pop(owner, 0)

    def check(self, more: int = 0) -> None:
        """Refuse what would not fit.

        Raises
        ------
        TooLargeError
            If ``more`` bytes, or one folder more, are beyond the limit.
        """
        if self._used + more > self.most or len(self._bytes) > _MOST_KEPT:
            raise TooLargeError(
                f"uploads and results already take {self._used // _MEBI} MiB of the "
                f"{self.most // _MEBI} MiB that are allowed, in {len(self._bytes)} of "
                f"{_MOST_KEPT} folders. Remove some of them, or start the explorer with a larger "
                "--max-stored."
            )


def size_of(folder: Path) -> int:
    """Bytes of the files in and below a folder, each in whole blocks as disks keep them."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += -(-path.lstat().st_size // _BLOCK) * _BLOCK
        except OSError:  # it has gone meanwhile
            continue
    return total
