"""A verdict for a matcher, fitted to its answers in a trial."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atomic import write_text
from crosslook.errors import InputError, did_you_mean
from crosslook.match.evidence import (
    MATCHER_KEY,
    features,
    fitted_values,
    read_evidence,
    terms_of,
)
from crosslook.match.logistic import Logistic, fit_logistic, fit_quantile
from crosslook.match.settings import Search
from crosslook.retrieval.measure.resampling import bootstrap_fraction, bootstrap_mean
from crosslook.retrieval.run_folder import read_run
from crosslook.trial.answers import Answer, read_run_answers
from crosslook.trial.measures import RIGHT_PX
from crosslook.types import Array, Estimate
from crosslook.written import has_keys, refuse_foreign

SEARCHES: tuple[Search, ...] = ("initial", "expanded", "requested")
THRESHOLDS = {"match": 0.95, "uncertain": 0.3}
_PULL = 10.0
_FOLDS = 5
_LEAST = 20  # right and wrong answers of a search
_LEAST_ERROR = 0.05
_LEVELS = {"68": 0.68, "95": 0.95}


@dataclass(frozen=True)
class Covered:
    """How many errors of matches lie within a fitted quantile, by fits without their cluster.

    Attributes
    ----------
    level : float
        What it aims at.
    matches : int
    within : Estimate
    """

    level: float
    matches: int
    within: Estimate


@dataclass(frozen=True)
class Fitted:
    """What a fit is worth on clusters that it has not seen.

    Attributes
    ----------
    search : str
    right, wrong : int
        Answers that it was fitted to.
    brier, found, false : Estimate
        Squared difference of the confidence from the truth; fraction of right answers, and
        of wrong ones, that are called a match. All by fits without their cluster.
    """

    search: str
    right: int
    wrong: int
    brier: Estimate
    found: Estimate
    false: Estimate


def fit_verdict(
    run: Path, matcher: str, out: Path, seed: int = 0, *, overwrite: bool = False
) -> tuple[list[Fitted], list[Covered]]:
    """Fit a verdict to the answers of a matcher and write it for ``--verdict``.

    Right is an error of at most 5 pixels; wrong is one beyond 10, and every answer on a
    wrong partner. Each search with enough answers has a ridge logistic of its own, whose
    weights never speak against what their evidence means. Vetoes are those of the
    package. Quantiles of the error are fitted to the right partners that fits without their
    cluster call a match, and then moved until they hold for clusters that they have not seen
    (Romano, Patterson and Candes, "Conformalized quantile regression", NeurIPS 2019).

    Parameters
    ----------
    run : Path
        Of a trial with wrong partners.
    matcher : str
        One of its matchers, under the protocol that was chosen for it.
    out : Path
        JSON.
    seed : int
        Deals the clusters into folds and draws the intervals.

    Returns
    -------
    list of Fitted
        By search.
    list of Covered
        By quantile; empty where too few answers are called a match.

    Raises
    ------
    InputError
        If the run has no such matcher, one cluster, or too few right or wrong answers.
    OutputError
        If the file is there and of other origin, unless ``overwrite`` replaces it.
    """
    refuse_foreign(out.parent, {out.name: has_keys(MATCHER_KEY, "error")}, overwrite=overwrite)
    values = _source_of(run, matcher)
    answers = _answers_of(run, matcher, values["protocol"])
    worth: list[Fitted] = []
    called: list[Answer] = []
    for search in SEARCHES:
        if found := _fit_search([one for one in answers if one.search == search], search, seed):
            values[search] = found[0]
            worth.append(found[1])
            called += found[2]
    if not worth:
        raise InputError(
            f"{run}: '{matcher}' has too few answers within {RIGHT_PX:g} px, or too few on wrong "
            f"partners; {_LEAST} of each are needed. Try more pairs, or more --draws, without "
            "--no-wrong."
        )
    values["error"], covered = _errors(called, seed)
    write_text(out, json.dumps(values, indent=1, sort_keys=True) + "\n")
    return worth, covered


def _source_of(run: Path, matcher: str) -> dict[str, Any]:
    """What a verdict says of the answers that it is fitted to."""
    record = read_run(run)
    known = record.get("matchers", {})
    if matcher not in known:
        raise InputError(
            f"{run} has no answers of '{matcher}'; it has: {', '.join(known)}."
            + did_you_mean(matcher, list(known))
        )
    return {MATCHER_KEY: matcher, **known[matcher], "dataset": record["dataset"]}


def _fit_search(
    answers: Sequence[Answer], search: Search, seed: int
) -> tuple[dict[str, Any], Fitted, list[Answer]] | None:
    """What is written of a search, what it is worth, and the right partners that are a match.

    Those are called so by fits that have not seen their cluster: a fit of its own answers
    would call too many.
    """
    own = [one for one in answers if _side(one) is not None]
    right = np.array([bool(_side(one)) for one in own], np.bool_)
    if right.sum() < _LEAST or (~right).sum() < _LEAST:
        return None
    forms, clusters = _forms(own, "register"), [one.cluster for one in own]
    fit = _fit(forms, right)
    sure = _cross_fitted(forms, right, clusters, seed, forms, clusters)
    partners = [one for one in answers if not one.is_wrong]
    seen = _forms(partners, "register"), [one.cluster for one in partners]
    called = _cross_fitted(forms, right, clusters, seed, *seen) >= THRESHOLDS["match"]
    matches = [one for one, is_called in zip(partners, called, strict=True) if is_called]
    written = _written(fit, forms, right, search)
    return written, _worth(search, right, sure, clusters, seed), matches


def _answers_of(run: Path, matcher: str, protocol: str) -> list[Answer]:
    """Answers of a matcher under a protocol that rest on any tie point, of several clusters."""
    answers = [
        one
        for one in read_run_answers(run)
        if (one.matcher, one.protocol) == (matcher, protocol)
        and not one.failure
        and json.loads(one.evidence).get("inliers", 0) > 0
    ]
    if len({one.cluster for one in answers}) == 1:
        raise InputError(
            f"{run}: all answers are of one cluster, so nothing says what a fit is worth "
            "elsewhere; try pairs of several groups."
        )
    return answers


def _side(answer: Answer) -> bool | None:
    """Whether an answer is right; None where it is neither right nor surely wrong."""
    if answer.is_wrong or answer.error_px > 2 * RIGHT_PX:
        return False
    return True if answer.error_px <= RIGHT_PX else None


def _forms(answers: Sequence[Answer], use: Any) -> Array:
    read = (read_evidence(json.loads(one.evidence)) for one in answers)
    return np.array([features(evidence, use) for evidence in read], np.float64)


def _fit(forms: Array, right: Any) -> Logistic:
    signs = np.array([term.sign for term in terms_of("register")], np.float64)
    # Right and wrong answers count alike, however many there are of each.
    weight = np.where(right, 0.5 / max(1, right.sum()), 0.5 / max(1, (~right).sum())) * len(right)
    return fit_logistic(forms, right, weight, signs, (_PULL, None))


def _folds(clusters: Sequence[str], seed: int) -> dict[str, int]:
    """Deal clusters into folds."""
    names = sorted(set(clusters))
    dealt = np.random.default_rng(seed).permutation(len(names)) % min(_FOLDS, len(names))
    return dict(zip(names, dealt.tolist(), strict=True))


def _cross_fitted(
    forms: Array,
    right: Any,
    clusters: Sequence[str],
    seed: int,
    rows: Array,
    row_clusters: Sequence[str],
) -> Array:
    """Probabilities of rows, each by a fit that has seen nothing of its cluster."""
    folds = _folds([*clusters, *row_clusters], seed)
    fold, own = (np.array([folds[one] for one in some]) for some in (clusters, row_clusters))
    sure = np.full(len(rows), 0.5)
    for one in np.unique(own):
        seen = fold != one
        if right[seen].any() and (~right[seen]).any():
            sure[own == one] = _fit(forms[seen], right[seen])(rows[own == one])
    return sure


def _written(fit: Logistic, forms: Array, right: Any, search: Search) -> dict[str, Any]:
    centre = (forms[right].mean(axis=0) + forms[~right].mean(axis=0)) / 2
    return {
        "weight": _named(fit.weight, "register"),
        "intercept": round(fit.intercept, 5),
        "thresholds": THRESHOLDS,
        "reference": _named(centre, "register"),
        "vetoed": fitted_values()[search]["vetoed"],
        "fitted_on": f"{len(right)} answers, {int(right.sum())} right",
    }


def _named(values: Array, use: Any) -> dict[str, float]:
    names = [term.name for term in terms_of(use)]
    return {name: round(float(v), 5) for name, v in zip(names, values, strict=True)}


def _worth(search: str, right: Any, sure: Array, clusters: Sequence[str], seed: int) -> Fitted:
    called = sure >= THRESHOLDS["match"]
    of = np.asarray(clusters)
    return Fitted(
        search,
        int(right.sum()),
        int((~right).sum()),
        bootstrap_mean((sure - right) ** 2, of, seed),
        bootstrap_fraction(called[right], of[right], seed),
        bootstrap_fraction(called[~right], of[~right], seed),
    )


def _errors(called: Sequence[Answer], seed: int) -> tuple[dict[str, Any] | None, list[Covered]]:
    """Quantiles of the error over what is called a match, and what they are worth elsewhere.

    None where there are few, or of one cluster.
    """
    clusters = [one.cluster for one in called]
    if len(called) < _LEAST or len(set(clusters)) < 2:
        return None, []
    forms = _forms(called, "error")
    log = np.log(np.maximum([one.error_px for one in called], _LEAST_ERROR))
    folds = _folds(clusters, seed)
    fold = np.array([folds[one] for one in clusters])
    found: dict[str, Any] = {}
    covered = []
    for name, level in _LEVELS.items():
        fit = fit_quantile(forms, log, np.ones(len(log)), level)
        beyond, within = _beyond(forms, log, fold, level)
        found[name] = {
            "weight": _named(fit.weight, "error"),
            "intercept": round(fit.intercept + _quantile(beyond, level), 5),
        }
        share = bootstrap_fraction(within, np.asarray(clusters), seed)
        covered.append(Covered(level, len(called), share))
    return found | {"fitted_on": f"{len(called)} matches"}, covered


def _beyond(forms: Array, log: Array, fold: Any, level: float) -> tuple[Array, Any]:
    """By how much log errors exceed quantiles that have not seen their fold; which lie within.

    Of those quantiles, once moved by what the folds beside exceed them.
    """
    beyond, within = np.zeros(len(log)), np.zeros(len(log), np.bool_)
    for one in np.unique(fold):
        seen = fold != one
        fit = fit_quantile(forms[seen], log[seen], np.ones(int(seen.sum())), level)
        beyond[~seen] = log[~seen] - (forms[~seen] @ fit.weight + fit.intercept)
    for one in np.unique(fold):
        within[fold == one] = beyond[fold == one] <= _quantile(beyond[fold != one], level)
    return beyond, within


def _quantile(values: Array, level: float) -> float:
    """The quantile of so many values that holds for one more."""
    at = min(1.0, np.ceil((len(values) + 1) * level) / len(values))
    return float(np.quantile(values, at, method="inverted_cdf"))
