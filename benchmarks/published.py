"""Whether published alignments are doubted by answers that agree with each other.

    python benchmarks/published.py DATA FILE.csv --out KEYS.txt

Pairs of ``sensors`` in FILE.csv (evidence.py) with a sure answer more than 7 px from the
published alignment are registered from six other starts, in two sizes. The published alignment
is doubted where at least half of these are matches within 4 px of their median and more than
5 px from it, and none is a match within 5 px. ``--out`` gets the keys of the calls whose answers
are as far off, to 4 px, and so may be right.

Sentinel windows of 384 px or more with a likely answer more than 16 px off are cut into quarters.
The one shift that is published for a scene is doubted there where at least three of them,
registered by themselves, end within 16 px of the answer and more than 16 px from it: mountains
are moved so by the side-looking radar.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from crosslook.geo.raster import RasterArray
from crosslook.match.register import register_from
from crosslook.match.settings import RegisterSettings
from crosslook.match.transform import Transform, grid_points, translation
from crosslook.types import Array
from evidence_cases import Ask, Sensors, Trial, families
from verdict_answers import RIGHT_PX, WRONG_PX

AGREE_PX, FAR_PX, STARTS = 4.0, 7.0, 6
_SURE, _LIKELY = 0.9, 0.3
_LEAST_WINDOW = 384
_GROWN = (1.5, 2.0)  # an enlarged image has more pixels for the same distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("source", type=Path, help="CSV of evidence.py")
    parser.add_argument("--out", type=Path, required=True, help="keys, one a line")
    given = parser.parse_args()
    sensors = Sensors(given.data / "sensors")
    doubtful = [
        key
        for pair, calls in suspects(sensors, given.source).items()
        for key in agreeing(calls, away_from_published(sensors, pair))
    ]
    doubtful += doubted_windows(given.data, given.source)
    given.out.write_text("".join(f"{key}\n" for key in sorted(set(doubtful))), encoding="utf-8")


def suspects(sensors: Sensors, file: Path) -> dict[str, list[dict[str, str]]]:
    """By pair, the sure answers on its own partner that lie far off."""
    found = defaultdict(list)
    with file.open(newline="") as opened:
        for row in csv.DictReader(opened):
            family, kind = row["family"].split("-")[:2]
            sure = row["final"] == "1" and float(row["confidence"]) >= _SURE
            far = FAR_PX < float(row["error"]) < 900
            if sure and far and family in ("sensors", "enlarged") and kind != "wrong":
                seed, number = map(int, row["key"].rsplit("-", 2)[1:])
                rng = np.random.default_rng([seed, *row["family"].encode(), number])
                pair = sensors.names[int(rng.integers(len(sensors.names)))]
                found[pair].append(row)
    return dict(sorted(found.items()))


def away_from_published(sensors: Sensors, pair: str) -> float:
    """How far off a pair is registered from elsewhere, if its published alignment is doubted."""
    other = next(name for name in sensors.names if name != pair)
    off: list[Array] = []
    for n in range(STARTS):
        rng = np.random.default_rng([n, *pair.encode()])
        trial = sensors.cut(rng, (pair, other), Ask(), 192 if n % 2 else 256)
        verdict, vector = moved(trial)
        if verdict == "match":
            off.append(vector)
    middle = np.median(off, axis=0) if off else np.zeros(2)
    agree = sum(np.hypot(*(v - middle)) <= AGREE_PX for v in off)
    is_doubted = 2 * agree >= STARTS and min(np.hypot(*v) for v in (middle, *off)) > RIGHT_PX
    says = ", ".join(f"({v[0]:.1f}, {v[1]:.1f})" for v in off)
    print(f"{pair}: {'doubted' if is_doubted else 'kept'}; matches at {says}", flush=True)
    return float(np.hypot(*middle)) if is_doubted else 0.0


def doubted_windows(data: Path, file: Path) -> list[str]:
    """Keys of the windows whose quarters, each by itself, end where the whole does."""
    known = {family.name: family for family in families(data)}
    out = []
    with file.open(newline="") as opened:
        rows = [row for row in csv.DictReader(opened) if row["family"].startswith("window-right")]
    for row in rows:
        far, sure = WRONG_PX < float(row["error"]) < 900, float(row["confidence"]) >= _LIKELY
        if not (far and sure and row["final"] == "1" and int(row["side"]) >= _LEAST_WINDOW):
            continue
        seed, number = map(int, row["key"].rsplit("-", 2)[1:])
        rng = np.random.default_rng([seed, *row["family"].encode(), number])
        family = known[row["family"]]
        trial = family.make(rng, family.ask)
        off = [moved(part) for part in quarters(trial)]
        away = float(row["error"])
        hits = [
            v for _, v in off if np.hypot(*v) > WRONG_PX and abs(np.hypot(*v) - away) < WRONG_PX
        ]
        says = ", ".join(f"{name} ({v[0]:.1f}, {v[1]:.1f})" for name, v in off)
        print(f"{row['key']}, {away:.1f} px off: quarters {says}", flush=True)
        if len(hits) >= 3:
            out.append(row["key"])
    return out


def quarters(trial: Trial) -> Iterator[Trial]:
    """The four quarters of the SAR image of a trial, on all of its optical image."""
    side = trial.sar.shape[0] // 2
    for row in (0, side):
        for col in (0, side):
            cut = slice(row, row + side), slice(col, col + side)
            corner = Transform(translation(float(row), float(col)), "shift")
            yield replace(
                trial,
                sar=np.ascontiguousarray(trial.sar[cut]),
                valid=None if trial.valid is None else trial.valid[cut],
                placed=trial.placed @ corner,
                truth=None if trial.truth is None else trial.truth @ corner,
            )


def moved(trial: Trial) -> tuple[str, Array]:
    """The verdict, and by how much the answer lies off on average, optical (row, column)."""
    sar, optical = RasterArray.of(trial.sar, trial.valid), RasterArray.of(trial.optical)
    found = register_from(sar, optical, trial.placed, RegisterSettings(near_only=True))
    if found.transform is None or trial.truth is None:
        return found.verdict, np.zeros(2)
    points = grid_points(*trial.sar.shape)
    return found.verdict, (found.transform(points) - trial.truth(points)).mean(axis=0)


def agreeing(calls: list[dict[str, str]], away: float) -> list[str]:
    """Keys of those that lie about as far off."""
    if not away:
        return []
    out = []
    for row in calls:
        low, high = _GROWN if row["source"].endswith("enlarged") else (1.0, 1.0)
        if low * away - AGREE_PX <= float(row["error"]) <= high * away + AGREE_PX:
            out.append(row["key"])
    print(f"  {len(out)} of {len(calls)} calls agree: {', '.join(out)}")
    return out


if __name__ == "__main__":
    main()
