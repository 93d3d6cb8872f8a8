"""Definitions of the structure and two-stage metrics; part of ``definitions``.

What stands behind a slash in a metric's name says of what it is: a modality,
or the labels that it is taken against (modality, scene, label).
"""

from __future__ import annotations

import math

from crosslook.measure.definition import Definition

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
