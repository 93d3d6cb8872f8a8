"""The one place where every metric is defined: formula, source, how to read it."""

from __future__ import annotations

from crosslook.measure.definition import Definition
from crosslook.measure.definitions_robustness import ROBUSTNESS
from crosslook.measure.definitions_structure import STRUCTURE, TWO_STAGE

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
