"""Register a set of pairs: one after the other, by processes, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, cast

from crosslook.errors import CrosslookError
from crosslook.extract.base import Extractor
from crosslook.geo.image import Reading
from crosslook.geo.mosaic_file import open_optical
from crosslook.match.batch_so_far import file_state
from crosslook.match.cached_image import sharing
from crosslook.match.engine import Engine
from crosslook.match.matchers import Matcher, Tools, open_tools
from crosslook.match.ncc import correlation_device
from crosslook.match.register import Basemap, on_scenes, plan_of, register_with
from crosslook.match.result import Failure, MatchResult
from crosslook.match.settings import BatchSettings, RegisterCall, RegisterSettings
from crosslook.match.workers import Results, alone_settings, by_workers
from crosslook.options import after_one, record

if TYPE_CHECKING:
    from crosslook.data.pairs import ScenePair

_MOST_TOGETHER = 8  # dates of a stack that are matched side by side


@after_one(BatchSettings)
def register_all(
    pairs: Iterable[ScenePair], settings: BatchSettings
) -> Iterator[MatchResult | Failure]:
    """Register many pairs, as :func:`register` does one, and yield what each gives, in order.

    A pair that cannot be read or matched gives a
    :class:`~crosslook.match.result.Failure`; the others go on. Pairs that follow each other on
    one optical image, as the dates of a stack, share what is read and computed of it.

    With at least as many such stacks as ``workers``, each process matches stacks of its own; with
    fewer, all share the tiles of one scene after the other. A Ray cluster also matches fewer
    stacks, where none of them has tiles. Processes are started afresh, so a script that asks for
    them keeps its work under ``if __name__ == "__main__":``.
    """
    return register_opened(pairs, settings, Tools(settings))


def register_opened(
    pairs: Iterable[ScenePair], settings: BatchSettings, tools: Tools
) -> Iterator[MatchResult | Failure]:
    """Register many pairs as :func:`register_all` does, by tools that may be open already."""
    correlation_device(settings.device)  # one that is not there is refused once, not pair by pair
    stacks, engine = list(_stacks(pairs)), Engine.of(settings)
    if _are_given_whole(stacks, tools, settings, engine):
        tools.close()  # each worker opens its own
        yield from by_workers(PairsJob(stacks, alone_settings(settings, engine)), engine)
        return
    for stack in stacks:
        yield from register_stack(stack, settings, tools.opened)


def key_of(settings: RegisterCall, tools: Tools) -> list[object]:
    """What changes the results of all pairs: settings, files, weights."""
    given = (settings.mask, settings.optical_mask, settings.points, settings.verdict, settings.dem)
    files = [None if one is None else file_state(str(one)) for one in given]
    known = record(settings, RegisterSettings) | {"weights": None}  # the tools' key names them
    return [known, settings.force, *tools.key, files]


def _are_given_whole(
    stacks: Sequence[list[ScenePair]], tools: Tools, settings: BatchSettings, engine: Engine
) -> bool:
    """Whether each worker matches stacks of its own; else all share the tiles of each."""
    if engine.is_here or not stacks:
        return False
    if engine.workers <= len(stacks):
        return True
    # Processes of this machine would gain little; who names a cluster wants it used.
    return engine.name == "ray" and not _have_tiles(chain.from_iterable(stacks), tools, settings)


def _have_tiles(pairs: Iterable[ScenePair], tools: Tools, settings: BatchSettings) -> bool:
    """Whether one of a few pairs is matched in tiles."""
    if not settings.in_tiles or not tools.opened[1].is_refined:
        return False
    for pair in pairs:
        with suppress(CrosslookError):  # what cannot be read has none
            if plan_of(pair.sar, pair.optical, settings)[1]:
                return True
    return False


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
class PairsJob:
    """Stacks of pairs for workers, each of which matches the tiles of a scene by itself."""

    stacks: Sequence[list[ScenePair]]
    settings: BatchSettings

    def __len__(self) -> int:
        return len(self.stacks)

    def names(self, number: int) -> list[str]:
        """What the pairs of a stack are called."""
        return [pair.id for pair in self.stacks[number]]

    def open(self) -> Callable[[int], Results]:
        """Extractor and matcher, opened once by each worker, and what they do with a stack."""
        tools = open_tools(self.settings)
        return lambda number: register_stack(self.stacks[number], self.settings, tools)
