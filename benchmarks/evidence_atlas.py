"""Chips that are located on atlases which hold their ground, or do not: cases of evidence.py.

Two atlases share the Sentinel scenes, two more the tiles of ``sensors``, laid side by side
under a made-up georeference. Each chip is looked for on the atlas that holds it and on the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import numpy as np
import rasterio

import crosslook.atlas.locate as locating
from crosslook.atlas.build import build_atlas
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.geo.raster import RasterArray, RasterFile
from crosslook.match.align import Alignment
from crosslook.match.align import align as original
from crosslook.match.placement import placement
from crosslook.match.transform import Transform, grid_points, mean_distance, similarity, translation
from crosslook.match.warp import opencv_matrix
from registration_cases import FAILED_PX, Image, all_shifts, level, read_image

TILE, GSD = 256, 10.0
SIDES = (160, 192, 256, 256, 384)


class Chip(NamedTuple):
    """A query: where it was cut, and the map from its pixels to those of the image it is of."""

    source: str
    region: str
    name: str
    half: int
    sar: Image
    truth: Transform


def build_all(data: Path, out: Path) -> None:
    """Build the four atlases where they are not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    for half in (0, 1):
        files = [data / "sentinel" / "optical" / f"{s}.tif" for s in _scenes(data)[half::2]]
        _build(files, out / f"sentinel-{half}")
        mosaic = out / f"mosaic-{half}.tif"
        if not (out / f"sensors-{half}").exists():
            _mosaic(data, half, mosaic)
        _build([mosaic], out / f"sensors-{half}")


def _build(files: list[Path], target: Path) -> None:
    """An atlas whole or not at all; one that was interrupted is gone on with."""
    part = target.with_suffix(".part")
    if not target.exists():
        build_atlas(files, part)
        part.rename(target)


def _scenes(data: Path) -> list[str]:
    return sorted(path.stem for path in (data / "sentinel" / "optical").glob("*.tif"))


def _tiles(data: Path) -> tuple[list[str], list[str]]:
    """Tiles of every other region."""
    names = sorted(path.stem for path in (data / "sensors" / "optical").glob("*.png"))
    regions = sorted({name.rsplit("_", 1)[0] for name in names})
    halves = [[n for n in names if n.rsplit("_", 1)[0] in regions[half::2]] for half in (0, 1)]
    return halves[0], halves[1]


def _corner(number: int) -> tuple[int, int]:
    return number // 7 * TILE, number % 7 * TILE


def _mosaic(data: Path, half: int, target: Path) -> None:
    names = _tiles(data)[half]
    rows, cols = _corner(len(names) - 1)[0] + TILE, 7 * TILE
    out = np.zeros((3, rows, cols), np.uint8)
    for number, name in enumerate(names):
        row, col = _corner(number)
        image = read_image(data / "sensors" / "optical" / f"{name}.png")
        out[:, row : row + TILE, col : col + TILE] = image[:3]
    place = rasterio.transform.from_origin(500_000.0, 4_000_000.0, GSD, GSD)
    profile = {"driver": "GTiff", "width": cols, "height": rows, "count": 3, "dtype": "uint8"}
    with rasterio.open(target, "w", crs="EPSG:32633", transform=place, **profile) as file:
        file.write(out)


@lru_cache(maxsize=4)
def _opened(place: Path) -> Atlas:
    return open_atlas(place)


def chip_of(data: Path, rng: np.random.Generator, *, sensors: bool) -> Chip:
    """A chip turned by up to 2 degrees, all of whose pixels lie within its scene or tile."""
    if sensors:
        half = int(rng.integers(2))
        number = int(rng.integers(len(_tiles(data)[half])))
        name = _tiles(data)[half][number]
        sar = read_image(data / "sensors" / "sar" / f"{name}.png")[0]
        onto = Transform(translation(*_corner(number)), "shift")
        source, region = name.split("_")[0], name.rsplit("_", 1)[0]
    else:
        number = int(rng.integers(len(_scenes(data))))
        name, half = _scenes(data)[number], number % 2
        sar = read_image(data / "sentinel" / "sar" / f"{name}.tif")[0]
        onto = Transform(translation(*all_shifts(data / "sentinel")[name]), "shift")
        source, region = "sentinel", f"{name[:6]} {number // 4}"
    wide = sar.shape[0]
    side = int(rng.choice([n for n in SIDES if n <= wide * 0.9]))
    rim = int(np.ceil(side * 0.03))
    corner = rng.integers(rim, wide - side - rim + 1, 2)
    move = similarity(
        (float(corner[0]), float(corner[1])),
        float(rng.uniform(-1.5, 1.5)),
        float(rng.uniform(0.985, 1.015)),
        (side / 2, side / 2),
    )
    size = (side, side)
    cut = cv2.warpPerspective(sar, opencv_matrix(move.inverse), size, flags=cv2.INTER_CUBIC)
    return Chip(source, region, name, half, cut, onto @ move)


@contextmanager
def recorded(caller: ModuleType) -> Iterator[list[Alignment]]:
    """All alignments that a module which calls ``align`` makes within."""
    made: list[Alignment] = []

    def align(*given: Any) -> Alignment:
        made.append(original(*given))
        return made[-1]

    with patch.object(caller, "align", align):
        yield made


def located(
    data: Path, atlases: Path, chip: Chip, half: int, *, sensors: bool
) -> Iterator[tuple[Alignment, float, bool]]:
    """Every alignment on the way, how far it is off, and whether it became the answer."""
    atlas = _opened(atlases / f"{'sensors' if sensors else 'sentinel'}-{half}")
    truth = None
    if half == chip.half:
        image = atlases / f"mosaic-{half}.tif"
        if not sensors:
            image = data / "sentinel" / "optical" / f"{chip.name}.tif"
        grid = RasterFile(image).header.grid
        truth = placement(grid, atlas.grid.pixels) @ chip.truth
    centre = np.array([chip.sar.shape], np.float64) / 2
    gsd = atlas.grid.ground_metres(centre if truth is None else truth(centre))
    with recorded(locating) as made:
        result = locating.locate(RasterArray.of(chip.sar, name=chip.name), atlas, gsd=gsd)
    for one in made:
        error = FAILED_PX
        if truth is not None and one.transform is not None and one.pair.grid is not None:
            onto_part = one.pair.grid.to_native(one.transform)
            moved = placement(one.pair.grid.optical.grid, atlas.grid.pixels) @ level(onto_part)
            error = min(FAILED_PX, mean_distance(moved, truth, grid_points(*chip.sar.shape)))
        yield one, error, one.evidence == result.evidence
