"""The section on sweeps: recall and gap against the depth that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crosslook.extract.registry import extractor_class, find_row
from crosslook.extract.spec import UNTRAINED, parse_spec
from crosslook.report.claims import pair_distances, plain_recalls
from crosslook.report.figures import COLOURS, Figure, shorten
from crosslook.report.sections import Part, Section, Table
from crosslook.report.tables import Headline, interval, number
from crosslook.types import Row


@dataclass(frozen=True)
class Swept:
    """One extractor of a sweep: what it shares with others, and where it reads."""

    model: str
    others: str
    option: str
    value: int
    spec: str


def sweep_section(rows: Sequence[Row], lead: Sequence[Headline]) -> list[Section]:
    """One table and one figure for every model that was read at several depths."""
    parts = []
    for model, members in find_sweeps([line.setup.extractor for line in lead]).items():
        table, figure = _table(members, rows, lead), _figure(members, rows, lead)
        option = members[0].option
        parts.append(Part(f"{model}, by {option}", figure=figure))
        parts.append(Part(table=table))
    if not parts:
        return []
    how = (
        "The same images read at several depths of one model, all in one forward pass. Solid "
        "lines are recall at 1 by the setup chosen on the calibration units, dotted ones the "
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


def _table(members: Sequence[Swept], rows: Sequence[Row], lead: Sequence[Headline]) -> Table:
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


def _figure(members: Sequence[Swept], rows: Sequence[Row], lead: Sequence[Headline]) -> Figure:
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
                traces.append(_trace(f"{words}{name}", points, colour, dash))
    layout = {
        "xaxis": {"title": {"text": members[0].option}},
        "yaxis": {"title": {"text": "recall at 1, distance of pairs"}, "rangemode": "tozero"},
    }
    return {"data": traces, "layout": layout}


def _trace(name: str, points: Sequence[tuple[int, Row]], colour: str, dash: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [value for value, _ in points],
        "y": shorten(row.value for _, row in points),
        "line": {"color": colour, "dash": dash, "width": 2},
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": shorten(row.ci_high - row.value for _, row in points),
            "arrayminus": shorten(row.value - row.ci_low for _, row in points),
            "thickness": 1,
        },
    }
