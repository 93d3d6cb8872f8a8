"""Fit the verdict, and the quantiles of the error, on evidence of right and wrong matches.

    python benchmarks/fit_verdict.py register FILE.csv [FILE.csv ...] --out verdict.json
    python benchmarks/fit_verdict.py locate FILE.csv [FILE.csv ...] --out verdict.json

The kind that is named is fitted; the other one stays as it is in the file.

For ``register`` the files come from ``evidence.py``: right is an error of at
most 5 px, wrong is one beyond 16 px and every partner from another place;
what lies between is left out of the fit and counted as wrong in the figures:
the place is right there, and hills or the published alignment make the error.
A weight never speaks against what its evidence means, so the fit holds beyond
its data. The printed figures judge a sensor by a fit without it. For
``locate`` they come from ``location.py --absent --out FILE.csv``, right is a
centre within 32 px, and a scene is judged by a fit without it.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, minimize
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from crosslook.match.evidence import Evidence, Use, features, read_evidence, terms_of
from crosslook.types import Array

RIGHT_PX, WRONG_PX = 5.0, 16.0  # no published alignment is off by as much
THRESHOLDS = {"register": (0.8, 0.4), "locate": (0.9, 0.3)}
QUANTILES = {"68": 0.68, "95": 0.95}
FOLDS = 10
BINS = tuple(pairwise([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]))
Rows = list[dict[str, str]]
Kind = Literal["register", "locate"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["register", "locate"])
    parser.add_argument("source", type=Path, nargs="+", help="CSVs of evidence")
    parser.add_argument("--out", type=Path, required=True, help="verdict.json")
    parser.add_argument("--figure", type=Path, default=None, help="PNG of the reliability curve")
    given = parser.parse_args()
    rows = [row for file in given.source for row in _rows(file)]
    fitted = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    kind: Kind = given.kind
    known = [_evidence(row) for row in rows]
    forms = np.stack([features(one, kind) for one in known])
    right, used, group = _answers(rows, kind)
    sure = _held_out(group, lambda m: _predictor(forms[m & used], right[m & used], kind), forms)
    near = right if kind == "locate" else _same_place(rows)
    _report(right, near, sure, rows, kind)
    if given.figure is not None:
        _draw(sure, right, near, kind, given.figure)
    weight, intercept = fit_logistic(forms[used], right[used], signs_of(kind))
    match, uncertain = THRESHOLDS[kind]
    fitted[kind] = {
        "weight": _named(weight, kind),
        "intercept": round(intercept, 5),
        "thresholds": {"match": match, "uncertain": uncertain},
        "fitted_on": f"{int(used.sum())} answers, {int(right[used].sum())} right",
        **reference_of(forms[used], right[used], kind),
    }
    if kind == "register":
        fitted["error"] = _fit_errors(rows, known, sure, group)
    given.out.write_text(json.dumps(fitted, indent=2) + "\n", encoding="utf-8")


def _rows(file: Path) -> Rows:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def _evidence(row: dict[str, str]) -> Evidence:
    return read_evidence(dict(row))


def _named(values: Array, use: Use) -> dict[str, float]:
    names = [term.name for term in terms_of(use)]
    return {name: round(float(v), 5) for name, v in zip(names, values, strict=True)}


def signs_of(kind: Kind) -> Array:
    """What a weight may be: 1 for none below 0, -1 for none above."""
    return np.array([term.sign for term in terms_of(kind)], np.float64)


def reference_of(forms: Array, right: NDArray[np.bool_], kind: Kind) -> dict[str, Any]:
    """Where a term speaks neither for nor against: halfway from wrong to right answers."""
    centre = (forms[right].mean(axis=0) + forms[~right].mean(axis=0)) / 2
    counted = f"{len(right)} answers, {int(right.sum())} right"
    return {"reference": _named(centre, kind), "reference_on": counted}


def _answers(
    rows: Rows, kind: Kind
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.str_]]:
    """What is right, what the fit uses, and what must not be split between fit and test."""
    if kind == "locate":
        right = np.array([row["right"] == "1" for row in rows])
        scenes = sorted({row["scene"] for row in rows})
        fold = {scene: str(n % FOLDS) for n, scene in enumerate(scenes)}
        return right, np.ones(len(rows), np.bool_), np.array([fold[r["scene"]] for r in rows])
    error = np.array([float(row["error"]) for row in rows])
    matched = np.array([float(row["inliers"]) > 0 for row in rows])
    right = (error <= RIGHT_PX) & matched
    return right, matched & (right | (error > WRONG_PX)), np.array([r["source"] for r in rows])


def _same_place(rows: Rows) -> NDArray[np.bool_]:
    """Where an answer is of the right place, though perhaps not right to 5 px."""
    return np.array([float(r["error"]) <= WRONG_PX and float(r["inliers"]) > 0 for r in rows])


def fit_logistic(forms: Array, right: NDArray[np.bool_], signs: Array) -> tuple[Array, float]:
    """Weights and intercept of a ridge logistic whose weights have the given signs, or are 0."""
    std = forms.std(axis=0) + 1e-9
    scaled = (forms - forms.mean(axis=0)) / std
    sign = np.where(right, 1.0, -1.0)

    def loss(values: Array) -> tuple[float, Array]:
        margin = sign * (scaled @ values[:-1] + values[-1])
        pull = -sign / (1.0 + np.exp(np.clip(margin, -40, 40)))
        gradient = np.append(scaled.T @ pull + values[:-1], pull.sum())
        return float(np.logaddexp(0.0, -margin).sum() + 0.5 * (values[:-1] ** 2).sum()), gradient

    bounds = [(0.0, None) if s > 0 else (None, 0.0) for s in signs] + [(None, None)]
    best = minimize(loss, np.zeros(len(signs) + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    weight = best[:-1] / std
    return weight, float(best[-1] - weight @ forms.mean(axis=0))


def fit_quantile(forms: Array, log_error: Array, level: float) -> tuple[Array, float]:
    """Weights, none below 0, and intercept of a linear quantile (Koenker and Bassett 1978)."""
    count, terms = forms.shape
    cost = np.concatenate(
        [np.full(terms, 1e-3 * count), [0.0], np.full(count, level), np.full(count, 1 - level)]
    )
    system = np.hstack([forms, np.ones((count, 1)), np.eye(count), -np.eye(count)])
    bounds = [(0, None)] * terms + [(None, None)] + [(0, None)] * (2 * count)
    solution = linprog(cost, A_eq=system, b_eq=log_error, bounds=bounds, method="highs").x
    return solution[:terms], float(solution[terms])


def _predictor(forms: Array, right: NDArray[np.bool_], kind: Kind) -> Callable[[Array], Array]:
    weight, intercept = fit_logistic(forms, right, signs_of(kind))
    return lambda given: 1.0 / (1.0 + np.exp(-np.clip(given @ weight + intercept, -40, 40)))


def _held_out(
    group: NDArray[np.str_],
    fit: Callable[[NDArray[np.bool_]], Callable[[Array], Array]],
    forms: Array,
) -> Array:
    """Predictions of every row by a fit without its group."""
    out = np.zeros(len(group))
    for name in np.unique(group):
        mine = group == name
        out[mine] = fit(~mine)(forms[mine])
    return out


def _fit_errors(
    rows: Rows, known: list[Evidence], sure: Array, group: NDArray[np.str_]
) -> dict[str, Any]:
    """Quantiles of the error over what is called a match, and whether they hold left out."""
    error = np.array([float(row["error"]) for row in rows])
    called = (sure >= THRESHOLDS["register"][0]) & (error < 900)
    forms = np.stack([features(one, "error") for one in known])[called]
    log, group = np.log(np.maximum(error[called], 0.05)), group[called]
    fitted = {}
    for name, level in QUANTILES.items():

        def fit(mask: NDArray[np.bool_], level: float = level) -> Callable[[Array], Array]:
            weight, intercept = fit_quantile(forms[mask], log[mask], level)
            return lambda given: given @ weight + intercept

        held_out = _held_out(group, fit, forms)
        _fraction(f"error within the {name} % quantile, sensor left out", log <= held_out)
        for source in np.unique(group):
            mine = group == source
            _fraction(f"  {source}", (log <= held_out)[mine])
        weight, intercept = fit_quantile(forms, log, level)
        fitted[name] = {
            "weight": _named(weight, "error"),
            "intercept": round(intercept, 5),
        }
    return {**fitted, "fitted_on": f"{len(log)} matches"}


def _report(
    right: NDArray[np.bool_], near: NDArray[np.bool_], sure: Array, rows: Rows, kind: Kind
) -> None:
    match, uncertain = THRESHOLDS[kind]
    print(f"{len(right)} answers, {int(right.sum())} right")
    sides = np.array([f"{r.get('kind', '')} {r.get('group', '')}".strip() for r in rows])
    sources = np.array([r.get("source", "") for r in rows])
    everything = np.ones(len(right), np.bool_)
    parts = {"all": everything, **{n: sides == n for n in np.unique(sides)}}
    parts |= {f"source {n}": sources == n for n in np.unique(sources) if n}
    for name, mine in parts.items():
        if len(set(right[mine])) < 2:
            continue
        print(name, f"AUROC {roc_auc_score(right[mine], sure[mine]):.4f}", end="")
        clear = mine & (right | ~near)
        print(f", without what is in between {roc_auc_score(right[clear], sure[clear]):.4f}")
        _fraction("  right answers called a match", sure[mine & right] >= match)
        _fraction("  wrong answers called a match", sure[mine & ~right] >= match)
        _fraction("  of these other places called a match", sure[mine & ~near] >= match)
        _fraction("  other places called uncertain or more", sure[mine & ~near] >= uncertain)
    for low, high in BINS:
        inside = _inside(sure, low, high)
        if inside.any():
            mean = sure[inside].mean()
            _fraction(f"confidence {low:.1f} to {high:.1f}, mean {mean:.3f}: right", right[inside])
            _fraction("  the right place", near[inside])


def _inside(sure: Array, low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((sure >= low) & ((sure < high) | (high >= 1.0)), np.bool_)


def _draw(
    held_out: Array,
    right: NDArray[np.bool_],
    near: NDArray[np.bool_],
    kind: Kind,
    target: Path,
) -> None:
    """Fraction of right answers over their confidence, in bins of equal width, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=1, label="what it says is what it is")
    curves = {"right": (right, "#1f6fb4", 0.0)}
    if kind == "register":
        curves = {
            f"within {RIGHT_PX:g} px": (right, "#1f6fb4", 0.0),
            f"within {WRONG_PX:g} px: the right place": (near, "#c2571a", 0.012),
        }
    for name, (hit, colour, aside) in curves.items():
        for low, high in BINS:
            inside = _inside(held_out, low, high)
            if not inside.any():
                continue
            hits, count = int(hit[inside].sum()), int(inside.sum())
            bounds = binomtest(hits, count).proportion_ci(method="wilson")
            x, y = held_out[inside].mean() + aside, hits / count
            bars = [[y - bounds[0]], [bounds[1] - y]]
            label = name if low == 0.0 and kind == "register" else None
            axes.errorbar(x, y, bars, fmt="o", color=colour, capsize=3, label=label)
            if aside == 0.0:
                spot = (x, y)
                axes.annotate(f"{count}", spot, (6, -12), textcoords="offset points", fontsize=8)
    left_out = "sensor" if kind == "register" else "scene"
    axes.set(
        xlabel=f"confidence ({left_out} left out)",
        ylabel="fraction, 95 %" if kind == "register" else "fraction of right answers, 95 %",
        title=f"{kind}: {len(right)} answers",
        xlim=(-0.02, 1.04),
        ylim=(-0.02, 1.04),
    )
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    figure.savefig(target, dpi=110)


def _fraction(label: str, hits: NDArray[np.bool_]) -> None:
    if not len(hits):
        return
    low, high = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    print(f"{label:50}{hits.mean():.3f} ({low:.3f} to {high:.3f}), n = {len(hits)}")


if __name__ == "__main__":
    main()
