"""Register a set of pairs: one after the other, by processes, or on a Ray cluster.

What a pair gives does not depend on who matched it. Results come in the order of the pairs.
"""

from __future__ import annotations

import pickle
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import groupby, islice
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from crosslook import threads
from crosslook.errors import CrosslookError, MatchError, OutputError
from crosslook.extract.base import Extractor
from crosslook.geo.image import Reading
from crosslook.geo.mosaic_file import open_optical
from crosslook.match.cached_image import sharing
from crosslook.match.matchers import Matcher, open_tools
from crosslook.match.ncc import correlation_device
from crosslook.match.register import Basemap, on_scenes, register_with
from crosslook.match.result import Failure, MatchResult
from crosslook.match.scene.tiles import Engine
from crosslook.match.settings import BatchSettings, RegisterSettings
from crosslook.options import after_one

if TYPE_CHECKING:
    from crosslook.data.pairs import ScenePair

_MOST_TOGETHER = 8  # dates of a stack that are matched side by side
_MOST_TRIES = 3  # of a stack whose process died
_AHEAD = 2  # stacks for each process, so that none waits while results are written

Results = list[MatchResult | Failure]


@after_one(BatchSettings)
def register_all(
    pairs: Iterable[ScenePair], settings: BatchSettings
) -> Iterator[MatchResult | Failure]:
    """Register many pairs, as :func:`register` does one, and yield what each gives, in order.

    A pair that cannot be read or matched gives a
    :class:`~crosslook.match.result.Failure`; the others go on. Pairs that follow each other on
    one optical image, as the dates of a stack, share what is read and computed of it.

    With at least as many such stacks as ``workers``, each process matches stacks of its own; with
    fewer, all share the tiles of one scene after the other. Processes are started afresh, so a
    script that asks for them keeps its work under ``if __name__ == "__main__":``.
    """
    correlation_device(settings.device)  # one that is not there is refused once, not pair by pair
    stacks, engine = list(_stacks(pairs)), Engine.of(settings)
    if 1 < engine.workers <= len(stacks):
        job = BatchJob.of(stacks, settings, engine)
        by = _by_ray if engine.name == "ray" else _by_processes
        yield from _in_order(by(job, engine))
        return
    tools = open_tools(settings)
    for stack in stacks:
        yield from register_stack(stack, settings, tools)


def _stacks(pairs: Iterable[ScenePair]) -> Iterator[list[ScenePair]]:
    """Pairs that follow each other on one optical image, at most eight at a time."""
    for _, same in groupby(pairs, key=lambda pair: str(pair.optical)):
        while stack := list(islice(same, _MOST_TOGETHER)):
            yield stack


def register_stack(
    stack: Sequence[ScenePair], settings: RegisterSettings, tools: tuple[Extractor, Matcher]
) -> Results:
    """Register the dates of a stack, which share what is computed of their optical image.

    Parameters
    ----------
    stack : sequence of ScenePair
        Of one optical image; one pair alone too.
    settings : RegisterSettings
    tools : (Extractor, Matcher)
        As :func:`~crosslook.match.matchers.open_tools` gives them for these settings.
    """
    with sharing() if len(stack) > 1 else nullcontext():
        optical: Basemap = stack[0].optical
        if len(stack) > 1:
            with suppress(CrosslookError):  # then each fails by itself
                optical = open_optical(optical, Reading.parse(settings.reading()))
        results: list[MatchResult | CrosslookError] = []
        for pair in stack:
            try:
                results.append(register_with(pair.sar, optical, settings, tools))
            except CrosslookError as error:
                results.append(error)
    found = [number for number, one in enumerate(results) if isinstance(one, MatchResult)]
    shown = [cast(MatchResult, results[number]) for number in found]
    names = [stack[number].id for number in found]
    for number, result in zip(found, on_scenes(shown, tools[1], settings, names), strict=True):
        results[number] = result
    return [
        one if isinstance(one, MatchResult) else Failure(pair.id, one)
        for pair, one in zip(stack, results, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class BatchJob:
    """What a worker needs; it travels to other processes and machines.

    Attributes
    ----------
    stacks : tuple of list of ScenePair
    settings : BatchSettings
        Of a worker, which matches the tiles of a scene by itself.
    """

    stacks: tuple[list[ScenePair], ...]
    settings: BatchSettings

    @classmethod
    def of(
        cls, stacks: Sequence[list[ScenePair]], settings: BatchSettings, engine: Engine
    ) -> BatchJob:
        """The job of some stacks; its workers share the threads of this machine."""
        own: dict[str, Any] = {"engine": "local", "workers": None, "ray_address": None}
        if settings.threads is None and engine.name != "ray":
            own["threads"] = max(1, threads.available() // engine.workers)
        return cls(tuple(stacks), settings.model_copy(update=own))


class BatchWorker:
    """Opens extractor and matcher once, then registers stack after stack."""

    def __init__(self, job: BatchJob) -> None:
        self.job = job
        self.tools = open_tools(job.settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Register the stacks of a batch, and add what they give to it."""
        found = [pickle.dumps(self.register(int(number))) for number in batch["stack"]]
        results = np.empty(len(found), object)
        results[:] = found
        return {**batch, "results": results}

    def register(self, number: int) -> Results:
        """What each pair of a stack gives."""
        return register_stack(self.job.stacks[number], self.job.settings, self.tools)


def _in_order(found: Iterator[tuple[int, Results]]) -> Iterator[MatchResult | Failure]:
    """Results as they come, each when all before it are there."""
    early: dict[int, Results] = {}
    following = 0
    for number, results in found:
        early[number] = results
        while following in early:
            yield from early.pop(following)
            following += 1


_worker: BatchWorker | None = None


def _start(job: BatchJob) -> None:
    global _worker  # one a process
    # Control-C is for who waits for us: it lets each finish the stack that it has.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker = BatchWorker(job)


def _one(number: int) -> Results:
    assert _worker is not None
    return _worker.register(number)


def _by_processes(job: BatchJob, engine: Engine) -> Iterator[tuple[int, Results]]:
    """Register stacks in processes; those under way when one dies are tried again, each alone."""
    waiting = list(range(len(job.stacks)))
    while waiting:
        done: set[int] = set()
        under_way: dict[Future[Results], int] = {}
        try:
            for number, results in _through_pool(job, waiting, engine.workers, under_way):
                done.add(number)
                yield number, results
        except BrokenProcessPool:
            for number in under_way.values():
                done.add(number)
                yield number, _alone(job, number)
        waiting = [number for number in waiting if number not in done]


def _alone(job: BatchJob, number: int) -> Results:
    """What a stack gives in a process that works on nothing else."""
    for _ in range(_MOST_TRIES):
        with suppress(BrokenProcessPool):
            [(_, results)] = _through_pool(job, [number], 1, {})
            return results
    return _died(job.stacks[number])


def _through_pool(
    job: BatchJob, waiting: Sequence[int], workers: int, under_way: dict[Future[Results], int]
) -> Iterator[tuple[int, Results]]:
    """Results of one pool as they come; BrokenProcessPool where a process dies.

    ``under_way`` names what has been given to processes and is not back.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (job,))
    left = iter(waiting)
    try:
        while True:
            for number in islice(left, _AHEAD * workers - len(under_way)):
                under_way[pool.submit(_one, number)] = number
            if not under_way:
                return
            ready, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in sorted(ready, key=lambda one: one.exception() is not None):
                results = future.result()
                yield under_way.pop(future), results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _died(stack: Sequence[ScenePair]) -> Results:
    error = MatchError(
        f"the process that matched it died {_MOST_TRIES} times, perhaps for want of memory; match "
        "it by itself, or use fewer --workers."
    )
    return [Failure(pair.id, error) for pair in stack]


def _by_ray(job: BatchJob, engine: Engine) -> Iterator[tuple[int, Results]]:
    """Register stacks on a cluster, which starts an actor that died again."""
    from crosslook.extract.ray_engine import each_on_ray

    items = [{"stack": number} for number in range(len(job.stacks))]
    label, seen = "Registering (ray)", 0
    for batch in each_on_ray(BatchWorker, job, items, label, engine.workers, engine.address):
        seen += 1
        # Pickled by our own worker, and brought here by Ray, which pickles all that it brings.
        yield int(batch["stack"][0]), pickle.loads(batch["results"][0])
    if seen < len(items):
        raise OutputError(f"{len(items) - seen} of {len(items)} stacks are missing after Ray ran.")
