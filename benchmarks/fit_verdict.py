"""Fit the verdict of each search, and the quantiles of the error, on the rows of evidence.py.

    python benchmarks/fit_verdict.py FILE.csv [FILE.csv ...] [--out verdict.json]
        [--report fit.md] [--figure reliability.png] [--doubtful KEYS.txt]

Right is an error of at most 5 px; wrong is one beyond 16 px, and every partner from another
place. What lies between is left out of the fits of the verdict and reported by itself: the
place is right there, and hills or the published alignment make the error.

A search has a ridge logistic of its own, pulled towards that of all searches of ``register``
together; few answers move it little. A weight never speaks against what its evidence means, so
the fit holds beyond its data. All figures judge a sensor by a fit without it, and a region of
Sentinel scenes by one without that region.

``--doubtful`` names calls whose published alignment is likely wrong. They stay in the fit, and
figures are given with and without them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.match.evidence import Use, terms_of, use_of
from crosslook.match.logistic import Logistic, fit_logistic, fit_quantile
from crosslook.match.settings import Search
from crosslook.types import Array
from verdict_answers import SEARCHES, Answers, Flags, Names
from verdict_report import Judged, draw, report

THRESHOLDS: dict[Search, tuple[float, float]] = {
    "initial": (0.95, 0.3),
    "expanded": (0.95, 0.3),
    "requested": (0.95, 0.3),
    "atlas": (0.9, 0.3),
}
PULL: dict[Search, float] = {"initial": 10.0, "expanded": 10.0, "requested": 10.0, "atlas": 3.0}
QUANTILES = {"68": 0.68, "95": 0.95}
_SHARED_PULL = 3.0
_LEAST_ERROR = 0.05
_FEW = 100  # matches of a sensor that count for half of what a sensor may


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="+", help="CSVs of evidence.py")
    parser.add_argument("--out", type=Path, default=None, help="verdict.json to write")
    parser.add_argument("--report", type=Path, default=None, help="Markdown of all tables")
    parser.add_argument("--figure", type=Path, default=None, help="PNG of reliability")
    parser.add_argument("--doubtful", type=Path, default=None, help="keys, one a line")
    given = parser.parse_args()
    answers = Answers.read(given.source)
    sure = held_out(answers)
    judged = Judged(answers, sure, THRESHOLDS)
    fitted: dict[str, Any] = {s: fitted_search(judged, s) for s in SEARCHES}
    fitted["error"], within = fit_errors(judged)
    if given.out is not None:
        given.out.write_text(json.dumps(fitted, indent=2) + "\n", encoding="utf-8")
    doubtful = given.doubtful.read_text(encoding="utf-8").split() if given.doubtful else []
    text = report(judged, within, doubtful)
    print(text)
    if given.report is not None:
        given.report.write_text(text, encoding="utf-8")
    if given.figure is not None:
        draw(judged, given.figure)


def held_out(answers: Answers) -> Array:
    """Probabilities of all rows, each by a fit that has seen nothing of its fold."""
    sure = np.zeros(len(answers))
    for use in ("register", "locate"):
        forms = answers.forms(use)
        for fold in np.unique(answers.fold):
            fits = fit_searches(answers, use, forms, answers.seen_without(fold))
            for search, fit in fits.items():
                mine = (answers.search == search) & (answers.fold == fold)
                sure[mine] = fit(forms[mine])
    return sure


def fit_searches(answers: Answers, use: Use, forms: Array, seen: Flags) -> dict[Search, Logistic]:
    """The logistic of each search that takes these forms."""
    searches = [search for search in SEARCHES if use_of(search) == use]
    used = seen & (answers.right | answers.wrong)
    every = used & np.isin(answers.search, searches)
    sign = signs_of(use)

    def fit(mask: Flags, pull: float, towards: Array | None) -> Logistic:
        right, weight = answers.right[mask], answers.weight[mask]
        return fit_logistic(forms[mask], right, weight, sign, (pull, towards))

    shared = fit(every, _SHARED_PULL, None)
    if len(searches) == 1:
        return {searches[0]: fit(every, PULL[searches[0]], None)}
    return {
        search: fit(every & (answers.search == search), PULL[search], shared.weight)
        for search in searches
    }


def signs_of(use: Use) -> Array:
    """What a weight may be: 1 for none below 0, -1 for none above."""
    return np.array([term.sign for term in terms_of(use)], np.float64)


def fitted_search(judged: Judged, search: Search) -> dict[str, Any]:
    """What ``verdict.json`` holds of a search."""
    answers, use = judged.answers, use_of(search)
    forms = answers.forms(use)
    fit = fit_searches(answers, use, forms, np.ones(len(answers), np.bool_))[search]
    used = (answers.search == search) & (answers.right | answers.wrong)
    right = answers.right[used]
    # Where a term speaks neither for nor against: halfway from wrong to right answers.
    centre = (forms[used][right].mean(axis=0) + forms[used][~right].mean(axis=0)) / 2
    match, uncertain = THRESHOLDS[search]
    return {
        "weight": _named(fit.weight, use),
        "intercept": round(fit.intercept, 5),
        "thresholds": {"match": match, "uncertain": uncertain},
        "reference": _named(centre, use),
        "vetoed": judged.caps(search),
        "fitted_on": f"{len(right)} alignments, {int(right.sum())} right",
    }


def _named(values: Array, use: Use) -> dict[str, float]:
    names = [term.name for term in terms_of(use)]
    return {name: round(float(v), 5) for name, v in zip(names, values, strict=True)}


def fit_errors(judged: Judged) -> tuple[dict[str, Any], dict[str, Array]]:
    """Quantiles of the error over what is called a match, and those with the fold left out."""
    answers = judged.answers
    called = judged.called & (answers.error < 900) & judged.is_answer & (answers.search != "atlas")
    forms, weight = answers.forms("error"), _balanced(answers.sensor, called)
    log = np.log(np.maximum(answers.error, _LEAST_ERROR))
    fitted: dict[str, Any] = {}
    within: dict[str, Array] = {}
    for name, level in QUANTILES.items():
        quantile = np.full(len(log), np.nan)
        for fold in np.unique(answers.fold[called]):
            seen = called & answers.seen_without(fold)
            mine = called & (answers.fold == fold)
            fit = fit_quantile(forms[seen], log[seen], weight[seen], level)
            quantile[mine] = forms[mine] @ fit.weight + fit.intercept
        within[name] = np.where(np.isnan(quantile), np.nan, log <= quantile)
        fit = fit_quantile(forms[called], log[called], weight[called], level)
        fitted[name] = {
            "weight": _named(fit.weight, "error"),
            "intercept": round(fit.intercept, 5),
        }
    return {**fitted, "fitted_on": f"{int(called.sum())} matches"}, within


def _balanced(name: Names, among: Flags) -> Array:
    """Weights by which all names count about alike, unless there are few of one."""
    known, number = np.unique(name, return_inverse=True)
    count = np.bincount(number[among], minlength=len(known))
    return np.asarray(1.0 / (count[number] + _FEW), np.float64)


if __name__ == "__main__":
    main()
