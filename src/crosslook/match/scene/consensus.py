"""Which displacements of a scene are to be believed: those that agree with what lies around."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.match.scene.plan import ScenePlan
from crosslook.match.scene.smooth import Smoothness, Surface, fit_robustly
from crosslook.match.scene.tile import FIELDS
from crosslook.types import Array, FloatArray

_APART_PX, _LEAST_RISE = 8.0, 2.0
_AROUND_PX = 96.0
_LEAST_AGREEING = 0.5
_SOFT_PX, _OUTLIER = 2.0, 2.5
_LEAST_STD, _MOST_STD = 0.3, 3.0
_SMOOTH_PX = 240.0


@dataclass(frozen=True, eq=False)
class Nodes:
    """The displacements of a scene on its lattice of nodes.

    Attributes
    ----------
    displacement : float64 array, shape (h, w, 2)
        Pixels of the matched grid, rows and columns; 0 where there is none.
    std : float64 array, shape (h, w)
        Standard deviation along either axis, by how sharp a peak is and how well the nodes
        agree; pixels.
    score, ratio : float64 array, shape (h, w)
        Peak of the correlation, and peak over second peak.
    filled : float64 array, shape (h, w)
        Fraction of the template where both images hold data; 0 where nothing was compared.
    measured, inlier : bool array, shape (h, w)
        Where there is a peak, and where it is believed.
    agreeing : float64 array, shape (h, w)
        Around a node, of the templates tried, the fraction whose peak of the first stage, which
        looks everywhere, lies where the last one puts it. Unrelated ground has .08.
    """

    displacement: Array
    std: Array
    score: Array
    ratio: Array
    filled: Array
    measured: NDArray[np.bool_]
    inlier: NDArray[np.bool_]
    agreeing: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of nodes."""
        return int(self.std.shape[0]), int(self.std.shape[1])


def find_inliers(values: FloatArray, plan: ScenePlan) -> Nodes:
    """Tell inliers by their neighbours: a field, not one map, decides what is an outlier.

    A node is believed where the first stage, which looks 60 pixels far and knows of no
    neighbour, found its peak where the last stage did; where half of the templates around do
    the same; and where the smooth surface through all of these agrees with it.

    Parameters
    ----------
    values : float32 array, shape (h, w, fields)
        As :func:`crosslook.match.scene.tile.match_tile` gives it.
    plan : ScenePlan
    """
    row, col, score, ratio, bend, filled, rise, apart = (
        np.nan_to_num(values[..., k].astype(np.float64)) for k in range(len(FIELDS))
    )
    measured = np.asarray(np.isfinite(values).all(axis=-1), np.bool_)
    agrees = measured & (apart <= _APART_PX) & (rise >= _LEAST_RISE)
    agreeing = _share(agrees, measured, _AROUND_PX / plan.spacing)
    displacement = np.stack([row, col], axis=-1)
    inlier = agrees & (agreeing >= _LEAST_AGREEING)
    sharp = np.sqrt(np.maximum(1.0 - score, 0.05) / np.maximum(bend, 1e-4))
    std = sharp / max(float(np.median(sharp[inlier])) if inlier.any() else 1.0, 1e-6)
    std = np.clip(std, _LEAST_STD, _MOST_STD)
    if inlier.any():
        level = np.median(displacement[inlier], axis=0)
        centred = np.where(inlier[..., None], displacement - level, 0.0)
        spread = max(1.0, float(np.abs(centred[inlier]).max()))
        smooth = Smoothness(max(4.0, _SMOOTH_PX / plan.spacing), spread)
        surface = Surface.on(inlier.shape, smooth)
        field, _ = fit_robustly(centred, std, inlier, (surface, surface), _SOFT_PX)
        off = np.linalg.norm(centred - field, axis=-1)
        # The noise of the scene itself says what is far.
        noise = max(0.5, 1.2 * float(np.median(off[inlier])))
        inlier = inlier & (off <= _OUTLIER * noise)
        std = std * noise
    return Nodes(
        displacement, np.where(measured, std, np.nan), score, ratio, filled, measured, inlier,
        agreeing,
    )  # fmt: skip


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_], blur: float) -> Array:
    """Of the nodes of ``whole`` around each, the fraction in ``part``; 0 where there are none."""
    above, below = (
        cv2.GaussianBlur(one.astype(np.float64), (0, 0), blur, borderType=cv2.BORDER_CONSTANT)
        for one in (part, whole)
    )
    return np.asarray(np.where(below > 0.02, above / np.maximum(below, 0.02), 0.0), np.float64)
