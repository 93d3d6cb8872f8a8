"""A process that registers what ``speed.py`` names, line by line, and says what it took.

It serves this checkout and an older one alike: ``PYTHONPATH`` decides which
crosslook is measured. A line of its input is JSON with ``tool``, ``sar`` and
``optical``; the answer has the seconds of the processor and of the clock.
"""

from __future__ import annotations

import json
import os
import sys
from time import perf_counter, process_time
from typing import Any

import cv2


def crosslook(sar: str, optical: str) -> dict[str, Any]:
    """Register as the command line does, reading included."""
    from crosslook.match.register import register

    found = register(sar, optical)
    model = found.transform.model if found.transform is not None else "none"
    return {"verdict": found.verdict, "search": found.search, "model": model}


def simpleitk(sar: str, optical: str) -> dict[str, Any]:
    """Read by SimpleITK; Mattes mutual information of a similarity over four levels.

    On a fifth of the pixels, drawn with a seed.
    """
    import numpy as np
    import SimpleITK as sitk

    first, second = (sitk.GetArrayFromImage(sitk.ReadImage(path)) for path in (sar, optical))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed = sitk.GetImageFromArray(second.mean(axis=2).astype(np.float32))
    moving = sitk.GetImageFromArray(np.sqrt(first.astype(np.float32) / 255) * 255)
    kind = sitk.CenteredTransformInitializerFilter.GEOMETRY
    start = sitk.CenteredTransformInitializer(fixed, moving, sitk.Similarity2DTransform(), kind)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 1e-3, 300, 0.7, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([8, 4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 1, 0.5])
    method.SetInitialTransform(start, inPlace=False)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # the images left one another, which ITK says this way
        return {"verdict": "none"}
    return {"verdict": "found"}


TOOLS = {"crosslook": crosslook, "simpleitk": simpleitk}


def main() -> None:
    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        call = TOOLS[asked["tool"]]
        clock, processor = perf_counter(), process_time()
        said = call(asked["sar"], asked["optical"])
        said |= {"processor": process_time() - processor, "clock": perf_counter() - clock}
        print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
