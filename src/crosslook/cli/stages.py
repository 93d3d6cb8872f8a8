"""What a command is doing, with seconds, on the standard error while it works.

On a terminal one line that is drawn over and over, and taken away at the end. Elsewhere a
line for each stage that takes long, so that a log shows why nothing comes.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TextIO

from crosslook.progress import EVERY, listening

WORDS = {
    "read": "reading the images",
    "compilation": "compiling loops, once per installation",
    "search": "searching the atlas",
    "verification": "comparing the best places",
    "pose search": "searching rotations and scales",
    "tie points": "finding tie points",
    "refinement": "refining the fit",
    "model": "comparing models",
    "writing": "writing the files",
}
"""Stages as the work names them, in words."""

_TICK_SECONDS = 0.2
_LONG_SECONDS = 10.0
_ERASE = "\r\x1b[K"


class StageLine:
    """The line itself.

    Parameters
    ----------
    target : text stream
        Where it is drawn.
    """

    def __init__(self, target: TextIO) -> None:
        self.item = ""
        self._target, self._is_terminal = target, target.isatty()
        self._lock = threading.Lock()
        self._began = self._since = self._said = monotonic()
        self._name, self._count = "", ""
        self._every = _LONG_SECONDS
        with suppress(ValueError):
            self._every = float(os.environ.get(EVERY, _LONG_SECONDS))

    def heard(self, name: str, done: int, total: int) -> None:
        """Note what the work does now."""
        with self._lock:
            if name != self._name:
                self._name, self._since = name, monotonic()
                self._said = self._since
            self._count = f" {done} of {total}" if total else ""

    def draw(self) -> None:
        """Draw the line, or write one where a stage takes long and there is no terminal."""
        with self._lock:
            now = monotonic()
            if not self._name:
                return
            before = f"{self.item}: " if self.item else ""
            words = f"{before}{WORDS.get(self._name, self._name)}{self._count}"
            if self._is_terminal:
                line = f"{words}, {now - self._since:.0f} s (in all {now - self._began:.0f} s)"
                self._write(f"{_ERASE}{line}")
            elif now - self._said >= self._every:
                self._said = now
                self._write(f"{words}, {now - self._since:.0f} s\n")

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self._is_terminal:
            with self._lock:
                self._write(_ERASE)

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads it any more
            self._target.write(text)
            self._target.flush()


@contextmanager
def shown_stages() -> Iterator[StageLine]:
    """Show the stages of the work in a ``with`` block."""
    line, is_over = StageLine(sys.stderr), threading.Event()

    def follow() -> None:
        while not is_over.wait(_TICK_SECONDS):
            line.draw()

    thread = threading.Thread(target=follow, name="stages", daemon=True)
    thread.start()
    try:
        with listening(line.heard):
            yield line
    finally:
        is_over.set()
        thread.join()
        line.clear()
