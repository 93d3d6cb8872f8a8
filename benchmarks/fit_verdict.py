"""Fit the verdict on the evidence of right and wrong matches.

    python benchmarks/fit_verdict.py register SENTINEL --out verdict.json [--evidence FILE.csv]
    python benchmarks/fit_verdict.py locate FILE.csv [FILE.csv ...] --out verdict.json

The kind that is named is fitted; the other one stays as it is in the file. The
printed figures are cross-validated: a scene is judged by a fit without it.

For ``register`` right and wrong come from the registration cases: each SAR
window is aligned with its own optical window (right where the error is at most
5 px) and with that of another scene (always wrong). The evidence is gathered,
or read where the CSV exists already. For ``locate`` they come from
``location.py --absent --out FILE.csv``: right is a centre within 32 px.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from crosslook.extract.registry import open_extractor
from crosslook.geo.picture import make_picture
from crosslook.match.align import align
from crosslook.match.judge import Evidence, Kind, expected_error, verdict_features
from crosslook.match.register import DEFAULT_EXTRACTOR
from crosslook.match.transform import grid_points, mean_distance
from crosslook.progress import track
from crosslook.types import Array
from registration_cases import WINDOW, Case, cases

RIGHT_PX = 5.0
FAILED_PX = 999.0
MATCH, UNCERTAIN = 0.9, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["register", "locate"])
    parser.add_argument("source", type=Path, nargs="+", help="SENTINEL, or CSVs of locations")
    parser.add_argument("--out", type=Path, required=True, help="verdict.json")
    parser.add_argument("--evidence", type=Path, default=Path("evidence.csv"))
    parser.add_argument("--figure", type=Path, default=None, help="PNG of the reliability curve")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    files = given.source
    if given.kind == "register":
        if not given.evidence.exists():
            cv2.setNumThreads(2)
            _gather(given.source[0], given.evidence, given.seed)
        files = [given.evidence]
    rows = [row for file in files for row in _rows(file)]
    fitted = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    fitted[given.kind] = _fit(rows, given.kind, given.figure)
    given.out.write_text(json.dumps(fitted, indent=2) + "\n", encoding="utf-8")


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def _fit(rows: list[dict[str, str]], kind: Kind, figure: Path | None) -> dict[str, Any]:
    names = [field.name for field in fields(Evidence)]
    known = [{n: float(row[n]) for n in names if n in row} for row in rows]
    features = np.stack([verdict_features(Evidence(**one), kind) for one in known])
    right = np.array([int(row["right"]) for row in rows])
    held_out = _report(rows, features, right)
    if figure is not None:
        _draw(held_out, right, kind, figure)
    fitted = LogisticRegression(C=1.0, max_iter=5000).fit(features, right)
    return {
        "weight": [round(float(v), 5) for v in fitted.coef_[0]],
        "intercept": round(float(fitted.intercept_[0]), 5),
        "thresholds": {"match": MATCH, "uncertain": UNCERTAIN},
        "fitted_on": f"{len(rows)} answers, {int(right.sum())} right",
    }


def _report(rows: list[dict[str, str]], features: Array, right: NDArray[np.int64]) -> Array:
    scenes = [row["scene"] for row in rows]
    model = LogisticRegression(C=1.0, max_iter=5000)
    folds = GroupKFold(10)
    held_out = cross_val_predict(
        model, features, right, groups=scenes, cv=folds, method="predict_proba"
    )[:, 1]
    false, found = held_out[right == 0] >= MATCH, held_out[right == 1] >= MATCH
    print(f"{len(right)} answers, {int(right.sum())} right, {len(set(scenes))} scenes")
    print(f"AUROC {roc_auc_score(right, held_out):.4f}")
    _share(f"false matches at {MATCH}", false)
    _share(f"right answers called a match at {MATCH}", found)
    _share("wrong among what is called a match", right[held_out >= MATCH] == 0)
    for low, high in pairwise([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]):
        inside = (held_out >= low) & (held_out < high) if high < 1 else held_out >= low
        if inside.any():
            mean = held_out[inside].mean()
            _share(f"confidence {low:.1f} to {high:.1f}, mean {mean:.3f}: right", right[inside])
    return np.asarray(held_out, np.float64)


def _draw(held_out: Array, right: NDArray[np.int64], kind: Kind, target: Path) -> None:
    """Share of right answers over their confidence, in bins of equal width, with intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", lw=1, label="what it says is what it is")
    for low, high in pairwise([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]):
        inside = (held_out >= low) & (held_out < high) if high < 1 else held_out >= low
        if not inside.any():
            continue
        hits, count = int(right[inside].sum()), int(inside.sum())
        bounds = binomtest(hits, count).proportion_ci(method="wilson")
        x, y = held_out[inside].mean(), hits / count
        axes.errorbar(x, y, [[y - bounds[0]], [bounds[1] - y]], fmt="o", color="#1f6fb4", capsize=3)
        axes.annotate(f"{count}", (x, y), xytext=(6, -12), textcoords="offset points", fontsize=8)
    axes.set(
        xlabel="confidence (scene held out)",
        ylabel="share of right answers, 95 %",
        title=f"{kind}: {len(right)} answers",
        xlim=(-0.02, 1.02),
        ylim=(-0.02, 1.04),
    )
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    figure.savefig(target, dpi=110)


def _share(label: str, hits: NDArray[Any]) -> None:
    low, high = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    print(f"{label:50}{hits.mean():.3f} ({low:.3f} to {high:.3f}), n = {len(hits)}")


def _gather(sentinel: Path, target: Path, seed: int) -> None:
    known = list(cases(sentinel, seed))
    lines = []
    for number, case in enumerate(track(known, "Gathering", total=len(known))):
        # Eleven scenes on, so that no neighbour that looks alike is taken.
        other = known[(number + 11 * 4 + number % 4) % len(known)]
        lines.append(_line(case, case))
        lines.append(_line(case, other))
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def _line(case: Case, other: Case) -> dict[str, float | str]:
    sar = make_picture(np.sqrt(case.sar.astype(np.float32)))
    optical = make_picture(other.optical.astype(np.float32).mean(axis=0))
    found = align(sar, optical, open_extractor(DEFAULT_EXTRACTOR))
    own = other is case
    error = FAILED_PX
    if own and found.transform is not None:
        error = mean_distance(found.transform, case.truth, grid_points(WINDOW, WINDOW))
    return {
        "scene": case.scene,
        "own": int(own),
        "right": int(error <= RIGHT_PX),
        "error": error,
        "expected": expected_error(found.evidence),
        "seconds": sum(found.seconds.values()),
        **asdict(found.evidence),
    }


if __name__ == "__main__":
    main()
