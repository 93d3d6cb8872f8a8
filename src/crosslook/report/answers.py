"""What a run answers of the published study: three questions and its advice, a sentence each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crosslook.report.gap import judge_claims
from crosslook.report.section import Results
from crosslook.report.tables import BEST, interval, number, pair_distances, plain_recalls
from crosslook.report.two_stage import judge_advice
from crosslook.types import Row


@dataclass(frozen=True)
class Answer:
    """One question, its answer with figures, and the section that shows more."""

    question: str
    text: str
    section: str


def answers(results: Results) -> list[Answer]:
    """The answers that a run has something for, in the order of the published study."""
    makers: tuple[Callable[[Results], Answer | None], ...] = (_gap, _retrieval, _structure, _advice)
    return [answer for make in makers if (answer := make(results)) is not None]


def _figure(row: Row) -> str:
    shown = interval(row)
    return f"{number(row.value)} ({shown})" if shown else number(row.value)


def _gap(results: Results) -> Answer | None:
    distance = pair_distances(results.rows)
    if not distance:
        return None
    near = min(distance, key=lambda name: distance[name].value)
    auroc = next(
        (
            row
            for row in results.of("gap")
            if (row.extractor, row.metric, row.calibration) == (near, "pair-auroc", "none")
        ),
        None,
    )
    text = f"{near} brings pairs closest: their mean cosine distance is {_figure(distance[near])}"
    if len(distance) > 1:
        far = max(distance, key=lambda name: distance[name].value)
        text += f", that of {far} {number(distance[far].value)}"
    if auroc is not None:
        text += (
            f". Its cosine separates pairs from non-pairs with an AUROC of {_figure(auroc)}, "
            "where .5 is chance"
        )
    return Answer("Which extractor has the smallest gap between the sensors?", f"{text}.", "gap")


def _retrieval(results: Results) -> Answer | None:
    plain = plain_recalls(results.rows)
    if not results.lead:
        return None
    best = results.lead[0]
    chance = f"among {best.row.n_gallery} patches (chance {number(best.row.chance, 4)})"
    how = "calibrated" if best.is_calibrated else "uncalibrated"
    text = f"{best.name} finds {_figure(best.row)} of the partners at rank 1 {how}"
    if best.optimistic:
        text += f" ({BEST})"
    distance = pair_distances(results.rows)
    if plain:
        name = next(iter(plain))
        if best.is_calibrated:
            text += f"; uncalibrated {name} is best with {_figure(plain[name])}"
        near = min(distance, key=lambda n: distance[n].value) if distance else name
        if near != name and near in plain:
            text += f", and {near}, the closest, finds {number(plain[near].value)}"
    claim = next((c for c in judge_claims(results.rows) if "best-aligned" in c.text), None)
    text += f", {chance}."
    if claim is not None:
        words = {
            "true": "The best aligned is not the best retriever.",
            "false": "The best aligned is the best retriever.",
            "undecided": "Whether the best aligned is the best retriever is undecided.",
        }
        text += f" {words[claim.verdict]}"
    return Answer("Does the closest extractor retrieve best?", text, "retrieval")


def _structure(results: Results) -> Answer | None:
    rows = [
        row
        for row in results.of("structure")
        if row.calibration == "none" and math.isfinite(row.value)
    ]
    mixed = {row.extractor: row for row in rows if row.metric == "kmeans-ari/modality"}
    ratio = {row.extractor: row for row in rows if row.metric == "fisher-ratio"}
    if not mixed or not ratio:
        return None
    first = min(mixed, key=lambda name: mixed[name].value)
    second = max(ratio, key=lambda name: ratio[name].value)
    text = (
        f"Uncalibrated clusters of {first} follow the sensor least (adjusted Rand index "
        f"{_figure(mixed[first])}; 0 is chance). {second} separates places best: Fisher's ratio is "
        f"{_figure(ratio[second])}, by chance {number(ratio[second].chance)}. "
    )
    if len(ratio) > 1:
        mixing = _not_beaten(mixed, first, sign=-1)
        separating = _not_beaten(ratio, second, sign=1)
        if not mixing & separating:
            text += "What ignores the sensor most is not what discriminates best."
        elif mixing == separating == {first}:
            text += "One extractor does both."
        else:
            text += "Intervals overlap, so whether one extractor does both is undecided."
    return Answer("Does invariance cost discrimination?", text, "structure")


def _not_beaten(rows: Mapping[str, Row], best: str, sign: int) -> set[str]:
    """Those whose interval meets that of the best; ``sign`` is -1 where low is good."""

    def ends(row: Row) -> tuple[float, float]:
        bounds = (row.ci_low, row.ci_high) if math.isfinite(row.ci_low) else (row.value, row.value)
        low, high = sorted(sign * bound for bound in bounds)
        return low, high

    least, _ = ends(rows[best])
    return {name for name, row in rows.items() if ends(row)[1] >= least}


def _advice(results: Results) -> Answer | None:
    question = "Narrow by one, verify by another?"
    judged = judge_advice(results.of("two-stage"))
    if not judged:
        return None
    words = {"true": "It pays.", "false": "It does not pay.", "undecided": "It is undecided."}
    claim = judged[0]
    return Answer(
        question,
        f"{claim.text} {words[claim.verdict]} Difference in recall: {claim.why}.",
        "two-stage",
    )
