"""Definitions of the two-stage metrics."""

from __future__ import annotations

import math

from crosslook.retrieval.measure.definition import Definition


def _fraction(title: str, formula: str, reading: str, source: str = "") -> Definition:
    return Definition(
        title,
        formula,
        source or "a cascade: Viola and Jones, CVPR 2001",
        0.0,
        1.0,
        "higher",
        reading,
    )


def _cost(title: str, formula: str) -> Definition:
    return Definition(
        title,
        formula,
        "counted, not timed",
        0.0,
        math.inf,
        "lower",
        "Multiplications for one query, features given; the same on every machine.",
    )


TWO_STAGE = {
    "ceiling": _fraction(
        "Ceiling",
        "fraction of queries whose partner is among the K best of the coarse stage",
        "No verification can lift the final recall above it.",
    ),
    "final": _fraction(
        "Final recall",
        "fraction of queries whose partner is shortlisted and scores best in the fine stage",
        "k is the length of the shortlist; the answer is always the first one.",
    ),
    "cost": _cost("Cost of a query", "N x coarse + K x fine multiplications"),
    "fused-sum": _fraction(
        "Final recall by the standardised sum",
        "as final, by coarse / sd + fine / sd; sd over the scores against the calibration bank",
        "Better than final where the coarse stage knows what the fine one does not.",
    ),
    "fused-rank": _fraction(
        "Final recall by reciprocal rank fusion",
        "as final, by 1 / (60 + coarse rank) + 1 / (60 + fine rank)",
        "Ranks need no common units; they forget by how much one score leads.",
        "Cormack et al., SIGIR 2009",
    ),
    "coarse-alone": _fraction(
        "Coarse stage alone",
        "recall at k of the coarse score over the whole gallery",
        "What the shortlist alone would answer.",
    ),
    "fine-alone": _fraction(
        "Fine stage alone",
        "recall at k of the fine score over the whole gallery",
        "What verification of everything would reach, at its full cost.",
    ),
    "coarse-alone-cost": _cost("Cost of the coarse stage alone", "N x coarse multiplications"),
    "fine-alone-cost": _cost("Cost of the fine stage alone", "N x fine multiplications"),
    "reversed-ceiling": _fraction(
        "Ceiling, stages swapped",
        "as the ceiling, the fine extractor's descriptor making the shortlist",
        "Whether the order of the two extractors matters.",
    ),
    "reversed-final": _fraction(
        "Final recall, stages swapped",
        "as final, the coarse extractor's maps verifying",
        "Whether the order of the two extractors matters.",
    ),
    "reversed-cost": _cost("Cost of a query, stages swapped", "N x coarse + K x fine"),
    "gain-over-fine-alone": Definition(
        "Gain of two stages over the fine stage alone",
        "mean over queries of [final answer right] - [fine score right over the whole gallery]",
        "paired bootstrap over units; Efron and Tibshirani 1993, chapter 16",
        -1.0,
        1.0,
        "higher",
        "At or above 0 the shortlist costs nothing; it may hold back what misleads the fine stage.",
    ),
    "gain-over-reversed": Definition(
        "Gain over the swapped order",
        "mean over queries of [final answer right] - [right with the stages swapped]",
        "paired bootstrap over units; Efron and Tibshirani 1993, chapter 16",
        -1.0,
        1.0,
        "higher",
        "Above 0 the order is the right one, at this length of the shortlist.",
    ),
    "recommended-k": Definition(
        "Recommended shortlist",
        "smallest K whose final recall is at most 0.005 below the best over all K",
        "a rule of this project",
        1.0,
        math.inf,
        "neither",
        "Longer shortlists cost more and find no more.",
    ),
}
