"""What others offer for registration, each as ``(sar, optical grey) -> Transform or None``.

Every method gets the same two uint8 images, the SAR one as the root of its
amplitude, which suits all of them better than the amplitude itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.match.transform import Transform, identity, translation

Grey = NDArray[np.uint8]
Method = Callable[[Grey, Grey], Transform | None]


def nothing(sar: Grey, optical: Grey) -> Transform:
    return identity()


def phase_correlation(sar: Grey, optical: Grey) -> Transform:
    """A shift by scikit-image, to a tenth of a pixel."""
    from skimage.registration import phase_cross_correlation

    shift, _, _ = phase_cross_correlation(optical, sar, upsample_factor=10)
    return Transform(translation(float(shift[0]), float(shift[1])), "shift")


def sift(sar: Grey, optical: Grey) -> Transform | None:
    """OpenCV's SIFT, ratio test 0.8, similarity by RANSAC at 3 px."""
    detector = cv2.SIFT_create(4000)
    points_a, described_a = detector.detectAndCompute(sar, None)
    points_b, described_b = detector.detectAndCompute(optical, None)
    if described_a is None or described_b is None:
        return None
    pairs = cv2.BFMatcher().knnMatch(described_a, described_b, k=2)
    good = [m[0] for m in pairs if len(m) == 2 and m[0].distance < 0.8 * m[1].distance]
    if len(good) < 3:
        return None
    here = np.array([points_a[m.queryIdx].pt for m in good])
    there = np.array([points_b[m.trainIdx].pt for m in good])
    matrix, _ = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=3.0)
    return None if matrix is None else _from_opencv(matrix)


def ecc(sar: Grey, optical: Grey) -> Transform | None:
    """OpenCV's enhanced correlation coefficient, Euclidean, 200 steps."""
    matrix = np.eye(2, 3, dtype=np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-5)
    try:
        _, matrix = cv2.findTransformECC(optical, sar, matrix, cv2.MOTION_EUCLIDEAN, stop, None, 5)
    except cv2.error:  # did not converge, which OpenCV says this way
        return None
    return _from_opencv(matrix).inverse


def simple_itk(sar: Grey, optical: Grey) -> Transform | None:
    """Mattes mutual information with a similarity over four levels (SimpleITK)."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
    fixed = sitk.GetImageFromArray(optical.astype(np.float32))
    moving = sitk.GetImageFromArray(sar.astype(np.float32))
    start = sitk.CenteredTransformInitializer(
        fixed,
        moving,
        sitk.Similarity2DTransform(),
        sitk.CenteredTransformInitializerFilter.GEOMETRY,
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 1e-3, 300, 0.7, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([8, 4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 1, 0.5])
    method.SetInitialTransform(start, inPlace=False)
    try:
        found = method.Execute(fixed, moving)
    except RuntimeError:  # the images left one another, which ITK says this way
        return None
    corners = np.array([[100.0, 100.0], [100.0, 400.0], [400.0, 100.0]])
    there = np.array([found.TransformPoint((c - 0.5, r - 0.5)) for r, c in corners])[:, ::-1] + 0.5
    matrix = np.eye(3)
    matrix[:2] = np.linalg.solve(np.column_stack([corners, np.ones(3)]), there).T
    return Transform(matrix, "similarity").inverse


def gefolki(sar: Grey, optical: Grey) -> Transform | None:
    """GeFolki's dense flow at its authors' settings, and the similarity nearest to it.

    It is installed by hand (``pip install gefolki``; GPL).
    """
    from gefolki import GEFolki, adapthist

    # It was written for a scikit-image whose rescaling kept whole numbers whole.
    rescale = adapthist.rescale_intensity
    adapthist.rescale_intensity = lambda image, **how: rescale(image, **how).astype(image.dtype)
    try:
        with np.errstate(all="ignore"):
            u, v = GEFolki(
                optical.astype(np.float32),
                sar.astype(np.float32),
                iteration=2,
                radius=range(32, 4, -4),
                rank=4,
                levels=6,
            )
    finally:
        adapthist.rescale_intensity = rescale
    rows, cols = np.mgrid[16 : optical.shape[0] : 16, 16 : optical.shape[1] : 16].reshape(2, -1)
    here = np.column_stack([cols, rows]).astype(np.float64)
    there = here + np.column_stack([np.asarray(u)[rows, cols], np.asarray(v)[rows, cols]])
    matrix, _ = cv2.estimateAffinePartial2D(here, there, ransacReprojThreshold=3.0)
    return None if matrix is None else _from_opencv(matrix).inverse


def _from_opencv(matrix: Any) -> Transform:
    """OpenCV's (x, y) with centres at whole numbers to (row, column) with +0.5."""
    full = np.vstack([matrix, [0.0, 0.0, 1.0]]).astype(np.float64)
    swap = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    return Transform(half @ swap @ full @ swap @ np.linalg.inv(half), "similarity")


PEERS: dict[str, Method] = {
    "nothing": nothing,
    "phase-correlation": phase_correlation,
    "sift": sift,
    "ecc": ecc,
    "simpleitk": simple_itk,
    "gefolki": gefolki,
}
