"""Marks that are not ground, the same in both images: text, frames, grids, stripes, holes.

    python benchmarks/overlays.py SENSORS SENTINEL [--limit 20] [--kinds NAMES] [--seed 0]
        [--part 0|1] [--side 256] [--near-only] [--floor]

Each kind of mark (:mod:`overlay_kinds`) is drawn into both images of pairs of places: wrong ones,
where nothing but the mark is in common, and right ones, whose frames do not lie at the shift of
the ground. It counts how often wrong pairs are called ``match``, and how far the answer on
right ones lies from that without mark. ``--part`` takes every other kind: detection was set on
part 0, so part 1 is what it is worth on kinds that it has not seen. ``--floor`` adds how far
the answer moves where exactly the marked pixels are declared as nodata in the clean images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crosslook.geo.raster import RasterArray
from crosslook.match.register import register
from crosslook.match.result import MatchResult
from crosslook.match.transform import Transform, grid_points, mean_distance
from overlay_kinds import KINDS, Image, marked
from registration_cases import ELSEWHERE, FAILED_PX, read_image, windows

_MOST_SHIFT = 16
_NEAR_PX = 1.0


@dataclass(frozen=True, eq=False)
class Place:
    """A right pair, whose frames differ by a shift, and the optical image of another place."""

    name: str
    sar: Image
    optical: Image
    wrong: Image


def sensor_places(root: Path, count: int, seed: int) -> Iterator[Place]:
    """Pairs of other sensors: what two frames shifted against each other see, 224 px."""
    names = sorted(path.stem for path in (root / "sar").glob("*.png"))
    rng = np.random.default_rng(seed)
    for number in np.linspace(0, len(names) - 1, count).round().astype(int):
        name, other = names[number], names[(number + ELSEWHERE) % len(names)]
        sar = read_image(root / "sar" / f"{name}.png")[0]
        optical, wrong = (read_image(root / "optical" / f"{n}.png") for n in (name, other))
        down, right = (int(v) for v in rng.integers(-_MOST_SHIFT, _MOST_SHIFT + 1, 2))
        side, room = sar.shape[0] - 2 * _MOST_SHIFT, _MOST_SHIFT
        there = slice(room, room + side)
        here = (slice(room + down, room + down + side), slice(room + right, room + right + side))
        yield Place(name, sar[here], optical[:, there, there], wrong[:, there, there])


def sentinel_places(root: Path, count: int, seed: int, side: int) -> Iterator[Place]:
    """Windows of Sentinel ground, the SAR image moved by a similarity."""
    for case in windows(root, side, count, seed):
        if case.wrong is not None:
            yield Place(case.scene, case.sar.astype(np.uint8), case.optical, case.wrong)


def answer(sar: Image, optical: Image, near: bool) -> MatchResult:
    """Register two plain images; from where they are placed alone where ``near``."""
    images = RasterArray.of(sar, name="sar"), RasterArray.of(optical, name="optical")
    return register(*images, near_only=near)


def floor_of(
    place: Place, kind: str, drawn: tuple[int, ...], plain: Transform, near: bool
) -> float:
    """How far the answer moves, in pixels, where exactly the marked pixels are declared nodata."""
    sar, optical = marked(kind, place.sar, place.optical, drawn)
    hidden = (sar != place.sar) | (optical != place.optical).any(axis=0)
    images = (RasterArray.of(image, ~hidden) for image in (place.sar, place.optical))
    found = register(*images, near_only=near).transform
    return FAILED_PX if found is None else mean_distance(found, plain, grid_points(*sar.shape))


def measure(
    places: Sequence[Place],
    kinds: Sequence[str],
    seed: int,
    *,
    near: bool = False,
    floor: bool = False,
) -> list[dict[str, Any]]:
    """One row per place and kind."""
    rows: list[dict[str, Any]] = []
    clean = [answer(place.sar, place.optical, near) for place in places]
    jobs = [(n, k) for k in range(len(kinds)) for n in range(len(places))]
    for number, k in jobs:
        place, kind = places[number], kinds[k]
        drawn = (seed, number, sorted(KINDS).index(kind))
        wrong = answer(*marked(kind, place.sar, place.wrong, drawn), near)
        row = {"kind": kind, "place": place.name, "wrong": wrong.verdict, "away": np.nan}
        plain = clean[number].transform
        if clean[number].verdict == "match" and plain is not None:
            right = answer(*marked(kind, place.sar, place.optical, drawn), near)
            points = grid_points(*place.sar.shape)
            away = mean_distance(right.transform, plain, points) if right.transform else FAILED_PX
            row |= {"away": away, "right": right.verdict}
            if floor:
                row["floor"] = floor_of(place, kind, drawn, plain, near)
        rows.append(row)
        if number == len(places) - 1:
            report(kind, rows[-len(places) :])
    return rows


def report(name: str, rows: list[dict[str, Any]]) -> None:
    """One line: wrong pairs called match and uncertain, right answers that stay where they were."""
    wrong = [row["wrong"] for row in rows]
    away = np.array([row["away"] for row in rows])
    away = away[~np.isnan(away)]
    kept = f"{(away <= _NEAR_PX).mean():.3f} of {len(away)}" if len(away) else "of none"
    ideal = np.array([row["floor"] for row in rows if "floor" in row])
    least = f", marks as nodata {(ideal <= _NEAR_PX).mean():.3f}" if len(ideal) else ""
    called = [row["right"] == "match" for row in rows if "right" in row]
    print(
        f"{name:24} wrong: match {np.mean([w == 'match' for w in wrong]):.3f} uncertain "
        f"{np.mean([w == 'uncertain' for w in wrong]):.3f} of {len(wrong)}; right: within "
        f"{_NEAR_PX:g} px {kept}{least}, match {np.mean(called) if called else np.nan:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sensors", type=Path)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--limit", type=int, default=20, help="pairs of places, half of each set")
    parser.add_argument("--kinds", default="", help="names, joined by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", type=int, choices=[0, 1], default=None)
    parser.add_argument("--side", type=int, default=256, help="of Sentinel windows")
    parser.add_argument("--near-only", action="store_true", help="search no further than usual")
    parser.add_argument("--floor", action="store_true", help="beside marks declared as nodata")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    half = given.limit // 2
    places = [
        *sensor_places(given.sensors, given.limit - half, given.seed),
        *sentinel_places(given.sentinel, half, given.seed, given.side),
    ]
    kinds = given.kinds.split(",") if given.kinds else sorted(KINDS)
    if given.part is not None:
        kinds = kinds[given.part :: 2]
    rows = measure(places, kinds, given.seed, near=given.near_only, floor=given.floor)
    report("all", rows)


if __name__ == "__main__":
    main()
