"""From evidence to a verdict, by a logistic whose coefficients are data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crosslook.match.evidence import Evidence
from crosslook.match.thin_plate import Array

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

    Shape (6,) for ``register``; (8,) for ``locate``, which adds the search.
    """
    common = [
        np.log1p(evidence.inliers),
        evidence.inlier_share,
        evidence.spread,
        evidence.score * 10.0,
        np.log1p(evidence.agreement),
        np.clip(evidence.information, -3.0, 6.0) / 3.0,
    ]
    if kind == "register":
        return np.array(common, np.float64)
    search = [evidence.search_score * 10.0, np.log1p(max(evidence.search_margin, 0.0)) * 10.0]
    return np.array([*common, *search], np.float64)


@lru_cache(maxsize=2)
def _coefficients(kind: Kind) -> Coefficients:
    data = json.loads(_FILE.read_text(encoding="utf-8"))[kind]
    weight = np.array(data["weight"], np.float64)
    thresholds = data["thresholds"]
    return Coefficients(weight, data["intercept"], thresholds["match"], thresholds["uncertain"])
