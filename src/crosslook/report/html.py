"""The report: one HTML file that opens without a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from crosslook.atomic import write_text
from crosslook.report.answers import answers
from crosslook.report.gap import claims_section, gap_section
from crosslook.report.paper.all import paper_figures
from crosslook.report.paper.style import figure_files, write_paper_figures
from crosslook.report.retrieval import retrieval_section, robustness_section, sweep_section
from crosslook.report.section import Results, Section, Table, measure_section
from crosslook.report.structure import hover_thumbnails, structure_section, views_section
from crosslook.report.tables import (
    BEST,
    ROW_COLUMNS,
    interval,
    number,
    pair_distances,
    write_latex,
    write_row_table,
)
from crosslook.report.two_stage import two_stage_section
from crosslook.retrieval.measure.registry import MEASURES
from crosslook.retrieval.run_folder import read_rows, read_run
from crosslook.types import Row
from crosslook.written import has_header, is_marked, refuse_foreign

SECTIONS: tuple[tuple[str, Callable[[Results], list[Section]]], ...] = (
    ("gap", gap_section),
    ("retrieval", retrieval_section),
    ("retrieval", sweep_section),
    ("difference", claims_section),
    ("structure", structure_section),
    ("structure", views_section),
    ("two-stage", two_stage_section),
    ("robustness", robustness_section),
)
"""Sections with figures of their own, each with the measure that it shows.

A measure without one is shown by all of its rows, behind these.
"""

WRITTEN = {"report.html": is_marked, "rows.csv": has_header(ROW_COLUMNS), "rows.tex": is_marked}
"""The files of a report beside its figures, and how each tells that crosslook wrote it."""


def write_report(run: Path, *, overwrite: bool = False) -> Path:
    """Write ``report.html`` and its figures and rows for a paper from a run folder.

    Raises
    ------
    InputError
        If the folder is not that of a study.
    StoreError
        If a file of it is damaged.
    OutputError
        If a file is there and of other origin, unless ``overwrite`` replaces it.
    """
    from jinja2 import Environment, PackageLoader
    from plotly.offline import get_plotlyjs

    record, rows = read_run(run), read_rows(run)
    results = Results(run, rows, record)
    sections = make_sections(results)
    templates = files("crosslook.report") / "templates"
    environment = Environment(loader=PackageLoader("crosslook.report"), autoescape=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    text = environment.get_template("report.html.jinja").render(
        run=record,
        dropped=sum(record["dropped"].values()),
        marks=_marks(record, rows),
        answers=answers(results),
        headline=_headline(results),
        summary=_summary(results),
        sections=sections,
        finite=finite,
        hover=hover_thumbnails(results),
        css=Markup((templates / "report.css").read_text(encoding="utf-8")),
        js=Markup((templates / "report.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )
    figures = paper_figures(results)
    drawn = figure_files(figure.name for figure in figures)
    refuse_foreign(run, {**WRITTEN, **drawn}, overwrite=overwrite)
    path = run / "report.html"
    write_text(path, text)
    write_row_table(run, rows)
    write_latex(run, rows, record)
    write_paper_figures(run, figures, str(record["dataset"]))
    return path


def finite(value: Any) -> Any:
    """Put null for what JSON cannot hold: a missing value or interval is not drawn."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def make_sections(results: Results) -> list[Section]:
    """All sections that have something to show."""
    sections = [one for _, make in SECTIONS for one in make(results)]
    shown = {measure for measure, _ in SECTIONS}
    others = [measure.name for measure in MEASURES if measure.name not in shown]
    return sections + [one for name in others for one in measure_section(results, name)]


def _headline(results: Results) -> Table:
    """Recall at 1 of every extractor, uncalibrated first, in the order asked for."""
    distance = pair_distances(results.rows)
    columns = ["extractor", "uncalibrated", "95 %", "calibrated", "95 % ", "setup", "gap"]
    hints = {
        "uncalibrated": "recall at 1 by the plain cosine",
        "calibrated": "recall at 1 by the setup chosen on the calibration set",
        "setup": "calibration and scoring that were chosen, or that none was",
        "gap": "mean cosine distance of pairs, uncalibrated",
    }
    lines = []
    for line in sorted(results.lead, key=lambda one: results.order.index(one.setup.extractor)):
        plain, near = line.plain, distance.get(line.setup.extractor)
        lines.append(
            [
                line.name,
                number(plain.value) if plain else "–",
                interval(plain) if plain else "",
                number(line.row.value) if line.is_calibrated else "–",
                interval(line.row) if line.is_calibrated else "",
                f"{line.how} ({BEST})" if line.optimistic else line.how,
                number(near.value) if near else "–",
            ]
        )
    return Table(columns, lines, {1, 2, 3, 4, 6}, hints)


def _summary(results: Results) -> list[str]:
    rows, record = results.rows, results.record
    lines = []
    if results.lead:
        row = results.lead[0].row
        lines.append(
            f"Recall at 1 of SAR queries among {row.n_gallery} optical patches; chance is "
            f"{number(row.chance, 4)}."
        )
    lines += [
        f"Uncalibrated: {modality} images were {words}, nothing else."
        for modality, words in record.get("stretched", {}).items()
    ]
    gain = ("gain-over-best-member", "sar->optical")
    lines += [_gain_line(row) for row in rows if (row.metric, row.direction) == gain]
    lines += [f"Skipped: {name}. {why}" for name, why in record["skipped"].items()]
    return lines + list(record.get("notes", []))


def _gain_line(row: Row) -> str:
    if row.ci_low > 0:
        verdict = "better than its best member"
    elif row.ci_high < 0:
        verdict = "worse than its best member"
    else:
        verdict = "not shown to differ from its best member"
    return (
        f"The {row.pooling} of {row.extractor} is {verdict}: {row.value:+.3f} "
        f"({row.ci_low:+.3f} to {row.ci_high:+.3f}) recall at 1."
    )


def _marks(record: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    marks = ["synthetic data"] if record.get("synthetic") else []
    marks += [
        f"{name} (random weights)"
        for name in dict.fromkeys(r.extractor for r in rows)
        if name.startswith("untrained:")
    ]
    if any(row.split == "transductive" for row in rows):
        marks.append("some rows transductive")
    return marks
