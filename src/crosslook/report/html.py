"""The report: one HTML file that opens without a network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from crosslook.atomic import write_text
from crosslook.report.figures import Figure, match_curves, pair_histogram
from crosslook.report.more_sections import (
    claims_section,
    hover_thumbnails,
    robustness_section,
    structure_section,
    two_stage_section,
)
from crosslook.report.paper import (
    ROW_COLUMNS,
    figure_files,
    write_figures,
    write_latex,
    write_row_table,
)
from crosslook.report.sections import (
    Part,
    Section,
    best_match_table,
    definitions_of,
    gap_table,
    index_losses,
    measure_table,
    plain_section,
    retrieval_table,
    shown_matches,
)
from crosslook.report.sweeps import sweep_section
from crosslook.report.tables import (
    BEST,
    Headline,
    headlines,
    interval,
    number,
    recall_rows,
)
from crosslook.report.views import views_section
from crosslook.retrieval.measure.registry import MEASURES
from crosslook.retrieval.run_folder import (
    read_curves,
    read_histograms,
    read_matches,
    read_patches,
    read_rows,
    read_run,
)
from crosslook.retrieval.thumbnails import read_thumbnails
from crosslook.types import Row
from crosslook.written import has_header, is_marked, refuse_foreign

WRITTEN = {
    "report.html": is_marked,
    "rows.csv": has_header(ROW_COLUMNS),
    "rows.tex": is_marked,
}
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
    lead = headlines(rows, record)
    sections = _sections(run, rows, lead)
    templates = files("crosslook.report") / "templates"
    environment = Environment(loader=PackageLoader("crosslook.report"), autoescape=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    text = environment.get_template("report.html.jinja").render(
        run=record,
        dropped=sum(record["dropped"].values()),
        marks=_marks(record, rows),
        summary=_summary(rows, lead, record),
        sections=sections,
        finite=_finite,
        hover=hover_thumbnails(run),
        css=Markup((templates / "report.css").read_text(encoding="utf-8")),
        js=Markup((templates / "report.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )
    figures = _figures(sections)
    drawn = dict.fromkeys(figure_files(figures), is_marked)
    refuse_foreign(run, {**WRITTEN, **drawn}, overwrite=overwrite)
    path = run / "report.html"
    write_text(path, text)
    write_row_table(run, rows)
    write_latex(run, rows, record)
    write_figures(run, figures)
    return path


def _finite(value: Any) -> Any:
    """Put null for what JSON cannot hold: a missing value or interval is not drawn."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sections(run: Path, rows: Sequence[Row], lead: Sequence[Headline]) -> list[Section]:
    histograms = read_histograms(run)
    parts = [
        Part(
            f"Pairs and non-pairs: {name}",
            figure=pair_histogram(
                [
                    h
                    for h in histograms
                    if h.setup.extractor == name and h.setup.calibration in ("none", "standardize")
                ]
            ),
        )
        for name in dict.fromkeys(h.setup.extractor for h in histograms)
    ]
    sections = [
        Section(
            "gap",
            "Modality gap",
            "A small distance of pairs means nothing by itself: look at how far the pairs stand "
            "from the non-pairs, before and after calibration.",
            [Part(table=gap_table(rows)), *parts],
            definitions_of("gap", rows),
        ),
        Section(
            "retrieval",
            "Retrieval",
            "Each patch of one sensor looks for its partner among all measured patches of the "
            "other. Compare with chance, and with the uncalibrated line of the same extractor. "
            "The comparison that stands for an extractor was chosen on the calibration units, "
            "which are not measured; the best of all on these very queries is marked, since "
            "picking it makes it a little optimistic.",
            [
                Part(
                    "Cumulative match curves, SAR to optical",
                    figure=match_curves(read_curves(run), [line.setup for line in lead]),
                ),
                Part(table=retrieval_table(rows)),
                *_losses(rows),
                *_thumbnails(run, lead),
            ],
            definitions_of("retrieval", rows),
        ),
    ]
    sections += sweep_section(rows, lead) + claims_section(rows) + structure_section(run, rows)
    sections += views_section(run) + two_stage_section(rows) + robustness_section(rows)
    shown = {"gap", "retrieval", "difference", "structure", "two-stage", "robustness"}
    others = (measure for measure in MEASURES if measure.name not in shown)
    return sections + [one for measure in others for one in plain_section(measure, rows)]


def _figures(sections: Sequence[Section]) -> dict[str, Figure]:
    """Name every figure by its section and its place there."""
    return {
        f"{section.id}-{number:02d}": part.figure
        for section in sections
        for number, part in enumerate((p for p in section.parts if p.figure), 1)
        if part.figure
    }


def _losses(rows: Sequence[Row]) -> list[Part]:
    lost = index_losses(rows)
    if not lost:
        return []
    text = (
        "Retrieval went through an approximate index, which may miss what exact search finds. "
        "A sample of the queries was searched exactly too; this is the difference."
    )
    return [Part("What the index loses", text, table=measure_table(lost, "retrieval"))]


def _thumbnails(run: Path, lead: Sequence[Headline]) -> list[Part]:
    table = best_match_table(read_matches(run), lead[0].setup) if lead else None
    if table is None:
        return []
    patches, thumbnails = read_patches(run), read_thumbnails(run)
    name = f"{lead[0].setup.name} ({lead[0].setup.how})"
    return [
        Part(
            f"The ten best matches of {name}",
            matches=shown_matches(table, patches, thumbnails, True),
        ),
        Part(
            f"The ten worst matches of {name}",
            matches=shown_matches(table, patches, thumbnails, False),
        ),
    ]


def _summary(rows: Sequence[Row], lead: Sequence[Headline], record: dict[str, Any]) -> list[str]:
    recall = recall_rows(rows, "sar->optical")
    lines = []
    for line in lead:
        row = line.row
        plain = next(
            (r for s, r in recall.items() if s.is_plain and s.family == line.setup.family), None
        )
        before = f", {number(plain.value)} uncalibrated" if plain and plain is not row else ""
        mark = f", {BEST}" if line.optimistic else ""
        lines.append(
            f"{line.name} finds {number(row.value)} of the optical partners at rank 1 "
            f"({interval(row)}; {line.how}{mark}{before}) among {row.n_gallery}; chance is "
            f"{number(row.chance, 4)}."
        )
    lines += [
        f"Uncalibrated: {modality} images were {words}, nothing else."
        for modality, words in record.get("stretched", {}).items()
    ]
    lines += [_gain_line(r) for r in rows if _is_gain(r)]
    for name, why in record["skipped"].items():
        lines.append(f"Skipped: {name}. {why}")
    lines += list(record.get("notes", []))
    return lines


def _is_gain(row: Row) -> bool:
    return row.metric == "gain-over-best-member" and row.direction == "sar->optical"


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
