"""Templates of one image correlated with the other: score maps, and tie points at their peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from crosslook.match.channels import Channels
from crosslook.match.ncc import box_sums, correlate, correlate_shifts, find_peaks
from crosslook.match.transform import Transform, grid_points, similarity
from crosslook.types import Array, FloatArray

_MIN_VALID = 0.5
_GAPS_COUNT = 1 / 3
_MOST_FRACTION = 0.75
_ROTATIONS, _SCALES = 0.5 * np.arange(-6, 7), 0.01 * np.arange(-3, 4)  # of the vote
_LEAST_WEIGHT, _LEAST_STD = 0.01, 0.05
_BATCH = 256  # templates correlated at once; bounds memory
# What a cell costs, in compiled multiplications: summed for a shift, and transformed and back.
_SUMMING, _TRANSFORMING = 3, 200


@dataclass(frozen=True)
class Stage:
    """One round of a search by templates, coarse to fine.

    Attributes
    ----------
    template, radius, step : float
        Side of a template, largest offset searched and distance between
        templates, in optical pixels.
    threshold : float
        Largest distance of an inlier in the fit that follows, pixels.
    """

    template: float
    radius: float
    step: float
    threshold: float


_WHOLE = Stage(template=math.inf, radius=60.0, step=32.0, threshold=3.5)
"""Of points that are read off one transform of the whole image."""


@dataclass(frozen=True, eq=False)
class TiePoints:
    """``n`` correspondences; positions are (row, column), centres at +0.5.

    Attributes
    ----------
    sar, optical : float64 array, shape (n, 2)
        Pixels of either image.
    score : float64 array, shape (n,)
        Peak of the normalised correlation, -1..1.
    ratio : float64 array, shape (n,)
        Peak over second peak, >= 1.
    inlier : bool array, shape (n,)
        True where the robust fit kept the point.
    std : float64 array, shape (n,), or None
        Standard deviation of a position in pixels, where the matcher knows it.
    stage : Stage or None
        How they were sought; None where the matcher does not say.
    """

    sar: Array
    optical: Array
    score: Array
    ratio: Array
    inlier: NDArray[np.bool_]
    std: Array | None = None
    stage: Stage | None = None

    @classmethod
    def of(
        cls, sar: Array, optical: Array, score: Array | None = None, std: Array | None = None
    ) -> TiePoints:
        """What a matcher has found: positions (n, 2), and what it knows of each, (n,)."""
        one = np.ones(len(sar))
        return cls(sar, optical, one if score is None else score, one, one > 0, std)

    @classmethod
    def of_transform(cls, transform: Transform, shape: tuple[int, int]) -> TiePoints:
        """Points of a transform that was found as a whole, for a SAR image (rows, columns).

        They agree since they come from one map: a template as large as any image
        says that no agreement of theirs is evidence.
        """
        sar = grid_points(*shape)
        return replace(cls.of(sar, transform(sar)), stage=_WHOLE)

    def __len__(self) -> int:
        return len(self.sar)

    @property
    def weight(self) -> Array:
        """What each counts for in a fit, shape (n,): its precision, else how clear its peak is."""
        if self.std is not None:
            return np.asarray(1.0 / np.maximum(self.std, _LEAST_STD) ** 2, np.float64)
        return np.asarray(np.maximum(self.ratio - 1.0, _LEAST_WEIGHT), np.float64)

    def marked(self, inlier: NDArray[np.bool_]) -> TiePoints:
        """The same points with another inlier mask."""
        return replace(self, inlier=inlier)

    def only(self, kept: NDArray[np.bool_]) -> TiePoints:
        """Those of them that a mask (n,) keeps."""
        names = ("sar", "optical", "score", "ratio", "inlier")
        std = None if self.std is None else self.std[kept]
        return replace(self, **{name: getattr(self, name)[kept] for name in names}, std=std)


def no_tie_points() -> TiePoints:
    """None at all."""
    return TiePoints.of(np.zeros((0, 2)), np.zeros((0, 2)))


@dataclass(frozen=True, eq=False)
class ScoreMaps:
    """Correlation of ``n`` templates over all offsets.

    Attributes
    ----------
    scores : float32 array, shape (n, 2 reach + 1, 2 reach + 1)
        Offset (i - reach, j - reach) cells from where the template was cut.
    centres : float64 array, shape (n, 2)
        Of the templates, optical pixels.
    reach : int
        Largest offset, cells.
    stride : float
        Pixels per cell.
    side : int
        Cells of a template along a side.
    """

    scores: FloatArray
    centres: Array
    reach: int
    stride: float
    side: int


def score_maps(warped: Channels, optical: Channels, stage: Stage, device: str = "cpu") -> ScoreMaps:
    """Correlate templates of the warped SAR image with the optical image.

    Parameters
    ----------
    warped : Channels
        Features of the SAR image brought onto the optical grid.
    optical : Channels
        Features of the optical image, the same cells.
    stage : Stage
    device : str
        Where it is computed, as :func:`crosslook.match.ncc.correlation_device` names it.

    Returns
    -------
    ScoreMaps
        One map per template of which half the cells are valid; maybe none.
    """
    stride = optical.stride
    # A template leaves room to move on a small image too.
    most = _MOST_FRACTION * min(warped.valid.shape) * stride
    side = max(4, round(min(stage.template, most) / stride))
    reach = max(1, math.ceil(stage.radius / stride))
    corners = _template_corners(warped, side, max(1, round(stage.step / stride)))
    centres = np.asarray((corners + side / 2) * stride, np.float64)
    padded = np.pad(optical.values, ((0, 0), (reach, reach), (reach, reach)))
    gaps = None
    if warped.gaps is not None or optical.gaps is not None:
        own, other = (
            np.ones(one.valid.shape, np.float32)
            if one.gaps is None
            else (~one.gaps).astype(np.float32)
            for one in (warped, optical)
        )
        gaps = own, np.pad(other, reach, constant_values=1.0)
    wide = side + 2 * reach
    by_shifts = (2 * reach + 1) ** 2 * warped.valid.size * (len(padded) + _SUMMING)
    fewer = by_shifts < _TRANSFORMING * len(corners) * len(padded) * wide**2
    if fewer and device == "cpu":
        scores = correlate_shifts(warped.values, padded, corners, side, gaps)
        return ScoreMaps(scores, centres, reach, stride, side)
    scores = np.zeros((len(corners), 2 * reach + 1, 2 * reach + 1), np.float32)
    for start in range(0, len(corners), _BATCH):
        part = corners[start : start + _BATCH]
        templates, searches = _cut(warped.values, part, side), _cut(padded, part, wide)
        known = gaps and (
            _cut(gaps[0][None], part, side)[:, 0],
            _cut(gaps[1][None], part, wide)[:, 0],
        )
        scores[start : start + _BATCH] = correlate(templates, searches, known, device)
    return ScoreMaps(scores, centres, reach, stride, side)


def find_tie_points(maps: ScoreMaps, current: Transform) -> TiePoints:
    """Take the peak of each score map as a tie point.

    Parameters
    ----------
    maps : ScoreMaps
    current : Transform
        What brought the SAR image onto the optical grid; takes the points back
        to SAR pixels.

    Returns
    -------
    TiePoints
        Those whose peak is above zero and not on the rim of its map; all
        marked as inliers.
    """
    if len(maps.scores) == 0:
        return no_tie_points()
    peaks = find_peaks(maps.scores, exclusion=max(2.0, maps.side / 8))
    keep = ~peaks.border & (peaks.score > 0)
    centre = maps.centres[keep]
    offset = (peaks.position[keep] - maps.reach) * maps.stride
    inlier = np.ones(int(keep.sum()), np.bool_)
    return TiePoints(
        current.inverse(centre), centre + offset, peaks.score[keep], peaks.ratio[keep], inlier
    )


def _template_corners(warped: Channels, side: int, step: int) -> NDArray[np.int64]:
    """Upper left cells (n, 2) of templates of which half the cells are valid.

    Thin gaps are spread evenly: they count a third, so that a quarter may be left.
    """
    valid = warped.valid.astype(np.float64)
    if warped.gaps is not None:
        valid += _GAPS_COUNT * warped.gaps
    height, width = valid.shape
    if height < side or width < side:
        return np.zeros((0, 2), np.int64)
    axes = [np.unique(np.append(np.arange(0, n - side + 1, step), n - side)) for n in valid.shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    filled = box_sums(valid[None], side, side)[0]
    valid_fraction = filled[grid[:, 0], grid[:, 1]] / side**2
    return np.asarray(grid[valid_fraction >= _MIN_VALID], np.int64)


def _cut(values: FloatArray, corners: NDArray[np.int64], side: int) -> FloatArray:
    """Squares (n, C, side, side) of a map (C, h, w) at the given corners."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side), axis=(1, 2))
    return np.ascontiguousarray(windows[:, corners[:, 0], corners[:, 1]].swapaxes(0, 1))


def hough_vote(maps: ScoreMaps, size: tuple[int, int], *, shift_only: bool = False) -> Transform:
    """Return the similarity under which the score maps add up highest.

    Every template says by its whole map how well each offset fits it. For each
    rotation up to 3 degrees and each scale up to 3 % the maps are displaced as
    those ask and summed; the highest sum over all shifts wins. Weak peaks that no single
    template would give away add up, which a fit to the best peaks loses
    (generalised Hough transform, Ballard 1981, with soft votes).

    Parameters
    ----------
    maps : ScoreMaps
    size : (rows, columns) of the optical image; its centre is the pivot.
    shift_only : bool
        Try no rotation and no scale.

    Returns
    -------
    Transform
        Moves the warped SAR image onto the optical one; to the nearest cell.
    """
    from crosslook.match.kernels_ncc import displaced_sums

    centre = np.array(size, np.float64) / 2
    arms = maps.centres - centre
    reach, stride = maps.reach, maps.stride
    # A map votes by how far it rises above its own mean, in its own standard deviations.
    level = maps.scores - maps.scores.mean(axis=(1, 2), keepdims=True)
    poses = [(0.0, 0.0)] if shift_only else list(product(_ROTATIONS, _SCALES))
    factors = np.array([(1.0 + scaled) * np.exp(1j * np.radians(r)) for r, scaled in poses])
    # Columns as real, rows as imaginary part, so that a pose is a factor.
    moved = (factors - 1.0)[:, None] * (arms[:, 1] + 1j * arms[:, 0]) / stride
    down, right = (np.rint(part).astype(np.int64) for part in (moved.imag, moved.real))
    total = displaced_sums(level, down, right)
    pose, row, col = np.unravel_index(int(total.argmax()), total.shape)
    shift = ((row - reach) * stride, (col - reach) * stride)
    rotation, scaled = poses[pose]
    return similarity(shift, rotation, 1.0 + scaled, (centre[0], centre[1]))
