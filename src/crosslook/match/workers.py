"""What is independent, by processes or on a Ray cluster: pairs of a set, queries of a batch.

What one of them gives does not depend on who worked on it. Results come in order.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from crosslook.errors import CrosslookError, MatchError, OutputError
from crosslook.match.engine import Engine, Job, in_processes
from crosslook.match.result import Failure, MatchResult
from crosslook.match.settings import EngineOptions

_MOST_TRIES = 3  # of a group whose process died

Results = list[MatchResult | Failure]
_Settings = TypeVar("_Settings", bound=EngineOptions)


class Groups(Job[Results], Protocol):
    """Groups of images."""

    def names(self, number: int) -> list[str]:
        """What the images of a group are called."""


def alone_settings(settings: _Settings, engine: Engine) -> _Settings:
    """The settings of one of the workers, which share the threads of a machine."""
    count = engine.share_of(getattr(settings, "threads", None))
    own = {"engine": "local", "workers": None, "ray_address": None, "threads": count}
    return settings.model_copy(update=own)


def by_workers(job: Groups, engine: Engine) -> Iterator[MatchResult | Failure]:
    """What the images of all groups give, in order, as soon as all before them are done."""
    by = _by_ray if engine.name == "ray" else _by_processes
    return _in_order(by(job, replace(engine, workers=min(engine.workers, len(job)))))


def _in_order(found: Iterator[tuple[int, Results]]) -> Iterator[MatchResult | Failure]:
    """Results as they come, each when all before it are there."""
    early: dict[int, Results] = {}
    following = 0
    for number, results in found:
        early[number] = results
        while following in early:
            yield from early.pop(following)
            following += 1


class _Worker:
    """Opens what it needs once, when it is first asked, then works on group after group."""

    def __init__(self, job: Groups) -> None:
        self.job = job

    @cached_property
    def results_of(self) -> Callable[[int], Results]:
        return self.job.open()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Work on the groups of a batch, and add what they give to it, or the error of all."""
        found = [pickle.dumps(self._tried(int(number))) for number in batch["group"]]
        results = np.empty(len(found), object)
        results[:] = found
        return {**batch, "results": results}

    def _tried(self, number: int) -> Results | CrosslookError:
        try:
            return self.results_of(number)
        except CrosslookError as error:  # of no image, as weights that are missing
            return error


def _by_processes(job: Groups, engine: Engine) -> Iterator[tuple[int, Results]]:
    """Work on groups in processes; those under way when one dies are tried again, each alone."""
    waiting = list(range(len(job)))
    while waiting:
        done: set[int] = set()
        under_way: dict[Future[Results], int] = {}
        try:
            for number, results in in_processes(job, waiting, engine.workers, under_way):
                done.add(number)
                yield number, results
        except BrokenProcessPool:
            for number in under_way.values():
                done.add(number)
                yield number, _alone(job, number)
        waiting = [number for number in waiting if number not in done]


def _alone(job: Groups, number: int) -> Results:
    """What a group gives in a process that works on nothing else."""
    for _ in range(_MOST_TRIES):
        with suppress(BrokenProcessPool):
            [(_, results)] = in_processes(job, [number], 1)
            return results
    return _died(job.names(number))


def _died(names: Sequence[str]) -> Results:
    error = MatchError(
        f"the process that matched it died {_MOST_TRIES} times, perhaps for want of memory; match "
        "it by itself, or use fewer --workers."
    )
    return [Failure(name, error) for name in names]


def _by_ray(job: Groups, engine: Engine) -> Iterator[tuple[int, Results]]:
    """Work on groups on a cluster, which starts an actor that died again."""
    from crosslook.extract.ray_engine import each_on_ray

    items = [{"group": number} for number in range(len(job))]
    label, seen = "Matching (ray)", 0
    for batch in each_on_ray(_Worker, job, items, label, engine.workers, engine.address):
        seen += 1
        # Pickled by our own worker, and brought here by Ray, which pickles all that it brings.
        found = pickle.loads(batch["results"][0])
        if isinstance(found, CrosslookError):
            raise found
        yield int(batch["group"][0]), found
    if seen < len(items):
        raise OutputError(f"{len(items) - seen} of {len(items)} parts are missing after Ray ran.")
