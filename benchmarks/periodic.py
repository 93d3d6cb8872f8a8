"""Ground that repeats itself strictly: how often a place some periods away is called a match.

    python benchmarks/periodic.py [--count 50] [--seed 0] [--side 256]

Gratings, orchards, parcels and rows of containers, turned and with periods of 8 to 40 pixels. The
SAR image is the same ground with another contrast, speckle of several looks, and a shift. An
answer is at a wrong period where it lies half a period or more from the truth.
"""

from __future__ import annotations

import argparse
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.geo.raster import RasterArray
from crosslook.match.register import register

Field = NDArray[Any]
KINDS = ("grating", "orchard", "parcels", "rows")
_MOST_SHIFT = 20.0


def ground(
    kind: str, rows: Field, cols: Field, period: tuple[float, float]
) -> tuple[Field, Field, Field]:
    """What an optical and a SAR image show at positions, 0..1, and how strongly it repeats."""
    u, v = rows / period[0], cols / period[1]
    if kind == "grating":
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * u)
        return wave, 1.0 - 0.8 * wave, u
    if kind == "orchard":
        away = np.hypot(u - np.rint(u), v - np.rint(v))
        tree = np.exp(-((away / 0.25) ** 2))
        return 1.0 - 0.8 * tree, 0.2 + 0.8 * tree, u
    if kind == "parcels":
        edge = np.minimum(np.abs(u - np.rint(u)) * period[0], np.abs(v - np.rint(v)) * period[1])
        line = np.exp(-((edge / 1.2) ** 2))
        return 0.3 + 0.7 * line, 0.6 - 0.5 * line, u
    box = ((u % 1.0) < 0.6) & ((v % 1.0) < 0.8)
    shade = np.where(box, 0.9, 0.2)
    return shade, np.where((u % 1.0) < 0.15, 1.0, 0.25), u


def pair(kind: str, side: int, rng: np.random.Generator) -> tuple[Field, Field, Field, float]:
    """A SAR image, an optical one, the shift of SAR to optical pixels, and the period."""
    short = float(rng.uniform(8.0, 24.0))
    period = (short, short * float(rng.uniform(1.0, 2.0)))
    angle, shift = rng.uniform(0, np.pi), rng.uniform(-_MOST_SHIFT, _MOST_SHIFT, 2)
    rows, cols = np.indices((side, side)).astype(np.float64)

    def turned(down: float, right: float) -> tuple[Field, Field]:
        r, c = rows + down, cols + right
        return r * np.cos(angle) + c * np.sin(angle), c * np.cos(angle) - r * np.sin(angle)

    optical = ground(kind, *turned(0.0, 0.0), period)[0]
    sar = ground(kind, *turned(shift[0], shift[1]), period)[1]
    looks = float(rng.uniform(3.0, 12.0))
    sar = (0.05 + sar) * rng.gamma(looks, 1.0 / looks, sar.shape)
    optical = optical + rng.normal(0.0, rng.uniform(0.03, 0.12), optical.shape)
    optical = cv2.GaussianBlur(optical, (0, 0), 0.7)
    images = (np.clip(one / np.quantile(one, 0.99), 0, 1) for one in (np.sqrt(sar), optical))
    first, second = (np.asarray(255 * one, np.uint8) for one in images)
    return first, np.stack([second] * 3), shift, min(period)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=256)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    lines = []
    for number in range(given.count):
        kind = KINDS[number % len(KINDS)]
        made = pair(kind, given.side, np.random.default_rng([given.seed, number]))
        sar, optical, shift, period = made
        images = RasterArray.of(sar, name="sar"), RasterArray.of(optical, name="optical")
        result = register(*images, near_only=True)
        centre = np.full((1, 2), given.side / 2)
        off = 999.0
        if result.transform is not None:
            off = float(np.linalg.norm(result.transform(centre) - centre - shift))
        lines.append((kind, off >= period / 2, result.verdict))
    for kind in (*KINDS, ""):
        some = [line for line in lines if kind in ("", line[0])]
        wrong = [line[2] for line in some if line[1]]
        right = [line[2] for line in some if not line[1]]
        print(
            f"{kind or 'all':10} {len(wrong)} of {len(some)} at a wrong period: "
            f"{wrong.count('match')} called match, {wrong.count('uncertain')} uncertain; "
            f"of {len(right)} at the right one {right.count('match')} called match"
        )


if __name__ == "__main__":
    main()
