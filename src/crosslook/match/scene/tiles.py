"""Tiles of a scene, matched here, by processes or on a Ray cluster; what is done stays done.

Each tile is one file of the folder of the result, named by all that changes it. So a run that
was killed goes on, a worker that died costs the tile it worked on, and who made a tile cannot be
seen from its bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from crosslook import threads
from crosslook._version import __version__
from crosslook.errors import CrosslookError, OutputError, SettingError
from crosslook.extract.base import Extractor
from crosslook.geo.atlas_file import AtlasFile
from crosslook.geo.image import ImageFile
from crosslook.geo.mosaic_file import MosaicFile
from crosslook.geo.raster import RasterFile
from crosslook.match.matchers import open_features
from crosslook.match.scene.plan import ScenePlan
from crosslook.match.scene.tile import FIELDS, STAGES, match_tile
from crosslook.match.settings import EngineOptions
from crosslook.options import ModelOptions
from crosslook.progress import track
from crosslook.storage import Folder, Place, open_folder, state_of
from crosslook.types import FloatArray, Window

_FORMAT = 1
"""Raise it whenever a tile changes: those of a run that was stopped are then matched anew."""
_MOST_RESTARTS = 3  # of a pool of processes, without a tile done in between


@dataclass(frozen=True, eq=False)
class TileJob:
    """What a worker needs; it travels to other processes and machines.

    Attributes
    ----------
    plan : ScenePlan
    extractor : str
    models : ModelOptions
    store : str
        Folder that every worker reaches.
    key : str
        Of everything that changes a tile.
    """

    plan: ScenePlan
    extractor: str
    models: ModelOptions
    store: str
    key: str

    @classmethod
    def of(
        cls, plan: ScenePlan, extractor: Extractor, models: ModelOptions, store: str | Path
    ) -> TileJob:
        """The job of a plan; its key names the pixels of both files too."""
        parts = {
            "format": _FORMAT,
            "version": __version__,
            "plan": plan.to_dict(),
            "images": [_content(one) for one in (plan.sar, plan.optical)],
            "features": str(extractor.key),
            "stages": [repr(stage) for stage in STAGES],
        }
        text = json.dumps(parts, sort_keys=True, default=str)
        own = {name: getattr(models, name) for name in ModelOptions.model_fields}
        key = hashlib.sha256(text.encode()).hexdigest()[:20]
        return cls(plan, extractor.spec, ModelOptions(**own), str(store), key)

    def name_of(self, number: int) -> str:
        """File of a tile."""
        return f"{self.key}-{number:06d}.npy"


def _content(image: ImageFile) -> list[Any]:
    """What tells one image, and how it is read, from another."""
    source, mask = image.source, image.mask
    if isinstance(source, RasterFile | MosaicFile | AtlasFile):
        files = [*source.parts(), *(mask.parts() if mask is not None else ())]
        pixels: list[Any] = [[str(one), *_state(one)] for one in files]
    else:
        pixels = [
            hashlib.sha256(
                source.read(Window.whole(image.shape), image.bands).tobytes()
            ).hexdigest()
        ]
    how = (repr(source.header.grid), image.bands, repr(image.radiometry), repr(image.stretch))
    return [pixels, *how, None if mask is None else str(mask.place)]


def _state(place: Place) -> tuple[int, int]:
    """Size and time of a local file; what lies elsewhere is known by its name alone."""
    try:
        return state_of(Path(str(place)))
    except OSError:
        return (0, 0)


class TileWorker:
    """Opens the features once, then matches tile after tile."""

    def __init__(self, job: TileJob) -> None:
        self.job = job
        self.extractor = open_features(job.extractor, job.models)
        self.folder = open_folder(job.store)
        self.tiles = job.plan.tiles

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Match and store the tiles of a batch; one that cannot be read is left out."""
        for number in map(int, batch["tile"]):
            try:
                self.store(number)
            except OutputError:
                raise
            except CrosslookError:  # whoever finds it missing asks why
                continue
        return batch

    def store(self, number: int) -> None:
        """Match a tile and store it, unless it is there."""
        name = self.job.name_of(number)
        if not self.folder.has(name):  # from a worker that died later, it may be
            with threads.limited(self.job.models.threads, in_pieces=True):
                self.folder.write(name, _to_bytes(self.match(number)))

    def match(self, number: int) -> FloatArray:
        """One tile; the name of the image is in the error where it cannot be read."""
        return match_tile(self.job.plan, self.tiles[number], self.extractor)


def _to_bytes(values: FloatArray) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


_worker: TileWorker | None = None


def _start(job: TileJob) -> None:
    global _worker  # one a process
    _worker = TileWorker(job)


def _one(number: int) -> tuple[int, str]:
    """Match a tile in a worker process; the words of an error where it cannot be."""
    assert _worker is not None
    try:
        _worker.store(number)
    except OutputError:
        raise
    except CrosslookError as error:
        return number, str(error)
    return number, ""


@dataclass(frozen=True)
class Engine:
    """Where tiles are matched."""

    name: str = "local"
    workers: int = 1
    address: str | None = None


def engine_of(settings: EngineOptions, out: Path | str | None = None) -> Engine:
    """Where tiles are matched, as the settings ask for.

    Raises
    ------
    SettingError
        If a cluster is requested and no folder that all workers reach.
    """
    if settings.engine == "ray" and out is None:
        raise SettingError("--engine ray needs --out: a folder that all workers reach.")
    workers = settings.workers or (2 if settings.engine == "ray" else 1)
    return Engine(settings.engine, workers, settings.ray_address)


def match_tiles(job: TileJob, engine: Engine) -> tuple[FloatArray, dict[int, str]]:
    """Match all tiles that are not done yet.

    Returns
    -------
    values : float32 array, shape (h, w, fields)
        Of all nodes; NaN where there is nothing.
    failed : dict of int to str
        Tiles whose pixels could not be read, and why; the others are there.
    """
    folder, tiles = open_folder(job.store), job.plan.tiles
    left = [n for n in range(len(tiles)) if not folder.has(job.name_of(n))]
    failed: dict[int, str] = {}
    if engine.name == "ray" and left:
        failed = _by_ray(job, left, engine)
    elif engine.workers > 1 and len(left) > 1:
        failed = _by_processes(job, left, min(engine.workers, len(left)))
    elif left:
        _start(job)
        for number in track(left, "Matching tiles"):
            _, words = _one(number)
            if words:
                failed[number] = words
    values = np.full((*job.plan.shape, len(FIELDS)), np.nan, np.float32)
    for number, tile in enumerate(tiles):
        if number not in failed:
            values[tile.slices] = _loaded(folder, job, number)
    return values, failed


def _loaded(folder: Folder, job: TileJob, number: int) -> FloatArray:
    shape = (*job.plan.tiles[number].shape, len(FIELDS))
    try:
        values = np.load(io.BytesIO(folder.read(job.name_of(number))), allow_pickle=False)
        if values.shape != shape or values.dtype != np.float32:
            raise ValueError(f"{values.shape} {values.dtype}")
    except ValueError as error:
        raise OutputError(
            f"{folder.path / job.name_of(number)} is damaged ({error}). Remove it and run again."
        ) from error
    return np.asarray(values, np.float32)


def _by_processes(job: TileJob, left: list[int], workers: int) -> dict[int, str]:
    """Match tiles in processes; one that dies costs the tiles that it had."""
    failed: dict[int, str] = {}
    waiting, restarts = list(left), 0
    progress = iter(track(range(len(left)), "Matching tiles"))
    while waiting:
        done: list[int] = []
        try:
            for number, words in _through_pool(job, waiting, workers):
                next(progress, None)
                done.append(number)
                if words:
                    failed[number] = words
        except BrokenProcessPool:
            restarts = 0 if done else restarts + 1
            if restarts > _MOST_RESTARTS:
                raise OutputError(
                    f"{workers} processes died {restarts} times in a row; with less than "
                    f"{job.plan.tile_bytes >> 20} MiB for each, use fewer --workers."
                ) from None
        finished = set(done)
        waiting = [n for n in waiting if n not in finished]
    next(progress, None)
    return failed


def _through_pool(job: TileJob, waiting: list[int], workers: int) -> Iterator[tuple[int, str]]:
    """Results of one pool, as they come; BrokenProcessPool where a process dies."""
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (job,))
    try:
        under_way: set[Future[tuple[int, str]]] = {pool.submit(_one, n) for n in waiting}
        while under_way:
            ready, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            broken = None
            for one in ready:
                try:
                    yield one.result()
                except BrokenProcessPool as error:
                    broken = error
            if broken is not None:
                raise broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _by_ray(job: TileJob, left: list[int], engine: Engine) -> dict[int, str]:
    """Match tiles on a cluster; what is missing afterwards is tried here, which says why."""
    from crosslook.extract.ray_engine import run_on_ray

    items = [{"tile": number} for number in left]
    run_on_ray(TileWorker, job, items, "Matching tiles (ray)", engine.workers, engine.address)
    folder = open_folder(job.store)
    failed: dict[int, str] = {}
    missing = [number for number in left if not folder.has(job.name_of(number))]
    if missing:
        _start(job)
    for number in missing:
        _, words = _one(number)
        if not words:
            raise OutputError(
                f"{len(missing)} tiles are missing in {job.store} after the Ray run. Check that "
                "all workers reach the folder, then run again."
            )
        failed[number] = words
    return failed
