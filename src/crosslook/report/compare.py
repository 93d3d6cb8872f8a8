"""Which differences between runs are significant: a paired bootstrap over clusters.

Both runs answer the same queries, so the difference of every query is taken
first and clusters are drawn afterwards; what the two share cancels (Efron and
Tibshirani 1993, chapter 16).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosslook.atomic import write_csv
from crosslook.errors import InputError
from crosslook.retrieval.clusters import find_clusters
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.retrieval.run_folder import MatchTable, read_matches, read_patches, read_run
from crosslook.types import Estimate
from crosslook.written import has_header, refuse_foreign

_DEFAULT = {"calibration": "standardize", "scoring": "csls"}


@dataclass(frozen=True)
class Difference:
    """Recall at 1 of ``second`` minus that of ``first``, on shared queries.

    Attributes
    ----------
    n_query : int
        Queries that both runs measured.
    galleries : tuple of int
        Items that either searched.
    same_gallery : bool
        Whether both searched the very same items. If not, recall differs by the
        galleries too, and nothing is significant.
    significant : bool
        Whether the galleries are the same and the interval excludes zero.
    """

    first: str
    second: str
    direction: str
    difference: Estimate
    n_query: int
    galleries: tuple[int, int]
    same_gallery: bool

    @property
    def significant(self) -> bool:
        """Whether the galleries are the same and the interval excludes zero."""
        return self.same_gallery and (self.difference.low > 0 or self.difference.high < 0)


@dataclass(frozen=True)
class _Answers:
    name: str
    direction: str
    right: dict[str, bool]
    clusters: dict[str, str]


def compare_runs(runs: Sequence[Path], seed: int = 0) -> list[Difference]:
    """Compare every extractor of every run with each other, under its chosen setup.

    The setup is the one that the run chose on its calibration set; a run
    without a choice is compared by ``standardize`` and ``csls`` where it has
    them, else by the first setup in its table. Never by what did best on the
    queries that are compared.

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
    answers = [answer for run in runs for answer in _answers_of_run(run)]
    comparisons = []
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
        estimate = bootstrap_mean(change, [first.clusters[q] for q in shared], seed)
        comparisons.append(
            Difference(
                first.name,
                second.name,
                first.direction,
                estimate,
                len(shared),
                (len(first.right), len(second.right)),
                len(shared) == len(first.right) == len(second.right),
            )
        )
    return comparisons


def _answers_of_run(run: Path) -> list[_Answers]:
    patches, record = read_patches(run), read_run(run)
    clusters = find_clusters(patches, record["settings"].get("split_by", "auto")).names
    return [
        _Answers(
            f"{run.name}: {table.setup.name} ({table.setup.calibration}, {table.setup.scoring})",
            table.direction,
            {patches[i].id: bool(r == 1) for i, r in _pairs(table)},
            {patches[i].id: clusters[i] for i, _ in _pairs(table)},
        )
        for table in _chosen_tables(read_matches(run), record)
    ]


def _chosen_tables(tables: Sequence[MatchTable], record: Mapping[str, Any]) -> list[MatchTable]:
    """One table per extractor, pooling and direction, chosen without looking at the ranks."""
    splits: Sequence[Mapping[str, Any]] = record.get("splits", ())
    chosen: Mapping[str, Any] = next((s["chosen"] for s in splits if s["chosen"]), {})
    picked: dict[tuple[str, str, str], MatchTable] = {}
    for table in tables:
        setup = table.setup
        key = (setup.extractor, setup.pooling, table.direction)
        pick = chosen.get(setup.extractor, _DEFAULT)
        wanted = (pick["calibration"], pick["scoring"]) == (setup.calibration, setup.scoring)
        if wanted or key not in picked:
            picked[key] = table
    return list(picked.values())


def _pairs(table: MatchTable) -> list[tuple[int, int]]:
    return list(zip(table.query_index.tolist(), table.rank.tolist(), strict=True))


_COLUMNS = ("first", "second", "direction", "difference", "low", "high", "n", "first_gallery",
            "second_gallery", "same_gallery", "stands")  # fmt: skip


def print_comparison(
    runs: Sequence[Path],
    out: Path,
    seed: int = 0,
    console: Console | None = None,
    *,
    overwrite: bool = False,
) -> list[Difference]:
    """Compare runs, print which differences are significant, and write all as CSV.

    Raises
    ------
    OutputError
        If the file is there and of other origin, unless ``overwrite`` replaces it.
    """
    refuse_foreign(out.parent, {out.name: has_header(_COLUMNS)}, overwrite=overwrite)
    comparisons = compare_runs(runs, seed)
    table = Table(title="Recall at 1: second minus first (95 % interval, paired over clusters)")
    for name in ("first", "second", "direction", "difference", "significant"):
        table.add_column(name, overflow="fold")
    for item in comparisons:
        d = item.difference
        shown = f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        table.add_row(item.first, item.second, item.direction, shown, _verdict(item))
    write_csv(out, _COLUMNS, (_line(item) for item in comparisons))
    console = console or Console()
    console.print(table)
    console.print(f"all of it: {out}", highlight=False)
    return comparisons


def _verdict(item: Difference) -> str:
    if not item.same_gallery:
        first, second = item.galleries
        return f"other galleries ({first} and {second} items): not comparable"
    return "yes" if item.significant else "no"


def _line(item: Difference) -> list[object]:
    d = item.difference
    return [item.first, item.second, item.direction, d.value, d.low, d.high, item.n_query,
            *item.galleries, item.same_gallery, item.significant]  # fmt: skip
