"""The last stages of a match: tie points, robust fit, refinement, evidence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from crosslook.extract.base import Extractor
from crosslook.geo.picture import Picture
from crosslook.match.channels import dense_channels
from crosslook.match.judge import Evidence
from crosslook.match.refine import (
    LEVELS,
    SHARE,
    PyramidLevel,
    Refinement,
    information_score,
    refine,
)
from crosslook.match.relief import CLEAR_RATIO, Relief, is_consistent, measure_relief
from crosslook.match.robust_fit import Fit, fit_robust
from crosslook.match.settings import Model
from crosslook.match.tie_points import Pass, TiePoints, VoteRange, find_tie_points, score_maps, vote
from crosslook.match.transform import Transform, identity
from crosslook.match.warp import warp
from crosslook.progress import Timer, stage

PASSES = (
    Pass(template=128.0, radius=60.0, step=48.0, threshold=10.0),
    Pass(template=112.0, radius=20.0, step=48.0, threshold=8.0),
    Pass(template=128.0, radius=12.0, step=32.0, threshold=3.5),
)
_FARTHEST = 50.0
_LEAST_TRUST = 0.01
_SHIFT_ONLY = VoteRange(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Alignment:
    """What :func:`align` found.

    Attributes
    ----------
    transform : Transform or None
        SAR pixels to optical pixels; None where no pass gave a fit.
    tie_points : TiePoints
        Of the last pass.
    evidence : Evidence
    seconds : dict of str to float
        Time of each stage.
    """

    transform: Transform | None
    tie_points: TiePoints
    evidence: Evidence
    seconds: dict[str, float] = field(default_factory=dict)


def align(
    sar: Picture,
    optical: Picture,
    extractor: Extractor,
    start: Transform | None = None,
    model: Model = "similarity",
    passes: tuple[Pass, ...] = PASSES,
    seed: int = 0,
    levels: tuple[PyramidLevel, ...] = LEVELS,
    share: float = SHARE,
) -> Alignment:
    """Bring a SAR picture onto an optical one from a rough start.

    Parameters
    ----------
    sar, optical : Picture
        Of about the same ground resolution after ``start``.
    extractor : Extractor
        Its features are correlated; register takes ``hog:cell=3,blur=1``.
    start : Transform, optional
        SAR to optical pixels, good to the radius of the first pass; the
        identity by default.
    model : str
        What is fitted between the SAR image as ``start`` places it and the
        optical image; passes before the last fit a similarity (a shift for
        ``shift``).
    passes : tuple of Pass
        Coarse to fine.
    seed : int
        Of the robust fit.
    levels : tuple of PyramidLevel
        Of the refinement, coarse to fine.
    share : float
        Of the way to the optimum of the refinement that is gone, 0..1.
    """
    lap = Timer().lap
    seconds = {}
    stage("tie points")
    points, fit = _search(sar, optical, extractor, start or identity(), model, passes, seed)
    seconds["tie points"] = lap()
    if fit is None:
        return Alignment(None, points, _no_evidence(points), seconds)
    stage("refinement")
    refined = refine(sar, optical, fit.transform, levels, share=share)
    seconds["refinement"] = lap()
    evidence = _evidence(sar, optical, points, fit, refined)
    seconds["evidence"] = lap()
    return Alignment(refined.transform, points, evidence, seconds)


def _search(
    sar: Picture,
    optical: Picture,
    extractor: Extractor,
    start: Transform,
    model: Model,
    passes: tuple[Pass, ...],
    seed: int,
) -> tuple[TiePoints, Fit | None]:
    fixed = dense_channels(optical, extractor)
    early: Model = "shift" if model == "shift" else "similarity"

    def attempt(current: Transform, settings: Pass, wanted: Model) -> tuple[TiePoints, Fit | None]:
        moved = dense_channels(warp(sar, current, optical.shape), extractor)
        points = find_tie_points(score_maps(moved, fixed, settings), current)
        return _fit(points, start, wanted, settings, seed)

    moved = dense_channels(warp(sar, start, optical.shape), extractor)
    maps = score_maps(moved, fixed, passes[0])
    ranges = _SHIFT_ONLY if model == "shift" else VoteRange()
    points, fit = _fit(find_tie_points(maps, start), start, early, passes[0], seed)
    first = [vote(maps, ranges, optical.shape).compose(start)]
    first += [] if fit is None else [fit.transform]
    found = [attempt(current, passes[1], early) for current in first]
    points, fit = max(found, key=lambda pair: 0.0 if pair[1] is None else pair[1].support)
    for settings in passes[2:]:
        if fit is None:
            break
        wanted = model if settings is passes[-1] else early
        points, fit = attempt(fit.transform, settings, wanted)
    return points, fit


def _fit(
    points: TiePoints, start: Transform, model: Model, settings: Pass, seed: int
) -> tuple[TiePoints, Fit | None]:
    trust = np.maximum(points.ratio - 1.0, _LEAST_TRUST)
    placed = start(points.sar)  # the model holds on the optical grid, whatever the SAR one
    fit = fit_robust(placed, points.optical, model, settings.threshold, trust, seed)
    if fit is None:
        return points.marked(np.zeros(len(points), np.bool_)), None
    return points.marked(fit.inlier), replace(fit, transform=fit.transform.compose(start))


def _evidence(
    sar: Picture, optical: Picture, points: TiePoints, fit: Fit, refined: Refinement
) -> Evidence:
    kept = points.inlier
    hull = cv2.convexHull(points.optical[kept].astype(np.float32))
    area = optical.shape[0] * optical.shape[1]
    relief = _relief(points, fit)
    return Evidence(
        inliers=float(kept.sum()),
        inlier_share=float(kept.mean()),
        spread=float(min(1.0, cv2.contourArea(hull) / area)),
        score=float(np.median(points.score[kept])),
        peak_ratio=float(np.median(points.ratio)),
        residual=fit.residual,
        agreement=min(refined.moved, _FARTHEST),
        information=information_score(sar, optical, refined.transform),
        relief=0.0 if relief is None else relief.spread,
    )


def _relief(points: TiePoints, fit: Fit) -> Relief | None:
    displacement = points.optical - fit.transform(points.sar)
    clear = (points.ratio >= CLEAR_RATIO) & is_consistent(points.sar, displacement)
    return measure_relief(displacement[clear])


def _no_evidence(points: TiePoints) -> Evidence:
    ratio = float(np.median(points.ratio)) if len(points) else 1.0
    return Evidence(0.0, 0.0, 0.0, 0.0, ratio, _FARTHEST, _FARTHEST, 0.0)
