"""Gather the evidence of right and wrong matches, which the verdict is fitted on.

    python benchmarks/fit_verdict.py SENTINEL --out evidence.csv [--limit N]

Right and wrong come from the registration cases: each SAR window is aligned
with its own optical window (right where the error is at most 5 px) and with
the optical window of another scene (always wrong).
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from crosslook.extract.registry import open_extractor
from crosslook.match.align import align
from crosslook.match.expected_error import expected_error
from crosslook.match.picture import make_picture
from crosslook.match.transform import grid_points, mean_distance
from crosslook.progress import track
from registration_cases import WINDOW, Case, cases

RIGHT_PX = 5.0
FAILED_PX = 999.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    cv2.setNumThreads(2)
    known = list(cases(given.sentinel, given.seed, given.limit))
    lines = []
    for number, case in enumerate(track(known, "Gathering", total=len(known))):
        # Eleven scenes on, so that no neighbour that looks alike is taken.
        other = known[(number + 11 * 4 + number % 4) % len(known)]
        lines.append(_line(case, case))
        if other.scene != case.scene:
            lines.append(_line(case, other))
    with given.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    errors = np.array([line["error"] for line in lines if line["own"]])
    print({t: round(float((errors <= t).mean()), 3) for t in (2, 3, 5, 10)})


def _line(case: Case, other: Case) -> dict[str, float | str]:
    sar = make_picture(np.sqrt(case.sar.astype(np.float32)))
    optical = make_picture(other.optical.astype(np.float32).mean(axis=0))
    found = align(sar, optical, open_extractor("hog:cell=4,blur=1"))
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
