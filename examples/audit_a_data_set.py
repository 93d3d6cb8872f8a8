"""Tell whether pairs are really aligned, and correct them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import crosslook


def main(folder: Path) -> dict[str, float]:
    """Audit two scenes that are off by (3, -2) pixels; return the summary."""
    crosslook.write_pairs(folder / "pairs", 2, size=384, shift=(3.0, -2.0), relief=20.0, seed=0)
    found = crosslook.audit(crosslook.open_pairs(folder / "pairs"), out=folder / "audit")
    for row in found.rows:
        trust = "trusted" if row.trusted else "not trusted"
        print(f"{row.scene}: {row.row:.2f} rows, {row.col:.2f} columns, {trust}")
    # A study takes the shifts: crosslook study PAIRS --alignment audit/alignment.csv
    print((folder / "audit" / "alignment.csv").read_text())
    return found.summary()


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        main(Path(temporary))
