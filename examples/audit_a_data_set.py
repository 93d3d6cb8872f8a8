"""Tell whether pairs are really aligned, and correct them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import crosslook


def main(folder: Path) -> dict[str, tuple[float, float]]:
    """Audit two scenes that are off by 4 rows; return what was measured, rows and columns.

    What is left in the columns was not put in: probably because the radar looks
    east, and draws the sides of houses and hedges that face it.
    """
    crosslook.write_pairs(folder / "pairs", 2, size=384, shift=(4.0, 0.0), relief=20.0, seed=0)
    result = crosslook.audit(crosslook.open_pairs(folder / "pairs"), out=folder / "audit")
    for row in result.rows:
        trust = "trusted" if row.trusted else "not trusted"
        print(f"{row.scene}: {row.row:.2f} rows, {row.col:.2f} columns, {trust}")
    # A study takes the shifts: crosslook study PAIRS --alignment audit/alignment.csv
    print((folder / "audit" / "alignment.csv").read_text())
    return {row.scene: (row.row, row.col) for row in result.rows}


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
