"""What is independent, by processes or on a Ray cluster: pairs of a set, queries of a batch.

What one of them gives does not depend on who worked on it. Results come in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol, TypeVar

from crosslook.errors import MatchError
from crosslook.match.engine import Died, Engine, Job, in_lasting_processes, on_ray
from crosslook.match.result import Failure, MatchResult
from crosslook.match.settings import EngineOptions

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


def _by_processes(job: Groups, engine: Engine) -> Iterator[tuple[int, Results]]:
    """Work on groups in processes; a group whose process dies again and again has failed."""
    for number, results in in_lasting_processes(job, range(len(job)), engine.workers):
        yield number, _died(job, number, results) if isinstance(results, Died) else results


def _died(job: Groups, number: int, why: Died) -> Results:
    error = MatchError(f"{why}; match it by itself, or use fewer --workers.")
    return [Failure(name, error) for name in job.names(number)]


def _by_ray(job: Groups, engine: Engine) -> Iterator[tuple[int, Results]]:
    """Work on groups on a cluster, which starts an actor that died again."""
    return on_ray(job, "Matching (ray)", engine)
