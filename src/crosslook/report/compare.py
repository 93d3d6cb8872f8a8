"""``crosslook compare``: a table on the terminal and a CSV.

Which differences between runs stand: a paired bootstrap over scenes.

Both runs answer the same queries, so the difference of every query is taken
first and scenes are drawn afterwards; what the two share cancels (Efron and
Tibshirani 1993, chapter 16).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from crosslook.atomic import write_text
from crosslook.errors import InputError
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.retrieval.run_folder import MatchTable, read_matches, read_patches
from crosslook.types import Estimate


@dataclass(frozen=True)
class Difference:
    """Recall at 1 of ``second`` minus that of ``first``, on shared queries.

    ``stands`` is true where the interval excludes zero.
    """

    first: str
    second: str
    direction: str
    difference: Estimate
    n_query: int

    @property
    def stands(self) -> bool:
        """Whether the interval excludes zero."""
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class _Answers:
    name: str
    direction: str
    right: dict[str, bool]
    scenes: dict[str, str]


def compare_runs(runs: Sequence[Path], seed: int = 0) -> list[Difference]:
    """Compare the best setup of every extractor of every run with each other.

    Parameters
    ----------
    runs : sequence of Path
        Two or more run folders; queries are paired by patch id.
    seed : int
        Of the bootstrap.

    Raises
    ------
    InputError
        If fewer than two runs are given, or two share no query.
    """
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run(s) given; a comparison needs at least two.")
    answers = [answer for run in runs for answer in _best_of_run(run)]
    found = []
    for first, second in combinations(answers, 2):
        if first.direction != second.direction:
            continue
        shared = sorted(set(first.right) & set(second.right))
        if not shared:
            raise InputError(
                f"{first.name} and {second.name} share no query; compare runs on the same "
                "data, patch size and seed."
            )
        change = [float(second.right[q]) - float(first.right[q]) for q in shared]
        scenes = [first.scenes[q] for q in shared]
        estimate = bootstrap_mean(change, scenes, seed)
        found.append(Difference(first.name, second.name, first.direction, estimate, len(shared)))
    return found


def _best_of_run(run: Path) -> list[_Answers]:
    patches = read_patches(run)
    best: dict[tuple[str, str], MatchTable] = {}
    for table in read_matches(run):
        key = (table.extractor, table.direction)
        if key not in best or _recall(table.rank) > _recall(best[key].rank):
            best[key] = table
    return [
        _Answers(
            f"{run.name}: {table.extractor} ({table.calibration}, {table.scoring})",
            table.direction,
            {patches[i].id: bool(r == 1) for i, r in _pairs(table)},
            {patches[i].id: patches[i].scene for i, _ in _pairs(table)},
        )
        for table in best.values()
    ]


def _pairs(table: MatchTable) -> list[tuple[int, int]]:
    return list(zip(table.query_index.tolist(), table.rank.tolist(), strict=True))


def _recall(rank: NDArray[np.int64]) -> float:
    return float((rank == 1).mean())


def print_comparison(
    runs: Sequence[Path], out: Path, seed: int = 0, console: Console | None = None
) -> list[Difference]:
    """Compare runs, print which differences stand, and write all as CSV."""
    found = compare_runs(runs, seed)
    table = Table(title="Recall at 1: second minus first (95 % interval, paired over scenes)")
    for name in ("first", "second", "direction", "difference", "stands"):
        table.add_column(name, overflow="fold")
    for item in found:
        d = item.difference
        shown = f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        table.add_row(
            item.first, item.second, item.direction, shown, "yes" if item.stands else "no"
        )
    write_text(out, _csv(found))
    console = console or Console()
    console.print(table)
    console.print(f"all of it: {out}", highlight=False)
    return found


def _csv(found: Sequence[Difference]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["first", "second", "direction", "difference", "low", "high", "n", "stands"])
    for item in found:
        d = item.difference
        writer.writerow(
            [item.first, item.second, item.direction, d.value, d.low, d.high, item.n_query,
             item.stands]
        )  # fmt: skip
    return text.getvalue()
