"""Evidence of right and wrong matches over sizes and sensors, for fit_verdict.py.

    python benchmarks/evidence.py DATA --out FILE.csv [--count 40] [--seed 0] [--only TEXT]

``DATA`` holds ``sentinel``, ``sensors`` and ``terramind``. Windows of Sentinel
ground of 192 to 2,048 px, pairs of five other sensors, five places with RTC
and simulated pairs are aligned with their own optical image and with that of
another place: near, from a start within reach, and wide, searched over
rotations and scales. ``--count`` is the number of windows of each size up to
512 px; larger ones are fewer. Rows that the file has already are not made
again, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import cv2

from crosslook.extract.registry import open_extractor
from crosslook.match.matchers.template import TemplateMatcher
from crosslook.match.pair import ImagePair
from crosslook.match.pose_search import PoseRange
from crosslook.match.register import align_in
from crosslook.match.settings import DEFAULT_EXTRACTOR, RegisterSettings
from crosslook.match.starts import EXPANDED, SearchArea, neighbourhood
from crosslook.progress import track
from registration_cases import (
    Case,
    sensor_cases,
    simulated_cases,
    terramind_cases,
    windows,
)

FRACTION = {192: 1.0, 256: 1.0, 384: 1.0, 512: 1.0, 1024: 0.5, 2048: 0.25}
REQUESTED = PoseRange(rotation=90.0, scale=(0.7, 1.4))


def cases(data: Path, count: int, seed: int) -> Iterator[tuple[str, Case, PoseRange | None]]:
    """Name of the group, case, and the range that is searched where it is not near."""
    for case in sensor_cases(data / "sensors", seed):
        yield "sensors", case, None
    for side, fraction in FRACTION.items():
        for case in windows(data / "sentinel", side, round(count * fraction), seed):
            yield f"window-{side}", case, None
    for case in terramind_cases(data / "terramind", seed):
        yield "terramind", case, None
    for side in (160, 256, 512):
        for case in simulated_cases(side, max(2, count // 4), seed):
            yield f"simulated-{side}", case, None
    for number, case in enumerate(sensor_cases(data / "sensors", seed, wide=True)):
        yield "sensors", case, REQUESTED if number % 2 else EXPANDED
    for side in (256, 512):
        for case in windows(data / "sentinel", side, count // 2, seed + 1):
            yield f"window-{side}", case, EXPANDED


def line(group: str, case: Case, wanted: PoseRange | None, own: bool) -> dict[str, float | str]:
    """One row: the case, how far the answer is off, and its evidence."""
    extractor = open_extractor(DEFAULT_EXTRACTOR)
    pair = ImagePair.of(*case.grey_images(wrong=not own), extractor)
    started = perf_counter()
    area = neighbourhood(pair) if wanted is None else SearchArea("expanded", pair, wanted)
    alignment = align_in(area, TemplateMatcher(), RegisterSettings())
    seconds = perf_counter() - started
    return {
        "seconds": round(seconds, 3),
        "error": case.error(alignment.transform if own else None),
        **{name: round(value, 5) for name, value in asdict(alignment.evidence).items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="groups whose name holds this")
    given = parser.parse_args()
    cv2.setNumThreads(2)
    known = set()
    if given.out.exists():
        with given.out.open(newline="") as file:
            known = {row["key"] for row in csv.DictReader(file)}
    for number, (group, case, wanted) in enumerate(
        track(cases(given.data, given.count, given.seed), "Gathering")
    ):
        kind = "near" if wanted is None else "wide"
        if given.only not in f"{kind}-{group}":
            continue
        for own in (True, False):
            key = f"{kind}-{group}-{case.scene}-{case.corner}-{given.seed}-{number}-{int(own)}"
            if key in known:
                continue
            head = {"key": key, "group": group, "kind": kind, "source": case.source}
            head |= {"scene": case.scene, "side": str(case.sar.shape[0]), "own": str(int(own))}
            _append(given.out, {**head, **line(group, case, wanted, own)})


def _append(target: Path, row: dict[str, float | str]) -> None:
    new = not target.exists()
    with target.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
