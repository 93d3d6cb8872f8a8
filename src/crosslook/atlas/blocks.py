"""One block of an atlas: made from the basemaps, written whole."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.atlas.levels import Level, block_features, halo_of
from crosslook.atlas.manifest import AtlasGrid, Block, LevelStatistics
from crosslook.errors import InputError, StoreError
from crosslook.extract.base import Extractor
from crosslook.geo.grey import over_gaps
from crosslook.geo.grid import window_of
from crosslook.geo.mosaic import Basemap, bands_of, read_window, span
from crosslook.json_text import json_object
from crosslook.options import ModelOptions
from crosslook.storage import Folder
from crosslook.types import FloatArray, Window

_HALVES = 1 << 15
"""How many bit patterns a float16 that is not negative has."""


class LevelSum:
    """Sums over blocks; its memory does not grow with their number.

    The local standard deviation of a cell is a float16, of which there are few: counted value
    by value, their median is exact.
    """

    def __init__(self, level: Level) -> None:
        self.level = level
        self.cells = 0
        self._sum: NDArray[np.float64] | float = 0.0
        self._square: NDArray[np.float64] | float = 0.0
        self._local_stds = np.zeros(_HALVES, np.int64)

    def add(self, part: dict[str, Any]) -> None:
        """Add the statistics of one block, as ``block.json`` holds them."""
        self.cells += part["cells"]
        self._sum = self._sum + np.array(part["sum"], np.float64)
        self._square = self._square + np.array(part["square"], np.float64)
        bits = np.array(part["local_std"], np.float16).view(np.uint16)
        self._local_stds += np.bincount(bits, minlength=_HALVES)

    def statistics(self) -> LevelStatistics:
        """Mean and standard deviation per channel, and the median local one.

        Raises
        ------
        InputError
            If no cell is free of nodata.
        """
        if not self.cells:
            raise InputError(
                f"no cell of {self.level.cell} px is free of nodata. "
                "Use a smaller cell or another basemap."
            )
        mean = np.asarray(self._sum / self.cells)
        variance = np.asarray(self._square / self.cells) - mean**2
        std = np.sqrt(np.maximum(variance, 1e-12))
        return LevelStatistics(mean.astype(np.float32), std.astype(np.float32), self._median())

    def _median(self) -> float:
        reached = np.cumsum(self._local_stds)
        ranks = [(reached[-1] - 1) // 2, reached[-1] // 2]
        bits = np.searchsorted(reached, ranks, side="right").astype(np.uint16)
        return float(bits.view(np.float16).astype(np.float64).mean())


DONE = "block.json"
IMAGE, VALID = "image.npy", "valid.npy"
_STD_SAMPLE = 512
_FILL = np.float32(0.5)
_STATISTICS = {"cells", "sum", "square", "local_std"}


@dataclass(frozen=True)
class BlockJob:
    """What makes any block of an atlas; it travels to other machines.

    Attributes
    ----------
    store : str
        Folder or address of the atlas.
    grid : AtlasGrid
    maps : tuple of Basemap
    levels : tuple of Level
    models : ModelOptions
        Where and how extractors run.
    """

    store: str
    grid: AtlasGrid
    maps: tuple[Basemap, ...]
    levels: tuple[Level, ...]
    models: ModelOptions = field(default_factory=ModelOptions)

    def near(self, corner: tuple[int, int], shape: tuple[int, int]) -> list[Basemap]:
        """The basemaps that a window may touch, in order; found without asking each."""
        a, _, c, _, e, f = tuple(window_of(self.grid.pixels, Window(*corner, *shape)).affine)[:6]
        rows, cols = shape
        xs, ys = sorted((c - a, c + a * (cols + 1))), sorted((f - e, f + e * (rows + 1)))
        left, bottom, right, top = self._bounds.T
        inside = (left <= xs[1]) & (right >= xs[0]) & (bottom <= ys[1]) & (top >= ys[0])
        return [self.maps[n] for n in np.flatnonzero(inside)]

    @cached_property
    def _bounds(self) -> NDArray[np.float64]:
        return np.array([one.bounds for one in self.maps], np.float64)


def read_done(store: Folder, block: Block, levels: int) -> dict[str, Any]:
    """Read ``block.json`` of a block of ``levels`` levels.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    folder = block_folder(store, block)
    try:
        done = json_object(folder.read(DONE), finite=True)
        if done["valid_pixels"] > 0:
            low, high = done["range"]
            wanted = {IMAGE, *map(level_file, range(levels))}
            if not wanted <= done["files"].keys() or not 0 <= low <= high <= 255:
                raise ValueError("files are missing")
            if [part.keys() for part in done["statistics"]] != [_STATISTICS] * levels:
                raise ValueError("statistics are missing")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder}/{DONE} is damaged ({error}). "
            "Remove that file and run atlas build again: the block is made anew."
        ) from error
    return dict(done)


def block_folder(store: Folder, block: Block) -> Folder:
    """Where the files of a block lie."""
    return store.child(f"blocks/r{block[0]:05d}-c{block[1]:05d}")


def level_file(number: int) -> str:
    """File of the features of a level, counted from 0."""
    return f"level{number}.npy"


def make_block(job: BlockJob, block: Block, extractors: Sequence[Extractor], store: Folder) -> None:
    """Read, extract and write one block; ``block.json``, written last, says it is whole."""
    pairs = list(zip(job.levels, extractors, strict=True))
    halo = _common_halo([(halo_of(e, level.cell), level.cell) for level, e in pairs])
    side = job.grid.block
    corner = (block[0] * side - halo, block[1] * side - halo)
    shape = (side + 2 * halo, side + 2 * halo)
    bands, valid = _read(job, corner, shape)
    inner = (slice(halo, halo + side),) * 2
    folder = block_folder(store, block)
    solid = valid[inner]
    if not solid.any():
        folder.write(DONE, json.dumps({"valid_pixels": 0}).encode())
        return
    grey = over_gaps(np.where(valid, grey_of(bands), _FILL), valid)
    arrays: dict[str, NDArray[Any]] = {IMAGE: np.ascontiguousarray(bands[:, *inner])}
    if not solid.all():
        arrays[VALID] = np.packbits(solid, axis=1)
    statistics = []
    for number, (level, extractor) in enumerate(pairs):
        features = block_features(grey, halo, level, extractor)
        arrays[level_file(number)] = features
        statistics.append(_statistics(features))
    files = {name: _write_array(folder, name, array) for name, array in arrays.items()}
    solid_bands = arrays[IMAGE][:, solid]
    done = {
        "valid_pixels": int(solid.sum()),
        "range": [int(solid_bands.min()), int(solid_bands.max())],
        "files": files,
        "statistics": statistics,
    }
    folder.write(DONE, json.dumps(done).encode())


def touched_blocks(maps: Sequence[Basemap], grid: AtlasGrid) -> list[Block]:
    """List the blocks of a grid that any basemap reaches into, row by row."""
    touched: set[Block] = set()
    for one in maps:
        rows, cols = span(one.bounds, grid.pixels)
        if rows.start >= rows.stop or cols.start >= cols.stop:
            continue
        touched |= {
            (row, col)
            for row in range(rows.start // grid.block, -(-rows.stop // grid.block))
            for col in range(cols.start // grid.block, -(-cols.stop // grid.block))
        }
    return sorted(touched)


def _read(
    job: BlockJob, corner: tuple[int, int], shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Bands (B, h, w) and valid pixels of a window, of the files that may touch it."""
    near = job.near(corner, shape)
    bands, valid = read_window(near or job.maps[:1], job.grid.pixels, corner, shape)
    return bands[: bands_of(job.maps)], valid


def grey_of(bands: NDArray[np.uint8]) -> FloatArray:
    """The grey value that an atlas is matched by, 0..1, from bands (B, H, W)."""
    grey = bands.mean(axis=0, dtype=np.float32)
    grey *= np.float32(1.0 / 255.0)
    return np.asarray(grey, np.float32)


def _common_halo(wanted: list[tuple[int, int]]) -> int:
    """The smallest halo that is enough for all levels, in whole cells of each."""
    cells = math.lcm(*(cell for _, cell in wanted))
    return math.ceil(max(halo for halo, _ in wanted) / cells) * cells


def _statistics(features: NDArray[np.float16]) -> dict[str, Any]:
    """Count, sums and sums of squares over valid cells, and a sample of their local contrast."""
    contrast = features[-1]
    valid = contrast >= 0
    inside = features[:-1, valid].astype(np.float64)
    sample = np.sort(contrast[valid].astype(np.float64))
    at = np.linspace(0, max(0, len(sample) - 1), min(_STD_SAMPLE, len(sample))).astype(int)
    return {
        "cells": int(valid.sum()),
        "sum": inside.sum(axis=1).tolist(),
        "square": (inside**2).sum(axis=1).tolist(),
        "local_std": sample[at].tolist(),
    }


def _write_array(folder: Folder, name: str, array: NDArray[Any]) -> str:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    data = buffer.getvalue()
    folder.write(name, data)
    return hashlib.sha256(data).hexdigest()
