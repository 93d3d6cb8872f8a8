"""Large and many files: seconds and memory of the commands that read them.

    python benchmarks/reading.py [--work FOLDER] [--only register|audit|atlas]

Three jobs on files made here: a chip of 512 px registered on a basemap of
12,000 x 12,000 pixels of four bands of 16 bits (the floor is reading the 640 x
640 pixels around it, 3 MB); a pair of 10,980 x 10,980 pixels audited; an atlas
of 200 overlapping files of 8 and 16 bits in four CRSs. Each runs as a user
would run it, in a process of its own, whose peak of resident memory is told.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.windows import Window

CRS = "EPSG:32633"
PLACE = Affine(10, 0, 5e5, 0, -10, 5e6)
BASEMAP, CHIP, TILE, FILES = 12_000, 512, 10_980, 200
STRIP = 1000


def soft_strips(size: int, rng: np.random.Generator) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Ground of soft spots and fine grain, 0..1, a strip of rows at a time."""
    for top in range(0, size, STRIP):
        rows = min(STRIP, size - top)
        spots = rng.random((rows // 10 + 2, size // 10 + 2), dtype=np.float32)
        strip = cv2.resize(spots, (size, rows), interpolation=cv2.INTER_CUBIC)
        yield top, np.clip(strip + rng.normal(0, 0.03, strip.shape), 0.01, 1).astype(np.float32)


def speckled(ground: NDArray[Any], rng: np.random.Generator) -> NDArray[np.uint8]:
    """What a radar could see of it: inverted, with speckle of four looks."""
    return np.clip((1.1 - ground) * rng.gamma(4, 0.25, ground.shape) * 160, 1, 255).astype(np.uint8)


def profile(size: int, count: int, dtype: str) -> dict[str, Any]:
    tiles = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    shape = {"height": size, "width": size, "count": count, "dtype": dtype}
    return (
        {"driver": "GTiff", "crs": CRS, "transform": PLACE, "bigtiff": "if_safer"} | shape | tiles
    )


def register_job(work: Path) -> list[str]:
    rng = np.random.default_rng(0)
    with rasterio.open(work / "basemap.tif", "w", **profile(BASEMAP, 4, "uint16")) as file:
        for top, strip in soft_strips(BASEMAP, rng):
            bands = np.stack([strip * 3000, strip * 2500 + 300, strip * 2000 + 500, strip * 4000])
            window = Window(0, top, BASEMAP, len(strip))
            file.write(bands.astype(np.uint16), window=window)
    with rasterio.open(work / "basemap.tif") as file:
        ground = file.read(1, window=Window(7000, 5000, CHIP, CHIP)) / 3000
    shape = {**profile(CHIP, 1, "uint8"), "transform": PLACE @ Affine.translation(7004, 4993)}
    with rasterio.open(work / "chip.tif", "w", **shape) as file:
        file.write(speckled(ground, rng), 1)
    return ["register", "chip.tif", "basemap.tif", "--out", "register"]


def audit_job(work: Path) -> list[str]:
    rng = np.random.default_rng(1)
    for name in ("optical", "sar"):
        (work / "pairs" / name).mkdir(parents=True)
    with (
        rasterio.open(work / "pairs/optical/a.tif", "w", **profile(TILE, 3, "uint16")) as optical,
        rasterio.open(work / "pairs/sar/a.tif", "w", **profile(TILE, 1, "uint8")) as sar,
    ):
        for top, strip in soft_strips(TILE, rng):
            window = Window(0, top, TILE, len(strip))
            optical.write(np.stack([strip * 3000] * 3).astype(np.uint16), window=window)
            sar.write(speckled(np.roll(strip, 3, axis=1), rng), 1, window=window)
    return ["audit", "pairs", "--out", "audit"]


def atlas_job(work: Path) -> list[str]:
    """Files of 640 px that overlap by a fifth, every second one in 16 bits, CRSs in turn."""
    rng = np.random.default_rng(2)
    (work / "maps").mkdir()
    across = round(FILES**0.5)
    for number in range(FILES):
        row, col = divmod(number, across)
        crs = ("EPSG:32633", "EPSG:3857", "EPSG:4326", "EPSG:32634")[number % 4]
        x, y = PLACE @ (col * 512, row * 512)
        here = Transformer.from_crs(CRS, crs, always_xy=True)
        (left, top), (right, bottom) = here.transform(x, y), here.transform(x + 6400, y - 6400)
        _, ground = next(soft_strips(640, rng))
        wide = number % 2 == 1
        bands = np.stack([ground * (3000 if wide else 254)] * 3).astype(
            "uint16" if wide else "uint8"
        )
        place = Affine((right - left) / 640, 0, left, 0, (bottom - top) / 640, top)
        more = {"crs": crs, "transform": place}
        shape = profile(640, 3, bands.dtype.name) | more
        with rasterio.open(work / f"maps/{number:03}.tif", "w", **shape) as file:
            file.write(bands)
    return ["atlas", "build", "maps", "--out", "atlas", "--crs", CRS, "--resolution", "10"]


JOBS: dict[str, Callable[[Path], list[str]]] = {
    "register": register_job,
    "audit": audit_job,
    "atlas": atlas_job,
}


def run(work: Path, name: str) -> None:
    call = [sys.executable, __file__, "--child", *JOBS[name](work)]
    started = perf_counter()
    done = subprocess.run(call, cwd=work, capture_output=True, text=True, check=False)
    seconds = perf_counter() - started
    words = done.stdout.strip().splitlines() or ["(no words)"]
    peak, spent = done.stderr.strip().splitlines()[-1].split()
    print(
        f"{name}: {seconds:.1f} s ({spent} s of a processor), {peak} MiB, "
        f"exit {done.returncode}\n    {words[0]}",
        flush=True,
    )


def child(call: list[str]) -> int:
    """Run a command as a user would, then tell its peak of memory and its processor time."""
    from crosslook.__main__ import main as run_command
    from crosslook.atlas.plan import peak_memory_bytes

    sys.argv = ["crosslook", *call]
    code = 0
    try:
        run_command()
    except SystemExit as end:
        code = int(end.code or 0)
    spent = sum(os.times()[:2])
    print(f"{peak_memory_bytes() // 2**20} {spent:.1f}", file=sys.stderr)
    return code


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(sys.argv[2:]))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, help="folder to keep [a temporary one]")
    parser.add_argument("--only", choices=list(JOBS))
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        for name in [args.only] if args.only else list(JOBS):
            run(work, name)


if __name__ == "__main__":
    main()
