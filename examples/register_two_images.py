"""Bring a SAR image onto an optical one, and compare with the truth that the simulator knows."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import crosslook


def main(folder: Path) -> float:
    """Register one simulated pair; return the mean error in pixels."""
    crosslook.write_pairs(folder, 1, size=512, shift=(12.0, -8.0), rotation=1.5, seed=1)
    sar, optical = (folder / side / "sim-0000.tif" for side in ("sar", "optical"))

    result = crosslook.register(sar, optical, out=folder / "aligned")
    print(f"{result.verdict}, confidence {result.confidence:.2f}")
    if result.verdict != "match" or result.transform is None:
        raise SystemExit("look at match.json before you use this")

    stated = json.loads((folder / "truth.json").read_text())
    truth = np.array(stated["pairs"]["sim-0000"]["sar_to_optical"])
    points = np.random.default_rng(0).uniform(32, 480, (200, 2))  # rows, columns
    wanted = (np.column_stack([points, np.ones(200)]) @ truth.T)[:, :2]
    error = float(np.linalg.norm(result.transform(points) - wanted, axis=1).mean())
    print(f"mean error {error:.2f} px, expected {result.expected_error_px:.2f} px")
    print(*sorted(p.name for p in (folder / "aligned").iterdir()))
    return error


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
