"""Refine a transform by mutual information, which no single edge can bias."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.match.cached_image import CachedImage, grey_levels
from crosslook.match.pair import ImagePair
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
_ENOUGH = 65_536


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
    sar : float32 array, shape (H + 2, W + 1)
        Levels 0..31, very low where invalid, as the last two rows and the last column are.
    optical : uint8 array, shape (H', W')
        Levels 0..31, and 32 where invalid, of the pixels that are looked at.
    every : int
        The optical pixels that are looked at are every so-many-th along both axes.
    gapped : bool
        Whether an image has thin gaps, so that the pixels in common change with every shift:
        then what so many pixels have in common by chance is taken off.
    """

    sar: FloatArray
    optical: NDArray[np.uint8]
    every: int = 1
    gapped: bool = False

    def __call__(self, transform: Transform) -> float:
        """Mutual information of the overlap; 0 where they hardly overlap."""
        if transform.is_flat:
            return self.under(np.array(transform.matrix))  # a loop takes what may be written
        # A field is interpolated pixel by pixel: the image that it gives lies as it should.
        shape = (self.optical.shape[0] * self.every, self.optical.shape[1] * self.every)
        own = self.sar[:-2, :-1]
        moved = warp_array(own, transform, shape, cv2.INTER_LINEAR, outside=_OUTSIDE)
        return replace(self, sar=_framed(moved)).under(np.eye(3))

    def under(self, matrix: Array) -> float:
        """Mutual information under the map of a matrix (3, 3) from SAR to optical pixels."""
        from crosslook.match.kernels_information import information_under

        moving, width = self.sar.reshape(-1), self.sar.shape[1]
        nats, common = information_under(moving, width, self.optical, matrix, self.every)
        if common < _MIN_SAMPLES:
            return 0.0
        by_chance = _BY_CHANCE * BINS**2 / common if self.gapped else 0.0
        return nats - by_chance


def information_measure(
    sar: CachedImage, optical: CachedImage, blur: float, *, sparse: bool = False
) -> InformationMeasure:
    """Prepare the measure; ``blur`` (pixels) softens speckle and aliasing first.

    ``sparse`` looks at about 65,536 pixels of a larger optical image, evenly spread: enough
    for a histogram of 32 x 32, and a fraction of the work for those who ask often.
    """
    every = max(1, int(np.sqrt(optical.values.size / _ENOUGH))) if sparse else 1
    return InformationMeasure(
        sar.cached(("moving levels", blur), lambda: _moving_levels(sar, blur)),
        optical.cached(("fixed levels", blur, every), lambda: _fixed_levels(optical, blur, every)),
        every,
        sar.gaps is not None or optical.gaps is not None,
    )


def _moving_levels(image: CachedImage, blur: float) -> FloatArray:
    levels = _framed(grey_levels(image, blur, BINS))
    levels[:-2, :-1][~image.valid] = _OUTSIDE
    return levels


def _fixed_levels(image: CachedImage, blur: float, every: int) -> NDArray[np.uint8]:
    part = np.s_[::every, ::every]
    levels = grey_levels(image, blur, BINS)[part]
    return np.where(image.valid[part], levels, np.float32(BINS)).astype(np.uint8)


def _framed(levels: FloatArray) -> FloatArray:
    """Levels with two more rows and a column of invalid ones, where a compiled loop may read."""
    framed = cv2.copyMakeBorder(levels, 0, 2, 0, 1, cv2.BORDER_CONSTANT, value=_OUTSIDE)
    return np.asarray(framed, np.float32)


_SMALLEST_SIDE = 96
_MOST_STEPS, _SHRINK = 2.0, 0.6
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
        How far apart the first values are, in pixels of the full image.
    evaluations : int
        Upper bound of calls of the measure, more or less.
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
    PyramidLevel(4, 0.7, 3.0, 30),
    PyramidLevel(2, 1.0, 1.0, 30),
    PyramidLevel(1, 1.0, 0.4, 20),
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
    start and found by parabolas along each of its parameters, level by
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
    if not start.is_flat:  # a spline is slow to invert: warped once, the image is moved
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
    if not transform.is_flat:
        return information_score(pair.warped(transform), identity())
    level = PyramidLevel(2 if min(pair.optical.shape) >= 2 * _SMALLEST_SIDE else 1, 1.0, 0.0, 0)
    measure = _measure(pair, level, sparse=True)
    grow = scaling(level.factor)
    before, after = transform.matrix @ grow.matrix, grow.inverse.matrix
    angles = np.arange(8) * np.pi / 4
    shifts = [translation(r * np.sin(a), r * np.cos(a)) for r in _RINGS_PX for a in angles]
    here, *rings = (measure.under(after @ one @ before) for one in (np.eye(3), *shifts))
    return float((here - np.mean(rings)) / max(float(np.std(rings)), 1e-6))


def _climb(
    measure: InformationMeasure,
    start: Transform,
    parameters: Array,
    level: PyramidLevel,
    size: tuple[int, int],
) -> Array:
    """Go to the top of parabolas through three values along each parameter, again and again."""
    grow = scaling(level.factor)
    # Both ends of the chain once, as this is called often.
    before, after = start.matrix @ grow.matrix, grow.inverse.matrix

    def value(parameters: Array) -> float:
        return measure.under(after @ _delta_matrix(parameters, size) @ before)

    best, top, step = parameters, value(parameters), level.step
    sides = np.eye(len(parameters))
    for _ in range(level.evaluations // (2 * len(parameters) + 2)):
        low, high = (np.array([value(best + k * step * one) for one in sides]) for k in (-1, 1))
        # Without a top between the two it goes on towards the higher one.
        bend = np.minimum(low + high - 2.0 * top, -1e-12)
        move = np.clip(0.5 * (low - high) / bend, -_MOST_STEPS, _MOST_STEPS) * step
        higher = np.maximum(low, high)
        axis = int(higher.argmax())
        if (there := value(best + move)) >= max(top, higher[axis]):
            best, top = best + move, there
        elif higher[axis] > top:
            best = best + step * np.sign(high[axis] - low[axis]) * sides[axis]
            top = float(higher[axis])
        step *= _SHRINK
    return best


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
