"""Whether the claims of the published five-extractor study hold on these rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crosslook.report.tables import recall_rows
from crosslook.retrieval.measure.two_stage import judged_length
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
    distances: dict[str, Row] = {}
    for row in rows:
        if (row.measure, row.metric, row.calibration) == ("gap", "pair-distance", "none"):
            distances.setdefault(row.extractor, row)
    return distances


def plain_recalls(rows: Sequence[Row]) -> dict[str, Row]:
    """Pick uncalibrated recall at 1 of every extractor, SAR to optical, best first.

    Uncalibrated as the distances are: a best calibration chosen on the measured
    queries could decide a claim by that choice.
    """
    recalls: dict[str, Row] = {}
    for setup, row in recall_rows(rows, "sar->optical").items():
        if setup.is_plain:
            recalls.setdefault(setup.extractor, row)
    return dict(sorted(recalls.items(), key=lambda item: -item[1].value))


@dataclass(frozen=True)
class Paired:
    """Differences between pretrained models, each with its interval over units.

    ``differences[a, b]`` is (low, high) of what ``a`` reaches minus ``b``, turned
    so that higher is better.
    """

    names: tuple[str, ...]
    differences: Mapping[tuple[str, str], tuple[float, float]]

    def better(self, first: str, second: str) -> bool:
        """Whether the interval of the difference lies above zero; NaN decides nothing."""
        return self.differences[first, second][0] > 0

    def candidates(self) -> list[str]:
        """Names that no other one is better than."""
        return [n for n in self.names if not any(self.better(o, n) for o in self.names if o != n)]


def paired_differences(rows: Sequence[Row], metric: str) -> Paired:
    """Gather ``pair-distance`` or ``recall`` differences of a run, uncalibrated."""
    sign = -1.0 if metric == "pair-distance" else 1.0
    differences: dict[tuple[str, str], tuple[float, float]] = {}
    for row in rows:
        name, _, other = row.metric.partition("/")
        if row.measure != "difference" or name != metric or (row.extractor, other) in differences:
            continue
        ends = (sign * row.ci_low, sign * row.ci_high)
        low, high = ends if sign > 0 else ends[::-1]
        differences[row.extractor, other] = (low, high)
        differences[other, row.extractor] = (-high, -low)
    return Paired(tuple(dict.fromkeys(name for pair in differences for name in pair)), differences)


@dataclass(frozen=True)
class Advice:
    """What two stages gain at the judged shortlist, SAR to optical.

    ``over_alone`` and ``over_reversed`` are (value, low, high) of the difference
    in recall, the second one None where the swapped order was not measured;
    ``cost`` is that of a query as a fraction of verifying everything.
    """

    name: str
    k: int
    over_alone: tuple[float, float, float]
    over_reversed: tuple[float, float, float] | None
    cost: float


_WORTH = 0.01
"""Recall at 1 that a shortlist may cost and still be called no worse."""


def judge_advice(rows: Sequence[Row]) -> list[Claim]:
    """Judge the advice 'narrow by SAM2, verify by SD-VAE', and any other two stages of a run.

    True where two stages are no worse than verifying everything (the interval
    of the paired difference stays above -0.01), cheaper, and better than the
    swapped order; false where they are worse than either, or dearer; undecided
    else. The length of the shortlist is fixed by the size of the gallery.
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
        alone = _interval(table["gain-over-fine-alone", k])
        advice.append(Advice(name, k, alone, None if swapped is None else _interval(swapped), cost))
    return advice


def _interval(row: Row) -> tuple[float, float, float]:
    return row.value, row.ci_low, row.ci_high


def _judge_advice(advice: Advice) -> Claim:
    coarse, fine = (part.partition(":")[0] for part in advice.name.split("+"))
    text = f"Narrow by {coarse}, verify by {fine} ({advice.name}, shortlist of {advice.k})."
    _, low, high = advice.over_alone
    why = f"against {fine} alone {_difference(advice.over_alone)}"
    better: bool | None = None
    if advice.over_reversed is not None:
        why += f", against the swapped order {_difference(advice.over_reversed)}"
        better = True if advice.over_reversed[1] > 0 else None
        better = False if advice.over_reversed[2] < 0 else better
    why += f"; {advice.cost:.0%} of the multiplications of {fine} alone"
    if high < 0 or better is False or advice.cost >= 1:
        return Claim(text, "false", why)
    return Claim(text, "true" if low > -_WORTH and better else "undecided", why)


def _difference(values: tuple[float, float, float]) -> str:
    return f"{values[0]:+.3f} ({values[1]:+.3f} to {values[2]:+.3f})"


def judge_claims(rows: Sequence[Row]) -> list[Claim]:
    """Judge the three claims among the pretrained models, by paired differences.

    Baselines and untrained controls are shown beside, not judged. A leader is
    better than every other model by an interval of the difference that excludes
    zero; a claim that needs a model which was not run is left out. Nothing is
    judged with fewer than two.
    """
    near, hits = (paired_differences(rows, name) for name in ("pair-distance", "recall"))
    if len(near.names) < 2:
        return []
    claims = []
    for family, name, paired, what in (
        ("sam2", "SAM2", near, "has the smallest modality gap (mean cosine distance of pairs)"),
        ("sd-vae", "SD-VAE", hits, "retrieves best (uncalibrated recall at 1, SAR to optical)"),
    ):
        members = [n for n in paired.names if n.partition(":")[0] == family]
        if members and len(members) < len(paired.names):
            claims.append(_judge_leader(f"{name} {what}.", members, paired))
    return [*claims, _judge_difference(near, hits)]


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


def _judge_leader(text: str, members: Sequence[str], paired: Paired) -> Claim:
    others = [n for n in paired.names if n not in members]
    if any(all(paired.better(m, o) for o in others) for m in members):
        return Claim(text, "true", "better than every other model, pair by pair")
    for other in others:
        if all(paired.better(other, m) for m in members):
            return Claim(text, "false", f"{other} is better, pair by pair")
    open_ones = [o for o in others if not any(paired.better(m, o) for m in members)]
    return Claim(text, "undecided", f"not shown to differ from {' or '.join(open_ones)}")


def _judge_difference(near: Paired, hits: Paired) -> Claim:
    text = "The best-aligned extractor is not the best retriever."
    aligned, retrieved = near.candidates(), hits.candidates()
    why = f"best aligned: {' or '.join(aligned)}; best retriever: {' or '.join(retrieved)}"
    if not set(aligned) & set(retrieved):
        return Claim(text, "true", why)
    if len(aligned) == len(retrieved) == 1:
        return Claim(text, "false", why)
    return Claim(text, "undecided", why)
