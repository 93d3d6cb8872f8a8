"""Refine a transform by mutual information, which no single edge can bias."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from crosslook.match.pair import CachedImage, ImagePair
from crosslook.match.settings import TransformModel
from crosslook.match.transform import (
    Transform,
    grid_points,
    identity,
    mean_distance,
    scaling,
    translation,
)
from crosslook.match.warp import warp_array
from crosslook.types import Array, FloatArray

_OUTSIDE = -1e5  # so low that a linear mix with any level stays negative
BINS = 32
_MIN_SAMPLES = 256
_BY_CHANCE = 0.1  # times bins^2: nats times pixels that images without anything in common share
_MANY = 262_144
_BLOCK = 16_384  # pixels that are counted at once: they stay in the cache


@dataclass(frozen=True, eq=False)
class InformationMeasure:
    """Mutual information between a SAR image and an optical one, in nats.

    Grey levels are spread evenly (histogram equalised) over 32 bins; the
    joint histogram uses a linear Parzen window on the warped SAR levels and is
    smoothed by a cubic B-spline along both axes (Thevenaz and Unser,
    "Optimization of mutual information for multiresolution image
    registration", 2000).

    Attributes
    ----------
    sar : float32 array, shape (H, W)
        Levels 0..31, very low where invalid.
    optical : int64 array, shape (H', W')
        Levels 0..31, -1 where invalid.
    every : int
        Of the optical pixels only every so-many-th along both axes is looked at.
    gapped : bool
        Whether an image has thin gaps, so that the pixels in common change with every shift:
        then what so many pixels have in common by chance is taken off.
    """

    sar: FloatArray
    optical: NDArray[np.int64]
    every: int = 1
    gapped: bool = False

    def __call__(self, transform: Transform) -> float:
        """Mutual information of the overlap; 0 where they hardly overlap."""
        fixed, known = self._looked_at
        if self.every > 1:  # the first pixel's centre is at 0.5 on either grid
            transform = _lattice(self.every) @ transform
        shape = (int(fixed.shape[0]), int(fixed.shape[1]))
        moved = warp_array(self.sar, transform, shape, cv2.INTER_LINEAR, outside=_OUTSIDE)
        inside = (moved >= 0) & known
        if (common := np.count_nonzero(inside)) < _MIN_SAMPLES:
            return 0.0
        by_chance = _BY_CHANCE * BINS**2 / common if self.gapped else 0.0
        return mutual_information(_joint(moved, fixed, inside)) - by_chance

    @cached_property
    def _looked_at(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Levels of the optical pixels that are looked at, and which of them are valid."""
        fixed = np.ascontiguousarray(self.optical[:: self.every, :: self.every])
        return fixed, fixed >= 0


def information_measure(
    sar: CachedImage, optical: CachedImage, blur: float, *, sparse: bool = False
) -> InformationMeasure:
    """Prepare the measure; ``blur`` (pixels) softens speckle and aliasing first.

    ``sparse`` looks at every second pixel of an optical image of 262,144 pixels
    or more, along both axes, and at every fourth of one 16 times as large: enough
    for a histogram of 32 x 32, and a fraction of the work for those who ask
    hundreds of times.
    """
    every = 1
    if sparse and optical.values.size >= _MANY:
        every = 4 if optical.values.size >= 16 * _MANY else 2
    return InformationMeasure(
        np.where(sar.valid, sar.levels(blur, BINS), np.float32(_OUTSIDE)),
        np.where(optical.valid, optical.levels(blur, BINS), -1.0).astype(np.int64),
        every,
        sar.gaps is not None or optical.gaps is not None,
    )


def _lattice(every: int) -> Transform:
    """From pixels to those of a grid that holds every so-many-th of them."""
    shift = translation(0.5 - 0.5 / every, 0.5 - 0.5 / every)
    return Transform(shift @ scaling(every).inverse.matrix, "similarity")


def mutual_information(joint: Array) -> float:
    """``sum p(a, b) log(p(a, b) / (p(a) p(b)))`` in nats (Shannon 1948).

    ``joint`` holds counts or probabilities, shape (A, B), not negative.
    """
    probability = joint / joint.sum()
    expected = probability.sum(axis=1, keepdims=True) * probability.sum(axis=0, keepdims=True)
    filled = probability > 0
    return float((probability[filled] * np.log(probability[filled] / expected[filled])).sum())


def _joint(moved: FloatArray, fixed: NDArray[np.int64], inside: NDArray[np.bool_]) -> Array:
    counts = np.zeros(BINS**2)
    rows = max(1, _BLOCK // moved.shape[1])
    for top in range(0, len(moved), rows):
        part = slice(top, top + rows)
        counts += _count(moved[part], fixed[part], inside[part])
    smooth = np.array([1.0, 4.0, 1.0]) / 6.0
    result = cv2.sepFilter2D(
        counts.reshape(BINS, BINS), cv2.CV_64F, smooth, smooth, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(result, np.float64)


def _count(moved: FloatArray, fixed: NDArray[np.int64], inside: NDArray[np.bool_]) -> Array:
    """How often two levels meet, (32 * 32,), a moved one shared by the two around it."""
    low = np.minimum(moved.astype(np.int64), BINS - 2)
    upper = (moved - low).ravel()
    size = BINS**2
    index = low * BINS + fixed
    index[~inside] = size  # sorted out with what lies beyond the last bin
    at = index.ravel()
    lower = np.bincount(at, 1.0 - upper, size + 1)[:size]
    return np.asarray(lower + np.bincount(at + BINS, upper, size + BINS + 1)[:size], np.float64)


_SMALLEST_SIDE = 96
_RINGS_PX = (24.0, 12.0)


@dataclass(frozen=True)
class PyramidLevel:
    """One level of the pyramid.

    Attributes
    ----------
    factor : int
        Reduction of both images.
    blur : float
        Pixels of that level.
    step : float
        First size of the simplex, in pixels of the full image.
    evaluations : int
        Upper bound of calls of the measure.
    """

    factor: int
    blur: float
    step: float
    evaluations: int


FRACTION = 0.5
"""How far to go towards the optimum of mutual information from a start of unknown quality.

Start and optimum err independently, so a point between them errs less than either.
"""

_OPTIMUM_PX, _LIMIT_PX = 1.5, 6.0


def fraction_of(residual: float) -> float:
    """How far to go towards the optimum from a fit to tie points, 0..1.

    Both are weighted by the inverse of their variances, ``r^2 / (r^2 + 1.5^2)``:
    a fit errs as its tie points scatter by ``residual`` pixels, the optimum
    by about one and a half whatever the image (docs/ideas/refinement.md).
    """
    return residual**2 / (residual**2 + _OPTIMUM_PX**2)


LEVELS = (
    PyramidLevel(4, 0.7, 3.0, 80),
    PyramidLevel(2, 1.0, 1.0, 80),
    PyramidLevel(1, 1.0, 0.4, 60),
)


@dataclass(frozen=True, eq=False)
class Refinement:
    """What mutual information made of a transform.

    Attributes
    ----------
    transform : Transform
        The refined one; the start where that is no better, or too far away.
    moved : float
        Mean distance between start and optimum over a 9 x 9 grid, optical
        pixels, also where it was refused.
    """

    transform: Transform
    moved: float


def refine(
    pair: ImagePair,
    start: Transform,
    levels: tuple[PyramidLevel, ...] = LEVELS,
    fraction: float = FRACTION,
) -> Refinement:
    """Move a transform towards the nearest optimum of mutual information.

    A small similarity (a shift for the model ``shift``) is put after the
    start and found by the simplex method (Nelder and Mead 1965), level by
    level. Maes et al., "Multimodality image registration by maximization of
    mutual information", IEEE TMI 1997.

    Parameters
    ----------
    pair : ImagePair
    start : Transform
        Good to a few pixels. A mean movement to the optimum beyond 6 optical
        pixels is refused.
    levels : tuple of PyramidLevel
        Coarse to fine.
    fraction : float
        How much of that movement is made, 0..1.

    Returns
    -------
    Refinement
    """
    if start.has_field:  # a spline is slow to invert: warped once, the image is moved
        result = refine(pair.warped(start), identity(), levels, fraction)
        return replace(result, transform=result.transform @ start)
    size = pair.optical.shape
    parameters = np.zeros(2 if start.model == "shift" else 4)
    measure: InformationMeasure | None = None
    for level in levels:
        if min(size) / level.factor < _SMALLEST_SIDE and level.factor > 1:
            continue
        measure = _measure(pair, level, sparse=True)
        parameters = _climb(measure, start, parameters, level, size)
    if measure is None:
        return Refinement(start, 0.0)
    best, factor = _delta(parameters, size) @ start, levels[-1].factor
    moved = mean_distance(start, best, start.inverse(grid_points(*size)))
    better = measure(_reduced(best, factor)) > measure(_reduced(start, factor))
    if not better or moved > _LIMIT_PX:
        return Refinement(start, moved)
    part = _delta(parameters * fraction, size) @ start
    return Refinement(Transform(part.maps, start.model), moved)


def information_score(pair: ImagePair, transform: Transform) -> float:
    """How far mutual information at the match is above that at wrong places nearby.

    Returns ``(I - mean) / standard deviation`` with mean and standard deviation over sixteen
    shifts on two rings of 24 and 12 optical pixels.
    """
    if transform.has_field:
        return information_score(pair.warped(transform), identity())
    level = PyramidLevel(2 if min(pair.optical.shape) >= 2 * _SMALLEST_SIDE else 1, 1.0, 0.0, 0)
    measure = _measure(pair, level)
    angles = np.arange(8) * np.pi / 4
    shifts = [translation(r * np.sin(a), r * np.cos(a)) for r in _RINGS_PX for a in angles]
    rings = [measure(_reduced(Transform(s, "shift") @ transform, level.factor)) for s in shifts]
    here = measure(_reduced(transform, level.factor))
    return float((here - np.mean(rings)) / max(float(np.std(rings)), 1e-6))


def _climb(
    measure: InformationMeasure,
    start: Transform,
    parameters: Array,
    level: PyramidLevel,
    size: tuple[int, int],
) -> Array:
    grow = scaling(level.factor)
    # Both ends of the chain once, as this is called hundreds of times.
    before, after = start @ grow, grow.inverse.matrix

    def loss(values: Array) -> float:
        return -measure(Transform(after @ _delta_matrix(values, size)) @ before)

    simplex = np.vstack([parameters, parameters + level.step * np.eye(len(parameters))])
    options = {
        "initial_simplex": simplex,
        "maxfev": level.evaluations,
        "xatol": 0.02 * level.factor,
        "fatol": 1e-7,
    }
    optimum = minimize(loss, parameters, method="Nelder-Mead", options=options)
    return np.asarray(optimum.x, np.float64)


def _delta(values: Array, size: tuple[int, int]) -> Transform:
    """Similarity from (row, column[, rotation, scale]), all in pixels at the rim."""
    model: TransformModel = "shift" if len(values) == 2 else "similarity"
    return Transform(_delta_matrix(values, size), model)


def _delta_matrix(values: Array, size: tuple[int, int]) -> Array:
    if len(values) == 2:
        return translation(values[0], values[1])
    arm = float(np.hypot(*size)) / 4  # mean distance of a pixel from the centre, about
    angle, scale = values[2] / arm, np.exp(values[3] / arm)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    row, col = size[0] / 2, size[1] / 2
    return np.array(
        [
            [cosine, sine, row + values[0] - cosine * row - sine * col],
            [-sine, cosine, col + values[1] + sine * row - cosine * col],
            [0.0, 0.0, 1.0],
        ]
    )


def _measure(pair: ImagePair, level: PyramidLevel, *, sparse: bool = False) -> InformationMeasure:
    small = pair.sar.reduced(level.factor), pair.optical.reduced(level.factor)
    return information_measure(*small, level.blur, sparse=sparse)


def _reduced(transform: Transform, factor: int) -> Transform:
    """The same map between the reduced images."""
    if factor == 1:
        return transform
    grow = scaling(factor)
    return grow.inverse @ (transform @ grow)
