"""How well hills are followed: simulated ones against their truth, real ones against tie points.

    python benchmarks/hills.py [--sentinel SENTINEL] [--seeds 1,2,3] [--reliefs 100,250]

Simulated pairs are left displaced by their terrain. The error is that of every
fourth pixel of ground that lies neither in layover nor in shadow, in the SAR
image, of the similarity and of the relief without and with the elevation
model. On Sentinel scenes whose tie points spread by more than 8 px along one
line, clear tie points in blocks a quarter larger than a template are left out,
a fifth of the blocks at a time, and predicted by a field through the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from crosslook.data.simulate.scene import make_pair
from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.align import Alignment, Fitting, align
from crosslook.match.field import fit_field
from crosslook.match.matchers.template import TemplateMatcher
from crosslook.match.pair import ImagePair
from crosslook.match.relief import ReliefFit, direction_of, follow_relief
from crosslook.match.settings import DEFAULT_EXTRACTOR
from crosslook.match.starts import Start
from crosslook.match.transform import Transform
from crosslook.types import Array, Modality
from registration_cases import all_shifts

WITHIN_PX = 2.0
HILLY_PX = 8.0
FOLDS = 5


def simulated(seed: int, relief: float, side: int) -> None:
    """Print the fraction of ground found within 2 px."""
    made = make_pair(size=side, seed=seed, relief=relief, uncorrected=True)
    truth = made.displacement
    sar = open_image(RasterArray.of(made.sar, name="sar"), "sar").read().grey_image("sar")
    optical = open_image(RasterArray.of(made.optical, name="o"), "optical").read()
    ground = optical.grey_image("optical")
    pair = ImagePair.of(sar, ground, open_extractor(DEFAULT_EXTRACTOR))
    start = _aligned(pair).transform
    if start is None:
        print(f"seed {seed}, relief {relief:g} m: not aligned")
        return
    rows, cols = np.mgrid[2:side:4, 2:side:4].reshape(2, -1)
    seen = ~(truth.layover | truth.shadow)[rows, cols]
    at = np.column_stack([rows, cols])[seen] + 0.5
    there = at - np.column_stack([np.zeros(len(at)), truth.columns[rows, cols][seen]])
    low, high = np.quantile(truth.columns, [0.05, 0.95])
    heights = truth.height.astype(np.float64)
    fits = (follow_relief(pair, start, heights=known) for known in (None, heights))
    maps = [start, *(fit.transform if fit else start for fit in fits)]
    fractions = [_fraction(transform, at, there) for transform in maps]
    words = ("similarity", "relief", "with heights")
    words_of = ", ".join(f"{w} {s:.3f}" for w, s in zip(words, fractions, strict=True))
    print(
        f"seed {seed}, {high - low:.0f} px of relief: within {WITHIN_PX:g} px {words_of}",
        flush=True,
    )


def _aligned(pair: ImagePair) -> Alignment:
    start = Start(pair.start)
    return align(pair, start, TemplateMatcher().tie_points(pair, start), Fitting())


def _fraction(transform: Transform, at: Array, there: Array) -> float:
    return float((np.linalg.norm(transform.inverse(at) - there, axis=1) <= WITHIN_PX).mean())


def real(root: Path) -> None:
    """Print the error of tie points left out of every hilly scene, and the median ratio."""
    extractor = open_extractor(DEFAULT_EXTRACTOR)
    ratios = []
    for scene in sorted(all_shifts(root)):
        sar, optical = (_grey_image(root, kind, scene) for kind in ("sar", "optical"))
        pair = ImagePair.of(sar, optical, extractor)
        start = _aligned(pair).transform
        fit = None if start is None else follow_relief(pair, start)
        if start is None or fit is None:
            continue
        displacement = fit.points.optical - start(fit.points.sar)
        u = np.radians(fit.direction)
        along = displacement @ np.array([np.sin(u), np.cos(u)])
        if np.ptp(np.quantile(along, [0.1, 0.9])) <= HILLY_PX:
            continue
        flat = float(np.median(np.linalg.norm(displacement, axis=1)))
        bent = float(np.median(_left_out(fit, displacement)))
        ratios.append(bent / flat)
        print(
            f"{scene}: similarity {flat:.2f} px, relief {bent:.2f} px, n = {len(along)}", flush=True
        )
    if ratios:
        print(f"median ratio {np.median(ratios):.2f}, {len(ratios)} scenes")


def _left_out(fit: ReliefFit, displacement: Array) -> Array:
    points = fit.points.optical
    square = np.floor(points / (1.25 * fit.template)).astype(int)
    fold = (square[:, 0] * 2 + square[:, 1] * 3) % FOLDS
    error = np.zeros(len(points))
    axes = direction_of(fit.direction)
    for k in range(FOLDS):
        out = fold == k
        field = fit_field(points[~out], displacement[~out], axes, fit.template)
        error[out] = np.linalg.norm(field(points[out]) - displacement[out], axis=1)
    return error


def _grey_image(root: Path, kind: str, scene: str) -> GreyImage:
    modality: Modality = "sar" if kind == "sar" else "optical"
    return open_image(root / kind / f"{scene}.tif", modality).read().grey_image(modality)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentinel", type=Path, default=None)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--reliefs", default="100,250", help="metres")
    parser.add_argument("--side", type=int, default=512)
    given = parser.parse_args()
    cv2.setNumThreads(2)
    for seed in filter(None, given.seeds.split(",")):
        for relief in map(float, given.reliefs.split(",")):
            simulated(int(seed), relief, given.side)
    if given.sentinel is not None:
        real(given.sentinel)


if __name__ == "__main__":
    main()
