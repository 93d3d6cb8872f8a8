"""Two stages: recall over the length of the shortlist and over its cost; the advice, judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crosslook.report.figures import COLOURS, Figure, fractions, line_trace, rows_curve
from crosslook.report.section import (
    Part,
    Results,
    Section,
    all_rows,
    claims_table,
    measure_section,
)
from crosslook.report.tables import Claim
from crosslook.retrieval.measure.two_stage import judged_length
from crosslook.retrieval.stage_spec import TwoStage
from crosslook.types import Row


def two_stage_section(results: Results) -> list[Section]:
    """Recall over the length of the shortlist, and all rows."""
    own = results.of("two-stage")
    parts = []
    if judged := judge_advice(own):
        parts.append(Part("The advice, judged", table=claims_table("advice", judged)))
    for name in dict.fromkeys(row.extractor for row in own):
        mine = [r for r in own if r.extractor == name and r.direction == "sar->optical"]
        wanted = [r for r in mine if r.metric == "recommended-k"]
        text = recommendation(wanted[0].value) if wanted else ""
        title = f"{name}, SAR to optical"
        parts.append(Part(title, text=text, figure=two_stage_curves(mine)))
        parts.append(Part(f"{title}: recall over cost", figure=two_stage_cost(mine)))
    parts.append(all_rows("two stages", own))
    return measure_section(results, "two-stage", parts)


def recommendation(k: float) -> str:
    """The recommended shortlist in words; one candidate is the answer of the coarse stage."""
    if k <= 1:
        return "Recommended: the coarse stage alone; no shortlist finds more."
    return f"Recommended shortlist: {k:.0f}."


def two_stage_curves(rows: Sequence[Row]) -> Figure:
    """Ceiling, final and fused recall of one two-stage text over the shortlist."""
    names = ("ceiling", "final", "fused-sum", "fused-rank", "coarse-alone", "reversed-final")
    traces = [
        rows_curve(name.replace("-", " "), points, colour)
        for name, colour in zip(names, COLOURS, strict=False)
        if (points := [(float(r.k), r) for r in rows if r.metric == name])
    ]
    return fractions(traces, "K (shortlist)", "fraction of queries", log=True)


def two_stage_cost(rows: Sequence[Row]) -> Figure:
    """Final recall over the cost of a query, and each stage alone as a line across."""
    traces = []
    for (name, prefix), colour in zip(
        (("two stages", ""), ("swapped", "reversed-")), COLOURS, strict=False
    ):
        cost = {r.k: r.value for r in rows if r.metric == f"{prefix}cost"}
        final = [r for r in rows if r.metric == f"{prefix}final" and r.k in cost]
        if final:
            traces.append(rows_curve(name, [(cost[r.k], r) for r in final], colour))
    table = {(r.metric, r.k): r for r in rows}
    ends = [value for trace in traces for value in trace["x"]]
    ends += [r.value for r in rows if r.metric in ("coarse-alone-cost", "fine-alone-cost")]
    for metric, dash in (("coarse-alone", "dot"), ("fine-alone", "dash")):
        if ends and (row := table.get((metric, 1))) is not None:
            x = [min(ends), max(ends)]
            words = metric.replace("-", " ")
            traces.append(line_trace(words, x, [row.value] * 2, color="#7f8793", dash=dash))
    return fractions(traces, "multiplications per query", "recall at 1", log=True)


@dataclass(frozen=True)
class Advice:
    """What two stages gain at the judged shortlist, SAR to optical.

    ``over_alone``, ``over_coarse`` and ``over_reversed`` are (value, low, high) of the
    difference in recall from the fine stage alone, the coarse stage alone and the swapped
    order, the last two None where they were not measured; ``cost`` is that of a query as a
    fraction of verifying everything.
    """

    name: str
    k: int
    over_alone: tuple[float, float, float]
    over_coarse: tuple[float, float, float] | None
    over_reversed: tuple[float, float, float] | None
    cost: float


_WORTH = 0.01
"""Recall at 1 that a shortlist may cost and still be called no worse."""


def judge_advice(rows: Sequence[Row]) -> list[Claim]:
    """Judge the advice 'narrow by SAM2, verify by SD-VAE', and any other two stages of a run.

    True where two stages are no worse than verifying everything (the interval
    of the paired difference stays above -0.01), cheaper, and better than the
    swapped order and than the coarse stage alone, which is cheaper still; false where they
    are worse than any of these, or dearer; undecided else. The length of the shortlist is
    fixed by the size of the gallery.
    """
    return [_judge_advice(advice) for advice in two_stage_advice(rows)]


def two_stage_advice(rows: Sequence[Row]) -> list[Advice]:
    """Gather what judges the two stages of a run."""
    own = [r for r in rows if r.measure == "two-stage" and r.direction in ("", "sar->optical")]
    advice = []
    for name in dict.fromkeys(row.extractor for row in own):
        table = {(r.metric, r.k): r for r in own if r.extractor == name}
        ks = sorted(k for metric, k in table if metric == "gain-over-fine-alone")
        if not ks:
            continue
        k = judged_length(ks, table["gain-over-fine-alone", ks[0]].n_gallery)
        swapped = table.get(("gain-over-reversed", k))
        cost = table["cost", k].value / table["fine-alone-cost", 0].value
        alone, coarse = table["gain-over-fine-alone", k], table.get(("gain-over-coarse-alone", k))
        over_coarse, over_swapped = (
            None if row is None else _interval(row) for row in (coarse, swapped)
        )
        advice.append(Advice(name, k, _interval(alone), over_coarse, over_swapped, cost))
    return advice


def _interval(row: Row) -> tuple[float, float, float]:
    return row.value, row.ci_low, row.ci_high


def _judge_advice(advice: Advice) -> Claim:
    coarse, fine = (part.partition(":")[0] for part in advice.name.split("+"))
    if coarse == fine:  # two settings of one model
        stages = TwoStage.parse(advice.name)
        coarse, fine = stages.coarse.text, stages.fine.text
    text = f"Narrow by {coarse}, verify by {fine} ({advice.name}, shortlist of {advice.k})."
    _, low, high = advice.over_alone
    why = f"against {fine} alone {_difference(advice.over_alone)}"
    others = {f"{coarse} alone": advice.over_coarse, "the swapped order": advice.over_reversed}
    known = {name: gain for name, gain in others.items() if gain is not None}
    why += "".join(f", against {name} {_difference(gain)}" for name, gain in known.items())
    why += f"; {advice.cost:.0%} of the multiplications of {fine} alone"
    if high < 0 or advice.cost >= 1 or any(gain[2] < 0 for gain in known.values()):
        return Claim(text, "false", why)
    better = len(known) == len(others) and all(gain[1] > 0 for gain in known.values())
    return Claim(text, "true" if low > -_WORTH and better else "undecided", why)


def _difference(values: tuple[float, float, float]) -> str:
    return f"{values[0]:+.3f} ({values[1]:+.3f} to {values[2]:+.3f})"
