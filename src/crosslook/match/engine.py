"""Where independent work is done: in this process, in several, or on a Ray cluster."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

from crosslook import threads
from crosslook.errors import SettingError
from crosslook.heap import keep_freed
from crosslook.match.settings import EngineOptions

_Result = TypeVar("_Result", covariant=True)
_AHEAD = 2  # parts for each process, so that none waits while results are written


class Job(Protocol[_Result]):
    """Numbered parts of some work; it travels to other processes and machines."""

    def __len__(self) -> int:
        """How many parts there are."""

    def open(self) -> Callable[[int], _Result]:
        """What each worker opens once, and calls with the number of a part."""


@dataclass(frozen=True)
class Engine:
    """Where parts are worked on."""

    name: str = "local"
    workers: int = 1
    address: str | None = None

    @classmethod
    def of(cls, settings: EngineOptions) -> Engine:
        """As the settings ask for."""
        workers = settings.workers or (2 if settings.engine == "ray" else 1)
        return cls(settings.engine, workers, settings.ray_address)

    @property
    def is_here(self) -> bool:
        """Whether all is done in this process."""
        return self.name != "ray" and self.workers == 1

    def share_of(self, count: int | None) -> int | None:
        """Threads of one worker, where all on this machine may take so many."""
        if self.name == "ray" or self.workers == 1:
            return count
        return max(1, (threads.available() if count is None else count) // self.workers)


def engine_of(settings: EngineOptions, out: Path | str | None = None) -> Engine:
    """Where parts are worked on, as the settings ask for.

    Raises
    ------
    SettingError
        If a cluster is requested and no folder that all workers reach.
    """
    if settings.engine == "ray" and out is None:
        raise SettingError("--engine ray needs --out: a folder that all workers reach.")
    return Engine.of(settings)


_job: Job[Any] | None = None
_work: Callable[[int], Any] | None = None


def _start(job: Job[Any]) -> None:
    global _job  # one a process
    # Control-C is for who waits for us: it lets each finish the part that it has.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_freed()
    _job = job


def _one(number: int) -> Any:
    global _work
    if _work is None:
        assert _job is not None
        _work = _job.open()  # not before: what cannot be opened is an error of the first part
    return _work(number)


def in_processes(
    job: Job[_Result],
    waiting: Sequence[int],
    workers: int,
    under_way: dict[Future[Any], int] | None = None,
) -> Iterator[tuple[int, _Result]]:
    """Number and result of each part, as they come, from so many fresh processes.

    Parameters
    ----------
    job : Job
    waiting : sequence of int
        Parts to work on.
    workers : int
    under_way : dict, optional
        Filled with what has been given to processes and is not back.

    Raises
    ------
    BrokenProcessPool
        If a process dies; what was under way is lost.
    """
    given: dict[Future[Any], int] = {} if under_way is None else under_way
    others, left = set(active_children()), iter(waiting)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (job,))
    try:
        while True:
            for number in islice(left, _AHEAD * workers - len(given)):
                given[pool.submit(_one, number)] = number
            if not given:
                return
            ready, _ = wait(given, return_when=FIRST_COMPLETED)
            for future in sorted(ready, key=lambda one: one.exception() is not None):
                result = future.result()
                yield given.pop(future), result
    except BrokenProcessPool:
        # The pool does not know of a process that was being started then, and waits for its end.
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
