"""Registration of 256 px pairs of five other sensors, with right and wrong partners.

    python benchmarks/sensors.py SENSORS [--wide] [--seeds 0,1] [--limit N] [--out FILE.csv]

Each SAR image is moved within its frame by a known similarity: near by up to 2
degrees, 2 per cent and 10 px; with ``--wide`` by up to 90 degrees, .7 to 1.4
and a tenth of the side, which is searched with ``rotation=90, scale=(.7,
1.4)``. It is registered on its own optical image and on that of another
region. ``--part 0`` and ``--part 1`` take every other region: settings were
chosen on part 0, so part 1 is what they are worth elsewhere.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from crosslook.match.register import register
from crosslook.progress import track
from registration_cases import Case, sensor_cases

WITHIN = (2, 3, 5, 10)
RIGHT_PX = 5.0
REQUESTED = {"rotation": 90.0, "scale": (0.7, 1.4)}
Line = dict[str, Any]


def measure(cases: Iterable[Case], options: dict[str, Any], *, wrong: bool = True) -> list[Line]:
    """Register every case on its own optical image and on the wrong one."""
    lines: list[Line] = []
    for case in cases:
        for own in (True, False) if wrong else (True,):
            images = case.images(wrong=not own)
            started, worked = perf_counter(), process_time()
            result = register(*images, **options)
            seconds, work = perf_counter() - started, process_time() - worked
            line: Line = {
                "source": case.source,
                "scene": case.scene,
                "side": case.sar.shape[0],
                "own": int(own),
                "error": case.error(result.transform if own else None),
                "verdict": result.verdict,
                "confidence": result.confidence,
                "expected": result.expected_error_px,
                "bound": result.error_bound_px,
                "search": result.search,
                "seconds": seconds,
                "cpu_seconds": work,
            }
            lines.append(line)
    return lines


def report(name: str, lines: list[Line]) -> None:
    """Print how near the answers are, what the verdict says of them, and the time."""
    own = [line for line in lines if line["own"]]
    other = [line for line in lines if not line["own"]]
    error = np.array([line["error"] for line in own])
    within = " ".join(f"<= {t} px {(error <= t).mean():.3f}" for t in WITHIN)
    clock, work = (np.mean([line[k] for line in own]) for k in ("seconds", "cpu_seconds"))
    print(f"{name}: {within}; n = {len(own)}, {clock:.2f} s a pair ({work:.2f} s of a core)")
    right = error <= RIGHT_PX
    _fraction(
        "right answers called match", [own[i]["verdict"] == "match" for i in np.flatnonzero(right)]
    )
    _fraction(
        "failed right partners called match",
        [own[i]["verdict"] == "match" for i in np.flatnonzero(error > 2 * RIGHT_PX)],
    )
    _fraction("wrong partners called match", [line["verdict"] == "match" for line in other])
    _fraction("wrong partners called uncertain", [line["verdict"] == "uncertain" for line in other])
    called = [line for line in own if line["verdict"] == "match" and line["expected"]]
    _fraction("matches within expected_error_px", [m["error"] <= m["expected"] for m in called])
    _fraction("matches within error_bound_px", [m["error"] <= m["bound"] for m in called])
    sure = [line["confidence"] for line in (*own, *other)]
    label = [*right, *(False for _ in other)]
    if len(set(label)) > 1:
        print(f"  AUROC of the confidence {roc_auc_score(label, sure):.4f}")


def _fraction(label: str, hits: list[bool]) -> None:
    if hits:
        low, high = binomtest(sum(map(bool, hits)), len(hits)).proportion_ci(method="wilson")
        print(f"  {label:36}{np.mean(hits):.3f} ({low:.3f} to {high:.3f}), n = {len(hits)}")


def write_lines(lines: list[Line], target: Path | None) -> None:
    """One row a registration."""
    if target is not None:
        with target.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sensors", type=Path)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--limit", type=int, default=None, help="pairs a seed, evenly spread")
    parser.add_argument("--part", type=int, choices=[0, 1], default=None)
    parser.add_argument("--near-only", action="store_true")
    parser.add_argument("--out", type=Path, default=None, help="CSV with one line per answer")
    given = parser.parse_args()
    cv2.setNumThreads(2)
    options: dict[str, Any] = dict(REQUESTED) if given.wide else {"near_only": given.near_only}
    cases = [
        case
        for seed in map(int, given.seeds.split(","))
        for case in sensor_cases(given.sensors, seed, wide=given.wide, limit=given.limit)
    ]
    regions = sorted({case.scene for case in cases})
    if given.part is not None:
        cases = [case for case in cases if regions.index(case.scene) % 2 == given.part]
    lines = measure(track(cases, "Registering"), options)
    report("wide" if given.wide else "near", lines)
    for source in sorted({line["source"] for line in lines}):
        report(f"  {source}", [line for line in lines if line["source"] == source])
    write_lines(lines, given.out)


if __name__ == "__main__":
    main()
