"""From tie points to an alignment that carries its verdict: robust fit, refinement, evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from crosslook import threads
from crosslook.match.evidence import FARTHEST, Evidence, Values, Verdict, judge
from crosslook.match.pair import ImagePair
from crosslook.match.parts import evidence_by_parts
from crosslook.match.periodic import Repeat, repeats
from crosslook.match.pose_search import whole_image
from crosslook.match.refine import (
    FRACTION,
    LEVELS,
    PyramidLevel,
    Refinement,
    fraction_of,
    information_score,
    refine,
)
from crosslook.match.relief import CLEAR_RATIO, is_consistent, measure_relief
from crosslook.match.robust_fit import Fit, fit_exact, fit_robust, fit_tie_points
from crosslook.match.select import Selection
from crosslook.match.settings import Model
from crosslook.match.starts import Start
from crosslook.match.tie_points import Stage, TiePoints, no_tie_points
from crosslook.match.transform import Transform, grid_points, mean_distance, shift_by
from crosslook.progress import stage, timer
from crosslook.types import Array

_CLEARLY = 0.2
_MARKED, _ON_FRAME_PX = 0.005, 1.5
_OVERLAP_WORTH = 4.0
_MOST_CHANCE = 100.0
_LEAST_HALF = 4
_NINTHS = 3  # along a side
_UNKNOWN_STAGE = Stage(template=64.0, radius=60.0, step=32.0, threshold=3.5)
"""How tie points count whose matcher does not say how they were sought."""


@dataclass(frozen=True)
class Fitting:
    """How tie points become a transform.

    Attributes
    ----------
    model : str
        What is fitted between the SAR image as the start places it and the
        optical image.
    seed : int
        Of the robust fit.
    levels : tuple of PyramidLevel
        Of the refinement, coarse to fine.
    fraction : float or None
        Of the way to the optimum of the refinement that is gone, 0..1; None
        for what the residual of the fit asks for.
    is_fitted : bool
        Whether the verdict was fitted on evidence gathered so. Where it was
        not, nothing is surer than ``uncertain``.
    is_refined : bool
        Whether mutual information may move the fit to the tie points.
    gate : float or None
        Largest distance of an inlier, pixels; None for that of the tie points' stage.
    values : mapping or None
        Of a verdict that was fitted to this matcher; None for that of the package.
    """

    model: Model = "similarity"
    seed: int = 0
    levels: tuple[PyramidLevel, ...] = LEVELS
    fraction: float | None = None
    is_fitted: bool = True
    is_refined: bool = True
    gate: float | None = None
    values: Values | None = None


@dataclass(frozen=True, eq=False)
class Alignment:
    """A SAR image brought onto an optical one, or the attempt.

    Attributes
    ----------
    pair : ImagePair
    transform : Transform or None
        SAR pixels to optical pixels; None where no fit was found.
    tie_points : TiePoints
    evidence : Evidence
    verdict : Verdict
        Of this evidence. The confidence is NaN where no fit of the verdict holds.
    selection : Selection or None
        How the model was chosen, if it was.
    repeats : tuple of Repeat
        Places that fit nearly as well, since the ground repeats itself.
    """

    pair: ImagePair
    transform: Transform | None
    tie_points: TiePoints
    evidence: Evidence
    verdict: Verdict
    selection: Selection | None = None
    repeats: tuple[Repeat, ...] = ()

    @property
    def is_match(self) -> bool:
        """Whether it is surely right."""
        return self.verdict.label == "match"

    @property
    def certainty(self) -> float:
        """What alignments are ranked by: the confidence, else the agreement beyond chance."""
        confidence = self.verdict.confidence
        return self.evidence.neg_log10_p if np.isnan(confidence) else confidence


def nothing_found(pair: ImagePair, points: TiePoints | None = None) -> Alignment:
    """The alignment where no transform is found."""
    points = no_tie_points() if points is None else points
    ratio = float(np.median(points.ratio)) if len(points) else 1.0
    evidence = Evidence(peak_ratio=ratio)
    return Alignment(pair, None, points, evidence, Verdict("no match", 0.0))


def surest(tried: Sequence[Alignment]) -> Alignment:
    """The surest of some alignments, a match before all others; the first of equals."""
    # Points of one transform agree in any case: there the images say which one fits better.
    return max(tried, key=lambda one: (one.is_match, one.certainty, one.evidence.mi_z_score))


def align(pair: ImagePair, start: Start, points: TiePoints, fitting: Fitting) -> Alignment:
    """Bring a SAR image onto an optical one by tie points, and judge it.

    A robust fit, a refinement by mutual information, and the evidence of both.

    Parameters
    ----------
    pair : ImagePair
        Of about the same ground resolution after the start.
    start : Start
        What the tie points were sought from.
    points : TiePoints
        What a matcher found.
    fitting : Fitting
    """
    used = points.stage or _UNKNOWN_STAGE
    if fitting.gate is not None:
        used = replace(used, threshold=fitting.gate)
        points = replace(points, stage=used)
    fit = fit_tie_points(points, start.transform, fitting.model, used.threshold, fitting.seed)
    if fit is None:
        return nothing_found(pair, points.marked(np.zeros(len(points), np.bool_)))
    points = points.marked(fit.inlier)
    stage("refinement")
    with timer("refinement"):
        refined = _refined(pair, start, fit, fitting)
    with timer("evidence"):
        evidence, others = _evidence(pair, start, points, fit, refined)
        verdict = _verdict(evidence, start, fitting)
    return Alignment(pair, refined.transform, points, evidence, verdict, repeats=others)


def _verdict(evidence: Evidence, start: Start, fitting: Fitting) -> Verdict:
    if fitting.is_fitted:
        return judge(evidence, start.name, fitting.values)
    return Verdict("uncertain", float("nan"), start.name)


def _refined(pair: ImagePair, start: Start, fit: Fit, fitting: Fitting) -> Refinement:
    """The fit refined or, where the image as a whole fits clearly better as it was placed, that.

    On ground with little structure the few clear templates lead astray what
    all of the image together had found.
    """
    fraction = fraction_of(fit.residual) if fitting.fraction is None else fitting.fraction
    refined = refine(pair, fit.transform, fitting.levels, fraction)
    if not fitting.is_refined:  # how far it would have moved is evidence all the same
        return replace(refined, transform=fit.transform)
    if not start.is_posed:
        return refined
    placed = start.transform
    if whole_image(pair, placed)[0] < whole_image(pair, refined.transform)[0] + _CLEARLY:
        return refined
    fraction = FRACTION if fitting.fraction is None else fitting.fraction
    other = refine(pair, placed, fitting.levels, fraction)
    apart = mean_distance(fit.transform, other.transform, grid_points(*pair.sar.shape))
    return replace(other, moved=apart)


def _evidence(
    pair: ImagePair, start: Start, points: TiePoints, fit: Fit, refined: Refinement
) -> tuple[Evidence, tuple[Repeat, ...]]:
    def seen(look: Callable[[ImagePair, Transform], Any]) -> Any:
        return look(pair, refined.transform)

    # What looks at all pixels, side by side.
    looks = (evidence_by_parts, whole_image, information_score, repeats)
    parts, (z_score, margin), mi_z_score, others = threads.run(seen, looks)
    kept, shape = points.inlier, pair.optical.shape
    last = points.stage or _UNKNOWN_STAGE
    inside, tried = _hull(points.optical[kept]), _hull(points.optical)
    displacement = points.optical - fit.transform(points.sar)
    clear = (points.ratio >= CLEAR_RATIO) & is_consistent(points.sar, displacement)
    relief = measure_relief(displacement[clear])
    excess, neg_log10_p = against_chance(points, last)
    evidence = Evidence(
        inliers=float(kept.sum()),
        inlier_fraction=float(kept.mean()),
        hull_area=min(1.0, inside / (shape[0] * shape[1])),
        median_ncc=float(np.median(points.score[kept])),
        peak_ratio=float(np.median(points.ratio)),
        residual=fit.residual,
        gradient_mi_distance=min(refined.moved, FARTHEST),
        mi_z_score=mi_z_score,
        relief=0.0 if relief is None else relief.extent,
        search_score=start.search_score,
        search_margin=start.search_margin,
        excess_inliers=excess,
        neg_log10_p=neg_log10_p,
        coverage=inside / max(tried, 1.0),
        split_half_distance=_split_half_distance(points, start.transform, last, shape),
        ncc_z_score=z_score,
        peak_margin=margin,
        poses=float(start.poses),
        jackknife_distance=_jackknife_distance(points),
        frame_like=_frame_like(pair, refined.transform),
        repeats=float(len(others)),
        **parts._asdict(),
    )
    return evidence, others


def _frame_like(pair: ImagePair, transform: Transform) -> float:
    """Fraction that both images show alike at the same pixels, where the answer may rest on it."""
    if any(one.kind == "pattern" for one in pair.left_out):
        return max(one.fraction for one in pair.left_out)
    marked = sum(one.fraction for one in pair.left_out)
    if marked < _MARKED or pair.grid is None:
        return 0.0
    at = grid_points(*pair.sar.shape)
    shifts = (shift_by(*offset) for offset in pair.grid.frame_offsets)
    return marked if any(mean_distance(transform, s, at) < _ON_FRAME_PX for s in shifts) else 0.0


def _hull(points: Array) -> float:
    """Area of the convex hull of positions (n, 2), square pixels."""
    return float(cv2.contourArea(cv2.convexHull(points.astype(np.float32))))


def against_chance(points: TiePoints, last: Stage) -> tuple[float, float]:
    """Fraction of inliers beyond chance, and ``-log10`` of how probable so many are.

    A wrong tie point lies anywhere within the radius searched, so it agrees
    with a fit in ``(threshold / radius)^2`` of the cases, more or less. Of
    templates that overlap only as many count as would lie side by side.
    """
    from scipy.special import betainc

    agree = min(0.9, float(np.pi * last.threshold**2 / (2.0 * last.radius) ** 2))
    fraction = float(points.inlier.mean())
    independent = len(points) * min(1.0, (last.step / last.template) ** 2 * _OVERLAP_WORTH)
    # Two points' worth of agreement is what the fit itself brings about.
    hits = max(0.0, fraction * independent - 2.0)
    tail = float(betainc(max(hits, 1e-9), independent - hits + 1.0, agree)) if hits > 0 else 1.0
    chance = 0.0 - float(np.log10(max(tail, 1e-100)))  # no -0.0
    return max(0.0, (fraction - agree) / (1.0 - agree)), min(_MOST_CHANCE, chance)


def _split_half_distance(
    points: TiePoints, start: Transform, last: Stage, shape: tuple[int, int]
) -> float:
    """Mean distance between fits to the tie points of the two colours of a checkerboard."""
    square = np.floor(points.optical / last.template).astype(int).sum(axis=1) % 2 == 0
    placed = start(points.sar)
    fits = [
        fit_robust(placed[m], points.optical[m], "similarity", last.threshold, points.weight[m])
        for m in (square, ~square)
        if m.sum() >= _LEAST_HALF
    ]
    if len(fits) < 2 or fits[0] is None or fits[1] is None:
        return FARTHEST
    apart = mean_distance(fits[0].transform, fits[1].transform, grid_points(*shape))
    return min(apart, FARTHEST)


def _jackknife_distance(points: TiePoints) -> float:
    """By how much a fit to the inliers moves at most without those of one ninth of the area."""
    sar, optical = points.sar[points.inlier], points.optical[points.inlier]
    if len(sar) < _LEAST_HALF:
        return FARTHEST
    low, extent = optical.min(axis=0), np.maximum(np.ptp(optical, axis=0), 1.0)
    row, col = np.minimum((optical - low) / extent * _NINTHS, _NINTHS - 1).astype(int).T
    ninth = row * _NINTHS + col
    whole, farthest = fit_exact(sar, optical, "similarity"), 0.0
    for one in np.unique(ninth):
        left = ninth != one
        if left.sum() < _LEAST_HALF:
            return FARTHEST
        moved = fit_exact(sar[left], optical[left], "similarity")
        farthest = max(farthest, mean_distance(whole, moved, sar))
    return min(farthest, FARTHEST)
