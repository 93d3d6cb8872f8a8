"""Make the images of ``docs/gallery.md`` from a run of the demonstration.

crosslook demo --out demo-run && python tools/gallery.py demo-run
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "gallery"
WIDTH = 900
TILES = {
    "gap": "run/figures/gap-distributions.png",
    "cmc": "run/figures/retrieval-cmc.png",
    "umap": "run/figures/umap.png",
    "heatmap": "run/figures/heatmap-efficientnet-lite0.png",
    "separability": "run/figures/clustering-and-separability.png",
    "two-stage": "run/figures/two-stage-efficientnet-lite0-hog-cell-8-ks-5-10-20-50.png",
    "overlay": "match/overlay.png",
    "residuals": "match/residuals.png",
}
"""Name of a tile, and the file below the folder of the demonstration that it shows."""


def main(demo: Path) -> None:
    """Shrink every image to the width of a tile."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, file in TILES.items():
        with Image.open(demo / file) as image:
            shown = image.convert("RGB")
        shown.thumbnail((WIDTH, WIDTH))
        shown.save(OUT / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
