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
    """Read by SimpleITK and register, on a fifth of the pixels."""
    import numpy as np
    import SimpleITK as sitk

    from registration_peers import simple_itk_sampled

    first, second = (sitk.GetArrayFromImage(sitk.ReadImage(path)) for path in (sar, optical))
    root = np.sqrt(first.astype(np.float32) / 255) * 255
    found = simple_itk_sampled(root.astype(np.uint8), second.mean(axis=2).astype(np.uint8))
    return {"verdict": "none" if found is None else "found"}


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
