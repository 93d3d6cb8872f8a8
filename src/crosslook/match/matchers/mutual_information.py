"""Mutual information alone, as SimpleITK maximises it: one transform of the whole image."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from crosslook.match.matchers.base import Matcher
from crosslook.match.pair import ImagePair
from crosslook.match.settings import RegisterSettings
from crosslook.match.starts import Start
from crosslook.match.tie_points import TiePoints, no_tie_points
from crosslook.match.transform import Transform
from crosslook.match.warp import warp
from crosslook.types import Array

_BINS, _STEPS = 32, 300
_SAMPLED = 0.25  # of the pixels, drawn by the seed
_SHRINK, _BLUR = [8, 4, 2, 1], [4.0, 2.0, 1.0, 0.5]


class MutualInformation(Matcher):
    """Mattes mutual information over four levels, from where the start puts the image.

    A similarity, or an affine map with ``--model affine``; ``--model shift`` only shifts.
    The points that it gives are those of one transform, so their agreement says nothing.
    """

    IS_REFINED: ClassVar[bool] = False

    def __init__(self, settings: RegisterSettings) -> None:
        super().__init__(settings)
        import SimpleITK  # noqa: F401  # absent, it is said before any image is read

    def _tie_points(self, pair: ImagePair, start: Start) -> TiePoints:
        moved = warp(pair.sar, start.transform, pair.optical.shape)
        found = self._transform(moved, pair.optical) if moved.valid.any() else None
        if found is None:
            return no_tie_points()
        return TiePoints.of_transform(found @ start.transform, pair.sar.shape)

    def _transform(self, moving: Any, fixed: Any) -> Transform | None:
        """From the moving to the fixed image, both on one grid; None where they part."""
        import SimpleITK as sitk

        images = [sitk.GetImageFromArray(one.values) for one in (fixed, moving)]
        masks = [sitk.GetImageFromArray(one.valid.astype(np.uint8)) for one in (fixed, moving)]
        method = sitk.ImageRegistrationMethod()
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(_SAMPLED, 1 + self.settings.seed % 2**31)
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.SetMetricFixedMask(masks[0])
        method.SetMetricMovingMask(masks[1])
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(4.0, 1e-3, _STEPS, 0.7, 1e-8)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel(_SHRINK)
        method.SetSmoothingSigmasPerLevel(_BLUR)
        method.SetInitialTransform(self._initial(sitk, fixed.shape), inPlace=False)
        threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # sums depend on how many there are
        try:
            solution = method.Execute(*images)
        except RuntimeError:  # the images left one another, which ITK says this way
            return None
        finally:
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        return _from_itk(solution, self.settings.model == "shift")

    def _initial(self, sitk: Any, shape: tuple[int, int]) -> Any:
        kind = {"affine": sitk.AffineTransform(2), "shift": sitk.TranslationTransform(2)}
        first = kind.get(self.settings.model, sitk.Similarity2DTransform())
        if self.settings.model != "shift":
            first.SetCenter([(length - 1) / 2 for length in shape[::-1]])
        return first


def _from_itk(solution: Any, is_shift: bool) -> Transform:
    """ITK maps (x, y) of the fixed image to the moving one, centres at whole numbers."""
    corners = np.array([[0.0, 0.0], [0.0, 256.0], [256.0, 0.0]])
    there: Array = np.array([solution.TransformPoint((c - 0.5, r - 0.5)) for r, c in corners])
    matrix = np.eye(3)
    known = np.column_stack([corners, np.ones(3)])
    matrix[:2] = np.linalg.solve(known, there[:, ::-1] + 0.5).T
    return Transform(matrix, "shift" if is_shift else "affine").inverse
