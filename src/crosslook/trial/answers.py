"""What matchers answer, one record each, and the files that keep them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa

from crosslook.retrieval.run_folder import read_table, write_table

FORMAT = 3
"""Of the columns; parts of another format are made again."""

TIMES = ("seconds", "memory_mb")
"""Columns that differ from run to run, kept in a file of their own."""


@dataclass(frozen=True)
class Answer:
    """What one matcher under one protocol says of one task.

    Attributes
    ----------
    task, pair, partner, cluster, reach : str
        See :class:`crosslook.trial.cases.Task`.
    matcher, protocol : str
    is_wrong : bool
        Whether the optical image shows another place.
    case : str
        Digest of the window, how it was moved and its truth; empty where there is no case.
    failure : str
        Why there is no answer: a file that cannot be read, an error of the matcher.
    error_px : float
        Mean distance from the truth, pixels of the optical file; infinite without a
        transform or where the matcher failed, NaN of a wrong partner and where there is
        no case.
    start_error_px : float
        That of leaving the image where it is.
    verdict : str
    confidence, expected_error_px : float
        NaN where none is fitted.
    certainty : float
        What answers are ranked by: the confidence, else the agreement beyond chance.
    tie_points, inliers : int
    side : int
        Longer side of the SAR image.
    rotation_degrees, scale : float
        Of the warp.
    search : str
        That led to the answer.
    matrix : str
        Nine numbers, rows of the map of flat ground; empty without one.
    evidence : str
        As JSON.
    seconds, memory_mb : float
        Of this answer; the largest memory of the process so far.
    """

    task: str
    pair: str
    partner: str
    cluster: str
    reach: str
    matcher: str
    protocol: str
    is_wrong: bool
    case: str = ""
    failure: str = ""
    error_px: float = math.nan
    start_error_px: float = math.nan
    verdict: str = ""
    confidence: float = math.nan
    expected_error_px: float = math.nan
    certainty: float = math.nan
    tie_points: int = 0
    inliers: int = 0
    side: int = 0
    rotation_degrees: float = 0.0
    scale: float = 1.0
    search: str = ""
    matrix: str = ""
    evidence: str = "{}"
    seconds: float = 0.0
    memory_mb: float = 0.0

    @property
    def is_measured(self) -> bool:
        """Whether it has an error: its partner is right, and its files could be read."""
        return not math.isnan(self.error_px)

    @property
    def measured_case(self) -> tuple[str, str]:
        """What two runs must share to be compared: one name may stand for another window."""
        return self.task, self.case

    @property
    def key(self) -> tuple[str, str, str]:
        """What answers are sorted by."""
        return self.matcher, self.protocol, self.task


_TYPES = {str: pa.string(), bool: pa.bool_(), float: pa.float64(), int: pa.int64()}


def _table(answers: Sequence[Answer], names: Sequence[str]) -> pa.Table:
    kinds = get_type_hints(Answer)
    return pa.table(
        {n: pa.array([getattr(one, n) for one in answers], _TYPES[kinds[n]]) for n in names}
    )


NAMES = tuple(one.name for one in fields(Answer))


def part_path(out: Path, key: str, number: int) -> Path:
    """The file of a part of the tasks."""
    return out / "answers" / key / f"part-{number:05d}.parquet"


def part_key(content: dict[str, Any]) -> str:
    """What names the parts that the same settings, files and versions give."""
    text = json.dumps([FORMAT, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_part(path: Path, answers: Sequence[Answer]) -> None:
    """Write the answers of a part, whole."""
    write_table(path, _table(answers, NAMES))


def read_answers(path: Path) -> list[Answer]:
    """Read answers that :func:`write_part` or :func:`write_answers` wrote."""
    return [Answer(**line) for line in read_table(path).to_pylist()]


def write_answers(out: Path, answers: Iterable[Answer]) -> None:
    """Write ``answers.parquet``, sorted and without times, and ``times.parquet``."""
    ordered = sorted(answers, key=lambda one: one.key)
    named = ("matcher", "protocol", "task")
    write_table(out / "answers.parquet", _table(ordered, [n for n in NAMES if n not in TIMES]))
    write_table(out / "times.parquet", _table(ordered, [*named, *TIMES]))


def read_run_answers(out: Path) -> list[Answer]:
    """Read the answers of a run, with their times."""
    times = read_table(out / "times.parquet").select(list(TIMES)).to_pylist()
    lines = read_table(out / "answers.parquet").to_pylist()
    return [Answer(**line, **time) for line, time in zip(lines, times, strict=True)]
