"""Build an atlas: a basemap made searchable, block by block.

Blocks of an atlas on a Ray cluster: the same bytes, written by several workers.

Blocks do not depend on each other, so Ray Data hands their numbers to actors
that hold the extractors. A worker that dies costs the block it held: its
``block.json`` was not written, so another worker makes the block again.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crosslook._version import __version__
from crosslook.atlas.blocks import (
    DONE,
    BlockJob,
    LevelSum,
    block_folder,
    make_block,
    read_done,
    touched_blocks,
)
from crosslook.atlas.levels import make_level
from crosslook.atlas.manifest import FORMAT, NAME, PLAN, AtlasGrid, Block, Manifest, read_plan
from crosslook.atlas.settings import BuildSettings
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.atomic import check_writable, sweep
from crosslook.errors import GridError, InputError, OutputError, StoreError
from crosslook.extract.ray_engine import run_on_ray, worker_device
from crosslook.extract.registry import open_model
from crosslook.geo.basemaps import find_basemaps, ground_metres
from crosslook.geo.grid import crs_text
from crosslook.geo.image import Reading
from crosslook.geo.mosaic import Mosaic, bands_of, fingerprint, plan_mosaic
from crosslook.geo.tile_pyramid import Tiling
from crosslook.options import after_two
from crosslook.progress import track
from crosslook.storage import Folder, Place, is_remote, open_folder
from crosslook.written import foreign


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
    run_on_ray(BlockWorker, job, items, "Building the atlas (ray)", workers, address, gpus)
    store = open_folder(job.store)
    left = sum(not block_folder(store, block).has(DONE) for block in blocks)
    if left:
        raise OutputError(
            f"{left} blocks are missing in {job.store} after the Ray run. "
            "Check that all workers reach the store, then run again."
        )


BLOCK = 2048


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
