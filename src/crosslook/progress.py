"""Progress and time of long work: shown on a terminal, reported to listeners, silent elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from time import monotonic, perf_counter
from typing import TypeVar

Item = TypeVar("Item")
_SHOW_AFTER_SECONDS = 2.0
EVERY = "CROSSLOOK_PROGRESS_SECONDS"
"""Environment variable: seconds between lines of progress where there is no terminal."""
Listener = Callable[[str, int, int], None]
_listeners: list[Listener] = []
_within: list[tuple[str, int, int]] = []


def stage(name: str) -> None:
    """Tell who listens that a stage of the work begins; nobody is the usual case."""
    words, done, total = _within[-1] if _within else (name, 0, 0)
    for listener in _listeners:
        listener(words, done, total)


@contextmanager
def within(name: str, done: int, total: int) -> Iterator[None]:
    """Count one of many pieces of work, instead of the stages that each has itself."""
    _within.append((name, done, total))
    stage(name)
    try:
        yield
    finally:
        _within.pop()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call ``listener(stage, done, total)`` as work in this process goes on.

    ``total`` is 0 for a stage that is not counted. Nothing is drawn meanwhile.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def track(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Yield ``items`` while a bar on the standard error shows how far they are.

    Nothing is drawn for work that ends within two seconds. Where the standard
    error is no terminal (a log file, a pipe) a line is written every thirty
    seconds instead of a bar, or as often as ``CROSSLOOK_PROGRESS_SECONDS`` says.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if _listeners:
        for done, item in enumerate(items):
            for listener in _listeners:
                listener(label, done, total or 0)
            yield item
    elif sys.stderr.isatty():
        yield from _bar(items, label, total)
    else:
        yield from _lines(items, label, total)


def _bar(items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True
    )
    task = progress.add_task(label, total=total)
    started, shown = monotonic(), False
    try:
        for item in items:
            if not shown and monotonic() - started > _SHOW_AFTER_SECONDS:
                progress.start()
                shown = True
            yield item
            progress.advance(task)
    finally:
        if shown:
            progress.stop()


def _lines(items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
    every = 30.0  # seconds, unless a program that shows the progress wants lines more often
    with suppress(ValueError):
        every = float(os.environ.get(EVERY, every))
    last = monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if monotonic() - last > every:
            last = monotonic()
            print(f"{label}: {done}/{total or '?'}", file=sys.stderr, flush=True)


class Timer:
    """Seconds per named step, for what a run says of itself (never for its rows)."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Add the time of a ``with`` block to ``step``."""
        start = perf_counter()
        try:
            yield
        finally:
            spent = self.seconds.get(step, 0.0) + perf_counter() - start
            self.seconds[step] = round(spent, 3)


_CLOCK: ContextVar[dict[str, float] | None] = ContextVar("clock", default=None)


@contextmanager
def timings() -> Iterator[dict[str, float]]:
    """Collect the seconds of every :func:`timer` block inside, by name.

    No generator may be suspended inside: what runs meanwhile would be counted too.
    """
    seconds: dict[str, float] = {}
    outer = _CLOCK.set(seconds)
    try:
        yield seconds
    finally:
        _CLOCK.reset(outer)


@contextmanager
def timer(name: str) -> Iterator[None]:
    """Add the seconds of a ``with`` block to ``name`` of the timings around it, if any."""
    start = perf_counter()
    try:
        yield
    finally:
        if (seconds := _CLOCK.get()) is not None:
            seconds[name] = seconds.get(name, 0.0) + perf_counter() - start
