"""Whether the claims of the published five-extractor study hold on these rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crosslook.report.tables import recall_rows
from crosslook.types import Row

Verdict = Literal["true", "false", "undecided"]


@dataclass(frozen=True)
class Claim:
    """A claim, its verdict and the reason in words."""

    text: str
    verdict: Verdict
    why: str


def pair_distances(rows: Sequence[Row]) -> dict[str, Row]:
    """Pick the uncalibrated mean cosine distance of pairs of every extractor."""
    found: dict[str, Row] = {}
    for row in rows:
        if (row.measure, row.metric, row.calibration) == ("gap", "pair-distance", "none"):
            found.setdefault(row.extractor, row)
    return found


def plain_recalls(rows: Sequence[Row]) -> dict[str, Row]:
    """Pick uncalibrated recall at 1 of every extractor, SAR to optical, best first.

    Uncalibrated as the distances are: a best calibration chosen on the measured
    queries could decide a claim by that choice.
    """
    found: dict[str, Row] = {}
    for setup, row in recall_rows(rows, "sar->optical").items():
        if setup.is_plain:
            found.setdefault(setup.extractor, row)
    return dict(sorted(found.items(), key=lambda item: -item[1].value))


def judge_claims(rows: Sequence[Row]) -> list[Claim]:
    """Judge the three claims by the overlap of intervals.

    A leader is one whose interval lies wholly on the better side of every
    other; a claim that needs an extractor which was not run is left out.
    Nothing is judged with fewer than two extractors.
    """
    distance, recall = pair_distances(rows), plain_recalls(rows)
    both = [name for name in recall if name in distance]
    if len(both) < 2:
        return []
    # Negated, so that higher is better on both sides.
    gap = {n: (-distance[n].ci_high, -distance[n].ci_low) for n in both}
    hits = {n: (recall[n].ci_low, recall[n].ci_high) for n in both}
    claims = []
    for family, name, spans, what in (
        ("sam2", "SAM2", gap, "has the smallest modality gap (mean cosine distance of pairs)"),
        ("sd-vae", "SD-VAE", hits, "retrieves best (uncalibrated recall at 1, SAR to optical)"),
    ):
        members = [n for n in both if n.partition(":")[0] == family]
        if members and len(members) < len(both):
            claims.append(_judge_leader(f"{name} {what}.", members, spans))
    return [*claims, _judge_difference(gap, hits)]


def rank_correlation(rows: Sequence[Row]) -> float:
    """Spearman correlation of pair closeness with recall at 1, over extractors.

    1: the better aligned retrieves better. NaN below three extractors, or
    where all are equal.
    """
    distance, recall = pair_distances(rows), plain_recalls(rows)
    both = [name for name in recall if name in distance]
    if len(both) < 3:
        return float("nan")
    from scipy.stats import rankdata

    near = rankdata([-distance[n].value for n in both])
    hits = rankdata([recall[n].value for n in both])
    if np.ptp(near) == 0 or np.ptp(hits) == 0:
        return float("nan")
    return float(np.corrcoef(near, hits)[0, 1])


Spans = Mapping[str, tuple[float, float]]


def _above(first: tuple[float, float], second: tuple[float, float]) -> bool:
    return first[0] > second[1]  # false for NaN, which decides nothing


def _judge_leader(text: str, members: Sequence[str], spans: Spans) -> Claim:
    others = [n for n in spans if n not in members]
    if any(all(_above(spans[m], spans[o]) for o in others) for m in members):
        return Claim(text, "true", "its interval lies wholly on the better side of all others")
    for other in others:
        if all(_above(spans[other], spans[m]) for m in members):
            return Claim(text, "false", f"the interval of {other} lies wholly on the better side")
    return Claim(text, "undecided", "intervals overlap")


def _judge_difference(gap: Spans, hits: Spans) -> Claim:
    text = "The best-aligned extractor is not the best retriever."
    aligned, found = _candidates(gap), _candidates(hits)
    why = f"best aligned: {' or '.join(aligned)}; best retriever: {' or '.join(found)}"
    if not set(aligned) & set(found):
        return Claim(text, "true", why)
    if len(aligned) == len(found) == 1:
        return Claim(text, "false", why)
    return Claim(text, "undecided", why)


def _candidates(spans: Spans) -> list[str]:
    return [n for n in spans if not any(_above(spans[o], spans[n]) for o in spans)]
