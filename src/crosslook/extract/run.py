"""Extract the features of a patch set, through the store, with read-ahead."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crosslook import threads
from crosslook.errors import FeatureError, OutputError
from crosslook.extract.base import Extractor
from crosslook.extract.store import FeatureSet, open_set
from crosslook.progress import track
from crosslook.storage import Folder
from crosslook.types import FeatureMap, FloatArray, Modality, Patch

_MOST_AHEAD = 3
SHARD = 64
"""Patches per shard: small enough to lose little, large enough to be quick."""


class Patches(Protocol):
    """What extraction needs of a patch set (see ``data.patches.PatchSet``)."""

    @property
    def patches(self) -> tuple[Patch, ...]:
        """All patches, in order."""

    def fingerprint(self, modality: Modality) -> str:
        """Hash of everything that changes the pixels of ``modality``."""

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        """Images of these patches, float32 (n, 3, p, p) in 0..1."""


@dataclass(frozen=True)
class StoredForm:
    """What of the features goes into the store.

    Attributes
    ----------
    stored : str
        ``float32`` or ``float16``.
    pooling : str
        What ``shrink`` does; empty where maps are kept as they are.
    shrink : callable or None
        Makes of feature maps what is kept of them.
    """

    stored: str = "float32"
    pooling: str = ""
    shrink: Callable[[FeatureMap], FeatureMap] | None = None

    @property
    def key(self) -> dict[str, str]:
        """What it adds to the key of a feature set; nothing by default."""
        stored = {} if self.stored == "float32" else {"stored": self.stored}
        return stored | ({"pooling": self.pooling} if self.pooling else {})


WHOLE_MAPS = StoredForm()


def extract_family(
    family: Sequence[Extractor],
    patches: Patches,
    modality: Modality,
    store: Folder,
    kept: StoredForm = WHOLE_MAPS,
) -> list[FeatureSet]:
    """Make sure that every shard of a patch set is in the store, of each of a family.

    Shards that are there already are left alone, so a run that was killed
    goes on where it stopped. One pass serves all extractors of the family (see
    ``Extractor.extract_family``). Threads read the pixels of the next shards
    while the extractor works on this one.
    """
    sets = [open_features(one, patches, modality, store, kept) for one in family]
    missing = [
        shard for shard in range(shard_count(patches)) if not all(s.has(shard) for s in sets)
    ]
    jobs = [shard_indices(patches, shard) for shard in missing]
    images = read_ahead(lambda indices: patches.read(modality, indices), jobs)
    more = f" and {len(family) - 1} more" if len(family) > 1 else ""
    label = f"{family[0].spec}{more} {modality}"
    for done, (shard, stack) in enumerate(
        zip(missing, track(images, label, len(missing)), strict=True)
    ):
        if done == 1:
            _refuse_a_full_disk(store, sets, missing, label)
        maps = extract_shard(family, patches, modality, shard, stack)
        for features, one in zip(sets, maps, strict=True):
            if not features.has(shard):
                features.write(shard, one if kept.shrink is None else kept.shrink(one))
    return sets


def _refuse_a_full_disk(
    store: Folder, sets: Sequence[FeatureSet], missing: Sequence[int], label: str
) -> None:
    """Tell by the first shard whether the disk holds all, before hours are spent."""
    if not store.is_local:
        return
    need = sum(features.size(missing[0]) for features in sets) * (len(missing) - 1)
    free = shutil.disk_usage(store.path).free
    if need > free:
        raise OutputError(
            f"the features of {label} need {need / 1e9:.1f} GB more in {store} and "
            f"{free / 1e9:.1f} GB are free. Choose another --store, --stored float16, "
            "--keep pooled, or --limit."
        )


def extract_shard(
    family: Sequence[Extractor],
    patches: Patches,
    modality: Modality,
    shard: int,
    images: FloatArray,
) -> list[FeatureMap]:
    """Extract the features of a shard from its images (n, 3, p, p), for each of a family.

    Raises
    ------
    FeatureError
        If a feature is NaN or infinite; names the patch.
    """
    try:
        if len(family) == 1:
            return [family[0].extract(images, modality)]
        deepest = max(family, key=lambda one: one.depth)
        return deepest.extract_family(images, family, modality)
    except FeatureError as error:
        at = shard_indices(patches, shard)[error.index]
        raise FeatureError(
            f"{modality} patch '{patches.patches[at].id}': {error}", error.index
        ) from None


def open_features(
    extractor: Extractor,
    patches: Patches,
    modality: Modality,
    store: Folder,
    kept: StoredForm = WHOLE_MAPS,
) -> FeatureSet:
    """Open the feature set of an extractor on one modality of a patch set."""
    key = {**extractor.key, "modality": modality, "patches": patches.fingerprint(modality)}
    return open_set(store, key | kept.key)


def missing_shards(features: FeatureSet, patches: Patches) -> list[int]:
    """List the shards that are not in the store yet."""
    return [shard for shard in range(shard_count(patches)) if not features.has(shard)]


def shard_count(patches: Patches) -> int:
    """Number of shards of a patch set."""
    return -(-len(patches.patches) // SHARD)


def iterate(features: FeatureSet, patches: Patches) -> Iterator[FeatureMap]:
    """Yield the shards in order, one in memory at a time."""
    for shard in range(shard_count(patches)):
        yield features.read(shard)


def read_maps(features: FeatureSet, patches: Patches, indices: Sequence[int]) -> FeatureMap:
    """Read the feature maps of chosen patches, in the given order."""
    chosen = np.asarray(indices, dtype=np.int64)
    maps: FeatureMap | None = None
    for shard in np.unique(chosen // SHARD):
        part = features.read(int(shard))
        here = np.flatnonzero(chosen // SHARD == shard)
        if maps is None:
            own = part.vector
            vector = None if own is None else np.empty((len(chosen), own.shape[1]), np.float32)
            values = np.empty((len(chosen), *part.values.shape[1:]), np.float32)
            maps = FeatureMap(values, part.stride, vector)
        maps.values[here] = part.values[chosen[here] % SHARD]
        if maps.vector is not None and part.vector is not None:
            maps.vector[here] = part.vector[chosen[here] % SHARD]
    empty = FeatureMap(np.empty((0, 0, 0, 0), np.float32), 1.0)
    return empty if maps is None else maps


def read_ahead(
    read: Callable[[Sequence[int]], FloatArray], jobs: Sequence[Sequence[int]]
) -> Iterator[FloatArray]:
    """Yield ``read(job)`` for each job in order, the next ones read in threads meanwhile.

    As many are read at once as there are cores to read beside the extractor, up to
    three; a GPU waits for its pixels otherwise.
    """
    ahead = max(1, min(_MOST_AHEAD, threads.count() // 2))
    with ThreadPoolExecutor(max_workers=ahead) as pool:
        pending = deque(pool.submit(read, job) for job in jobs[:ahead])
        for job in [*jobs[ahead:], *[None] * ahead]:
            if not pending:
                return
            stack = pending.popleft().result()
            if job is not None:
                pending.append(pool.submit(read, job))
            yield stack


def shard_indices(patches: Patches, shard: int) -> range:
    """Indices of the patches of a shard."""
    return range(shard * SHARD, min((shard + 1) * SHARD, len(patches.patches)))
