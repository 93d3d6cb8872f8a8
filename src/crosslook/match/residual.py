"""Residual shift, rotation and relief of one pair on one grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from crosslook.errors import TooSmallError
from crosslook.extract.base import Extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.align import Fitting, align
from crosslook.match.channels import dense_channels
from crosslook.match.matchers.template import USUAL, TemplateMatcher, points_at
from crosslook.match.ncc import correlate, find_peaks
from crosslook.match.pair import CachedImage, ImagePair
from crosslook.match.refine import InformationMeasure, information_measure
from crosslook.match.relief import CLEAR_RATIO, Relief, measure_relief
from crosslook.match.settings import RegisterSettings
from crosslook.match.starts import Start
from crosslook.match.tie_points import Stage
from crosslook.match.transform import Transform, translation
from crosslook.types import Array

_COARSE = 4
_MOST_STEPS = 12


def gradient_shift(
    sar: GreyImage, optical: GreyImage, extractor: Extractor, radius: float
) -> tuple[Array, float]:
    """Shift by correlating the features of the whole SAR image.

    Returns
    -------
    shift : float64 array, shape (2,)
        Row and column in pixels: SAR (r, c) shows what optical has at
        (r, c) + shift.
    ratio : float
        Peak over second peak.

    Raises
    ------
    MatchError
        If the images are smaller than four times ``radius``.
    """
    _check(sar, optical, radius)
    here, there = dense_channels(sar, extractor), dense_channels(optical, extractor)
    reach = math.ceil(radius / there.stride)
    template = here.values[:, reach:-reach, reach:-reach]
    peaks = find_peaks(correlate(template[None], there.values[None]), exclusion=reach / 4)
    return (peaks.position[0] - reach) * there.stride, float(peaks.ratio[0])


def information_shift(sar: GreyImage, optical: GreyImage, radius: float) -> tuple[Array, float]:
    """Find the shift of greatest mutual information, to a fraction of a pixel.

    Returns
    -------
    shift : float64 array, shape (2,)
        As in :func:`gradient_shift`.
    score : float
        Height of the grid's best value over its mean, in its standard deviations.

    Raises
    ------
    MatchError
        If the images are smaller than four times ``radius``.
    """
    _check(sar, optical, radius)
    here, there = CachedImage.of(sar), CachedImage.of(optical)
    measure = information_measure(here.reduced(_COARSE), there.reduced(_COARSE), 0.7)
    steps = np.arange(-math.ceil(radius / _COARSE), math.ceil(radius / _COARSE) + 1)
    grid = np.array(
        [
            [measure(Transform(translation(float(r), float(c)), "shift")) for c in steps]
            for r in steps
        ]
    )
    row, col = np.unravel_index(int(grid.argmax()), grid.shape)
    shift = np.array([steps[row], steps[col]], np.float64) * _COARSE
    for factor in (2, 1):
        measured = information_measure(here.reduced(factor), there.reduced(factor), 1.0)
        shift = _climb(measured, shift / factor) * factor
    score = float((grid.max() - grid.mean()) / max(float(grid.std()), 1e-9))
    return shift, score


def _climb(measure: InformationMeasure, start: Array) -> Array:
    """Walk to the best whole shift nearby, then fit a parabola along each axis."""
    known: dict[tuple[int, int], float] = {}

    def at(row: int, col: int) -> float:
        if (row, col) not in known:
            place = translation(float(row), float(col))
            known[row, col] = measure(Transform(place, "shift"))
        return known[row, col]

    row, col = (round(float(value)) for value in start)
    for _ in range(_MOST_STEPS):
        around = [(row + r, col + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]
        best = max(around, key=lambda place: at(*place))
        if at(*best) <= at(row, col):
            break
        row, col = best
    return np.array(
        [
            row + _vertex(at(row - 1, col), at(row, col), at(row + 1, col)),
            col + _vertex(at(row, col - 1), at(row, col), at(row, col + 1)),
        ]
    )


def _vertex(before: float, peak: float, after: float) -> float:
    bend = before - 2 * peak + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _check(sar: GreyImage, optical: GreyImage, radius: float) -> None:
    if sar.shape != optical.shape or min(sar.shape) < 4 * radius:
        raise TooSmallError(
            f"a shift of up to {radius:g} px cannot be looked for between images of {sar.shape} "
            f"and {optical.shape}; one shape of at least {4 * radius:g} px a side is needed."
        )


AGREE_PX = 1.5
_MIN_INLIERS = 60
_OFF_ZERO_PX = 4.0
_RELIEF_STAGE = Stage(template=112.0, radius=28.0, step=56.0, threshold=3.0)


@dataclass(frozen=True)
class AuditRow:
    """Residual shift of one scene in optical pixels.

    SAR pixel (r, c) shows the ground that the optical image has at
    (r + row, c + col). ``row`` and ``col`` are the mean of both measures.

    Attributes
    ----------
    information_row, information_col, gradient_row, gradient_col : float
        By mutual information and by correlation of oriented gradients.
    disagreement : float
        Distance between the two.
    trusted : bool
        True where they differ by at most 1.5 px.
    rotation_degrees, scale : float
        From tie points over the scene; NaN where fewer than 60 agree or the
        two shifts do not.
    relief_px, relief_degrees : float
        How far tie points spread along one line, and its direction, from the
        columns towards the rows (:class:`~crosslook.match.relief.Relief`). NaN
        where too few tell or no line holds half of them. It is measured against
        the one shift, so a rotation or a scale between the images counts too. Parts
        of the scene lie that far apart, whatever the two measures agree on.
    """

    scene: str
    row: float
    col: float
    information_row: float
    information_col: float
    gradient_row: float
    gradient_col: float
    disagreement: float
    trusted: bool
    rotation_degrees: float
    scale: float
    relief_px: float
    relief_degrees: float

    @property
    def distance(self) -> float:
        """Length of the residual shift in pixels."""
        return float(np.hypot(self.row, self.col))


def measure_scene(
    scene: str,
    sar: GreyImage,
    optical: GreyImage,
    *,
    radius: float,
    shift_features: Extractor,
    part_features: Extractor,
    seed: int = 0,
) -> AuditRow:
    """Measure the shift of one pair, on one grid, in two ways; then rotation and relief."""
    information, _ = information_shift(sar, optical, radius)
    gradient, _ = gradient_shift(sar, optical, shift_features, radius)
    apart = float(np.linalg.norm(information - gradient))
    mean = (information + gradient) / 2
    shift = (float(mean[0]), float(mean[1]))
    rotation, scale = float("nan"), float("nan")
    if apart <= AGREE_PX:
        rotation, scale = _rotation(sar, optical, part_features, shift, seed)
    relief = _relief(sar, optical, part_features, shift)
    return AuditRow(
        scene=scene,
        row=shift[0],
        col=shift[1],
        information_row=float(information[0]),
        information_col=float(information[1]),
        gradient_row=float(gradient[0]),
        gradient_col=float(gradient[1]),
        disagreement=apart,
        trusted=apart <= AGREE_PX,
        rotation_degrees=rotation,
        scale=scale,
        relief_px=float("nan") if relief is None else relief.extent,
        relief_degrees=float("nan") if relief is None else relief.degrees,
    )


def _rotation(
    sar: GreyImage, optical: GreyImage, extractor: Extractor, shift: tuple[float, float], seed: int
) -> tuple[float, float]:
    pair = ImagePair.of(sar, optical, extractor)
    start = Start(pair.start)
    points = TemplateMatcher(RegisterSettings(seed=seed), USUAL).tie_points(pair, start)
    alignment = align(pair, start, points, Fitting(seed=seed))
    if alignment.transform is None or alignment.evidence.inliers < _MIN_INLIERS:
        return float("nan"), float("nan")
    centre = np.array(sar.shape, np.float64) / 2
    moved = alignment.transform.describe(centre)
    if np.hypot(moved["row_px"] - shift[0], moved["col_px"] - shift[1]) > _OFF_ZERO_PX:
        return float("nan"), float("nan")
    return moved["rotation_degrees"], moved["scale"]


def _relief(
    sar: GreyImage, optical: GreyImage, extractor: Extractor, shift: tuple[float, float]
) -> Relief | None:
    moved = Transform(translation(*shift), "shift")
    points = points_at(ImagePair.of(sar, optical, extractor), moved, _RELIEF_STAGE)
    clear = points.ratio >= CLEAR_RATIO
    return measure_relief((points.optical - moved(points.sar))[clear])
