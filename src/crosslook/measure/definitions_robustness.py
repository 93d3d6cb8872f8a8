"""Definitions of the robustness metrics; a level follows behind ``=`` or in ``k``."""

from __future__ import annotations

from crosslook.measure.definition import Definition

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
