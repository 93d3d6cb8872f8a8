"""How many threads the work takes: decided once, and kept to by all libraries.

The number is that of ``--threads``, else of ``OMP_NUM_THREADS``, and never
above the cores that the process may use. BLAS and OpenCV let waiting threads
spin, which costs as much as work. So they get one thread wherever the work
falls into independent pieces, and the pieces are done side by side
(:func:`run`). No result depends on the number.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from crosslook.memory_limit import is_tight

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_decided: ContextVar[int | None] = ContextVar("threads", default=None)


def count() -> int:
    """Threads that work begun here may take; one within a piece of :func:`run`."""
    decided = _decided.get()
    return available() if decided is None else decided


def available() -> int:
    """Threads of this process by default: its cores, or fewer by ``OMP_NUM_THREADS``.

    Threads beyond the cores wait for each other; one under a tight limit of
    memory, since each takes some.
    """
    if is_tight():
        return 1
    cores = _cores()
    named = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(cores, int(named)) if named.isdecimal() and int(named) > 0 else cores


def _cores() -> int:
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


@contextmanager
def limited(
    threads: int | None = None, *, in_pieces: bool = False, least: int = 1
) -> Iterator[None]:
    """Decide how many threads the work within takes; afterwards all is as before.

    Parameters
    ----------
    threads : int, optional
        At most so many; as :func:`count` says by default.
    in_pieces : bool
        The work falls into pieces, so BLAS and OpenCV get one thread.
    least : int
        Processes that were requested and that wait meanwhile: as many threads as there are of
        them, up to the cores, whatever else bounds the threads of a process but its memory.
    """
    decided = count() if threads is None else min(threads, available())
    if not is_tight():
        decided = max(decided, min(least, _cores()))
    token = _decided.set(decided)
    try:
        with _LIBRARIES.at(1 if in_pieces else decided, decided):
            yield
    finally:
        _decided.reset(token)


def stepwise(
    steps: Iterator[_Value], threads: int | None = None, *, in_pieces: bool = False
) -> Iterator[_Value]:
    """The same steps, each of them done within :func:`limited`, what comes between is not."""
    while True:
        with limited(threads, in_pieces=in_pieces):
            try:
                value = next(steps)
            except StopIteration:
                return
        yield value


def run(
    work: Callable[[_Item], _Value], items: Collection[_Item], most: int | None = None
) -> list[_Value]:
    """What the work gives for each item, in order; several at once where threads are free.

    ``most`` bounds how many at once, where each takes much memory. It helps where the
    work is done in calls that let other threads go on: large array operations,
    transforms, warps, compiled loops.
    """
    threads = min(count(), len(items), len(items) if most is None else most)
    if threads <= 1:
        return [work(item) for item in items]
    with (
        _LIBRARIES.at(1, 1),
        ThreadPoolExecutor(threads, initializer=_decided.set, initargs=(1,)) as pool,
    ):
        return list(pool.map(work, items))


class _Libraries:
    """BLAS, OpenMP, OpenCV and torch, whose numbers of threads are of the whole process.

    Each gets the lowest number that anybody within asks for; the last to leave
    brings back what was there before the first came.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._asked: list[tuple[int, int]] = []
        self._now: tuple[Any, ...] = ()
        self._undo: list[Callable[[], object]] = []
        self._pools: tuple[tuple[int, str], Any] = ((0, ""), None)

    @contextmanager
    def at(self, fine: int, coarse: int) -> Iterator[None]:
        """So many threads for BLAS and OpenCV, and for OpenMP and torch, whose steps are long."""
        asked = (fine, coarse)
        with self._lock:
            self._asked.append(asked)
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._asked.remove(asked)
                self._apply()

    def _apply(self) -> None:
        # A module that came since may have brought a library.
        loaded = len(sys.modules), next(reversed(sys.modules))
        lowest = tuple(map(min, zip(*self._asked, strict=True)))
        if self._now == (lowest, loaded):
            return
        while self._undo:
            self._undo.pop()()
        self._now = (lowest, loaded) if lowest else ()
        if not lowest:
            return
        fine, coarse = lowest
        if "cv2" in sys.modules:
            cv2 = sys.modules["cv2"]
            self._undo.append(partial(cv2.setNumThreads, cv2.getNumThreads()))
            cv2.setNumThreads(fine)
        if "torch" in sys.modules:
            torch = sys.modules["torch"]
            self._undo.append(partial(torch.set_num_threads, torch.get_num_threads()))
            torch.set_num_threads(coarse)
        if self._pools[0] != loaded:  # to look for them takes milliseconds
            self._pools = loaded, ThreadpoolController()
        # BLAS last: one that is built with OpenMP, as that of faiss, takes OpenMP's number else.
        for limits in ({"openmp": coarse}, {"blas": fine}):
            self._undo.append(self._pools[1].limit(limits=limits).restore_original_limits)


_LIBRARIES = _Libraries()
