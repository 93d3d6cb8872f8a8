"""Who is the better judge of the last two pixels: tie points or mutual information.

    python benchmarks/refinement.py DATA [--count 60] [--seed 1]

``DATA`` holds ``sentinel`` and ``sensors``. Each pair is aligned twice by a
similarity: as its tie points say, and moved all the way to the optimum of
mutual information. Between the two lie the fractions that ``register`` may
go. Of pairs that are called a match the mean error is told at five of them
and at the one that ``register`` takes, by the residual of the tie points.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.extract.registry import open_extractor
from crosslook.match.align import Fitting, align
from crosslook.match.matchers.template import TemplateMatcher
from crosslook.match.pair import ImagePair
from crosslook.match.refine import fraction_of
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.starts import Start
from crosslook.match.transform import grid_points
from crosslook.progress import track
from registration_cases import Case, cases, sensor_cases

FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
FAILED_PX = 8.0


@dataclass(frozen=True)
class Outcome:
    """Errors at every fraction and at the one taken, and the residual of the tie points."""

    errors: NDArray[np.float64]
    residual: float


def outcomes(chosen: Iterable[Case]) -> list[Outcome]:
    """Both answers of every case that is a match, and what lies between them."""
    extractor = open_extractor(DEFAULT_EXTRACTOR)
    out = []
    for case in chosen:
        pair = ImagePair.of(*case.grey_images(), extractor)
        begin = Start(pair.start)
        found = TemplateMatcher().tie_points(pair, begin)
        start, optimum = (align(pair, begin, found, Fitting(fraction=f)) for f in (0.0, 1.0))
        if start.transform is None or optimum.transform is None:
            continue
        points = grid_points(*case.sar.shape)
        first, last = start.transform(points), optimum.transform(points)
        residual = start.evidence.residual
        truth = case.truth(points)
        errors = np.array(
            [
                np.linalg.norm(first + part * (last - first) - truth, axis=1).mean()
                for part in (*FRACTIONS, fraction_of(residual))
            ]
        )
        if start.is_match and errors.min() < FAILED_PX:
            out.append(Outcome(errors, residual))
    return out


def report(name: str, matches: list[Outcome]) -> None:
    """One line for all, and one for each third by the residual."""
    ordered = sorted(matches, key=lambda one: one.residual)
    thirds = [ordered[i * len(ordered) // 3 : (i + 1) * len(ordered) // 3] for i in range(3)]
    for part in (ordered, *thirds):
        if part:
            mean = np.mean([one.errors for one in part], axis=0)
            scatter = np.mean([one.residual for one in part])
            means = " ".join(f"{value:6.2f}" for value in mean)
            print(f"{name:10} n = {len(part):3}, residual {scatter:4.2f} px: {means}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=60, help="of each data set")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    cv2.setNumThreads(2)
    print(f"{'':38}" + " ".join(f"{f:6.2f}" for f in FRACTIONS) + "  taken")
    for name, chosen in (
        ("sentinel", cases(given.data / "sentinel", given.seed, given.count)),
        ("sensors", sensor_cases(given.data / "sensors", given.seed, limit=given.count)),
    ):
        report(name, outcomes(track(chosen, name, given.count)))


if __name__ == "__main__":
    main()
