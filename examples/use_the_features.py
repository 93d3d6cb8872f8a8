"""Use an extractor by itself: feature maps, one descriptor a patch, calibration, partners."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import crosslook
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.compare.similarity import normalise, rank_partners


def main(folder: Path) -> tuple[float, float]:
    """Return recall at 1 as the features come, and calibrated on other scenes."""
    crosslook.write_pairs(folder, 8, size=256, seed=0)
    patches = crosslook.PatchSet.open(crosslook.open_pairs(folder), patch=64)
    every = range(len(patches.patches))
    extractor = crosslook.open_extractor("hog:cell=8")
    maps = {side: extractor.extract(patches.read(side, every)) for side in ("sar", "optical")}
    print("a map of", maps["sar"].values.shape[1:], "with a stride of", maps["sar"].stride, "px")
    sar, optical = (pool(maps[side], "flatten") for side in ("sar", "optical"))

    scenes = np.array([int(patch.scene[-4:]) for patch in patches.patches])
    fitted, measured = scenes < 3, scenes >= 3  # never the same scenes

    def recall(name: str) -> float:
        calibration = fit_calibration(name, sar[fitted], optical[fitted])
        query = normalise(calibration.apply(sar[measured], "sar"))
        gallery = normalise(calibration.apply(optical[measured], "optical"))
        ranks = rank_partners(query, gallery, np.arange(len(query)))
        return float((ranks.rank == 1).mean())

    plain, calibrated = recall("none"), recall("standardize")
    chance = 1 / int(measured.sum())
    print(
        f"recall at 1: {plain:.2f} as they come, {calibrated:.2f} calibrated, chance {chance:.3f}"
    )
    return plain, calibrated


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
