"""An atlas of a hundred gigapixels: what there is costs something, what is empty does not."""

from __future__ import annotations

import json
import tracemalloc
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from crosslook.atlas.build import BlockJob, _manifest, build_atlas, make_level
from crosslook.atlas.locate import locate
from crosslook.atlas.store import AtlasGrid
from crosslook.geo.grid import make_grid
from crosslook.geo.image import open_image
from crosslook.geo.mosaic import Basemap, Mosaic
from crosslook.geo.raster import RasterArray
from crosslook.storage import Folder
from tests.helpers.stored import stored_in

SIDE = 316_000  # pixels, so that the grid has a hundred gigapixels
PIECE = 400


class OneBlock(Folder):
    """A folder in which every block says the same."""

    def read(self, name: str) -> bytes:
        return block_json()

    def child(self, name: str) -> Folder:
        return self


@lru_cache(maxsize=1)
def block_json() -> bytes:
    rng = np.random.default_rng(0)
    part = {
        "cells": 65_536,
        "sum": rng.random(9).tolist(),
        "square": (rng.random(9) + 1).tolist(),
        "local_std": rng.random(512).astype(np.float16).astype(float).tolist(),
    }
    files = dict.fromkeys(("image.npy", "level0.npy", "level1.npy"), "0" * 64)
    done = {"valid_pixels": 9, "range": [1, 200], "files": files, "statistics": [part, part]}
    return json.dumps(done).encode()


def peak_of_manifest(blocks: int) -> int:
    side = 400
    affine = (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)
    pixels = make_grid("EPSG:32632", affine, blocks // side * 2048, side * 2048)
    grid = AtlasGrid(pixels, 2048)
    levels = (make_level("hog", 8), make_level("hog:cell=4", None))
    ground = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    image = open_image(
        RasterArray.of(ground, grid=make_grid("EPSG:32632", affine, 8, 8)), "optical"
    )
    maps = (Basemap(image, (0.0, 0.0, 1.0, 1.0)),)
    job = BlockJob("x", grid, maps, levels)
    store, every = OneBlock(Path()), list(np.ndindex(grid.blocks))
    assert len(every) == blocks
    tracemalloc.start()
    manifest = _manifest(store, job, every, [{}, {}], Mosaic(pixels, maps))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert manifest.valid_pixels == 9 * blocks
    assert manifest.statistics[0].local_std == pytest.approx(0.5, abs=0.1)
    return peak


@pytest.mark.slow
def test_the_manifest_grows_by_little_per_block() -> None:
    few, many = peak_of_manifest(400), peak_of_manifest(2000)
    per_block = (many - few) / 1600
    assert per_block < 1500, "a hundred gigapixels, 23,842 blocks, then take 36 MB"


@pytest.mark.slow
def test_pieces_far_apart_make_an_atlas_of_a_hundred_gigapixels(
    tmp_path: Path, small_blocks: None
) -> None:
    rng = np.random.default_rng(1)
    corners = [(0, 0), (SIDE - PIECE, SIDE - PIECE), (120_000, 250_000)]
    for number, (row, col) in enumerate(corners):
        import cv2

        soft = cv2.GaussianBlur(rng.random((PIECE, PIECE, 3), np.float32), (0, 0), 3.0)
        data = np.clip((soft - 0.5) * 1200 + 128, 1, 255).astype(np.uint8).transpose(2, 0, 1)
        place = from_origin(3e5 + 10 * col, 9e6 - 10 * row, 10, 10)
        with rasterio.open(
            tmp_path / f"m{number}.tif", "w", driver="GTiff", count=3, dtype="uint8",
            height=PIECE, width=PIECE, crs="EPSG:3395", transform=place,
        ) as file:  # fmt: skip
            file.write(data)
    atlas = build_atlas([tmp_path / f"m{n}.tif" for n in range(3)], tmp_path / "atlas")
    assert np.prod([float(n) for n in atlas.grid.shape]) > 9.9e10
    assert len(atlas.manifest.blocks) <= 12
    for row, col in corners:
        image = atlas.image((row + 60, col + 80), (256, 256))
        cut = RasterArray.of(stored_in(image)[:1], grid=image.grid)
        result = locate(cut, atlas)
        assert result.transform is not None
        assert result.window is not None
        at = result.transform(np.array([[0.0, 0.0]]))[0] + (result.window.row, result.window.col)
        np.testing.assert_allclose(at, (row + 60, col + 80), atol=0.5)
