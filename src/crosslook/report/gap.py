"""The modality gap, and what it says of retrieval: the published claims, judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crosslook.report.figures import COLOURS, Figure, line_trace, named, shorten
from crosslook.report.section import Part, Results, Section, Table, claims_table, measure_section
from crosslook.report.tables import Claim, interval, number, pair_distances, plain_recalls
from crosslook.retrieval.measure.registry import find_measure
from crosslook.retrieval.run_folder import HistogramTable
from crosslook.types import Row

_UNDER = "Intervals of 95 % are below the values; hover over a head for what it means."


def gap_section(results: Results) -> list[Section]:
    """Gap metrics side by side, and the cosines of pairs and non-pairs."""
    histograms = HistogramTable.read(results.run)
    rows = sorted(results.of("gap"), key=lambda row: results.order.index(row.extractor))
    parts = [Part(text=_UNDER, table=gap_table(rows))] if rows else []
    if histograms:
        parts.append(Part("Pairs and non-pairs"))
    for name in results.order:
        shown = [(name, "none"), (name, "standardize")]
        own = [h for h in histograms if (h.setup.extractor, h.setup.calibration) in shown]
        if not own:
            continue
        parts.append(Part(figure=pair_histogram(own, name), small=True))
    return measure_section(results, "gap", parts)


def gap_table(rows: Sequence[Row]) -> Table:
    """Gap metrics side by side, a line per extractor and calibration."""
    gap = find_measure("gap")
    names = [name for name in gap.definitions if any(r.metric == name for r in rows)]
    gaps: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        if row.direction in ("", "sar->optical"):
            gaps.setdefault((row.extractor, row.calibration, row.split), {})[row.metric] = row
    # Uncalibrated first; extractors stay in their order.
    ordered = sorted(gaps.items(), key=lambda item: item[0][1] != "none")
    seen = list(dict.fromkeys(key[0] for key in gaps))
    ordered.sort(key=lambda item: seen.index(item[0][0]))
    lines = [
        [key[0], named(key[1]), *(_cell(values.get(name)) for name in names)]
        for key, values in ordered
    ]
    heads = [_SHORT.get(name, name.replace("-", " ")) for name in names]
    hints = {}
    for head, name in zip(heads, names, strict=True):
        definition = gap.define(name)
        hints[head] = f"{definition.title}. {definition.reading}"
    return Table(["extractor", "calibration", *heads], lines, set(range(2, 2 + len(names))), hints)


_SHORT = {
    "pair-distance": "pairs",
    "non-pair-distance": "non-pairs",
    "pair-auroc": "AUROC",
    "centroid-distance": "centroids",
    "relative-gap": "gap/scatter",
    "modality-probe": "probe",
    "linear-cka": "CKA",
    "mutual-nearest-neighbours": "mutual NN",
    "occurrence-skew": "hub skew",
}
"""Heads of the table of the gap; the whole title is shown on hover."""


def _cell(row: Row | None) -> str:
    """Two digits and the interval below them, so that nine columns fit beside each other."""
    if row is None:
        return "–"
    shown = interval(row, 2)
    if "-" not in shown:
        shown = shown.replace(" to ", "–")
    return f"{number(row.value, 2)}\n{shown}" if shown else number(row.value, 2)


def pair_histogram(tables: Sequence[HistogramTable], extractor: str) -> Figure:
    """Cosines of pairs and of non-pairs, each as a fraction of its own kind."""
    traces = []
    for table in tables:
        dash = "dot" if table.setup.calibration == "none" else "solid"
        centre = (table.edges[:-1] + table.edges[1:]) / 2
        kinds = (("pairs", table.pairs, COLOURS[0]), ("non-pairs", table.non_pairs, COLOURS[1]))
        for kind, counts, colour in kinds:
            name, own = f"{kind}, {named(table.setup.calibration)}", counts / max(1, counts.sum())
            line = {"color": colour, "dash": dash, "shape": "hvh"}
            traces.append(line_trace(name, shorten(centre), own, **line))
    layout = {
        "height": 300,
        "xaxis": {"title": {"text": f"cosine, {extractor}"}, "range": [-1, 1]},
        "yaxis": {"title": {"text": "fraction"}, "rangemode": "tozero"},
    }
    return {"data": traces, "layout": layout}


def claims_section(results: Results) -> list[Section]:
    """Alignment beside retrieval, and whether the published claims hold."""
    rows, difference = results.rows, find_measure("difference")
    claims = judge_claims(rows)
    if not claims:
        return []
    distance, recall = pair_distances(rows), plain_recalls(rows)
    lines = [
        [name, number(distance[name].value), interval(distance[name]), number(row.value),
         interval(row)]
        for name, row in recall.items()
        if name in distance
    ]  # fmt: skip
    columns = ["extractor", "distance of pairs", "95 %", "recall at 1, uncalibrated", "95 %"]
    rho = rank_correlation(rows)
    text = "" if math.isnan(rho) else f"Spearman rank correlation over extractors: {rho:.2f}."
    beside = Part(table=Table(columns, lines, {1, 2, 3, 4}), text=text)
    judged = Part(table=claims_table("claim", claims))
    return [Section("claims", difference.title, difference.how, [beside, judged])]


@dataclass(frozen=True)
class Paired:
    """Differences between pretrained models, each with its interval over clusters.

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
    from scipy.stats import spearmanr

    near, hits = [-distance[n].value for n in both], [recall[n].value for n in both]
    if np.ptp(near) == 0 or np.ptp(hits) == 0:
        return float("nan")
    return float(spearmanr(near, hits).statistic)


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
