"""The work of a trial: parts of the tasks, each answered whole, in processes or on Ray."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import atan2, degrees, hypot
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from crosslook import threads
from crosslook.data.pairs import ScenePair
from crosslook.errors import CrosslookError, OutputError
from crosslook.extract.base import Extractor
from crosslook.match.engine import Died, in_lasting_processes
from crosslook.match.matchers import Matcher, open_tools
from crosslook.match.register import register_with
from crosslook.match.result import MatchResult
from crosslook.match.settings import RegisterSettings
from crosslook.match.transform import Transform
from crosslook.progress import track
from crosslook.trial.answers import Answer, part_path, read_answers, write_part
from crosslook.trial.cases import Case, CaseMaker, CaseSettings, Task
from crosslook.trial.protocol import Protocol
from crosslook.trial.reach import REACHES

PART = 8
"""Tasks of a part: what a run that is killed loses at most, of each process."""


@dataclass(frozen=True)
class Runner:
    """One matcher under one protocol.

    Attributes
    ----------
    matcher : str
    protocol : Protocol
    settings : RegisterSettings
        Without those of a reach.
    revision : str
        Of the matcher and its weights.
    key : str
        Names its parts.
    """

    matcher: str
    protocol: Protocol
    settings: RegisterSettings
    revision: str
    key: str


@dataclass(frozen=True)
class Job:
    """What a process needs to answer parts; it travels to other machines."""

    out: Path
    pairs: tuple[ScenePair, ...]
    tasks: tuple[Task, ...]
    runners: tuple[Runner, ...]
    cases: CaseSettings
    threads: int | None = None

    @property
    def parts(self) -> int:
        """How many parts each runner has."""
        return -(-len(self.tasks) // PART)

    def tasks_of(self, part: int) -> tuple[Task, ...]:
        """The tasks of a part."""
        return self.tasks[part * PART : (part + 1) * PART]

    def missing(self) -> list[tuple[int, int]]:
        """Runner and part of what has not been answered yet."""
        return [
            (number, part)
            for part in range(self.parts)
            for number, runner in enumerate(self.runners)
            if not part_path(self.out, runner.key, part).is_file()
        ]

    def answers(self) -> Iterator[Answer]:
        """All answers, once nothing is missing."""
        for runner in self.runners:
            for part in range(self.parts):
                yield from read_answers(part_path(self.out, runner.key, part))


@dataclass
class Worker:
    """Answers parts; what it opened stays open.

    Attributes
    ----------
    job : Job
    """

    job: Job
    _tools: dict[int, tuple[Extractor, Matcher]] = field(default_factory=dict)

    @cached_property
    def _makers(self) -> dict[str, CaseMaker]:
        return {}

    def answer(self, number: int, part: int) -> None:
        """Answer a part under a runner and write it."""
        runner = self.job.runners[number]
        with threads.limited(self.job.threads):
            answers = [self.one(number, task) for task in self.job.tasks_of(part)]
        write_part(part_path(self.job.out, runner.key, part), answers)

    def one(self, number: int, task: Task) -> Answer:
        """Answer one task; whatever goes wrong is its failure."""
        runner = self.job.runners[number]
        answer = Answer(
            task.name, task.pair, task.partner, task.cluster, task.reach, runner.matcher,
            str(runner.protocol), task.is_wrong,
        )  # fmt: skip
        try:
            case = self._maker(runner.protocol.tone).make(task)
            answer = _started(answer, case)
            if number not in self._tools:
                self._tools.clear()  # models of one matcher at a time
                self._tools[number] = open_tools(runner.settings)
            settings = runner.settings.model_copy(update=REACHES[task.reach].options)
            extractor, matcher = self._tools[number]
            matcher.settings = settings
            began = perf_counter()
            result = register_with(case.sar, case.optical, settings, (extractor, matcher))
            return _completed(answer, case, result, perf_counter() - began)
        except CrosslookError as error:
            return replace(answer, failure=str(error))
        except Exception as error:  # of a package: one case never loses the others
            return replace(answer, failure=f"{type(error).__name__}: {error}")

    def _maker(self, tone: str) -> CaseMaker:
        if tone not in self._makers:
            reading = self.job.cases.reading
            if tone:
                reading = replace(reading, sar=",".join(filter(None, (reading.sar, tone))))
            cases = replace(self.job.cases, reading=reading)
            self._makers[tone] = CaseMaker(self.job.pairs, cases)
        return self._makers[tone]


def _started(answer: Answer, case: Case) -> Answer:
    """An answer with what is known before the matcher has said anything: no transform."""
    level = case.warp.matrix
    return replace(
        answer,
        case=case.digest,
        error_px=np.nan if answer.is_wrong else np.inf,
        start_error_px=np.nan if answer.is_wrong else round(case.start_error, 4),
        side=max(case.sar.shape),
        rotation_degrees=round(degrees(atan2(level[0, 1], level[0, 0])), 4),
        scale=round(hypot(level[0, 0], level[0, 1]), 6),
    )


def _completed(answer: Answer, case: Case, result: MatchResult, seconds: float) -> Answer:
    """An answer with all that is known of it."""
    found = result.transform
    finite = {k: v for k, v in vars(result.evidence).items() if np.isfinite(v)}
    confidence = float(result.confidence)
    sure = result.evidence.neg_log10_p if np.isnan(confidence) else confidence
    expected = result.expected_error_px
    return replace(
        answer,
        error_px=np.nan if answer.is_wrong else round(case.error(found), 4),
        verdict=result.verdict,
        confidence=confidence,
        expected_error_px=np.nan if expected is None else expected * case.factor,
        certainty=float(sure),
        tie_points=len(result.tie_points),
        inliers=int(result.evidence.inliers),
        search=result.judged_as,
        matrix="" if found is None else " ".join(f"{v:.9g}" for v in _flat(found, case).ravel()),
        evidence=json.dumps({k: round(float(v), 6) for k, v in finite.items()}, sort_keys=True),
        seconds=round(seconds, 4),
        memory_mb=round(_memory_mb(), 1),
    )


def _flat(transform: Transform, case: Case) -> Any:
    """The affine map or homography nearest to a transform, for images."""
    level = transform.without_field if transform.model in ("relief", "tps") else transform
    return level.matrix if level.is_flat else np.eye(3)


def _memory_mb() -> float:
    """The largest resident memory of this process so far."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 if sys.platform != "darwin" else 1024**2)


@dataclass(frozen=True, eq=False)
class Parts:
    """Runner and part of what is not answered yet, for processes or a cluster."""

    job: Job
    items: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, job: Job) -> Parts:
        """All that is missing, one runner after the other: each opens its models once."""
        return cls(job, tuple(sorted(job.missing())))

    def __len__(self) -> int:
        return len(self.items)

    def open(self) -> Callable[[int], None]:
        """A worker, and what it does with the number of an item."""
        worker = Worker(self.job)
        return lambda number: worker.answer(*self.items[number])


def answer_all(job: Job, processes: int) -> None:
    """Answer all parts that are missing, in so many processes.

    Raises
    ------
    OutputError
        If parts end every process that tries to answer them; all others are answered then.
    """
    parts = Parts.of(job)
    if processes == 1 or len(parts) == 1:
        answer = parts.open()
        for number in track(range(len(parts)), "Registering"):
            answer(number)
        return
    found = in_lasting_processes(parts, range(len(parts)), processes)
    lost = [
        (parts.items[number], result)
        for number, result in track(found, "Registering", len(parts))
        if isinstance(result, Died)
    ]
    if lost:
        (number, part), why = lost[0]
        cases = job.tasks_of(part)
        raise OutputError(
            f"{len(lost)} of {len(parts)} parts are not answered: {why}. The first is "
            f"'{job.runners[number].matcher}' on {cases[0].name} to {cases[-1].name}. All others "
            "are there: run again with fewer --processes, or leave the matcher out."
        )


def estimate(job: Job, tasks: Sequence[Task]) -> dict[str, tuple[float, str]]:
    """Seconds that a task takes under each runner, from a few of them, and why one failed."""
    worker = Worker(job)
    taken: dict[str, tuple[float, str]] = {}
    for number, runner in enumerate(job.runners):
        worker.one(number, tasks[0])  # opens models, compiles loops
        began = perf_counter()
        failures = [worker.one(number, task).failure for task in tasks]
        seconds = (perf_counter() - began) / len(tasks)
        why = next(filter(None, failures), "")
        taken[f"{runner.matcher} ({runner.protocol})"] = seconds, why
    return taken
