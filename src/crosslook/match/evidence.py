"""From evidence to a verdict, by a logistic whose coefficients are data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from crosslook.types import Array

FARTHEST = 50.0
"""Pixels at which distances in the evidence are capped."""


@dataclass(frozen=True)
class Evidence:
    """Plain numbers about a match; every one is finite.

    Attributes
    ----------
    inliers : float
        Number of tie points that the robust fit kept.
    inlier_fraction : float
        Of the tie points tried, 0..1.
    hull_area : float
        Area of the hull of the inliers over the area of the image, 0..1.
    median_ncc : float
        Median normalised correlation of the inliers, -1..1.
    peak_ratio : float
        Median of peak over second peak of all tie points, >= 1.
    residual : float
        Root mean square distance of the inliers from the fit, optical pixels.
    gradient_mi_distance : float
        Mean distance between the estimate from gradients and the one from
        mutual information, optical pixels; capped at 50.
    mi_z_score : float
        Mutual information at the match in units of its standard deviation over wrong
        positions nearby, above their mean (a z-score).
    relief : float
        Pixels of the grid matched on by which tie points spread along one
        line, as relief makes them do, at most about 20; 0 where they show none,
        or too few of them tell (:mod:`crosslook.match.relief`).
    search_score : float
        Sum of the scores of the search over an atlas and of its verification;
        0 where nothing was searched.
    search_margin : float
        That sum over the second-best place's, less one; 0 where nothing was searched.
    excess_inliers : float
        Fraction of inliers beyond the share that chance gives within the area
        searched: 0 for wrong matches of any size, 1 where all agree.
    neg_log10_p : float
        ``-log10`` of the probability that as many of the independent
        templates agree by chance; capped at 100.
    coverage : float
        Area of the hull of the inliers over that of all tie points, 0..1.
    split_half_distance : float
        Mean distance between the fits to two halves of the tie points that
        share hardly a pixel, optical pixels; capped at 50.
    ncc_z_score : float
        Correlation of the image as one template at the match, in standard deviations
        above the mean over places up to sixteen cells away; an image of any
        size has about 64 cells a side.
    peak_margin : float
        By how many such standard deviations it stands above the best of those places
        that is no neighbour.
    poses : float
        Rotations, scales and flips that were searched; 1 where only the start
        was followed. The best of many looks better than one.
    """

    inliers: float
    inlier_fraction: float
    hull_area: float
    median_ncc: float
    peak_ratio: float
    residual: float
    gradient_mi_distance: float
    mi_z_score: float
    relief: float = 0.0
    search_score: float = 0.0
    search_margin: float = 0.0
    excess_inliers: float = 0.0
    neg_log10_p: float = 0.0
    coverage: float = 0.0
    split_half_distance: float = FARTHEST
    ncc_z_score: float = 0.0
    peak_margin: float = 0.0
    poses: float = 1.0


OLD_NAMES = {
    "score": "median_ncc",
    "agreement": "gradient_mi_distance",
    "information": "mi_z_score",
    "excess": "excess_inliers",
    "chance": "neg_log10_p",
    "halves": "split_half_distance",
    "whole": "ncc_z_score",
    "lead": "peak_margin",
}
"""Former names of terms, as an older ``match.json`` has them."""


def with_new_names(evidence: dict[str, Any]) -> dict[str, Any]:
    """The evidence of a ``match.json`` of any version under the names of today."""
    return {OLD_NAMES.get(name, name): value for name, value in evidence.items()}


_FLAT_PX = 3.0  # spread of tie points that noise alone gives
_LEAST_ERROR = 0.2


def expected_error(evidence: Evidence) -> float:
    """What the mean error over the image stays below in 68 of 100 matches, optical pixels."""
    return _error_quantile(evidence, "68")


def error_bound(evidence: Evidence) -> float:
    """The same for 95 of 100 matches; never below :func:`expected_error`."""
    return max(expected_error(evidence), _error_quantile(evidence, "95"))


def error_features(evidence: Evidence) -> Array:
    """What the quantiles of the error rest on, each larger where the error is; shape (6,)."""
    return np.array(
        [
            np.log1p(evidence.gradient_mi_distance),
            np.log1p(evidence.split_half_distance),
            np.log1p(evidence.residual),
            np.log1p(max(0.0, evidence.relief - _FLAT_PX)),
            1.0 - min(evidence.peak_margin, _MOST_LEAD) / _MOST_LEAD,
            1.0 - evidence.excess_inliers,
        ],
        np.float64,
    )


def _error_quantile(evidence: Evidence, which: str) -> float:
    fitted = _error_coefficients()[which]
    log = float(error_features(evidence) @ np.array(fitted["weight"])) + fitted["intercept"]
    return float(np.clip(np.exp(log), _LEAST_ERROR, FARTHEST))


_MOST_LEAD = 6.0
Label = Literal["match", "uncertain", "no match"]
Kind = Literal["register", "locate"]
_FILE = Path(__file__).with_name("verdict.json")


@dataclass(frozen=True)
class Verdict:
    """``label`` and the probability that the match is right."""

    label: Label
    confidence: float


@dataclass(frozen=True, eq=False)
class Coefficients:
    """A fitted logistic and the two thresholds of the verdict."""

    weight: NDArray[np.float64]
    intercept: float
    match: float
    uncertain: float


def judge(evidence: Evidence, kind: Kind = "register") -> Verdict:
    """Say whether a match is right, and how probably.

    The confidence is ``1 / (1 + exp(-(w . features + b)))``; coefficients and
    thresholds of each kind lie in ``verdict.json``, written by
    ``benchmarks/fit_verdict.py`` from right and wrong answers on real scenes.
    The kinds differ because a wrong answer of a search is the best of a great
    many places, and so looks better than a wrong start of a registration.
    """
    fitted = _coefficients(kind)
    logit = float(verdict_features(evidence, kind) @ fitted.weight + fitted.intercept)
    confidence = float(1.0 / (1.0 + np.exp(-np.clip(logit, -40.0, 40.0))))
    if evidence.inliers == 0:
        return Verdict("no match", 0.0)
    if confidence >= fitted.match:
        return Verdict("match", confidence)
    return Verdict("uncertain" if confidence >= fitted.uncertain else "no match", confidence)


def verdict_features(evidence: Evidence, kind: Kind = "register") -> Array:
    """What the logistic sees: bounded, monotone forms of the evidence.

    Shape (10,) for ``register``, none of which grows with the image; (8,) for
    ``locate``, whose chips are of about one size.
    """
    if kind == "register":
        return np.array(
            [
                evidence.excess_inliers,
                np.log1p(evidence.neg_log10_p),
                evidence.coverage,
                evidence.median_ncc * 10.0,
                np.log1p(evidence.gradient_mi_distance),
                np.log1p(evidence.split_half_distance),
                np.clip(evidence.mi_z_score, -3.0, 6.0) / 3.0,
                np.clip(evidence.ncc_z_score, 0.0, 12.0) / 3.0,
                np.clip(evidence.peak_margin, -3.0, _MOST_LEAD),
                np.log10(evidence.poses),
            ],
            np.float64,
        )
    common = [
        np.log1p(evidence.inliers),
        evidence.inlier_fraction,
        evidence.hull_area,
        evidence.median_ncc * 10.0,
        np.log1p(evidence.gradient_mi_distance),
        np.clip(evidence.mi_z_score, -3.0, 6.0) / 3.0,
    ]
    search = [evidence.search_score * 10.0, np.log1p(max(evidence.search_margin, 0.0)) * 10.0]
    return np.array([*common, *search], np.float64)


@lru_cache(maxsize=1)
def _error_coefficients() -> dict[str, dict[str, Any]]:
    errors: dict[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))["error"]
    return errors


@lru_cache(maxsize=2)
def _coefficients(kind: Kind) -> Coefficients:
    data = json.loads(_FILE.read_text(encoding="utf-8"))[kind]
    weight = np.array(data["weight"], np.float64)
    thresholds = data["thresholds"]
    return Coefficients(weight, data["intercept"], thresholds["match"], thresholds["uncertain"])
