"""Measure two extractors on the same pairs, and read the rows."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.compute as pc
import pyarrow.parquet as pq

import crosslook


def main(folder: Path) -> dict[str, float]:
    """Study ten scenes; return recall at 1 of each extractor, by the setup chosen for it."""
    crosslook.write_pairs(folder / "pairs", 10, size=256, seed=0)
    run = crosslook.study(
        folder / "pairs", folder / "run", extractors=["raw", "hog:cell=8"], patch=64,
        structure=False, draws=200,
    )  # fmt: skip
    table = pq.read_table(run / "results.parquet")
    wanted = {
        "measure": "retrieval", "metric": "recall", "k": 1, "direction": "sar->optical",
        "calibration": "chosen",
    }  # fmt: skip
    for column, value in wanted.items():
        table = table.filter(pc.equal(table[column], value))
    for row in table.to_pylist():
        interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
        print(
            f"{row['extractor']}: {row['value']:.3f} ({interval}), "
            f"gallery {row['n_gallery']}, chance {row['chance']:.4f}"
        )
    return {row["extractor"]: row["value"] for row in table.to_pylist()}


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
