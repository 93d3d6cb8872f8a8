"""The last stages of a match: tie points, robust fit, refinement, evidence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from scipy.special import betainc

from crosslook.extract.base import Extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.evidence import FARTHEST, Evidence, judge
from crosslook.match.pose_range import PoseRange
from crosslook.match.pose_search import search_poses, whole_image
from crosslook.match.refine import (
    FRACTION,
    LEVELS,
    PyramidLevel,
    Refinement,
    fraction_of,
    information_score,
    refine,
)
from crosslook.match.relief import CLEAR_RATIO, Relief, is_consistent, measure_relief
from crosslook.match.robust_fit import Fit, fit_robust
from crosslook.match.settings import Model
from crosslook.match.tie_points import (
    Pass,
    TiePoints,
    VoteRange,
    find_tie_points,
    no_tie_points,
    score_maps,
    vote,
)
from crosslook.match.transform import Transform, grid_points, identity, mean_distance
from crosslook.match.warp import warp
from crosslook.progress import Timer, stage
from crosslook.types import Array

PASSES = (
    Pass(template=128.0, radius=60.0, step=48.0, threshold=10.0),
    Pass(template=112.0, radius=20.0, step=48.0, threshold=8.0),
    Pass(template=128.0, radius=12.0, step=32.0, threshold=3.5),
)


def passes_of(side: float) -> tuple[Pass, ...]:
    """Passes for an image of so many pixels along its shorter side.

    A small image needs smaller templates, so that several of them lie side by
    side and can contradict each other; of a large one a few hundred of them find
    the way, and only the last pass takes all.
    """
    apart = side / _ALONG
    wide, last = (
        max(64.0, min(most, fraction * side)) for most, fraction in ((112.0, 0.45), (128.0, 0.4))
    )
    return (
        replace(PASSES[0], step=max(PASSES[0].step, apart)),
        replace(PASSES[1], template=wide, step=max(min(48.0, wide / 2), apart)),
        replace(PASSES[2], template=last, step=last / 4),
    )


CLOSE = PoseRange(3.0, (0.97, 1.03), shift=64.0, rotation_step=1.5, scale_step=0.031)
"""Poses tried around a start that leads nowhere by templates."""

_ALONG = 22.0
"""Templates along a side that are enough for the passes before the last."""

_CLEARLY = 0.2
_OVERLAP_WORTH = 4.0
_MOST_CHANCE = 100.0
_LEAST_HALF = 4
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
    sar: GreyImage,
    optical: GreyImage,
    extractor: Extractor,
    start: Transform | None = None,
    model: Model = "similarity",
    passes: tuple[Pass, ...] | None = None,
    seed: int = 0,
    levels: tuple[PyramidLevel, ...] = LEVELS,
    fraction: float | None = None,
    placed: Transform | None = None,
) -> Alignment:
    """Bring a SAR image onto an optical one from a rough start.

    Parameters
    ----------
    sar, optical : GreyImage
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
    passes : tuple of Pass, optional
        Coarse to fine; by default :func:`passes_of` the smaller image.
    seed : int
        Of the robust fit.
    levels : tuple of PyramidLevel
        Of the refinement, coarse to fine.
    fraction : float, optional
        Of the way to the optimum of the refinement that is gone, 0..1; by
        default as the residual of the fit asks for.
    placed : Transform, optional
        Where the image lies to the radius of the second pass, if that is
        known: the first pass is left out.
    """
    lap = Timer().lap
    seconds = {}
    if passes is None:
        extent = np.ptp((start or identity())(grid_points(*sar.shape)), axis=0) * 9 / 8
        passes = passes_of(float(min(*extent, *optical.shape)))
    stage("tie points")
    points, fit = _search(sar, optical, extractor, start or identity(), model, passes, seed, placed)
    seconds["tie points"] = lap()
    if fit is None:
        return Alignment(None, points, _no_evidence(points), seconds)
    stage("refinement")
    part = fraction_of(fit.residual) if fraction is None else fraction
    refined = refine(sar, optical, fit.transform, levels, fraction=part)
    if placed is not None:
        part = FRACTION if fraction is None else fraction
        refined = _or_placed(sar, optical, refined, placed, fit, levels, part)
    seconds["refinement"] = lap()
    evidence = _evidence(sar, optical, points, fit, refined, start or identity(), passes[-1])
    seconds["evidence"] = lap()
    return Alignment(refined.transform, points, evidence, seconds)


def _or_placed(
    sar: GreyImage,
    optical: GreyImage,
    refined: Refinement,
    placed: Transform,
    fit: Fit,
    levels: tuple[PyramidLevel, ...],
    fraction: float,
) -> Refinement:
    """Where the whole image fits clearly better as it was placed, that, and not the tie points.

    On ground with little structure the few clear templates lead astray what
    all of the image together had found.
    """
    if (
        whole_image(sar, optical, placed)[0]
        < whole_image(sar, optical, refined.transform)[0] + _CLEARLY
    ):
        return refined
    other = refine(sar, optical, placed, levels, fraction=fraction)
    apart = mean_distance(fit.transform, other.transform, grid_points(*sar.shape))
    return replace(other, moved=apart)


def align_near(
    sar: GreyImage,
    optical: GreyImage,
    extractor: Extractor,
    start: Transform,
    model: Model = "similarity",
    seed: int = 0,
) -> Alignment:
    """Align from a start; where that is no match, from the best pose close to it.

    Templates find what is beside its place here and there, as over relief;
    the image as one template finds what no part of it shows.
    """
    near = align(sar, optical, extractor, start, model, seed=seed)
    verdict = judge(near.evidence)
    if verdict.label == "match":
        return near
    other = align_wide(sar, optical, extractor, start, CLOSE, model, seed, tries=1)
    names = sorted({*near.seconds, *other.seconds})
    seconds = {n: near.seconds.get(n, 0.0) + other.seconds.get(n, 0.0) for n in names}
    better = other if judge(other.evidence).confidence > verdict.confidence else near
    return replace(better, seconds=seconds)


def align_wide(
    sar: GreyImage,
    optical: GreyImage,
    extractor: Extractor,
    start: Transform,
    wanted: PoseRange,
    model: Model = "similarity",
    seed: int = 0,
    tries: int = 2,
    *,
    again: bool = False,
) -> Alignment:
    """Search all places and poses of a range, and align from the best ones.

    Parameters
    ----------
    sar, optical, extractor, model, seed
        As for :func:`align`.
    start : Transform
        What rotation 0, scale 1 and shift 0 of the range mean.
    wanted : PoseRange
    tries : int
        Poses that are aligned from, best first, until one is a match.
    again : bool
        Where none is, search once more at twice the resolution.

    Returns
    -------
    Alignment
        The one whose evidence is surest; without transform where nothing
        overlaps by half.
    """
    best: Alignment | None = None
    surest, spent = -1.0, 0.0
    for number, finer in enumerate((False, True) if again else (False,), 1):
        lap = Timer().lap
        poses = search_poses(sar, optical, start, wanted, tries, finer=finer)
        spent += lap()
        for pose in poses:
            one = align(
                sar, optical, extractor, pose.transform, model, seed=seed, placed=pose.transform
            )
            one = replace(one, evidence=replace(one.evidence, poses=float(number * wanted.count)))
            verdict = judge(one.evidence)
            if verdict.confidence > surest:
                best, surest = one, verdict.confidence
            if verdict.label == "match":
                break
        if best is not None and judge(best.evidence).label == "match":
            break
    searched = {"pose search": spent}
    if best is None:
        return Alignment(None, no_tie_points(), _no_evidence(no_tie_points()), searched)
    return replace(best, seconds={**searched, **best.seconds})


def _search(
    sar: GreyImage,
    optical: GreyImage,
    extractor: Extractor,
    start: Transform,
    model: Model,
    passes: tuple[Pass, ...],
    seed: int,
    placed: Transform | None,
) -> tuple[TiePoints, Fit | None]:
    fixed = dense_channels(optical, extractor)
    early: Model = "shift" if model == "shift" else "similarity"

    def attempt(current: Transform, settings: Pass, wanted: Model) -> tuple[TiePoints, Fit | None]:
        moved = dense_channels(warp(sar, current, optical.shape), extractor)
        points = find_tie_points(score_maps(moved, fixed, settings), current)
        return _fit(points, start, wanted, settings, seed)

    if placed is None:
        first = _first(sar, fixed, optical.shape, extractor, start, model, passes[0], seed)
    else:
        first = [placed]
    attempts = [attempt(current, passes[1], early) for current in first]
    points, fit = max(attempts, key=lambda pair: 0.0 if pair[1] is None else pair[1].support)
    for settings in passes[2:]:
        if fit is None:
            break
        wanted = model if settings is passes[-1] else early
        points, fit = attempt(fit.transform, settings, wanted)
    return points, fit


def _first(
    sar: GreyImage,
    fixed: Channels,
    shape: tuple[int, int],
    extractor: Extractor,
    start: Transform,
    model: Model,
    settings: Pass,
    seed: int,
) -> list[Transform]:
    """Where the first pass puts the image: by vote, and by the best peaks."""
    early: Model = "shift" if model == "shift" else "similarity"
    moved = dense_channels(warp(sar, start, shape), extractor)
    maps = score_maps(moved, fixed, settings)
    ranges = _SHIFT_ONLY if model == "shift" else VoteRange()
    fit = _fit(find_tie_points(maps, start), start, early, settings, seed)[1]
    voted = vote(maps, ranges, shape).compose(start)
    return [voted] if fit is None else [voted, fit.transform]


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
    sar: GreyImage,
    optical: GreyImage,
    points: TiePoints,
    fit: Fit,
    refined: Refinement,
    start: Transform,
    last: Pass,
) -> Evidence:
    kept = points.inlier
    area = optical.shape[0] * optical.shape[1]
    inside, tried = _hull(points.optical[kept]), _hull(points.optical)
    relief = _relief(points, fit)
    excess, chance = against_chance(points, last)
    whole, lead = whole_image(sar, optical, refined.transform)
    return Evidence(
        inliers=float(kept.sum()),
        inlier_fraction=float(kept.mean()),
        hull_area=min(1.0, inside / area),
        median_ncc=float(np.median(points.score[kept])),
        peak_ratio=float(np.median(points.ratio)),
        residual=fit.residual,
        gradient_mi_distance=min(refined.moved, FARTHEST),
        mi_z_score=information_score(sar, optical, refined.transform),
        relief=0.0 if relief is None else relief.extent,
        excess_inliers=excess,
        neg_log10_p=chance,
        coverage=inside / max(tried, 1.0),
        split_half_distance=_halves(points, start, last, optical.shape),
        ncc_z_score=whole,
        peak_margin=lead,
    )


def _hull(points: Array) -> float:
    """Area of the convex hull of positions (n, 2), square pixels."""
    return float(cv2.contourArea(cv2.convexHull(points.astype(np.float32))))


def against_chance(points: TiePoints, last: Pass) -> tuple[float, float]:
    """Fraction of inliers beyond chance, and ``-log10`` of how probable so many are.

    A wrong tie point lies anywhere within the radius searched, so it agrees
    with a fit in ``(threshold / radius)^2`` of the cases, more or less. Of
    templates that overlap only as many count as would lie side by side.
    """
    agree = min(0.9, float(np.pi * last.threshold**2 / (2.0 * last.radius) ** 2))
    fraction = float(points.inlier.mean())
    independent = len(points) * min(1.0, (last.step / last.template) ** 2 * _OVERLAP_WORTH)
    # Two points' worth of agreement is what the fit itself brings about.
    hits = max(0.0, fraction * independent - 2.0)
    tail = float(betainc(max(hits, 1e-9), independent - hits + 1.0, agree)) if hits > 0 else 1.0
    chance = -float(np.log10(max(tail, 1e-100)))
    return max(0.0, (fraction - agree) / (1.0 - agree)), min(_MOST_CHANCE, chance)


def _halves(points: TiePoints, start: Transform, last: Pass, shape: tuple[int, int]) -> float:
    """Mean distance between fits to the tie points of the two colours of a checkerboard."""
    square = np.floor(points.optical / last.template).astype(int).sum(axis=1) % 2 == 0
    trust = np.maximum(points.ratio - 1.0, _LEAST_TRUST)
    placed = start(points.sar)
    fits = [
        fit_robust(placed[m], points.optical[m], "similarity", last.threshold, trust[m])
        for m in (square, ~square)
        if m.sum() >= _LEAST_HALF
    ]
    if len(fits) < 2 or fits[0] is None or fits[1] is None:
        return FARTHEST
    apart = mean_distance(fits[0].transform, fits[1].transform, grid_points(*shape))
    return min(apart, FARTHEST)


def _relief(points: TiePoints, fit: Fit) -> Relief | None:
    displacement = points.optical - fit.transform(points.sar)
    clear = (points.ratio >= CLEAR_RATIO) & is_consistent(points.sar, displacement)
    return measure_relief(displacement[clear])


def _no_evidence(points: TiePoints) -> Evidence:
    return Evidence(peak_ratio=float(np.median(points.ratio)) if len(points) else 1.0)
