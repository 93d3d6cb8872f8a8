"""Small sets of pairs for trials."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from crosslook.match.transform import identity
from tests.helpers.textured import textured_pair

SIDE = 192


def aligned_set(folder: Path, names: list[str], side: int = SIDE) -> Path:
    """Aligned pairs of one contrast, as PNG files of one stem."""
    for at, name in enumerate(names):
        _, optical = textured_pair(identity(), seed=at, side=side, coarse=4.0)
        image = optical.stored[0]
        noise = np.random.default_rng(at).normal(0.0, 6.0, image.shape)
        sar = np.clip(image * 0.6 + 40 + noise, 1, 255).astype(np.uint8)
        for kind, pixels in (("sar", sar), ("optical", image)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{name}.png"), pixels)
    return folder
