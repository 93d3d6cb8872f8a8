"""Where one pair of images is off: its shift by two measures, its turn, its relief."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosslook.extract.base import Extractor
from crosslook.match.align import PASSES, align
from crosslook.match.channels import dense_channels
from crosslook.match.picture import Picture, warp
from crosslook.match.relief import CLEAR_RATIO, Relief, measure_relief
from crosslook.match.tie_points import Pass, find_tie_points, score_maps
from crosslook.match.transform import Transform, identity, translation
from crosslook.match.whole_shift import gradient_shift, information_shift

AGREE_PX = 1.5
_MIN_INLIERS = 60
_OFF_ZERO_PX = 4.0
_RELIEF_PASS = Pass(template=112.0, radius=28.0, step=56.0, threshold=3.0)


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
        the one shift, so a turn or a scale between the images counts too. Parts
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
    sar: Picture,
    optical: Picture,
    radius: float,
    shift_features: Extractor,
    turn_features: Extractor,
) -> AuditRow:
    """Measure the residual shift of one pair, on one grid, in two ways; then turn and relief."""
    information, _ = information_shift(sar, optical, radius)
    gradient, _ = gradient_shift(sar, optical, shift_features, radius)
    apart = float(np.linalg.norm(information - gradient))
    mean = (information + gradient) / 2
    rotation, scale = float("nan"), float("nan")
    if apart <= AGREE_PX:
        rotation, scale = _turn(sar, optical, turn_features, (float(mean[0]), float(mean[1])))
    relief = _relief(sar, optical, turn_features, (float(mean[0]), float(mean[1])))
    return AuditRow(
        scene=scene,
        row=float(mean[0]),
        col=float(mean[1]),
        information_row=float(information[0]),
        information_col=float(information[1]),
        gradient_row=float(gradient[0]),
        gradient_col=float(gradient[1]),
        disagreement=apart,
        trusted=apart <= AGREE_PX,
        rotation_degrees=rotation,
        scale=scale,
        relief_px=float("nan") if relief is None else relief.spread,
        relief_degrees=float("nan") if relief is None else relief.degrees,
    )


def _turn(
    sar: Picture, optical: Picture, extractor: Extractor, shift: tuple[float, float]
) -> tuple[float, float]:
    found = align(sar, optical, extractor, identity(), "similarity", PASSES)
    if found.transform is None or found.evidence.inliers < _MIN_INLIERS:
        return float("nan"), float("nan")
    middle = np.array(sar.shape, np.float64) / 2
    moved = found.transform.describe(middle)
    if np.hypot(moved["row_px"] - shift[0], moved["col_px"] - shift[1]) > _OFF_ZERO_PX:
        return float("nan"), float("nan")
    return moved["rotation_degrees"], moved["scale"]


def _relief(
    sar: Picture, optical: Picture, extractor: Extractor, shift: tuple[float, float]
) -> Relief | None:
    moved = Transform(translation(*shift), "shift")
    here = dense_channels(warp(sar, moved, optical.shape), extractor)
    there = dense_channels(optical, extractor)
    points = find_tie_points(score_maps(here, there, _RELIEF_PASS), moved)
    clear = points.ratio >= CLEAR_RATIO
    return measure_relief((points.optical - moved(points.sar))[clear])
