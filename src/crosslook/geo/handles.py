"""GDAL's datasets, kept open between reads and safe across threads."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from crosslook.geo.opening import About, open_handles, state_of
from crosslook.geo.recipe import Recipe
from crosslook.geo.sequential import must_decode_whole


class _Entry:
    """Open handles of one source and the lock that lets one thread read them."""

    def __init__(self, source: Recipe) -> None:
        self.lock = Lock()
        self.closed = False
        self._source = source
        self._ready = False
        self.handles, self.about = open_handles(source)

    def make_ready(self) -> None:
        """Decode what can only be read from its beginning; headers do not need that."""
        if not self._ready and any(must_decode_whole(handle) for handle in self.handles):
            handles = self.handles
            self.handles, self.about = open_handles(self._source, decoded=True)
            for handle in reversed(handles):
                handle.close()
        self._ready = True

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
    def use(self, source: Recipe, *, pixels: bool = False) -> Iterator[tuple[Any, Any]]:
        """Yield the file and what is read of it, maybe warped; other threads wait for it.

        ``pixels`` says that more than the header is wanted.

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
                if pixels:
                    entry.make_ready()
                yield entry.handles[1 if entry.about.joined else 0], entry.handles[-1]
                return

    def about(self, source: Recipe) -> About:
        """What became of a raster when it was opened; RasterError as for :meth:`use`."""
        return self._get(source).about

    def close(self) -> None:
        """Close all rasters that no thread is reading just now, wait for the others."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.close()

    def __len__(self) -> int:
        return len(self._entries)

    def _get(self, source: Recipe) -> _Entry:
        key = (source, *state_of(source.place), os.getpid())
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
