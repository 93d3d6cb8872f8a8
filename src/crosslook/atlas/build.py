"""Build an atlas: a basemap made searchable, block by block.

Blocks do not depend on each other. On a Ray cluster their numbers go to actors
that hold the extractors, and the bytes are the same. A worker that dies costs
the block that it made: its ``block.json``, written last, is missing, so
another worker makes the block again.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crosslook import threads
from crosslook._version import __version__
from crosslook.atlas.settings import BuildSettings
from crosslook.atlas.store import (
    PLAN,
    Atlas,
    AtlasGrid,
    Level,
    LevelStatistics,
    Manifest,
    level_file,
    open_atlas,
    read_plan,
)
from crosslook.atomic import check_writable, sweep
from crosslook.errors import GridError, InputError, OutputError, SettingError, StoreError
from crosslook.extract.base import Extractor
from crosslook.extract.ray_engine import each_on_ray, worker_device
from crosslook.extract.registry import open_model
from crosslook.extract.spec import parse_spec
from crosslook.geo.basemaps import find_basemaps, ground_metres
from crosslook.geo.block_store import FORMAT, IMAGE, NAME, VALID, Block, block_folder
from crosslook.geo.grey import GreyImage, over_gaps
from crosslook.geo.grid import crs_text, window_of
from crosslook.geo.image import Reading
from crosslook.geo.mosaic import (
    Basemap,
    Mosaic,
    bands_of,
    fingerprint,
    plan_mosaic,
    read_window,
    span,
)
from crosslook.geo.tile_pyramid import Tiling
from crosslook.json_text import json_object
from crosslook.match.channels import filled_cells, local_std, valid_cells
from crosslook.match.warp import sample_maps
from crosslook.options import ModelOptions, after_two
from crosslook.progress import track
from crosslook.storage import Folder, Place, is_remote, open_folder
from crosslook.types import FloatArray, Window
from crosslook.written import foreign

BLOCK = 2048
TILE, HALO = 512, 64
"""Side in pixels of what a model sees at once, and of the rim that is thrown away."""

DONE = "block.json"
_HALF_FLOATS = 1 << 15
"""How many bit patterns a float16 that is not negative has."""

_STD_SAMPLE = 512
_FILL = np.float32(0.5)
_STATISTICS = {"cells", "sum", "square", "local_std"}
_INVALID = np.float16(-1.0)
_CORNER = (slice(0, 1), slice(0, 1))


@after_two(BuildSettings)
def build_atlas(
    basemaps: Place | Sequence[Place], out: str | Path, settings: BuildSettings
) -> Atlas:
    """Build an atlas, or go on with one that was interrupted.

    Memory holds one block of 2,048 x 2,048 pixels at a time, whatever the
    size of the basemap; blocks without data cost nothing.

    Parameters
    ----------
    basemaps : path or sequence of paths
        GeoTIFF, COG, VRT or JPEG 2000 files, products, folders of map tiles
        (``z/x/y.png``), or folders that hold any of these, of any CRS and
        resolution; or the address of tiles. Where they overlap the finest
        wins; what is no imagery is left out, and named in the manifest.
    out : path or address
        Folder of the atlas; also ``s3://bucket/prefix``.
    settings : BuildSettings
        Or its fields as keywords.

    Returns
    -------
    Atlas

    Raises
    ------
    InputError, RasterError, GridError
        For basemaps that are missing, unreadable, nowhere or without a valid pixel.
    SettingError
        For a cell, CRS, resolution or engine that is not allowed.
    OutputError
        If ``out`` holds another atlas or files of other origin, or cannot be written.
    """
    places = [basemaps] if isinstance(basemaps, str | Path) else list(basemaps)
    files = find_basemaps(places, Tiling(settings.tiles, settings.bbox, settings.resolution))
    levels = (make_level(settings.extractor, settings.cell), make_level(settings.fine, None))
    extractors = [open_model(level.spec, settings) for level in levels]
    store = _prepare(out)
    reading = Reading.parse(settings.reading())
    mosaic = plan_mosaic(files, settings.crs, settings.resolution, reading, settings.every_file)
    maps, grid = mosaic.maps, AtlasGrid(mosaic.grid, BLOCK)
    keys = [e.key for e in extractors]
    marks = fingerprint([one.place for one in maps])
    plan = {"format": FORMAT, "files": marks, "grid": _grid_key(grid), "keys": keys}
    plan["cells"] = [level.cell for level in levels]
    plan["radiometry"] = reading.optical.key()
    is_new = _claim(store, plan, overwrite=settings.overwrite)
    job = BlockJob(str(out), grid, maps, levels, settings)
    blocks = touched_blocks(maps, grid)
    missing = [b for b in blocks if is_new or not block_folder(store, b).has(DONE)]
    if settings.engine == "ray" and missing:
        build_with_ray(job, missing, settings.workers or 2, settings.ray_address)
    else:
        for block in track(missing, "Building the atlas"):
            make_block(job, block, extractors, store)
    manifest = _manifest(store, job, blocks, keys, mosaic)
    store.write(NAME, manifest.to_json().encode())
    return open_atlas(out)


def _prepare(out: str | Path) -> Folder:
    if not is_remote(out):
        check_writable(Path(out))
        sweep(Path(out))
    return open_folder(out)


def _grid_key(grid: AtlasGrid) -> list[Any]:
    affine = list(tuple(grid.pixels.affine)[:6])
    return [crs_text(grid.pixels), affine, list(grid.shape), grid.block]


def _claim(store: Folder, plan: dict[str, Any], *, overwrite: bool) -> bool:
    """Write the plan of a new atlas, or see that an old one is the same; whether it is new."""
    text = json.dumps(plan, indent=1, sort_keys=True)
    if not store.has(PLAN) and store.has(NAME) and not overwrite:
        raise foreign(f"{store}/{NAME}")
    if store.write_new(PLAN, text.encode()):
        return True
    try:
        old = read_plan(store.read(PLAN), str(store))
    except StoreError:
        if not overwrite:
            raise
        store.write(PLAN, text.encode())
        return True
    if old != json.loads(text):
        raise OutputError(
            f"'{store}' holds an atlas of other basemaps or settings. "
            "Choose another folder, or remove it first."
        )
    return False


def _manifest(
    store: Folder,
    job: BlockJob,
    blocks: Sequence[Block],
    keys: Sequence[dict[str, str]],
    mosaic: Mosaic,
) -> Manifest:
    sums = [LevelSum(level) for level in job.levels]
    filled: dict[Block, dict[str, str]] = {}
    valid, lowest, highest = 0, 255, 0
    for block in blocks:  # one at a time: an atlas may have a great many
        done = read_done(store, block, len(sums))
        if not done["valid_pixels"]:
            continue
        filled[block] = done["files"]
        valid += done["valid_pixels"]
        lowest, highest = min(lowest, done["range"][0]), max(highest, done["range"][1])
        for total, part in zip(sums, done["statistics"], strict=True):
            total.add(part)
    if not filled:
        raise GridError(
            "the basemaps hold no valid pixel: all is nodata. Check the files and their nodata."
        )
    if lowest == highest:
        raise InputError("the basemaps are constant: there is nothing to find in them.")
    return Manifest(
        grid=job.grid,
        levels=job.levels,
        keys=tuple(keys),
        statistics=tuple(total.statistics() for total in sums),
        bands=bands_of(job.maps),
        blocks=filled,
        valid_pixels=valid,
        sources=tuple(one.image.name for one in mosaic.maps),
        source_metres=tuple(ground_metres(one.image) for one in mosaic.maps),
        left_out=mosaic.left_out,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        version=__version__,
    )


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


def make_block(job: BlockJob, block: Block, extractors: Sequence[Extractor], store: Folder) -> None:
    """Read, extract and write one block; ``block.json``, written last, says it is whole."""
    pairs = list(zip(job.levels, extractors, strict=True))
    cells = math.lcm(*(level.cell for level in job.levels))  # a halo is whole cells of each
    halo = math.ceil(max(halo_of(e, level.cell) for level, e in pairs) / cells) * cells
    side = job.grid.block
    corner = (block[0] * side - halo, block[1] * side - halo)
    shape = (side + 2 * halo, side + 2 * halo)
    near = job.near(corner, shape) or job.maps[:1]
    bands, valid = read_window(near, job.grid.pixels, corner, shape)
    bands = bands[: bands_of(job.maps)]
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
        with threads.limited(job.models.threads):
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


def grey_of(bands: NDArray[np.uint8]) -> FloatArray:
    """The grey value that an atlas is matched by, 0..1, from bands (B, H, W)."""
    grey = bands.mean(axis=0, dtype=np.float32)
    grey *= np.float32(1.0 / 255.0)
    return np.asarray(grey, np.float32)


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
            named = {IMAGE, *map(level_file, range(levels))}
            if not named <= done["files"].keys() or not 0 <= low <= high <= 255:
                raise ValueError("files are missing")
            if [part.keys() for part in done["statistics"]] != [_STATISTICS] * levels:
                raise ValueError("statistics are missing")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder}/{DONE} is damaged ({error}). "
            "Remove that file and run atlas build again: the block is made anew."
        ) from error
    return dict(done)


@runtime_checkable
class Local(Protocol):
    """An extractor whose cells depend on nearby pixels alone."""

    def reach(self) -> int:
        """Pixels around a cell that its features depend on."""


def make_level(spec: str, cell: int | None) -> Level:
    """Complete a level: the cell becomes an option of extractors that have one.

    Raises
    ------
    SettingError
        If the cell is not 2..64, or given twice.
    """
    parsed = parse_spec(spec)
    if "cell" in parsed.options:
        own = int(parsed.options["cell"])
        if cell is not None and cell != own:
            raise SettingError(f"'{spec}' has its own cell, and --cell {cell} differs. Give one.")
        cell = own
    size = 8 if cell is None else cell
    if not 2 <= size <= 64:
        raise SettingError(f"a cell of {size} pixels is not allowed; 2..64 are.")
    if parsed.name in ("hog", "raw") and "cell" not in parsed.options:
        spec = f"{spec}{',' if ':' in spec else ':'}cell={size}"
    if parsed.name == "hog" and "blur" not in parsed.options:
        spec += ",blur=1"
    return Level(spec, size)


def halo_of(extractor: Extractor, cell: int) -> int:
    """Whole cells, in pixels, that a block needs around it."""
    if isinstance(extractor, Local):
        # A cell more than the features need, for the standard deviation around it.
        return math.ceil(max(extractor.reach(), 3 * cell + 8) / cell) * cell
    return math.ceil(HALO / cell) * cell


def block_features(
    image: GreyImage, halo: int, level: Level, extractor: Extractor
) -> NDArray[np.float16]:
    """Extract the features of one block.

    Parameters
    ----------
    image : GreyImage
        The block with ``halo`` pixels around it.
    halo : int
        A multiple of the cell, at least :func:`halo_of`.
    level : Level
    extractor : Extractor

    Returns
    -------
    float16 array, shape (C + 1, h, w)
        The channels as extracted; last the local standard deviation of the grey values,
        -1 where a cell is not valid.
    """
    cell = level.cell
    cells = tuple((length - 2 * halo) // cell for length in image.shape)
    inner = (slice(halo // cell, -(halo // cell) or None),) * 2
    whole = tuple(length // cell for length in image.shape)
    valid = valid_cells(image.known, whole, cell, cell)[inner]
    if image.gaps is not None:
        valid &= filled_cells(image.valid, whole, cell)[inner]
    contrast = local_std(image, whole, cell)[inner]
    parts = [
        (rows, cols, _tile(image, halo, (rows, cols), cell, extractor))
        for rows, cols in _tiles(cells, max(1, TILE // cell))
        if valid[rows, cols].any()
    ]
    if not parts:  # the valid pixels of the block are fewer than a cell
        parts = [(slice(0, 1), slice(0, 1), _tile(image, halo, _CORNER, cell, extractor))]
    out = np.zeros((parts[0][2].shape[0] + 1, *cells), np.float16)
    for rows, cols, values in parts:
        out[:-1, rows, cols] = values
    out[-1] = np.where(valid, contrast, _INVALID)
    out[:-1, ~valid] = 0
    return out


def _tiles(cells: tuple[int, ...], step: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, cells[0], step):
        for col in range(0, cells[1], step):
            yield slice(row, min(row + step, cells[0])), slice(col, min(col + step, cells[1]))


def _tile(
    image: GreyImage, halo: int, part: tuple[slice, slice], cell: int, extractor: Extractor
) -> FloatArray:
    """Features (C, h, w) of some cells, seen with the halo around them."""
    rows, cols = (slice(p.start * cell, p.stop * cell + 2 * halo) for p in part)
    window = image.values[rows, cols]
    images = np.ascontiguousarray(np.broadcast_to(window, (1, 3, *window.shape)))
    features = extractor.extract(images)
    shape = (part[0].stop - part[0].start, part[1].stop - part[1].start)
    if features.stride == cell:
        first = halo // cell
        inner = features.values[0][:, first : first + shape[0], first : first + shape[1]]
        return np.asarray(inner, np.float32)
    # The centre of a cell, counted in cells of the model.
    at = (((np.arange(n) + 0.5) * cell + halo) / features.stride - 0.5 for n in shape)
    return sample_maps(features.values[0], at)


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
        self._local_stds = np.zeros(_HALF_FLOATS, np.int64)

    def add(self, part: dict[str, Any]) -> None:
        """Add the statistics of one block, as ``block.json`` holds them."""
        self.cells += part["cells"]
        self._sum = self._sum + np.array(part["sum"], np.float64)
        self._square = self._square + np.array(part["square"], np.float64)
        bits = np.array(part["local_std"], np.float16).view(np.uint16)
        self._local_stds += np.bincount(bits, minlength=_HALF_FLOATS)

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
        reached = np.cumsum(self._local_stds)
        ranks = [(reached[-1] - 1) // 2, reached[-1] // 2]
        bits = np.searchsorted(reached, ranks, side="right").astype(np.uint16)
        median = float(bits.view(np.float16).astype(np.float64).mean())
        mean = np.asarray(self._sum / self.cells)
        variance = np.asarray(self._square / self.cells) - mean**2
        std = np.sqrt(np.maximum(variance, 1e-12))
        return LevelStatistics(mean.astype(np.float32), std.astype(np.float32), median)


class BlockWorker:
    """An actor: opens the extractors once, then makes block after block."""

    def __init__(self, job: BlockJob) -> None:
        self.job = job
        self.store = open_folder(job.store)
        self.extractors = [open_model(level.spec, job.models) for level in job.levels]

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the blocks named in a batch."""
        for row, col in zip(batch["row"], batch["col"], strict=True):
            block = (int(row), int(col))
            if not block_folder(self.store, block).has(DONE):
                make_block(self.job, block, self.extractors, self.store)
        return batch


def build_with_ray(
    job: BlockJob, blocks: Sequence[Block], workers: int = 2, address: str | None = None
) -> None:
    """Make blocks with Ray; the basemaps and the atlas must be reachable from every worker.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    OutputError
        If blocks are still missing after Ray says that it is done.
    """
    items = [{"row": row, "col": col} for row, col in blocks]
    device, gpus = worker_device(job.models.device, address)
    job = replace(job, models=job.models.model_copy(update={"device": device}))
    label = "Building the atlas (ray)"
    for _ in each_on_ray(BlockWorker, job, items, label, workers, address, gpus):
        pass
    store = open_folder(job.store)
    left = sum(not block_folder(store, block).has(DONE) for block in blocks)
    if left:
        raise OutputError(
            f"{left} blocks are missing in {job.store} after the Ray run. "
            "Check that all workers reach the store, then run again."
        )
