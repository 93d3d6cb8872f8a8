"""Building and searching simulated basemaps of growing size: time and peak memory.

    python benchmarks/basemap.py [--sizes 2048,4096,10240] [--queries 10] [--folder DIR]
    python benchmarks/basemap.py --ground noise --sizes 40000

Every stage runs in a process of its own, so that its peak memory (the largest
resident set) is its own; the first line is a process that only imports
crosslook. Queries are SAR chips of 256 px of the same world at random places,
without georeference, under one pose and under nine. ``--ground noise`` writes
smooth noise instead of a simulated world, a hundred times faster: time and
memory are the same, and a query is a part of it with its contrast turned round
and speckle of four looks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.atlas.build import build_atlas
from crosslook.atlas.locate import locate
from crosslook.atlas.plan import peak_memory_bytes, write_noise
from crosslook.atlas.search import searcher
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_basemap
from crosslook.geo.raster import RasterArray
from crosslook.match.ncc import correlation_device
from crosslook.match.transform import Transform, grid_points, mean_distance, translation

SIDE, SEED, RELIEF = 256, 11, 60.0
POSES, ROTATION = 9, 10.0  # degrees either way, in steps of 2.5
NOISE = "noise"  # a file of this name says what the ground is


def simulate(folder: Path, size: int, queries: int) -> dict[str, float]:
    if (folder / NOISE).exists():
        write_noise(folder / "map.tif", size)
        return {}
    write_basemap(folder / "map.tif", size, SEED, relief=RELIEF)
    return {}


def build(folder: Path, size: int, queries: int) -> dict[str, float]:
    build_atlas(folder / "map.tif", folder / "atlas")
    return {}


def nothing(folder: Path, size: int, queries: int) -> dict[str, float]:
    return {}


def ask(folder: Path, size: int, queries: int) -> dict[str, float]:
    """Locate chips; shares found within 32 px and 5 px, and seconds of one pose and nine."""
    atlas = open_atlas(folder / "atlas")
    started = perf_counter()
    searcher(atlas, 0, correlation_device()).precompute()
    warm = perf_counter() - started
    rng = np.random.default_rng(0)
    errors = []
    spent: dict[int, list[tuple[float, float]]] = {1: [], POSES: []}
    for _ in range(queries):
        row, col = (int(v) for v in rng.integers(0, size - SIDE, 2))
        sar = chip(atlas, (row, col), rng, (folder / NOISE).exists())
        image = RasterArray.of(sar, name="chip")
        for poses, rotation in ((POSES, ROTATION), (1, 0.0)):
            began = perf_counter(), process_time()
            result = locate(image, atlas, gsd=10.0, rotation=rotation)
            spent[poses].append((perf_counter() - began[0], process_time() - began[1]))
        errors.append(np.inf)
        if result.transform is not None:
            at = result.window
            assert at is not None  # a place has a window
            placed = Transform(translation(at.row, at.col), "shift") @ result.transform
            truth = Transform(translation(row, col), "shift")
            errors[-1] = mean_distance(placed, truth, grid_points(SIDE, SIDE))
    return {
        "transforms_s": round(warm, 2),
        "within_32": float(np.mean(np.array(errors) <= 32)),
        "within_5": float(np.mean(np.array(errors) <= 5)),
        "median_error_px": round(float(np.median(errors)), 2),
        **{
            f"{kind}_seconds_of_{poses}": round(float(value), 3)
            for poses, pairs in spent.items()
            for kind, value in zip(("clock", "processor"), np.median(pairs, axis=0), strict=True)
        },
    }


def chip(
    atlas: Atlas, corner: tuple[int, int], rng: np.random.Generator, noise: bool
) -> NDArray[Any]:
    """A SAR image of the ground at a corner."""
    if not noise:
        return make_pair(SIDE, SEED, origin=corner, relief=RELIEF).sar
    grey = atlas.image(corner, (SIDE, SIDE)).read().values.mean(axis=0) * 255
    speckled = (256 - grey) * rng.gamma(4.0, 0.25, grey.shape)
    return np.asarray(np.clip(speckled, 1, 255), np.uint8)


STAGES = {"import": nothing, "simulate": simulate, "build": build, "ask": ask}


def child(stage: str, folder: Path, size: int, queries: int) -> None:
    started = perf_counter()
    measured = STAGES[stage](folder, size, queries)
    measured["seconds"] = round(perf_counter() - started, 1)
    measured["peak_mb"] = peak_memory_bytes() // 2**20
    print(json.dumps(measured))


def run(stage: str, folder: Path, size: int, queries: int) -> dict[str, Any]:
    given = ["--stage", stage, "--folder", str(folder), "--queries", str(queries)]
    done = subprocess.run(
        [sys.executable, __file__, *given, "--sizes", str(size)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="2048,4096,10240", help="sides in pixels")
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--ground", choices=["world", "noise"], default="world")
    parser.add_argument("--folder", type=Path, default=None, help="where maps and atlases are kept")
    parser.add_argument("--stage", choices=list(STAGES), default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage is not None:
        child(given.stage, given.folder, int(given.sizes), given.queries)
        return
    print("import:", run("import", Path(), 0, 0), flush=True)
    for size in (int(s) for s in given.sizes.split(",")):
        with TemporaryDirectory() as temporary:
            folder = given.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            if given.ground == "noise":
                (folder / NOISE).touch()
            for stage in ("simulate", "build", "ask"):
                measured = run(stage, folder, size, given.queries)
                print(f"{size} x {size} ({size**2 / 1e6:.0f} Mpx) {stage}: {measured}", flush=True)


if __name__ == "__main__":
    main()
