"""Fit the verdict on the evidence of right and wrong matches.

    python benchmarks/fit_verdict.py SENTINEL --out verdict.json [--evidence evidence.csv]

The evidence is gathered, or read where the CSV exists already. The printed
figures are cross-validated: a scene is judged by a fit without it.

Right and wrong come from the registration cases: each SAR window is aligned
with its own optical window (right where the error is at most 5 px) and with
the optical window of another scene (always wrong).
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import asdict, fields
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from crosslook.atlas.register import DEFAULT_EXTRACTOR
from crosslook.extract.registry import open_extractor
from crosslook.match.align import align
from crosslook.match.evidence import Evidence
from crosslook.match.expected_error import expected_error
from crosslook.match.picture import make_picture
from crosslook.match.thin_plate import Array
from crosslook.match.transform import grid_points, mean_distance
from crosslook.match.verdict import verdict_features
from crosslook.progress import track
from registration_cases import WINDOW, Case, cases

RIGHT_PX = 5.0
FAILED_PX = 999.0
MATCH, UNCERTAIN = 0.9, 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="verdict.json")
    parser.add_argument("--evidence", type=Path, default=Path("evidence.csv"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cv2.setNumThreads(2)
    if not given.evidence.exists():
        _gather(given.sentinel, given.evidence, given.seed)
    with given.evidence.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [field.name for field in fields(Evidence)]
    features = np.stack(
        [verdict_features(Evidence(**{n: float(row[n]) for n in names})) for row in rows]
    )
    right = np.array([int(row["right"]) for row in rows])
    _report(rows, features, right)
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(features, right)
    values = {
        "weight": [round(float(v), 5) for v in fitted.coef_[0]],
        "intercept": round(float(fitted.intercept_[0]), 5),
        "thresholds": {"match": MATCH, "uncertain": UNCERTAIN},
        "fitted_on": f"{len(rows)} alignments of 512 px windows, {int(right.sum())} right",
    }
    given.out.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _report(rows: list[dict[str, str]], features: Array, right: NDArray[np.int64]) -> None:
    errors = np.array([float(row["error"]) for row in rows if row["own"] == "1"])
    print("own window within:", {t: round(float((errors <= t).mean()), 3) for t in (2, 3, 5, 10)})
    scenes = [row["scene"] for row in rows]
    model = LogisticRegression(C=1.0, max_iter=1000)
    folds = GroupKFold(10)
    held_out = cross_val_predict(
        model, features, right, groups=scenes, cv=folds, method="predict_proba"
    )[:, 1]
    false = held_out[right == 0] >= MATCH
    found = held_out[right == 1] >= MATCH
    print(f"AUROC {roc_auc_score(right, held_out):.4f}")
    print(f"at {MATCH}: false matches {false.mean():.4f}, right ones kept {found.mean():.4f}")
    edges = np.linspace(0, 1, 6)
    for low, high in pairwise(edges):
        inside = (held_out >= low) & (held_out <= high)
        if inside.any():
            mean, share = held_out[inside].mean(), right[inside].mean()
            print(f"confidence {mean:.2f}: right {share:.2f} of {int(inside.sum())}")


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
