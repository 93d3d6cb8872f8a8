"""Milliseconds of ``hog`` per 256 px patch, on one core.

    python benchmarks/hog.py [--patches 64]

The floor is one pass over the pixels of a patch in NumPy: the least that any
code can do that reads them and writes something of their size.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from crosslook.extract.registry import open_extractor
from history import record
from measure import best_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=64)
    given = parser.parse_args()
    images = np.random.default_rng(0).random((given.patches, 3, 256, 256), dtype=np.float32)
    extractor = open_extractor("hog")
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        patch = best_of(lambda: extractor.extract(images)) / len(images) * 1e3
        floor = best_of(lambda: images * np.float32(0.5)) / len(images) * 1e3
    print(
        f"hog, one core: {patch:.2f} ms a 256 px patch, {patch / floor:.0f} passes over its pixels"
    )
    record("hog", {"patch_ms": patch, "floor_times": patch / floor})


if __name__ == "__main__":
    main()
