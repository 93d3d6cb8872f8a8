"""Several trials: all in one table, which differences are significant, and answers to keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from crosslook.atomic import write_csv, write_text
from crosslook.errors import InputError
from crosslook.report.tables import latex_table, number
from crosslook.retrieval.run_folder import read_run, write_table
from crosslook.trial.answers import Answer, read_run_answers
from crosslook.trial.measures import Resampling, TrialRow, differences, read_rows
from crosslook.trial.report import shown_rows, text_of
from crosslook.trial.run import KIND
from crosslook.written import MARK, has_header, is_marked, refuse_foreign

BOARD_COLUMNS = (
    *("dataset", "reach", "matcher", "protocol", "revision", "area", "area_low", "area_high"),
    *("within_3", "within_3_low", "within_3_high", "n", "n_clusters", "chance", "run"),
)
_BOARD_WRITTEN = {
    "leaderboard.csv": has_header(BOARD_COLUMNS),
    "leaderboard.tex": is_marked,
    "leaderboard.html": is_marked,
}
DIFFERENCE_COLUMNS = (
    *("first", "second", "reach", "metric", "k", "difference", "low", "high", "n", "significant"),
)
_CAPTION = (
    "Area under the curve of errors up to 10 px, right partners, 95 % interval over clusters."
)
_SAME = ("seed", "window", "windows", "draws", "limit")


def is_trial(run: Path) -> bool:
    """Whether a run folder is that of a trial."""
    try:
        return bool(json.loads((run / "run.json").read_text(encoding="utf-8")).get("kind") == KIND)
    except (OSError, ValueError, AttributeError):
        return False


def all_trials(runs: Sequence[Path]) -> bool:
    """Whether runs are trials; of both kinds there is no table.

    Raises
    ------
    InputError
        If some are trials and some are studies.
    """
    kinds = {is_trial(run) for run in runs}
    if len(kinds) > 1:
        raise InputError(
            "trials and studies were given; trials measure pixels and studies recall, so each "
            "needs a table of its own."
        )
    return kinds == {True}


def leaderboard(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Gather the area and the fraction within 3 px of every matcher of every run, best first.

    Returns
    -------
    list of dict
        By :data:`BOARD_COLUMNS`, and as text: ``shown``, ``shown_3``.

    Raises
    ------
    InputError
        If two runs on one set measured other cases, or say something else of one matcher.
    """
    lines: dict[tuple[str, str, str], dict[str, Any]] = {}
    cases: dict[tuple[str, str], tuple[str, str]] = {}
    for run in runs:
        record = read_run(run)
        shown = shown_rows(read_rows(run), record)
        measured = _cases_of(run)
        for row in shown:
            if (row.metric, row.stratum) != ("area", "all"):
                continue
            place = row.dataset, row.reach
            if cases.setdefault(place, (run.name, measured[row.reach]))[1] != measured[row.reach]:
                raise InputError(
                    f"{cases[place][0]} and {run.name} measured other cases of '{row.dataset}' "
                    f"({row.reach}); give both the same {', '.join(_SAME)} and pairs."
                )
            line = _line(row, shown, run)
            before = lines.setdefault((*place, row.matcher), line)
            if before["area"] != line["area"]:
                raise InputError(
                    f"{before['run']} and {run.name} say something else of {row.matcher} on "
                    f"'{row.dataset}' ({before['area']:.3f} and {line['area']:.3f}). Leave one out."
                )
    return sorted(
        lines.values(), key=lambda one: (one["dataset"], one["reach"], -one["area"], one["matcher"])
    )


BOARD_HEADS = ["Set", "Reach", "Matcher", "Area to 10 px", "Within 3 px", "Chance", "n"]


def board_cells(lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The lines of a leaderboard as text, by :data:`BOARD_HEADS`."""
    return [
        [one["dataset"], one["reach"], one["matcher"], one["shown"], one["shown_3"],
         number(one["chance"]), str(one["n"])]
        for one in lines
    ]  # fmt: skip


def write_leaderboard(
    lines: Sequence[Mapping[str, Any]], folder: Path, *, overwrite: bool = False
) -> list[Path]:
    """Write ``leaderboard.csv``, ``.tex`` and ``.html``: a line per matcher.

    Raises
    ------
    OutputError
        If a file is there and of other origin, unless ``overwrite`` replaces it.
    """
    from jinja2 import Environment, PackageLoader

    refuse_foreign(folder, _BOARD_WRITTEN, overwrite=overwrite)
    heads, cells = BOARD_HEADS, board_cells(lines)
    paths = [folder / f"leaderboard.{kind}" for kind in ("csv", "tex", "html")]
    write_csv(paths[0], BOARD_COLUMNS, ([one[name] for name in BOARD_COLUMNS] for one in lines))
    write_text(paths[1], latex_table(heads, 3, [cells], _CAPTION))
    page = Environment(loader=PackageLoader("crosslook.report"), autoescape=True)
    template = page.get_template("leaderboard.html.jinja")
    write_text(
        paths[2], template.render(mark=MARK, caption=_CAPTION, heads=heads, lines=cells, note="")
    )
    return paths


def _line(row: TrialRow, shown: Sequence[TrialRow], run: Path) -> dict[str, Any]:
    within = next(
        one for one in shown
        if (one.matcher, one.reach, one.metric, one.k, one.stratum)
        == (row.matcher, row.reach, "within", 3.0, "all")
    )  # fmt: skip
    named = ("dataset", "reach", "matcher", "protocol", "revision", "n", "n_clusters", "chance")
    return {name: getattr(row, name) for name in named} | {
        "area": row.value, "area_low": row.ci_low, "area_high": row.ci_high,
        "within_3": within.value, "within_3_low": within.ci_low, "within_3_high": within.ci_high,
        "run": run.name, "shown": text_of(row), "shown_3": text_of(within),
    }  # fmt: skip


def _cases_of(run: Path) -> dict[str, str]:
    """A digest of the cases of each reach that were measured."""
    record, answers = read_run(run), read_run_answers(run)
    calibration = set(record["calibration_clusters"])
    cases: dict[str, set[str]] = {}
    for one in answers:
        if one.is_measured and one.cluster not in calibration:
            cases.setdefault(one.reach, set()).add(" ".join(one.measured_case))
    return {
        reach: hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
        for reach, names in cases.items()
    }


def compare_trials(
    runs: Sequence[Path], out: Path | None, seed: int = 0, *, overwrite: bool = False
) -> list[list[object]]:
    """Compare every two matchers on the cases that both answered, and write all as CSV, if asked.

    Raises
    ------
    InputError
        If there are not two matchers, or two share no case.
    OutputError
        If the file is there and of other origin, unless ``overwrite`` replaces it.
    """
    if out is not None:
        refuse_foreign(out.parent, {out.name: has_header(DIFFERENCE_COLUMNS)}, overwrite=overwrite)
    sides: dict[tuple[str, str, str], list[Answer]] = {}
    for run in runs:
        record = read_run(run)
        for one in _chosen(read_run_answers(run), record):
            sides.setdefault((run.name, one.matcher, one.reach), []).append(one)
    how, lines = Resampling(seed, 1000), []
    for first, second in combinations(sides, 2):
        if first[2] != second[2]:
            continue
        found = list(differences(sides[first], sides[second], how))
        if not found:
            raise InputError(
                f"{first[0]} and {second[0]} share no case ({first[2]}); compare runs on the same "
                f"pairs with the same {', '.join(_SAME)}."
            )
        lines += [
            [f"{first[0]}: {first[1]}", f"{second[0]}: {second[1]}", first[2],
             one.metric.partition("-")[0], one.k, one.estimate.value, one.estimate.low,
             one.estimate.high, one.n, one.estimate.low > 0 or one.estimate.high < 0]
            for one in found
        ]  # fmt: skip
    if not lines:
        raise InputError("one matcher was given; a comparison needs two.")
    if out is not None:
        write_csv(out, DIFFERENCE_COLUMNS, lines)
    return lines


def _chosen(answers: Sequence[Answer], record: Mapping[str, Any]) -> list[Answer]:
    """Answers under the protocol of each matcher, on clusters that it was not chosen on."""
    calibration = set(record["calibration_clusters"])
    return [
        one for one in answers
        if one.protocol == record["matchers"][one.matcher]["protocol"]
        and one.cluster not in calibration
    ]  # fmt: skip


def export_trial(run: Path, to: Path, *, overwrite: bool = False) -> list[Path]:
    """Write the answers of a run as one Parquet file a matcher, evidence in columns.

    Raises
    ------
    OutputError
        If a file is there and of other origin, unless ``overwrite`` replaces it.
    """
    by_matcher: dict[str, list[Answer]] = {}
    for one in read_run_answers(run):
        by_matcher.setdefault(one.matcher, []).append(one)
    names = {m: "".join(c if c.isalnum() else "-" for c in m) + ".parquet" for m in by_matcher}
    refuse_foreign(to, dict.fromkeys(names.values(), is_marked), overwrite=overwrite)
    paths = []
    for matcher, answers in by_matcher.items():
        evidence = [json.loads(one.evidence) for one in answers]
        terms = sorted({name for one in evidence for name in one})
        plain = [n for n in vars(answers[0]) if n != "evidence"]
        columns = {name: [getattr(one, name) for one in answers] for name in plain}
        columns |= {f"evidence_{name}": [one.get(name) for one in evidence] for name in terms}
        paths.append(to / names[matcher])
        write_table(paths[-1], pa.table(columns))
    return paths
