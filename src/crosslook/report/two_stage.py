"""Two stages: recall over the length of the shortlist and over its cost; the advice, judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crosslook.report.figures import COLOURS, Figure, fractions, rows_curve
from crosslook.report.section import (
    Part,
    Results,
    Section,
    claims_table,
    measure_section,
    measure_table,
)
from crosslook.report.tables import Claim
from crosslook.retrieval.measure.two_stage import judged_length
from crosslook.types import Row


def two_stage_section(results: Results) -> list[Section]:
    """Recall over the length of the shortlist, and all rows."""
    own = results.of("two-stage")
    parts = []
    if judged := judge_advice(own):
        parts.append(Part("The advice, judged", table=claims_table("advice", judged)))
    for name in dict.fromkeys(row.extractor for row in own):
        mine = [r for r in own if r.extractor == name and r.direction == "sar->optical"]
        title = f"{name}, SAR to optical"
        parts.append(Part(title, text=recommendation(mine), figure=two_stage_curves(mine)))
        parts.append(Part(f"{title}: recall over cost", figure=two_stage_cost(mine)))
    parts.append(Part("All two-stage rows", table=measure_table(own)))
    return measure_section(results, "two-stage", parts)


def recommendation(rows: Sequence[Row]) -> str:
    """Which shortlist to take, or that one stage alone does as well; one direction of one name.

    A shortlist is recommended only where two stages find more than the coarse stage
    alone, by an interval of the paired difference that excludes zero.
    """
    table = {(row.metric, row.k): row for row in rows}
    wanted = next((row for row in rows if row.metric == "recommended-k"), None)
    if wanted is None:
        return ""
    k = int(wanted.value)
    gain, alone = table.get(("gain-over-coarse-alone", k)), table.get(("coarse-alone", 1))
    final = table.get(("final", k))
    if gain is None or alone is None or final is None:  # a run of an earlier version
        return f"Shortlist by the rule: {k}."
    reached = f"{final.value:.3f} with a shortlist of {k}, {alone.value:.3f} by the coarse stage"
    reached += f" alone, difference {_difference(_interval(gain))}"
    if gain.ci_low > 0:
        return f"Recommended shortlist: {k}. Recall at 1 is {reached}."
    word = "finds less" if gain.ci_high < 0 else "is not shown to find more"
    return f"No shortlist is recommended: verification {word}. Recall at 1 is {reached}."


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
    """Final recall over the cost of a query: what each step of K buys."""
    traces = []
    for (name, prefix), colour in zip(
        (("final", ""), ("reversed final", "reversed-")), COLOURS, strict=False
    ):
        cost = {r.k: r.value for r in rows if r.metric == f"{prefix}cost"}
        final = [r for r in rows if r.metric == f"{prefix}final" and r.k in cost]
        if final:
            traces.append(rows_curve(name, [(cost[r.k], r) for r in final], colour))
    return fractions(traces, "multiplications per query", "fraction of queries", log=True)


@dataclass(frozen=True)
class Advice:
    """What two stages gain at the judged shortlist, SAR to optical.

    ``over_alone``, ``over_coarse`` and ``over_reversed`` are (value, low, high) of the
    difference in recall to the fine stage alone, the coarse stage alone and the swapped
    order; the last two are None where they were not measured;
    ``cost`` is that of a query as a fraction of verifying everything.
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
    coarse stage alone and than the swapped order; false where they are worse than
    one of them, or dearer; undecided else. The length of the shortlist is fixed by
    the size of the gallery.
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
        coarse = table.get(("gain-over-coarse-alone", k))
        others = (None if row is None else _interval(row) for row in (coarse, swapped))
        advice.append(Advice(name, k, _interval(table["gain-over-fine-alone", k]), *others, cost))
    return advice


def _interval(row: Row) -> tuple[float, float, float]:
    return row.value, row.ci_low, row.ci_high


def _judge_advice(advice: Advice) -> Claim:
    coarse, fine = (part.partition(":")[0] for part in advice.name.split("+"))
    text = f"Narrow by {coarse}, verify by {fine} ({advice.name}, shortlist of {advice.k})."
    _, low, high = advice.over_alone
    why = f"against {fine} alone {_difference(advice.over_alone)}"
    verdicts: list[bool | None] = []
    for what, values in (
        (f"{coarse} alone", advice.over_coarse),
        ("the swapped order", advice.over_reversed),
    ):
        verdicts.append(_is_gain(values))
        why += f", against {what} {_difference(values)}" if values else ""
    why += f"; {advice.cost:.0%} of the multiplications of {fine} alone"
    if high < 0 or False in verdicts or advice.cost >= 1:
        return Claim(text, "false", why)
    return Claim(text, "true" if low > -_WORTH and all(verdicts) else "undecided", why)


def _is_gain(values: tuple[float, float, float] | None) -> bool | None:
    """Whether a difference is above zero; None where its interval leaves it open."""
    if values is None or values[1] <= 0 <= values[2]:
        return None
    return values[1] > 0


def _difference(values: tuple[float, float, float]) -> str:
    return f"{values[0]:+.3f} ({values[1]:+.3f} to {values[2]:+.3f})"
