"""The one place where every metric is defined: formula, source, how to read it.

What stands behind a slash in a metric's name says of what it is: a modality,
or the labels that it is taken against (modality, unit, label).
"""

from __future__ import annotations

import math

from crosslook.retrieval.measure.definition import Definition
from crosslook.retrieval.measure.two_stage_definitions import TWO_STAGE

_JOINT = "Over both modalities together, unit descriptors. "


def _cluster_scores(method: str, title: str, source: str) -> dict[str, Definition]:
    against = "Against modality: clusters are sensors; against unit: clusters are places."
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
            "k-means is given the number of units; density finds its own.",
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
        _JOINT + "By modality: near 0 wanted, 1 means two separate sensors; by unit: high wanted.",
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
        "Fraction of answers that hubs take from the others; a random gallery has its chance.",
    ),
    **_cluster_scores("kmeans", "k-means", "k-means++, Arthur and Vassilvitskii 2007"),
    **_cluster_scores("density", "density clusters", "HDBSCAN, Campello et al. 2013"),
    "density-outside": Definition(
        "Share in no density cluster",
        "fraction of descriptors that HDBSCAN leaves out",
        "Campello et al. 2013",
        0.0,
        1.0,
        "neither",
        "They count as one cluster of their own in the scores.",
    ),
}


_UNCHANGED = "The first level is the undisturbed query; look at how far the curve stays level."


def _curve(what: str, formula: str) -> dict[str, Definition]:
    return {
        f"recall@1/{what}": Definition(
            f"Recall at 1 by {what}",
            f"fraction of sampled queries whose partner is first; {formula}",
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
        "recall at 1 with the central k x k px of every patch, calibrated and searched anew",
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
        "Gap relative to the scatter within a modality",
        "centroid distance / mean over modalities of sqrt(mean_i || x_i - mean x ||^2)",
        "Liang et al., NeurIPS 2022, divided by the within-modality scatter",
        0.0,
        _INF,
        "lower",
        "Above 1 the sensors lie further apart than the places within a sensor.",
    ),
    "modality-probe": Definition(
        "Accuracy of a linear modality probe",
        "cross-validated accuracy of a ridge classifier of the sensor, folds by unit",
        "Alain and Bengio, ICLR workshop 2017",
        0.0,
        1.0,
        "lower",
        "0.5: the sensors cannot be told apart; 1: a plane separates them.",
    ),
    "linear-cka": Definition(
        "Debiased linear centred kernel alignment",
        "<K_s, K_o> / (||K_s|| ||K_o||), K the U-centred Gram matrices (diagonal 0)",
        "Kornblith et al., ICML 2019; unbiased by Song et al., JMLR 2012, and Nguyen et al., "
        "ICLR 2021; chance is the mean over 20 permutations of the partners",
        -1.0,
        1.0,
        "higher",
        "1: both sensors see the same similarities between places. 0: independent features, of "
        "any length; the plain form, which is not shown, nears 1 for long ones.",
    ),
    "mutual-nearest-neighbours": Definition(
        "Mutual nearest neighbours",
        "fraction of pairs in which each is the other's nearest neighbour",
        "Haghighi et al., CVPR 2018, on cross-modal pairs",
        0.0,
        1.0,
        "higher",
        "A match that holds in both directions at once; chance is 1 / (2N - 1).",
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
        "fraction of queries whose partner has a rank of at most k",
        "Manning et al., Introduction to Information Retrieval, 2008",
        0.0,
        1.0,
        "higher",
        "Ties are pessimistic: what scores the same as the partner stands before it.",
    ),
    "recall-loss": Definition(
        "Recall that an approximate index loses",
        "mean over queries of [exactly right at k] - [right at k through the index]",
        "paired bootstrap over units; Efron and Tibshirani 1993, chapter 16",
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
        "paired bootstrap over units; Efron and Tibshirani 1993, chapter 16",
        -1.0,
        1.0,
        "higher",
        "The fusion is better only where the interval lies above zero. The best member is the "
        "one with the most right answers on the measured queries, which favours the member.",
    ),
    "tolerant-recall": Definition(
        "Tolerant recall at k",
        "fraction of queries of which the partner or a neighbour within the tolerance "
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

_PAIRED = "paired bootstrap over units; Efron and Tibshirani 1993, chapter 16"

DIFFERENCE = {
    "pair-distance": Definition(
        "Difference of the distance of pairs",
        "mean_i [(1 - cos(s_i, o_i)) of this extractor - that of the other], uncalibrated",
        _PAIRED,
        -2.0,
        2.0,
        "lower",
        "Below 0 this extractor's pairs are nearer; the interval decides the claims.",
    ),
    "recall": Definition(
        "Difference of recall at 1",
        "mean_i [right at rank 1 by this extractor - by the other], uncalibrated",
        _PAIRED,
        -1.0,
        1.0,
        "higher",
        "Above 0 this extractor retrieves better; the interval decides the claims.",
    ),
}

DEFINITIONS: dict[str, dict[str, Definition]] = {
    "gap": GAP,
    "difference": DIFFERENCE,
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
