"""From answers to rows: every number with its interval over clusters and what chance gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from crosslook.retrieval.measure.resampling import (
    bootstrap_fraction,
    bootstrap_mean,
    bootstrap_median,
)
from crosslook.retrieval.run_folder import read_table, write_table
from crosslook.trial.answers import Answer
from crosslook.types import Array, Estimate

WITHIN = (1.0, 2.0, 3.0, 5.0, 10.0)
AREA_PX = 10.0
RIGHT_PX = 5.0
"""Beyond it an answer is wrong, where verdicts are judged; beyond twice as much surely so."""

DEFINITIONS: dict[str, str] = {
    "within": "fraction of right partners whose mean tie-point error is at most k pixels",
    "area": "area under the curve of that fraction from 0 to 10 pixels, over 10: "
    "mean of max(0, 1 - error / 10)",
    "mean-error": "mean error in pixels, over the cases that were answered",
    "median-error": "lower median of the error in pixels; a case without answer is infinitely far",
    "failures": "fraction of right partners without any transform, errors of the matcher too",
    "false-matches": "fraction of wrong partners that are called match",
    "wrong-uncertain": "fraction of wrong partners that are called uncertain",
    "matches-found": "fraction of answers within 5 px that are called match",
    "within-expected": "fraction of matches whose error is within expected_error_px (aim 0.68)",
    "brier": "mean squared difference of the confidence from right (1) or wrong (0)",
    "auroc": "probability that an answer within 5 px is surer than one on a wrong partner",
    "area-difference": "area of this matcher minus that of the one named, case by case",
    "within-difference": "the same of the fraction within k pixels",
}
"""What each metric is."""


@dataclass(frozen=True)
class TrialRow:
    """One result: a line of ``results.parquet`` (field order is column order).

    Attributes
    ----------
    dataset, matcher, revision, protocol, reach : str
    split : str
        ``all``, or ``test`` and ``calibration`` where protocols were chosen.
    stratum : str
        ``all``, or a part of the cases, as ``sensor=GF3``.
    metric : str
    k : float
        Pixels; 0 where the metric has none.
    value, ci_low, ci_high : float
        With the interval of 95 % over clusters.
    n, n_clusters : int
        Cases and clusters.
    chance : float
        What leaving the images where they are gives; NaN where that says nothing.
    """

    dataset: str
    matcher: str
    revision: str
    protocol: str
    reach: str
    split: str
    stratum: str
    metric: str
    k: float
    value: float
    ci_low: float
    ci_high: float
    n: int
    n_clusters: int
    chance: float


COLUMNS = tuple(one.name for one in fields(TrialRow))


@dataclass(frozen=True)
class Measured:
    """A metric before it becomes a row."""

    metric: str
    estimate: Estimate
    n: int
    n_clusters: int
    chance: float = math.nan
    k: float = 0.0


@dataclass(frozen=True)
class Resampling:
    """Seed and draws of every interval."""

    seed: int
    draws: int


def near(error: Array, k: float) -> Array:
    """Whether each error (n,) is within ``k`` pixels, as 0 or 1."""
    return (error <= k).astype(np.float64)


def area(error: Array) -> Array:
    """What each error (n,) adds to the area under the curve."""
    return np.maximum(0.0, 1.0 - np.minimum(error, AREA_PX) / AREA_PX)


def measure(answers: Sequence[Answer], how: Resampling) -> Iterator[Measured]:
    """All metrics of the answers of one matcher under one protocol and reach."""
    own = [one for one in answers if one.is_measured]
    other = [one for one in answers if one.is_wrong and not one.failure]
    if own:
        yield from _accuracy(own, how)
    yield from _verdicts([one for one in own if not one.failure], other, how)


def _accuracy(own: Sequence[Answer], how: Resampling) -> Iterator[Measured]:
    error = np.array([one.error_px for one in own])
    start = np.array([one.start_error_px for one in own])
    clusters = [one.cluster for one in own]
    size = len(own), len(set(clusters))
    for k in WITHIN:
        hits, chance = near(error, k), float(near(start, k).mean())
        yield Measured("within", bootstrap_fraction(hits, clusters, *_of(how)), *size, chance, k)
    estimate = bootstrap_mean(area(error), clusters, *_of(how))
    yield Measured("area", estimate, *size, float(area(start).mean()), AREA_PX)
    found = np.isfinite(error)
    if found.any():
        known = [c for c, there in zip(clusters, found, strict=True) if there]
        estimate = bootstrap_mean(error[found], known, *_of(how))
        chance = float(start[found].mean())
        yield Measured("mean-error", estimate, len(known), len(set(known)), chance)
    # Infinite ones sort last; NaN would not.
    estimate = bootstrap_median(np.minimum(error, 1e9), clusters, *_of(how))
    value, low, high = (math.inf if v >= 1e9 else v for v in (estimate.value, estimate.low,
                                                              estimate.high))  # fmt: skip
    chance = float(np.sort(start)[(len(start) - 1) // 2])
    yield Measured("median-error", Estimate(value, low, high), *size, chance)
    failed = bootstrap_fraction(~found, clusters, *_of(how))
    yield Measured("failures", failed, *size, 0.0)


def _verdicts(
    own: Sequence[Answer], other: Sequence[Answer], how: Resampling
) -> Iterator[Measured]:
    fitted = any(math.isfinite(one.confidence) for one in own if one.verdict == "match") or any(
        0.0 < one.confidence < 1.0 for one in (*own, *other)
    )
    right = [one for one in own if one.error_px <= RIGHT_PX]
    if fitted:
        called = [one for one in own if one.verdict == "match"]
        yield from _share("false-matches", other, lambda a: a.verdict == "match", how)
        yield from _share("wrong-uncertain", other, lambda a: a.verdict == "uncertain", how)
        yield from _share("matches-found", right, lambda a: a.verdict == "match", how)
        yield from _share(
            "within-expected", called, lambda a: a.error_px <= a.expected_error_px, how
        )
        judged = [one for one in (*own, *other) if not _is_between(one)]
        if judged:
            truth = [not one.is_wrong and one.error_px <= RIGHT_PX for one in judged]
            off = [(one.confidence - t) ** 2 for one, t in zip(judged, truth, strict=True)]
            clusters = [one.cluster for one in judged]
            size = len(judged), len(set(clusters))
            yield Measured("brier", bootstrap_mean(off, clusters, *_of(how)), *size, 0.25)
    if right and other:
        # Of each right answer, how many wrong ones it is surer than; clusters of right ones drawn.
        wrong = np.array([one.certainty for one in other])
        above = [
            float(np.mean(wrong < one.certainty) + 0.5 * np.mean(wrong == one.certainty))
            for one in right
        ]
        clusters = [one.cluster for one in right]
        size = len(right), len(set(clusters))
        yield Measured("auroc", bootstrap_mean(above, clusters, *_of(how)), *size, 0.5)


def _is_between(answer: Answer) -> bool:
    """Whether an answer is neither right nor surely wrong."""
    return not answer.is_wrong and RIGHT_PX < answer.error_px <= 2 * RIGHT_PX


def _share(
    name: str, among: Sequence[Answer], holds: Callable[[Answer], bool], how: Resampling
) -> Iterator[Measured]:
    if among:
        clusters = [one.cluster for one in among]
        hits = [holds(one) for one in among]
        estimate = bootstrap_fraction(hits, clusters, *_of(how))
        yield Measured(name, estimate, len(among), len(set(clusters)))


def _of(how: Resampling) -> tuple[int, int]:
    return how.seed, how.draws


def differences(
    first: Sequence[Answer], second: Sequence[Answer], how: Resampling
) -> Iterator[Measured]:
    """``first`` minus ``second`` on the cases that both measured; metrics name ``second``."""
    known = {one.measured_case: one for one in second if one.is_measured}
    pairs = [
        (one, known[one.measured_case])
        for one in first
        if one.is_measured and one.measured_case in known
    ]
    if not pairs:
        return
    here, there = (np.array([pair[i].error_px for pair in pairs]) for i in (0, 1))
    clusters, name = [one.cluster for one, _ in pairs], second[0].matcher
    size = len(pairs), len(set(clusters))
    change = area(here) - area(there)
    estimate = bootstrap_mean(change, clusters, *_of(how))
    yield Measured(f"area-difference/{name}", estimate, *size, 0.0, AREA_PX)
    for k in WITHIN:
        estimate = bootstrap_mean(near(here, k) - near(there, k), clusters, *_of(how))
        yield Measured(f"within-difference/{name}", estimate, *size, 0.0, k)


def strata_of(answer: Answer, known: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The parts that an answer belongs to, ``all`` first: sensor, ground, size and rotation.

    Parameters
    ----------
    answer : Answer
    known : mapping of pair to mapping
        ``sensor`` and ``ground`` of pairs, where they are known.
    """
    parts = ["all"]
    if answer.side:  # of a case that could be made
        parts.append(f"size={128 * 2 ** max(0, round(math.log2(answer.side / 128)))}")
    parts += [f"{name}={value}" for name, value in known.get(answer.pair, {}).items()]
    if answer.reach == "wide":
        turned = abs(answer.rotation_degrees)
        low = next(low for low in (60, 30, 10, 0) if turned >= low)
        high = {60: 90, 30: 60, 10: 30, 0: 10}[low]
        parts.append(f"rotation={low}..{high}")
    return parts


def write_rows(out: Path, rows: Sequence[TrialRow]) -> None:
    """Write ``results.parquet``, sorted; it holds no time."""
    ordered = sorted(rows, key=lambda row: tuple(str(getattr(row, name)) for name in COLUMNS[:9]))
    columns = {name: [getattr(row, name) for row in ordered] for name in COLUMNS}
    write_table(out / "results.parquet", pa.table(columns))


def read_rows(out: Path) -> list[TrialRow]:
    """Read ``results.parquet`` of a trial."""
    return [TrialRow(**line) for line in read_table(out / "results.parquet").to_pylist()]
