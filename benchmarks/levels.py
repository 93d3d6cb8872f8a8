"""JPEG 2000 at a coarse factor: processor seconds by levels and by pixels, and what differs.

    python benchmarks/levels.py [--side 10980] [--tile 5490] [--factors 6 12]

A band of a simulated image in blocks of 1,024 px, lossy as those of Sentinel-2 are, with a border
of zeros; and a folder of 2 x 2 such tiles of one band that overlap by a tenth, read as one basemap.
Both ways read the same files in one process, in turn.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from unittest.mock import patch

import numpy as np
import rasterio
from rasterio.transform import from_origin

from crosslook.geo.image import Image, ImageFile, open_image
from crosslook.geo.mosaic_file import open_optical
from crosslook.geo.opening import OPEN
from reading import soft_strips

BORDER = 0.15  # of the width at the first row; none at the last
SEED = 2


def write(path: Path, side: int, row: int = 0, col: int = 0) -> None:
    pixels = np.empty((side, side), np.uint16)
    for top, strip in soft_strips(side, np.random.default_rng([SEED, row, col])):
        rows = np.arange(top, top + len(strip))[:, None]
        outside = np.arange(side) < BORDER * (side - rows)
        pixels[top : top + len(strip)] = np.where(outside, 0, 1000 + 3000 * strip)
    transform = from_origin(4e5 + 10 * col, 5.5e6 - 10 * row, 10, 10)
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", count=1, dtype="uint16", height=side, width=side,
        crs="EPSG:32633", transform=transform, QUALITY="25",
        REVERSIBLE="NO", BLOCKXSIZE="1024", BLOCKYSIZE="1024",
    ) as file:  # fmt: skip
        file.write(pixels, 1)


def timed(image: ImageFile, factor: int) -> tuple[Image, float]:
    OPEN.close()  # GDAL keeps what it has decoded
    start = process_time()
    return image.read(None, factor), process_time() - start


def compare(label: str, image: ImageFile, factor: int) -> None:
    found, seconds = timed(image, factor)
    with patch.object(ImageFile, "level", lambda *_: 0):
        expected, before = timed(image, factor)
    both = found.valid & expected.valid
    off = (found.values - expected.values)[0][both]
    print(
        f"{label}, factor {factor}: {before:.2f} s by pixels, {seconds:.2f} s by levels, ratio "
        f"{before / seconds:.1f}; grey values differ by {off.std():.4f} (standard "
        f"deviation; they have {expected.values[0][both].std():.3f}), {off.mean():+.5f} "
        f"in the mean; valid {expected.valid.mean():.4f} and {found.valid.mean():.4f}, "
        f"{int((found.valid & ~expected.valid).sum())} wrongly",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=10_980, help="of one file; 0 for none")
    parser.add_argument("--tile", type=int, default=5490, help="side of four tiles; 0 for none")
    parser.add_argument("--factors", type=int, nargs="+", default=[6, 12])
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        images: dict[str, ImageFile] = {}
        if given.side:
            path = Path(folder) / "band.jp2"
            write(path, given.side)
            images["one file"] = open_image(path, "optical")
        if given.tile:
            tiles = Path(folder) / "tiles"
            tiles.mkdir()
            for row in (0, given.tile * 9 // 10):
                for col in (0, given.tile * 9 // 10):
                    write(tiles / f"{row}-{col}.jp2", given.tile, row, col)
            images["2 x 2 tiles"] = open_optical(tiles)
        for label, image in images.items():
            for factor in given.factors:
                compare(label, image, factor)


if __name__ == "__main__":
    main()
