"""Descriptors of simulated pairs, which the pages on ideas start from."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import crosslook
from crosslook.retrieval.compare.pooling import pool

SCENES, SIDE, PATCH = 10, 384, 96


@cache
def descriptors(
    spec: str = "hog:cell=12", pooling: str = "flatten"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SAR and optical descriptors (n, D) of patches of ten scenes, and the scene of each (n,)."""
    with TemporaryDirectory() as folder:
        crosslook.write_pairs(Path(folder), SCENES, size=SIDE, seed=0)
        patches = crosslook.PatchSet.open(crosslook.open_pairs(folder), patch=PATCH)
        every = list(range(len(patches.patches)))
        extractor = crosslook.open_extractor(spec)
        sar, optical = (
            pool(extractor.extract(patches.read(side, every)), pooling)
            for side in ("sar", "optical")
        )
    scenes = np.unique([patch.scene for patch in patches.patches], return_inverse=True)[1]
    return sar, optical, scenes
