"""The report of a trial, and what is printed: tables, curves, images of cases."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import astuple
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup
from rich.console import Console
from rich.table import Table as Printed

from crosslook.atomic import write_csv, write_text
from crosslook.errors import CrosslookError
from crosslook.match.files import jpeg_of
from crosslook.match.transform import Transform
from crosslook.match.warp import warp
from crosslook.report.figures import (
    COLOURS,
    fractions,
    line_trace,
    rows_curve,
)
from crosslook.report.html import finite
from crosslook.report.paper.curves import curve_figure
from crosslook.report.paper.style import figure_files, write_paper_figures
from crosslook.report.section import Part, Section, ShownMatch, Table, Thumbnail
from crosslook.report.tables import latex_table, number
from crosslook.retrieval.measure.base import Definition
from crosslook.retrieval.run_folder import read_run
from crosslook.trial.answers import Answer, read_run_answers
from crosslook.trial.cases import Case, CaseMaker, make_tasks
from crosslook.trial.measures import COLUMNS, DEFINITIONS, WITHIN, TrialRow, read_rows
from crosslook.trial.run import case_settings, open_trial_pairs, run_trial
from crosslook.trial.settings import TrialSettings
from crosslook.types import Row
from crosslook.written import has_header, is_marked, refuse_foreign

WRITTEN = {"report.html": is_marked, "rows.csv": has_header(COLUMNS), "rows.tex": is_marked}
"""The files of a report beside its figures, and how each tells that crosslook wrote it."""

_PRINTED = ("matcher", "<= 3 px", "area to 10 px", "s")
_FAILURES = 5  # kinds of them that are named
_SHOWN = 6  # cases as images
_IMAGES = "Where matchers differ most"
_SQUARES = 8  # along a side of a checkerboard
_MOST_SIDE = 512
_CURVE_PX = np.arange(0.0, 10.25, 0.25)


def trial_and_report(settings: TrialSettings, console: Console | None = None) -> Path:
    """Run a trial, write its report, and print how near each matcher comes."""
    refuse_foreign(settings.out, WRITTEN, overwrite=settings.overwrite)
    run = run_trial(settings, console)
    if settings.estimate:
        return run
    write_trial_report(run, settings, overwrite=settings.overwrite)
    print_trial(run, console)
    return run


def shown_rows(rows: Sequence[TrialRow], record: dict[str, Any]) -> list[TrialRow]:
    """The rows of the protocol of each matcher, on what it was not chosen on."""
    chosen = {name: one["protocol"] for name, one in record["matchers"].items()}
    return [r for r in rows if r.protocol == chosen[r.matcher] and r.split != "calibration"]


def print_trial(run: Path, console: Console | None = None) -> None:
    """Print a line per matcher and reach."""
    record, console = read_run(run), console or Console()
    table = overview(shown_rows(read_rows(run), record), record)
    kept = [table.columns.index(name) for name in _PRINTED]
    for reach in dict.fromkeys(line[0] for line in table.lines):
        printed = Printed(title=f"{reach}: right partners (95 % interval over clusters)")
        for at in kept:
            printed.add_column(table.columns[at], no_wrap=at != 1)
        for line in table.lines:
            if line[0] == reach:
                printed.add_row(*(line[at] for at in kept))
        console.print(printed)
    for one in record["failures"][:_FAILURES]:
        why = f"{one['matcher']} failed on {one['cases']} case(s): {one['why']}"
        console.print(why, highlight=False, soft_wrap=True, markup=False)
    for name, path in (("rows", "results.parquet"), ("report", "report.html")):
        console.print(f"{name:<8}{run / path}", highlight=False, soft_wrap=True)


def write_trial_report(
    run: Path, settings: TrialSettings | None = None, *, overwrite: bool = False
) -> Path:
    """Write ``report.html``, its figures, ``rows.csv`` and ``rows.tex`` of a run folder.

    Parameters
    ----------
    run : Path
    settings : TrialSettings, optional
        Of the run; without them images are of the pairs where ``run.json`` says, if there.

    Raises
    ------
    OutputError
        If a file is there and of other origin, unless ``overwrite`` replaces it.
    """
    from jinja2 import Environment, PackageLoader
    from plotly.offline import get_plotlyjs

    record, rows, answers = read_run(run), read_rows(run), read_run_answers(run)
    sections = make_sections(rows, answers, record)
    if settings is None and Path(record["settings"]["pairs"]).exists():
        settings = TrialSettings(**record["settings"], out=run)
    if settings is not None:
        sections += _images(answers, record, settings)
    templates = files("crosslook.report") / "templates"
    environment = Environment(loader=PackageLoader("crosslook.report"), autoescape=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    text = environment.get_template("trial.html.jinja").render(
        run=record,
        summary=_summary(rows, record),
        sections=sections,
        finite=finite,
        css=Markup((templates / "report.css").read_text(encoding="utf-8")),
        js=Markup((templates / "report.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
    )
    figures = [
        curve_figure(f"{section.id}-{at:02d}", f"{part.title}. {section.how}", part.figure)
        for section in sections
        for at, part in enumerate((p for p in section.parts if p.figure), 1)
        if part.figure
    ]
    drawn = figure_files(figure.name for figure in figures)
    refuse_foreign(run, {**WRITTEN, **drawn}, overwrite=overwrite)
    write_text(run / "report.html", text)
    lines = ([v if v == v else "" for v in astuple(row)] for row in rows)
    write_csv(run / "rows.csv", COLUMNS, lines)
    table = overview(shown_rows(rows, record), record)
    write_text(run / "rows.tex", latex_table(table.columns, 2, [table.lines], ""))
    write_paper_figures(run, figures, str(record["dataset"]))
    return run / "report.html"


def make_sections(
    rows: Sequence[TrialRow], answers: Sequence[Answer], record: dict[str, Any]
) -> list[Section]:
    """All sections that have something to show, without images."""
    shown = shown_rows(rows, record)
    sections = [_accuracy(shown, answers, record), _verdicts(shown), _compared(shown, record)]
    sections += [_parts(shown), _protocols(rows, record)]
    return [one for one in sections if one is not None]


def _definitions(names: Sequence[str]) -> list[Definition]:
    return [Definition(name, DEFINITIONS[name], "this page", "") for name in names]


def text_of(row: TrialRow | None, digits: int = 3) -> str:
    """A value with its interval, an en dash where there is none."""
    if row is None or math.isnan(row.value):
        return "–"
    if math.isinf(row.value):
        return "none"
    ends = f" ({number(row.ci_low, digits)}-{number(row.ci_high, digits)})"
    return number(row.value, digits) + ("" if math.isnan(row.ci_low) else ends)


def find_row(
    rows: Sequence[TrialRow], matcher: str, reach: str, metric: str, k: float = 0.0
) -> TrialRow | None:
    """The row of the whole set."""
    return next((r for r in rows if (r.matcher, r.reach, r.metric, r.k, r.stratum)
                 == (matcher, reach, metric, k, "all")), None)  # fmt: skip


def overview(rows: Sequence[TrialRow], record: dict[str, Any]) -> Table:
    """A line per reach and matcher, the surest area first; the last line of a reach is chance."""
    columns = ["reach", "matcher", *(f"<= {k:g} px" for k in WITHIN), "area to 10 px",
               "median px", "failed", "wrong called match", "s", "n"]  # fmt: skip
    lines = []
    for reach in dict.fromkeys(row.reach for row in rows):
        areas = {r.matcher: r for r in rows
                 if (r.reach, r.metric, r.stratum) == (reach, "area", "all")}  # fmt: skip
        for matcher in sorted(areas, key=lambda m: -areas[m].value):
            within = [find_row(rows, matcher, reach, "within", k) for k in WITHIN]
            others = ("median-error", "failures", "false-matches")
            cells = [text_of(find_row(rows, matcher, reach, name)) for name in others]
            seconds = record["seconds"].get(matcher)
            lines.append([
                reach, matcher, *map(text_of, within), text_of(areas[matcher]), *cells,
                "–" if seconds is None else f"{seconds:.2f}", str(areas[matcher].n),
            ])  # fmt: skip
        if areas:
            one = next(iter(areas))
            within = [find_row(rows, one, reach, "within", k) for k in WITHIN]
            chance = [number(r.chance) if r else "–" for r in (*within, areas[one])]
            median = find_row(rows, one, reach, "median-error")
            last = number(median.chance) if median else "–"
            lines.append([reach, "left where they are", *chance, last, "–", "–", "–", "–"])
    return Table(columns, lines, set(range(2, len(columns))))


def _accuracy(
    rows: Sequence[TrialRow], answers: Sequence[Answer], record: dict[str, Any]
) -> Section | None:
    parts = [Part("All cases", table=overview(rows, record))]
    chosen = {name: one["protocol"] for name, one in record["matchers"].items()}
    calibration = set(record["calibration_clusters"])
    for reach in dict.fromkeys(row.reach for row in rows):
        traces = []
        for at, matcher in enumerate(chosen):
            own = [a for a in answers if (a.matcher, a.reach) == (matcher, reach) and a.is_measured
                   and a.protocol == chosen[matcher]
                   and a.cluster not in calibration]  # fmt: skip
            if own:
                errors = np.array([a.error_px for a in own])
                curve = [(errors <= k).mean() for k in _CURVE_PX]
                colour = COLOURS[at % len(COLOURS)]
                traces.append(line_trace(matcher, _CURVE_PX.tolist(), curve, color=colour,
                                         dash="solid"))  # fmt: skip
                start = np.array([a.start_error_px for a in own])
        if traces:
            chance = [(start <= k).mean() for k in _CURVE_PX]
            traces.append(line_trace("left where they are", _CURVE_PX.tolist(), chance,
                                     color="#666666", dash="dot"))  # fmt: skip
            figure = fractions(traces, "pixels", "fraction within", log=False)
            parts.append(Part(f"Within how many pixels: {reach}", figure=figure))
    how = (
        "Each SAR image is moved as the truth says and registered on its own optical image. The "
        "error of a case is the mean distance in pixels of the optical file. Left where they are "
        "is what not registering gives: the level of chance."
    )
    names = ("within", "area", "mean-error", "median-error", "failures")
    return Section("accuracy", "How near", how, parts, _definitions(names))


def _verdicts(rows: Sequence[TrialRow]) -> Section | None:
    names = ("auroc", "matches-found", "false-matches", "wrong-uncertain", "within-expected",
             "brier")  # fmt: skip
    keys = dict.fromkeys((r.reach, r.matcher) for r in rows if r.metric in names)
    if not keys:
        return None
    lines = [
        [reach, matcher, *(text_of(find_row(rows, matcher, reach, name)) for name in names)]
        for reach, matcher in keys
    ]
    how = (
        "What a matcher says of its own answers. A matcher without a fitted verdict has no "
        "confidence; its answers are ranked by how surely its tie points agree against chance."
    )
    table = Table(["reach", "matcher", *names], lines, set(range(2, 2 + len(names))))
    return Section("verdicts", "How sure", how, [Part(table=table)], _definitions(names))


def _compared(rows: Sequence[TrialRow], record: dict[str, Any]) -> Section | None:
    own = [r for r in rows if "-difference/" in r.metric]
    if not own:
        return None
    lines = [
        [r.reach, r.matcher, r.metric.partition("-difference")[0], f"{r.k:g}",
         f"{r.value:+.3f} ({r.ci_low:+.3f} to {r.ci_high:+.3f})",
         "yes" if r.ci_low > 0 or r.ci_high < 0 else "no", str(r.n)]
        for r in own if r.metric.startswith("area") or r.k in (3.0, 5.0)
    ]  # fmt: skip
    columns = ["reach", "matcher", "metric", "px", "difference", "significant", "n"]
    how = (
        f"Each matcher minus {record['against']} on the same cases; the difference of every case "
        "is taken first and clusters are drawn afterwards."
    )
    table = Table(columns, lines, {3, 4, 6})
    names = ("area-difference", "within-difference")
    return Section("differences", "Differences", how, [Part(table=table)], _definitions(names))


def _parts(rows: Sequence[TrialRow]) -> Section | None:
    parts = []
    kinds = dict.fromkeys(r.stratum.partition("=")[0] for r in rows if r.stratum != "all")
    for reach in dict.fromkeys(r.reach for r in rows):
        for kind in kinds:
            own = [r for r in rows if r.reach == reach and r.stratum.startswith(f"{kind}=")]
            values = sorted({r.stratum for r in own})
            if len(values) < 2:
                continue
            matchers = dict.fromkeys(r.matcher for r in own)
            cells = {(r.matcher, r.stratum): r for r in own if (r.metric, r.k) == ("within", 5.0)}
            lines = [[m, *(text_of(cells.get((m, v))) for v in values)] for m in matchers]
            heads = [f"{v.partition('=')[2]} (n {next((r.n for r in own if r.stratum == v), 0)})"
                     for v in values]  # fmt: skip
            table = Table(["matcher", *heads], lines, set(range(1, 1 + len(values))))
            parts.append(Part(f"Within 5 px by {kind}: {reach}", table=table))
    if not parts:
        return None
    return Section("parts", "Where", "The same by parts of the cases.", parts)


def _protocols(rows: Sequence[TrialRow], record: dict[str, Any]) -> Section | None:
    every = list(dict.fromkeys(r.protocol for r in rows))
    if len(every) < 2:
        return None
    tested = [r for r in rows if r.split == "test" and r.stratum == "all"]
    parts = []
    for reach in dict.fromkeys(r.reach for r in tested):
        own = [r for r in tested if r.reach == reach]
        traces, lines = [], []
        for at, matcher in enumerate(record["matchers"]):
            areas = {r.protocol: r for r in own if (r.matcher, r.metric) == (matcher, "area")}
            means = {r.protocol: r for r in own if (r.matcher, r.metric) == (matcher, "mean-error")}
            points = [(float(every.index(p)), _as_row(r)) for p, r in areas.items()]
            if points:
                traces.append(rows_curve(matcher, points, COLOURS[at % len(COLOURS)]))
            known = {p: r for p, r in means.items() if r.value > 0}
            if not known:
                continue
            low, high = (pick(known, key=lambda p: known[p].value) for pick in (min, max))
            chosen = record["matchers"][matcher]["protocol"]
            lines.append([
                matcher, chosen, text_of(areas.get(chosen)), text_of(known.get(chosen), 2),
                f"{known[low].value:.2f} ({low})", f"{known[high].value:.2f} ({high})",
                f"{known[high].value / known[low].value:.1f}",
            ])  # fmt: skip
        figure = fractions(traces, "protocol, in the order of the list", "area to 10 px", log=False)
        columns = ["matcher", "chosen", "area", "mean px", "lowest mean px", "highest mean px",
                   "ratio"]  # fmt: skip
        listed = "; ".join(f"{at} {name}" for at, name in enumerate(every))
        parts.append(Part(f"By protocol: {reach}", listed, figure=figure))
        parts.append(Part(table=Table(columns, lines, {2, 3, 6})))
    how = (
        "The protocol of each matcher was chosen by its area on clusters that are measured nowhere "
        "else; all values here are of the other clusters. The ratio is that of the highest to the "
        "lowest mean error: how far choices of protocol alone move one matcher."
    )
    return Section("protocols", "Protocols", how, parts, _definitions(("area", "mean-error")))


def _as_row(row: TrialRow) -> Row:
    """What the curves of reports are drawn from."""
    return Row(row.dataset, row.matcher, row.revision, "", "", "", "held-out", "trial", "",
               row.metric, 0, row.value, row.ci_low, row.ci_high, row.n, row.n,
               row.chance)  # fmt: skip


def _summary(rows: Sequence[TrialRow], record: dict[str, Any]) -> list[str]:
    shown, lines = shown_rows(rows, record), []
    for reach in dict.fromkeys(row.reach for row in shown):
        own = [r for r in shown
               if (r.reach, r.metric, r.k, r.stratum) == (reach, "within", 3.0, "all")]  # fmt: skip
        lines += [
            f"{reach}: {row.matcher} is within 3 px in {text_of(row)} of {row.n} cases in "
            f"{row.n_clusters} clusters; left where they are {number(row.chance)}."
            for row in sorted(own, key=lambda r: -r.value)
        ]
    lines += [f"{one['matcher']} failed on {one['cases']} case(s): {one['why']}"
              for one in record["failures"][:_FAILURES]]  # fmt: skip
    return lines + list(record["notes"])


def _images(
    answers: Sequence[Answer], record: dict[str, Any], settings: TrialSettings
) -> list[Section]:
    """The cases on which matchers differ most, as checkerboards of both images."""
    chosen = {name: one["protocol"] for name, one in record["matchers"].items()}
    by_task: dict[str, list[Answer]] = {}
    for one in answers:
        if one.protocol == chosen[one.matcher] and one.is_measured:
            by_task.setdefault(one.task, []).append(one)
    apart = {
        task: min(max(a.error_px for a in some), 100.0) - min(a.error_px for a in some)
        for task, some in by_task.items() if len(some) > 1 and min(a.error_px for a in some) < 5
    }  # fmt: skip
    worst = sorted(apart, key=lambda task: (-apart[task], task))[:_SHOWN]
    if not worst:
        return []
    try:
        pairs = open_trial_pairs(settings)
    except CrosslookError as error:  # gone since: the numbers are there all the same
        return [Section("images", _IMAGES, f"No images: {error}", [])]
    maker = CaseMaker(pairs, case_settings(settings))
    tasks = make_tasks(pairs, lambda p: maker.windows_of(p, settings.windows), settings.draws,
                       settings.reaches, settings.seed, wrong=False)  # fmt: skip
    named = {task.name: task for task in tasks}
    matches = []
    lost = 0
    for name in worst:
        some = sorted(by_task[name], key=lambda a: a.error_px)
        try:
            case = maker.make(named[name])
        except (KeyError, CrosslookError):
            lost += 1
            continue
        if case.digest != some[0].case:
            lost += 1
            continue
        shown = [
            Thumbnail(f"{a.matcher}: {a.error_px:.1f} px", _checkerboard(case, a.matrix))
            for a in (some[0], some[-1]) if a.matrix
        ]  # fmt: skip
        text = "; ".join(f"{a.matcher} {a.error_px:.1f} px" for a in some)
        matches.append(ShownMatch(shown, f"{name}: {text}"))
    how = (
        "Squares of the SAR image, where a matcher puts it, and of the optical image in turn: "
        "lines go on over their edges where it is right. The best and the worst answer of a case."
    )
    if lost:
        how += f" {lost} more cannot be shown: their pairs are no longer there, or have changed."
    return [Section("images", _IMAGES, how, [Part(matches=matches)])]


def _checkerboard(case: Case, matrix: str) -> str:
    """Both images in turn, as a JPEG in base64."""
    values = np.array(list(map(float, matrix.split())), np.float64).reshape(3, 3)
    optical = case.optical.read().grey_image("optical")
    moved = warp(case.sar.read().grey_image("sar"), Transform(values, "homography"), optical.shape)
    rows, cols = np.indices(optical.shape)
    side = max(1, max(optical.shape) // _SQUARES)
    takes_sar = ((rows // side + cols // side) % 2 == 0) & moved.known
    grey = np.where(takes_sar, moved.values, optical.values)
    pixels = np.asarray(np.clip(grey * 255, 0, 255), np.uint8)
    factor = min(1.0, _MOST_SIDE / max(pixels.shape))
    if factor < 1.0:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return base64.b64encode(jpeg_of(np.repeat(pixels[..., None], 3, axis=2))).decode()
