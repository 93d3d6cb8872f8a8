"""Tiles of a scene, matched here, by processes or on a Ray cluster; what is done stays done.

Each tile is one file of the folder of the result, named by all that changes it. So a run that
was killed goes on, a worker that died costs the tile it worked on, and who made a tile cannot be
seen from its bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crosslook import threads
from crosslook._version import __version__
from crosslook.errors import CrosslookError, OutputError
from crosslook.extract.base import Extractor
from crosslook.geo.atlas_file import AtlasFile
from crosslook.geo.image import ImageFile
from crosslook.geo.mosaic_file import MosaicFile
from crosslook.geo.raster import RasterFile
from crosslook.match.cached_image import sharing
from crosslook.match.engine import Engine, in_processes, on_ray
from crosslook.match.matchers import open_features
from crosslook.match.scene.plan import ScenePlan
from crosslook.match.scene.tile import COARSE, FIELDS, FINE, STAGES, match_tile
from crosslook.options import ModelOptions
from crosslook.progress import track
from crosslook.storage import Folder, Place, open_folder, state_of
from crosslook.types import FloatArray, Window

_FORMAT = 3
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
            "stages": [COARSE, *FINE, *map(repr, STAGES)],
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


_opened: dict[str, Extractor] = {}


def _features(job: TileJob) -> Extractor:
    """The features of a job, the same object for all dates of a stack."""
    key = repr((job.extractor, job.models))
    if key not in _opened:
        _opened.clear()
        _opened[key] = open_features(job.extractor, job.models)
    return _opened[key]


class TileWorker:
    """Opens the features once, then matches tile after tile."""

    def __init__(self, job: TileJob) -> None:
        self.job = job
        self.extractor = _features(job)
        self.folder = open_folder(job.store)
        self.tiles = job.plan.tiles

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


@dataclass(frozen=True, eq=False)
class StackJob:
    """Tiles of the dates of a stack, those on one part of the optical image together.

    Attributes
    ----------
    jobs : tuple of TileJob
        One for each date; one alone of a single pair.
    groups : tuple of tuple of (int, int)
        Job and tile of what is matched one after the other by one worker, which reads the
        optical image once for all of them.
    """

    jobs: tuple[TileJob, ...]
    groups: tuple[tuple[tuple[int, int], ...], ...]

    @classmethod
    def of(cls, jobs: Sequence[TileJob]) -> StackJob:
        """All that is not done yet."""
        parts: dict[tuple[Window, int], list[tuple[int, int]]] = {}
        for number, job in enumerate(jobs):
            folder = open_folder(job.store)
            for k, tile in enumerate(job.plan.tiles):
                if not folder.has(job.name_of(k)):
                    part = job.plan.pixels(tile), job.plan.factor
                    parts.setdefault(part, []).append((number, k))
        return cls(tuple(jobs), tuple(map(tuple, parts.values())))

    def __len__(self) -> int:
        return len(self.groups)

    def open(self) -> Callable[[int], list[tuple[int, int, str]]]:
        """What a worker calls with the number of a group."""
        return StackWorker(self).store

    def shared_by(self, engine: Engine) -> StackJob:
        """The same for one of several workers, which share the threads of this machine."""
        shares = (
            one.models.model_copy(update={"threads": engine.share_of(one.models.threads)})
            for one in self.jobs
        )
        jobs = (replace(one, models=own) for one, own in zip(self.jobs, shares, strict=True))
        return replace(self, jobs=tuple(jobs))


class StackWorker:
    """Matches the tiles of one group after the other."""

    def __init__(self, stack: StackJob) -> None:
        self.stack = stack
        self.workers = tuple(map(TileWorker, stack.jobs))

    def store(self, number: int) -> list[tuple[int, int, str]]:
        """Match and store a group; job, tile and the words of an error, of what cannot be read."""
        failed = []
        with sharing():
            for job, tile in self.stack.groups[number]:
                try:
                    self.workers[job].store(tile)
                except OutputError:
                    raise
                except CrosslookError as error:
                    failed.append((job, tile, str(error)))
        return failed


def match_tiles(job: TileJob, engine: Engine) -> tuple[FloatArray, dict[int, str]]:
    """Match all tiles that are not done yet.

    Returns
    -------
    values : float32 array, shape (h, w, fields)
        Of all nodes; NaN where there is nothing.
    failed : dict of int to str
        Tiles whose pixels could not be read, and why; the others are there.
    """
    return match_stack([job], engine)[0]


def match_stack(jobs: Sequence[TileJob], engine: Engine) -> list[tuple[FloatArray, dict[int, str]]]:
    """Match all tiles of several dates that are not done yet; of each as :func:`match_tiles`."""
    stack = StackJob.of(jobs)
    failed: dict[tuple[int, int], str] = {}
    if stack.groups:
        by = _by_ray if engine.name == "ray" else _here
        if engine.name != "ray" and min(engine.workers, len(stack.groups)) > 1:
            by = _by_processes
        failed = {(job, tile): words for job, tile, words in by(stack, engine)}
    return [
        _gathered(job, {tile: words for (k, tile), words in failed.items() if k == number})
        for number, job in enumerate(jobs)
    ]


def _gathered(job: TileJob, failed: dict[int, str]) -> tuple[FloatArray, dict[int, str]]:
    """The nodes of a date from its tiles."""
    folder = open_folder(job.store)
    values = np.full((*job.plan.shape, len(FIELDS)), np.nan, np.float32)
    for number, tile in enumerate(job.plan.tiles):
        if number not in failed:
            values[tile.slices] = _loaded(folder, job, number)
    return values, failed


def _here(stack: StackJob, _: Engine) -> list[tuple[int, int, str]]:
    store = stack.open()
    failed: list[tuple[int, int, str]] = []
    for number in track(range(len(stack)), "Matching tiles"):
        failed += store(number)
    return failed


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


def _by_processes(stack: StackJob, engine: Engine) -> list[tuple[int, int, str]]:
    """Match groups in processes; one that dies costs the groups that it had."""
    failed: list[tuple[int, int, str]] = []
    waiting, restarts = list(range(len(stack))), 0
    workers = min(engine.workers, len(waiting))
    stack = stack.shared_by(replace(engine, workers=workers))
    progress = iter(track(range(len(waiting)), "Matching tiles"))
    while waiting:
        done: list[int] = []
        try:
            for number, words in in_processes(stack, waiting, workers):
                next(progress, None)
                done.append(number)
                failed += words
        except BrokenProcessPool:
            restarts = 0 if done else restarts + 1
            if restarts > _MOST_RESTARTS:
                most = max(job.plan.tile_bytes for job in stack.jobs)
                raise OutputError(
                    f"{workers} processes died {restarts} times in a row; with less than "
                    f"{most >> 20} MiB for each, use fewer --workers."
                ) from None
        finished = set(done)
        waiting = [n for n in waiting if n not in finished]
    next(progress, None)
    return failed


def _by_ray(stack: StackJob, engine: Engine) -> list[tuple[int, int, str]]:
    """Match groups on a cluster; what is missing afterwards is tried here, which says why."""
    for _ in on_ray(stack, "Matching tiles (ray)", engine):
        pass
    left = StackJob.of(stack.jobs)
    failed: list[tuple[int, int, str]] = []
    store = left.open()
    for number, group in enumerate(left.groups):
        words = store(number)
        if len(words) < len(group):
            raise OutputError(
                f"{len(left.groups)} tiles are missing in {stack.jobs[0].store} after the Ray "
                "run. Check that all workers reach the folder, then run again."
            )
        failed += words
    return failed
