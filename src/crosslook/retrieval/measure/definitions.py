"""The one place where every metric is defined: formula, source, how to read it.

Definitions of the structure and two-stage metrics; part of ``definitions``.

What stands behind a slash in a metric's name says of what it is: a modality,
or the labels that it is taken against (modality, scene, label).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Definition:
    """What a metric is.

    ``better`` says which way is good; ``neither`` where the value only
    describes.
    """

    title: str
    formula: str
    source: str
    low: float
    high: float
    better: Literal["higher", "lower", "neither"]
    reading: str


_JOINT = "Over both modalities together, unit descriptors. "


def _cluster_scores(method: str, title: str, source: str) -> dict[str, Definition]:
    against = "Against modality: clusters are sensors; against scene: clusters are places."
    return {
        f"{method}-ari": Definition(
            f"Adjusted Rand index of {title}",
            "(RI - E[RI]) / (max RI - E[RI]) over pairs of items, clusters against labels",
            f"Hubert and Arabie 1985; {source}",
            -0.5,
            1.0,
            "neither",
            f"{_JOINT}0 is chance, 1 the same partition. {against}",
        ),
        f"{method}-nmi": Definition(
            f"Normalised mutual information of {title}",
            "2 I(C; L) / (H(C) + H(L))",
            f"Strehl and Ghosh 2002; {source}",
            0.0,
            1.0,
            "neither",
            f"{_JOINT}Many small clusters raise it: compare with its chance. {against}",
        ),
        f"{method}-purity": Definition(
            f"Purity of {title}",
            "sum over clusters of the count of their commonest label / number of items",
            f"Manning et al. 2008, ch. 16; {source}",
            0.0,
            1.0,
            "neither",
            f"{_JOINT}Compare with its chance. {against}",
        ),
        f"{method}-clusters": Definition(
            f"Clusters of {title}",
            "number of clusters found",
            source,
            0.0,
            math.inf,
            "neither",
            "k-means is given the number of scenes; density finds its own.",
        ),
    }


STRUCTURE = {
    "silhouette": Definition(
        "Silhouette",
        "mean of (b - a) / max(a, b): a mean cosine distance to the own label, "
        "b to the nearest other one",
        "Rousseeuw 1987",
        -1.0,
        1.0,
        "neither",
        _JOINT + "By modality: near 0 wanted, 1 means two separate sensors; by scene: high wanted.",
    ),
    "fisher-ratio": Definition(
        "Fisher's ratio of places to pairs",
        "[2 sum |m_i - m|^2 / (N - 1)] / [sum |s_i - o_i|^2 / (2 N)], m_i the midpoint of pair i",
        "Fisher 1936; Fukunaga 1990, ch. 10 (traces of the scatter matrices)",
        0.0,
        math.inf,
        "higher",
        "1: partners are no nearer than strangers of one cloud; a shift between sensors lowers it.",
    ),
    "effective-rank": Definition(
        "Effective rank",
        "exp(-sum p_i log p_i), p_i = s_i / sum s, s the singular values of the centred matrix",
        "Roy and Vetterli, EUSIPCO 2007",
        0.0,
        math.inf,
        "neither",
        "How many directions are in use; at most the number of patches less one.",
    ),
    "anisotropy": Definition(
        "Anisotropy",
        "mean cosine over all pairs of different items of one modality",
        "Ethayarajh, EMNLP 2019",
        -1.0,
        1.0,
        "lower",
        "Near 1 all descriptors lie in a narrow cone, and every cosine is high.",
    ),
    "robin-hood": Definition(
        "Robin Hood index of the k-occurrence",
        "sum |O_j - mean O| / (2 sum O), O_j how often item j is among the k nearest of a query",
        "Feldbauer et al., ICBK 2018",
        0.0,
        1.0,
        "lower",
        "Share of answers that hubs take from the others; a random gallery has its chance.",
    ),
    **_cluster_scores("kmeans", "k-means", "k-means++, Arthur and Vassilvitskii 2007"),
    **_cluster_scores("density", "density clusters", "HDBSCAN, Campello et al. 2013"),
    "density-outside": Definition(
        "Share in no density cluster",
        "share of descriptors that HDBSCAN leaves out",
        "Campello et al. 2013",
        0.0,
        1.0,
        "neither",
        "They count as one cluster of their own in the scores.",
    ),
}


def _share(title: str, formula: str, reading: str, source: str = "") -> Definition:
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
    "ceiling": _share(
        "Ceiling",
        "share of queries whose partner is among the K best of the coarse stage",
        "No verification can lift the final recall above it.",
    ),
    "final": _share(
        "Final recall",
        "share of queries whose partner is shortlisted and scores best in the fine stage",
        "k is the length of the shortlist; the answer is always the first one.",
    ),
    "cost": _cost("Cost of a query", "N x coarse + K x fine multiplications"),
    "fused-sum": _share(
        "Final recall by the standardised sum",
        "as final, by coarse / sd + fine / sd; sd over the scores against the calibration bank",
        "Better than final where the coarse stage knows what the fine one does not.",
    ),
    "fused-rank": _share(
        "Final recall by reciprocal rank fusion",
        "as final, by 1 / (60 + coarse rank) + 1 / (60 + fine rank)",
        "Ranks need no common units; they forget by how much one score leads.",
        "Cormack et al., SIGIR 2009",
    ),
    "coarse-alone": _share(
        "Coarse stage alone",
        "recall at k of the coarse score over the whole gallery",
        "What the shortlist alone would answer.",
    ),
    "fine-alone": _share(
        "Fine stage alone",
        "recall at k of the fine score over the whole gallery",
        "What verification of everything would reach, at its full cost.",
    ),
    "coarse-alone-cost": _cost("Cost of the coarse stage alone", "N x coarse multiplications"),
    "fine-alone-cost": _cost("Cost of the fine stage alone", "N x fine multiplications"),
    "reversed-ceiling": _share(
        "Ceiling, stages swapped",
        "as the ceiling, the fine extractor's descriptor making the shortlist",
        "Whether the order of the two extractors matters.",
    ),
    "reversed-final": _share(
        "Final recall, stages swapped",
        "as final, the coarse extractor's maps verifying",
        "Whether the order of the two extractors matters.",
    ),
    "reversed-cost": _cost("Cost of a query, stages swapped", "N x coarse + K x fine"),
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


_UNCHANGED = "The first level is the undisturbed query; look at how far the curve stays level."


def _curve(what: str, formula: str) -> dict[str, Definition]:
    return {
        f"recall@1/{what}": Definition(
            f"Recall at 1 by {what}",
            f"share of sampled queries whose partner is first; {formula}",
            "Hendrycks and Dietterich, ICLR 2019, for curves over graded disturbances",
            0.0,
            1.0,
            "higher",
            _UNCHANGED,
        ),
        f"pair-cosine/{what}": Definition(
            f"Mean cosine of pairs by {what}",
            f"mean_i cos(s_i, o_i) of calibrated descriptors; {formula}",
            "Salton and McGill 1983 for the cosine",
            -1.0,
            1.0,
            "higher",
            _UNCHANGED,
        ),
    }


def _recall(
    name: str, title: str, formula: str, source: str, reading: str
) -> dict[str, Definition]:
    return {name: Definition(title, formula, source, 0.0, 1.0, "higher", reading)}


ROBUSTNESS: dict[str, Definition] = {
    **_curve("offset", "the query is cut that many pixels away, in a random direction"),
    **_curve("rotation", "the query is turned by that many degrees, to either side"),
    **_curve("scale", "the query shows that many times the ground, or as much less"),
    **_curve("looks", "the query is multiplied by gamma speckle of that many looks"),
    **_curve("gain", "the query's values are multiplied and clipped to 0..1"),
    **_curve("gamma", "the query's values, 0..1, are raised to that power"),
    **_recall(
        "recall@1/patch",
        "Recall at 1 by patch size",
        "recall at 1 with the middle k x k px of every patch, calibrated and searched anew",
        "as recall",
        "Smaller patches hold less to be recognised by; the gallery keeps its size.",
    ),
    **_recall(
        "recall@1/gallery",
        "Recall at 1 by gallery size",
        "mean_i C(N-1-b_i, k-1) / C(N-1, k-1), b_i impostors beating the partner of query i",
        "expectation of sampling without replacement",
        "What galleries of k items drawn from this one would give, on average.",
    ),
    **_recall(
        "recall@1/gallery-extrapolated",
        "Recall at 1 by gallery size, extrapolated",
        "mean_i [b_i = 0] B(a, b+k-1) / B(a, b+N-1), beta-binomial (a, b) fitted to all b_i",
        "Skellam, J. R. Stat. Soc. B 1948",
        "A model, not a measurement: further items are taken to be like those seen.",
    ),
    **_recall(
        "recall@1/days-apart",
        "Recall at 1 by days between the images",
        "recall at 1 of pairs taken at most k days apart, and more than the k before",
        "as recall",
        "Scenes differ between bins in more than their dates; intervals are wide.",
    ),
}


_INF = float("inf")

GAP = {
    "pair-distance": Definition(
        "Mean cosine distance of pairs",
        "mean_i (1 - cos(s_i, o_i))",
        "the figure of the published five-extractor study; Salton and McGill 1983 for the cosine",
        0.0,
        2.0,
        "lower",
        "Small values alone prove nothing: features that all point one way have it too.",
    ),
    "non-pair-distance": Definition(
        "Mean cosine distance of non-pairs",
        "mean_{i != j} (1 - cos(s_i, o_j))",
        "Liang et al., NeurIPS 2022",
        0.0,
        2.0,
        "higher",
        "Only its distance from that of pairs separates right from wrong matches.",
    ),
    "pair-auroc": Definition(
        "AUROC of pairs against non-pairs",
        "P(cos of a pair > cos of a non-pair) + P(equal) / 2",
        "Fawcett, Pattern Recognition Letters 2006",
        0.0,
        1.0,
        "higher",
        "0.5: the cosine of a pair tells nothing; 1: every pair is above every non-pair.",
    ),
    "centroid-distance": Definition(
        "Distance of the centroids",
        "|| mean_i s_i - mean_i o_i ||",
        "Liang et al., NeurIPS 2022",
        0.0,
        2.0,
        "lower",
        "The shift between the sensors that centring removes.",
    ),
    "relative-gap": Definition(
        "Gap relative to the spread within a modality",
        "centroid distance / mean over modalities of sqrt(mean_i || x_i - mean x ||^2)",
        "Liang et al., NeurIPS 2022, divided by the within-modality spread",
        0.0,
        _INF,
        "lower",
        "Above 1 the sensors lie further apart than the places within a sensor.",
    ),
    "modality-probe": Definition(
        "Accuracy of a linear modality probe",
        "cross-validated accuracy of a ridge classifier of the sensor, folds by scene",
        "Alain and Bengio, ICLR workshop 2017",
        0.0,
        1.0,
        "lower",
        "0.5: the sensors cannot be told apart; 1: a plane separates them.",
    ),
    "linear-cka": Definition(
        "Linear centred kernel alignment",
        "<K_s, K_o> / (||K_s|| ||K_o||), K the centred Gram matrices",
        "Kornblith et al., ICML 2019",
        0.0,
        1.0,
        "higher",
        "1: both sensors see the same similarities between places.",
    ),
    "mutual-nearest-neighbours": Definition(
        "Mutual nearest neighbours",
        "share of pairs in which each is the other's nearest neighbour",
        "Haghighi et al., CVPR 2018, on cross-modal pairs",
        0.0,
        1.0,
        "higher",
        "A match that holds in both directions at once.",
    ),
    "occurrence-skew": Definition(
        "Skew of the k-occurrence",
        "third standardised moment of how often an item is among the k nearest of a query",
        "Radovanovic et al., JMLR 2010",
        -_INF,
        _INF,
        "lower",
        "High: a few hubs answer most queries. A random gallery has 1 / sqrt(k).",
    ),
}

RETRIEVAL = {
    "recall": Definition(
        "Recall at k",
        "share of queries whose partner has a rank of at most k",
        "Manning et al., Introduction to Information Retrieval, 2008",
        0.0,
        1.0,
        "higher",
        "Ties are pessimistic: what scores the same as the partner stands before it.",
    ),
    "recall-loss": Definition(
        "Recall that an approximate index loses",
        "mean over queries of [exactly right at k] - [right at k through the index]",
        "paired bootstrap over scenes; Efron and Tibshirani 1993, chapter 16",
        -1.0,
        1.0,
        "lower",
        "On a seeded sample of at most 2,000 queries. 0: the index costs nothing.",
    ),
    "nearest-found": Definition(
        "Nearest items that an approximate index finds",
        "mean over queries of |exact best k and best k of the index| / k",
        "Aumüller et al., ANN-Benchmarks, Information Systems 2020",
        0.0,
        1.0,
        "higher",
        "Below 1 the index misses neighbours, whether they are partners or not.",
    ),
    "mrr": Definition(
        "Mean reciprocal rank",
        "mean of 1 / rank of the partner",
        "Voorhees, TREC-8, 1999",
        0.0,
        1.0,
        "higher",
        "Between recall at 1 and recall over all ranks.",
    ),
    "median-rank": Definition(
        "Median rank",
        "lower median of the rank of the partner",
        "Karpathy and Fei-Fei, CVPR 2015",
        1.0,
        _INF,
        "lower",
        "Half of the queries find their partner at this rank or better.",
    ),
    "gain-over-best-member": Definition(
        "Gain of a fusion over its best member",
        "mean over queries of [fusion right at rank 1] - [best member right at rank 1]",
        "paired bootstrap over scenes; Efron and Tibshirani 1993, chapter 16",
        -1.0,
        1.0,
        "higher",
        "The fusion is better only where the interval lies above zero. The best member is the "
        "one with the most right answers on the measured queries, which favours the member.",
    ),
    "tolerant-recall": Definition(
        "Tolerant recall at k",
        "share of queries of which the partner or a neighbour within the tolerance "
        "has a rank of at most k; other accepted items do not stand in the way",
        "Arandjelovic et al., CVPR 2016",
        0.0,
        1.0,
        "higher",
        "The right neighbourhood counts, not only the exact patch.",
    ),
    "tolerant-mrr": Definition(
        "Tolerant mean reciprocal rank",
        "mean of 1 / best rank of an accepted item",
        "Voorhees, TREC-8, 1999",
        0.0,
        1.0,
        "higher",
        "As the mean reciprocal rank, with neighbours within the tolerance accepted.",
    ),
    "tolerant-median-rank": Definition(
        "Tolerant median rank",
        "lower median of the best rank of an accepted item",
        "Karpathy and Fei-Fei, CVPR 2015",
        1.0,
        _INF,
        "lower",
        "As the median rank, with neighbours within the tolerance accepted.",
    ),
}

DEFINITIONS: dict[str, dict[str, Definition]] = {
    "gap": GAP,
    "retrieval": RETRIEVAL,
    "structure": STRUCTURE,
    "two-stage": TWO_STAGE,
    "robustness": ROBUSTNESS,
}


def define(measure: str, metric: str) -> Definition:
    """Return the definition of a metric of a measure.

    Raises
    ------
    KeyError
        If it has none, which a test rules out for every metric measured.
    """
    table = DEFINITIONS[measure]
    # What stands behind "=" is a level; behind "/" a variant, defined or not.
    name = metric.partition("=")[0]
    return table[name] if name in table else table[metric.partition("/")[0]]
