"""What others offer for whole scenes: tie points or a dense displacement, from one start.

Each takes the SAR image (root of its amplitude) and the optical one as uint8 of one shape, the
former shifted by whole pixels to where its median displacement is none, which is better than
any of them finds it. Each gives optical and SAR positions (n, 2), pixel centres at +0.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.types import Array

Grey = NDArray[np.uint8]
Points = tuple[Array, Array]
Dense = Callable[[Grey, Grey], Points]

_EVERY = 8  # pixels at which a dense displacement is taken


def klt(sar: Grey, optical: Grey) -> Points:
    """Corners of the Laplacian, tracked there and back, with the settings that KARIOS ships."""
    reference, image = (cv2.Laplacian(one, cv2.CV_8U, ksize=7) for one in (optical, sar))
    corners = cv2.goodFeaturesToTrack(reference, 20_000, 0.1, 10, blockSize=15)
    if corners is None:
        return np.zeros((0, 2)), np.zeros((0, 2))
    how: dict[str, Any] = {
        "winSize": (25, 25), "maxLevel": 1,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.03),
    }  # fmt: skip
    there, _, _ = cv2.calcOpticalFlowPyrLK(reference, image, corners, None, **how)
    back, _, _ = cv2.calcOpticalFlowPyrLK(image, reference, there, None, **how)
    good = np.abs(corners - back).reshape(-1, 2).max(axis=1) < 0.1
    here, seen = (points[good, 0, ::-1].astype(np.float64) + 0.5 for points in (corners, there))
    return here, seen


def phase_correlation(
    sar: Grey, optical: Grey, window: int = 256, spacing: int = 100, most: float = 40.0
) -> Points:
    """Phase correlation of a window at every 100 px, outliers out by RANSAC, as AROSICS does it.

    scikit-image to a tenth of a pixel; an affine map within 10 px is what RANSAC keeps to, and
    shifts beyond ``most`` are left out.
    """
    from skimage.registration import phase_cross_correlation

    here, seen = [], []
    for row in range(0, optical.shape[0] - window + 1, spacing):
        for col in range(0, optical.shape[1] - window + 1, spacing):
            at = np.s_[row : row + window, col : col + window]
            if not (sar[at].any() and optical[at].any()):
                continue
            shift = phase_cross_correlation(
                optical[at].astype(np.float32), sar[at].astype(np.float32), upsample_factor=10
            )[0]
            if np.hypot(*shift) <= most:
                here.append((row + window / 2, col + window / 2))
                seen.append(np.array(here[-1]) - shift)
    first, second = np.array(here).reshape(-1, 2), np.array(seen).reshape(-1, 2)
    if len(first) < 4:
        return first, second
    _, kept = cv2.estimateAffine2D(first, second, ransacReprojThreshold=10.0)
    inside = np.zeros(len(first), bool) if kept is None else kept.ravel() > 0
    return first[inside], second[inside]


def bspline(sar: Grey, optical: Grey, mesh: int = 16, samples: int = 300_000) -> Points:
    """SimpleITK: Mattes mutual information of a B-spline map over three levels, by line search."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed, moving = (sitk.GetImageFromArray(one.astype(np.float32)) for one in (optical, sar))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, samples / optical.size), 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsGradientDescentLineSearch(5.0, 100, 1e-4, 5)
    method.SetShrinkFactorsPerLevel([8, 4, 2])
    method.SetSmoothingSigmasPerLevel([4, 2, 1])
    start = sitk.BSplineTransformInitializer(fixed, [mesh // 4, mesh // 4], 3)
    method.SetInitialTransformAsBSpline(start, inPlace=True, scaleFactors=[1, 2, 4])
    solution = method.Execute(fixed, moving)
    rows, cols = np.mgrid[: optical.shape[0] : _EVERY, : optical.shape[1] : _EVERY].reshape(2, -1)
    seen = np.array([solution.TransformPoint((float(c), float(r)))[::-1]
                     for r, c in zip(rows, cols, strict=True)])  # fmt: skip
    return np.column_stack([rows, cols]) + 0.5, seen + 0.5


def gefolki(sar: Grey, optical: Grey) -> Points:
    """GeFolki's dense flow at its authors' settings (``pip install gefolki``; GPL)."""
    from gefolki import GEFolki, adapthist

    # It was written for a scikit-image whose rescaling kept whole numbers whole.
    rescale = adapthist.rescale_intensity
    adapthist.rescale_intensity = lambda image, **how: rescale(image, **how).astype(image.dtype)
    try:
        with np.errstate(all="ignore"):
            u, v = GEFolki(
                optical.astype(np.float32), sar.astype(np.float32), iteration=2,
                radius=range(32, 4, -4), rank=4, levels=6,
            )  # fmt: skip
    finally:
        adapthist.rescale_intensity = rescale
    rows, cols = np.mgrid[: optical.shape[0] : _EVERY, : optical.shape[1] : _EVERY].reshape(2, -1)
    here = np.column_stack([rows, cols]) + 0.5
    moved = np.column_stack([np.asarray(v)[rows, cols], np.asarray(u)[rows, cols]])
    return here, here + moved


def nothing(sar: Grey, optical: Grey) -> Points:
    """The start that all of them get."""
    rows, cols = np.mgrid[: optical.shape[0] : _EVERY, : optical.shape[1] : _EVERY].reshape(2, -1)
    here = np.column_stack([rows, cols]) + 0.5
    return here, here.copy()


PEERS: dict[str, Dense] = {
    "nothing": nothing,
    "klt": klt,
    "phase-correlation": phase_correlation,
    "simpleitk-bspline": bspline,
    "gefolki": gefolki,
}
