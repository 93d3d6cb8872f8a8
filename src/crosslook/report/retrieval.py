"""Retrieval: match curves, setups, best and worst matches, depths of a model; robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np

from crosslook.extract.registry import extractor_class, find_row
from crosslook.extract.spec import UNTRAINED, parse_spec
from crosslook.report.figures import COLOURS, Figure, dot_chart, fractions, line_trace, rows_curve
from crosslook.report.section import (
    Part,
    Results,
    Section,
    ShownMatch,
    Table,
    Thumbnail,
    all_rows,
    encoded,
    measure_section,
    measure_table,
)
from crosslook.report.tables import (
    BEST,
    Headline,
    arrow,
    best_setups,
    interval,
    number,
    pair_distances,
    plain_recalls,
    recall_rows,
)
from crosslook.retrieval.measure.robustness import parse_level
from crosslook.retrieval.run_folder import CurveTable, MatchTable, picked_queries
from crosslook.retrieval.setup import CHOSEN, Setup, setup_of
from crosslook.types import DIRECTIONS, Row


def retrieval_section(results: Results) -> list[Section]:
    """Curves and rows of all setups, and what the leading one finds."""
    rows, lead = results.of("retrieval"), results.lead
    curves = match_curves(CurveTable.read(results.run), [line.setup for line in lead])
    parts = [
        recall_dots(results),
        Part("Cumulative match curves, SAR to optical", figure=curves),
        Part("All comparisons", table=retrieval_table(rows), folded=True),
    ]
    lost = [r for r in rows if r.metric.partition("/")[0] in ("recall-loss", "nearest-found")]
    if lost:
        text = (
            "Retrieval went through an approximate index, which may miss what exact search finds. "
            "A sample of the queries was searched exactly too; this is the difference."
        )
        parts.append(Part("What the index loses", text, table=measure_table(lost)))
    if lead:
        parts += _extreme_matches(results, lead[0].setup)
    return measure_section(results, "retrieval", parts)


def recall_dots(results: Results) -> Part:
    """Recall at 1 of every extractor, uncalibrated and as chosen, in the order asked for."""
    lead = {line.name: line for line in results.lead}
    names = sorted(lead, key=lambda n: results.order.index(lead[n].setup.extractor))
    plain = {n: row for n in names if (row := lead[n].plain) is not None}
    best = {n: lead[n].row for n in names if lead[n].is_calibrated}
    series = [("uncalibrated", plain), ("calibrated", best)]
    picked = f"Calibrated: {BEST}." if any(line.optimistic for line in lead.values()) else ""
    figure = dot_chart(series, names, "recall at 1, SAR to optical")
    return Part("Recall at 1, SAR to optical", picked, figure)


def _extreme_matches(results: Results, setup: Setup) -> list[Part]:
    """The ten best and the ten worst SAR queries of a setup."""
    wanted = (replace(setup, split=""), "sar->optical")
    tables = [t for t in MatchTable.read(results.run) if (t.setup, t.direction) == wanted]
    return [
        Part(
            f"The ten {which} matches of {setup.name} ({setup.how})",
            matches=[_match(table, at, results) for at in picked_queries(table, which == "best")],
        )
        for table in tables[:1]
        for which in ("best", "worst")
    ]


def retrieval_table(rows: Sequence[Row]) -> Table:
    """Recall, reciprocal and median rank of every setup and direction."""
    columns = ["extractor", "pooling", "comparison", "direction", "R@1", "95 %", "R@10", "MRR",
               "rank", "gallery", "chance"]  # fmt: skip
    lines = []
    for direction in DIRECTIONS:
        recall = recall_rows(rows, direction)
        best = [s for s in best_setups(rows, direction) if _picked(recall, s)]
        for setup, row in recall.items():
            own = {
                (r.metric.partition("/")[0], r.k): r
                for r in rows
                if setup_of(r) == setup and r.direction == direction
            }
            shown = [own.get(key) for key in (("recall", 10), ("mrr", 0), ("median-rank", 0))]
            lines.append(
                [
                    setup.extractor,
                    setup.pooling,
                    setup.how
                    + (" (transductive)" if setup.split == "transductive" else "")
                    + (f" ({BEST})" if setup in best else ""),
                    arrow(direction),
                    number(row.value),
                    interval(row),
                    *(number(r.value) if r else "–" for r in shown),
                    str(row.n_gallery),
                    number(row.chance, 4),
                ]
            )
    hints = {
        "R@1": "recall at 1: fraction of queries whose partner comes first",
        "R@10": "recall at 10: fraction of queries whose partner is among the first ten",
        "MRR": "mean reciprocal rank of the partner",
        "rank": "median rank of the partner",
        "gallery": "items that are searched",
        "chance": "recall at 1 of guessing",
    }
    return Table(columns, lines, {4, 5, 6, 7, 8, 9, 10}, hints)


def _picked(recall: Mapping[Setup, Row], setup: Setup) -> bool:
    """Whether a setup was picked from several."""
    return sum(s.family == setup.family and s.calibration != CHOSEN for s in recall) > 1


def _match(table: MatchTable, at: int, results: Results) -> ShownMatch:
    patches, thumbnails = results.patches, results.thumbnails
    query, first = int(table.query_index[at]), int(table.top_indices[at, 0])
    shown = [
        Thumbnail(title, encoded(thumbnails[index][side]))
        for title, index, side in (
            ("SAR query", query, "sar"),
            ("found first", first, "optical"),
            ("true partner", query, "optical"),
        )
        if index in thumbnails
    ]
    text = f"{patches[query].id}: rank {table.rank[at]}, score {table.partner_score[at]:.3f}"
    if first != query:
        text += f"; first is {patches[first].id}, {table.top_scores[at, 0]:.3f}"
    return ShownMatch(shown, text)


def match_curves(curves: Sequence[CurveTable], best: Sequence[Setup]) -> Figure:
    """Recall at every k: the best setup of each extractor solid, the plain one dotted."""
    traces = []
    for colour, setup in zip(cycle(COLOURS), best, strict=False):
        for curve in curves:
            own = (curve.setup.extractor, curve.setup.pooling) == (setup.extractor, setup.pooling)
            if not own or curve.direction != "sar->optical":
                continue
            is_best = curve.setup == replace(setup, split="")
            if is_best or curve.setup.is_plain:
                traces.append(_match_curve(curve, colour, is_best))
    figure = fractions(traces, "first k", "fraction of queries found", log=True)
    figure["layout"]["height"] = 380 + 10 * len(traces)  # the legend takes lines on a phone
    return figure


def _match_curve(curve: CurveTable, colour: str, is_best: bool) -> dict[str, Any]:
    ks = np.unique(np.round(np.geomspace(1, len(curve.values), 120)).astype(int))
    name = (
        f"{curve.setup.extractor}, {curve.setup.calibration} + {curve.setup.scoring}"
        if is_best
        else f"{curve.setup.extractor}, uncalibrated"
    )
    line = {"color": colour, "dash": "solid" if is_best else "dot", "width": 2.5}
    return line_trace(name, ks.tolist(), curve.values[ks - 1], **line)


@dataclass(frozen=True)
class Swept:
    """One extractor of a sweep: what it shares with others, and where it reads."""

    model: str
    others: str
    option: str
    value: int
    spec: str


def sweep_section(results: Results) -> list[Section]:
    """One table and one figure for every model that was read at several depths."""
    rows, lead = results.rows, results.lead
    parts = []
    for model, members in find_sweeps([line.setup.extractor for line in lead]).items():
        table, figure = _sweep_table(members, rows, lead), sweep_figure(members, rows, lead)
        option = members[0].option
        parts.append(Part(f"{model}, by {option}", figure=figure))
        parts.append(Part(table=table))
    if not parts:
        return []
    how = (
        "The same images read at several depths of one model, all in one forward pass. Solid "
        "lines are recall at 1 by the setup chosen on the calibration set, dotted ones the "
        "cosine distance of uncalibrated pairs. The best depth is picked on the measured queries: "
        "take its recall as a little optimistic."
    )
    return [Section("sweeps", "Sweeps", how, parts)]


def find_sweeps(specs: Sequence[str]) -> dict[str, list[Swept]]:
    """Extractors that differ in the option which one pass can sweep, by model."""
    sweeps: dict[str, list[Swept]] = {}
    for spec in dict.fromkeys(specs):
        if "+" in spec:
            continue
        parsed = parse_spec(spec)
        option = extractor_class(find_row(parsed.name)).SWEPT
        if not option or not parsed.options.get(option, "").lstrip("-").isdigit():
            continue
        words = [UNTRAINED] if parsed.untrained else []
        model = ":".join([*words, parsed.name, *([parsed.variant] if parsed.variant else [])])
        rest = ",".join(f"{k}={v}" for k, v in parsed.options.items() if k != option)
        value = int(parsed.options[option])
        sweeps.setdefault(model, []).append(Swept(model, rest, option, value, spec))
    return {
        model: sorted(members, key=lambda one: (one.others, one.value))
        for model, members in sweeps.items()
        if len({one.value for one in members}) > 1
    }


def _sweep_table(members: Sequence[Swept], rows: Sequence[Row], lead: Sequence[Headline]) -> Table:
    columns = ["options", members[0].option, "recall at 1", "95 %", "uncalibrated", "95 %",
               "distance of pairs", "95 %"]  # fmt: skip
    best = {line.setup.extractor: line.row for line in lead}
    plain, distance = plain_recalls(rows), pair_distances(rows)
    lines = []
    for one in members:
        cells = [one.others or "–", str(one.value)]
        for row in (best.get(one.spec), plain.get(one.spec), distance.get(one.spec)):
            cells += [number(row.value), interval(row)] if row else ["–", "–"]
        lines.append(cells)
    return Table(columns, lines, set(range(1, 8)))


def sweep_figure(members: Sequence[Swept], rows: Sequence[Row], lead: Sequence[Headline]) -> Figure:
    """Recall and distance of pairs over one option of a model."""
    best = {line.setup.extractor: line.row for line in lead}
    traces: list[dict[str, Any]] = []
    series = list(dict.fromkeys(one.others for one in members))
    for at, others in enumerate(series):
        own = [one for one in members if one.others == others]
        name, colour = f" {others}" if others else "", COLOURS[at % len(COLOURS)]
        for words, values, dash in (
            ("recall at 1", best, "solid"),
            ("distance of pairs", pair_distances(rows), "dot"),
        ):
            points = [(one.value, values[one.spec]) for one in own if one.spec in values]
            if points:
                traces.append(rows_curve(f"{words}{name}", points, colour, dash))
    layout = {
        "xaxis": {"title": {"text": members[0].option}},
        "yaxis": {"title": {"text": "recall at 1, distance of pairs"}, "rangemode": "tozero"},
    }
    return {"data": traces, "layout": layout}


def robustness_section(results: Results) -> list[Section]:
    """A curve per disturbance, and all rows."""
    own = results.of("robustness")
    parts = [
        Part(f"Recall by {name.replace('-', ' ')}", figure=robustness_curves(own, name))
        for name in disturbances(own)
    ]
    parts.append(all_rows("robustness", own))
    return measure_section(results, "robustness", parts)


def robustness_curves(rows: Sequence[Row], name: str) -> Figure:
    """Recall at 1 over the levels of one disturbance, a line per extractor."""
    traces = []
    extractors = dict.fromkeys(r.extractor for r in rows)
    for colour, extractor in zip(cycle(COLOURS), extractors, strict=False):
        own = [r for r in rows if r.extractor == extractor]
        for kind, dash in ((name, "solid"), (f"{name}-extrapolated", "dot")):
            points = [(level_of(r)[1], r) for r in own if level_of(r)[0] == kind]
            if points:
                label = extractor + (" (extrapolated)" if dash == "dot" else "")
                traces.append(rows_curve(label, points, colour, dash))
    return fractions(traces, name.replace("-", " "), "recall at 1", log=name == "gallery")


def disturbances(rows: Sequence[Row]) -> list[str]:
    """Names of what recall was measured over, in the order of the rows."""
    names = [level_of(r)[0] for r in rows if r.metric.startswith("recall@1/")]
    return list(dict.fromkeys(n for n in names if not n.endswith("-extrapolated")))


def level_of(row: Row) -> tuple[str, float]:
    """Name and level of a robustness row; empty where it is not of recall."""
    if not row.metric.startswith("recall@1/"):
        return "", 0.0
    if "=" in row.metric:
        _, name, level = parse_level(row.metric)
        return name, level
    return row.metric.partition("/")[2], float(row.k)
