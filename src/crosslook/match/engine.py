"""Where independent work is done: in this process, in several, or on a Ray cluster."""

from __future__ import annotations

import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from crosslook import threads
from crosslook.errors import CrosslookError, OutputError, SettingError
from crosslook.heap import keep_freed
from crosslook.match.settings import EngineOptions

_Result = TypeVar("_Result", covariant=True)
MOST_TRIES = 3
"""Of a part whose process died."""
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

    @contextmanager
    def resting(self, count: int | None) -> Iterator[None]:
        """What is done within, while no worker is busy, may take a thread for each of them."""
        workers = 1 if self.name == "ray" else self.workers
        with threads.limited(count, in_pieces=True, least=workers):
            yield

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


@dataclass(frozen=True)
class Died:
    """In place of the result of a part whose process died :data:`MOST_TRIES` times."""

    def __str__(self) -> str:
        return f"the process died {MOST_TRIES} times, perhaps for want of memory"


def in_lasting_processes(
    job: Job[_Result], waiting: Sequence[int], workers: int
) -> Iterator[tuple[int, _Result | Died]]:
    """As :func:`in_processes`; parts under way when a process dies are tried again, each alone."""
    while waiting:
        done: set[int] = set()
        under_way: dict[Future[Any], int] = {}
        try:
            for number, result in in_processes(job, waiting, workers, under_way):
                done.add(number)
                yield number, result
        except BrokenProcessPool:
            for number in under_way.values():
                done.add(number)
                yield number, _alone(job, number)
        waiting = [number for number in waiting if number not in done]


def _alone(job: Job[_Result], number: int) -> _Result | Died:
    """What a part gives in a process that works on nothing else."""
    for _ in range(MOST_TRIES):
        with suppress(BrokenProcessPool):
            [(_, result)] = in_processes(job, [number], 1)
            return result
    return Died()


class RayWorker:
    """An actor: opens the work of a job when it is first asked, then does part after part."""

    def __init__(self, job: Job[Any]) -> None:
        keep_freed()
        self.job = job

    @cached_property
    def _work(self) -> Callable[[int], Any]:
        return self.job.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do the parts of a batch, and add what they give to it, or the error of each."""
        found = [pickle.dumps(self._tried(int(number))) for number in batch["part"]]
        results = np.empty(len(found), object)
        results[:] = found
        return {**batch, "results": results}

    def _tried(self, number: int) -> Any:
        try:
            return self._work(number)
        except CrosslookError as error:  # Ray would wrap it in one of its own
            return error


def on_ray(
    job: Job[_Result], label: str, engine: Engine, gpus: int | None = None
) -> Iterator[tuple[int, _Result]]:
    """Number and result of each part, as they come, from the actors of a cluster.

    Parameters
    ----------
    job : Job
    label : str
        Of the progress bar.
    engine : Engine
    gpus : int, optional
        Of each actor.

    Raises
    ------
    CrosslookError
        What the work on a part raises.
    OutputError
        If parts are still missing after Ray says that it is done.
    """
    from crosslook.extract.ray_engine import each_on_ray

    items = [{"part": number} for number in range(len(job))]
    seen = 0
    for batch in each_on_ray(RayWorker, job, items, label, engine.workers, engine.address, gpus):
        seen += 1
        # Pickled by our own worker, and brought here by Ray, which pickles all that it brings.
        found = pickle.loads(batch["results"][0])
        if isinstance(found, CrosslookError):
            raise found
        yield int(batch["part"][0]), found
    if seen < len(items):
        raise OutputError(f"{len(items) - seen} of {len(items)} parts are missing after Ray ran.")
