"""Draw ``docs/images/aligned.png``: SAR image, basemap and aligned result, simulated.

python tools/readme_picture.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import crosslook  # noqa: E402
from show import checkerboard, read, row  # noqa: E402


def main() -> None:
    """Simulate the pair of the README, register it, and draw the three."""
    with TemporaryDirectory() as folder:
        crosslook.write_pairs(
            folder, 1, size=512, shift=(20.0, -14.0), rotation=2.0, relief=40.0, seed=14
        )
        sar, optical = (f"{folder}/{side}/sim-0000.tif" for side in ("sar", "optical"))
        crosslook.register(sar, optical, out=f"{folder}/out")
        aligned, ground = read(f"{folder}/out/aligned.tif"), read(optical)
        figure = row(
            {
                "SAR image": read(sar),
                "optical basemap": ground,
                "both, as georeferenced": checkerboard(read(sar), ground, 4),
                "both, aligned": checkerboard(aligned, ground, 4),
            },
            3.0,
        )
        figure.savefig(ROOT / "docs" / "images" / "aligned.png", dpi=90)


if __name__ == "__main__":
    main()
