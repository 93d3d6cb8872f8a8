"""Extract the features of a patch set, through the store, with read-ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from crosslook.errors import FeatureError
from crosslook.extract.base import Extractor
from crosslook.extract.store import FeatureSet, open_set
from crosslook.progress import track
from crosslook.storage import Folder
from crosslook.types import FeatureMap, FloatArray, Modality, Patch

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


def extract_patches(
    extractor: Extractor, patches: Patches, modality: Modality, store: Folder
) -> FeatureSet:
    """Make sure that every shard of the patch set is in the store.

    Shards that are there already are left alone, so a run that was killed
    goes on where it stopped. One thread reads the next shard's pixels while
    the extractor works on this one.
    """
    features = open_features(extractor, patches, modality, store)
    missing = missing_shards(features, patches)
    jobs = [shard_indices(patches, shard) for shard in missing]
    images = read_ahead(lambda indices: patches.read(modality, indices), jobs)
    label = f"{extractor.spec} {modality}"
    for shard, stack in zip(missing, track(images, label, len(missing)), strict=True):
        features.write(shard, extract_shard(extractor, patches, modality, shard, stack))
    return features


def extract_shard(
    extractor: Extractor, patches: Patches, modality: Modality, shard: int, images: FloatArray
) -> FeatureMap:
    """Extract the features of a shard from its images (n, 3, p, p).

    Raises
    ------
    FeatureError
        If a feature is NaN or infinite; names the patch.
    """
    try:
        return extractor.extract(images)
    except FeatureError as error:
        at = shard_indices(patches, shard)[error.index]
        raise FeatureError(
            f"{modality} patch '{patches.patches[at].id}': {error}", error.index
        ) from None


def open_features(
    extractor: Extractor, patches: Patches, modality: Modality, store: Folder
) -> FeatureSet:
    """Open the feature set of an extractor on one modality of a patch set."""
    key = {**extractor.key, "modality": modality, "patches": patches.fingerprint(modality)}
    return open_set(store, key)


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
    wanted = np.asarray(indices, dtype=np.int64)
    values: FloatArray | None = None
    vector: FloatArray | None = None
    stride = 1.0
    for shard in np.unique(wanted // SHARD):
        part = features.read(int(shard))
        here = np.flatnonzero(wanted // SHARD == shard)
        if values is None:
            values = np.empty((len(wanted), *part.values.shape[1:]), np.float32)
            stride = part.stride
            if part.vector is not None:
                vector = np.empty((len(wanted), part.vector.shape[1]), np.float32)
        values[here] = part.values[wanted[here] % SHARD]
        if vector is not None and part.vector is not None:
            vector[here] = part.vector[wanted[here] % SHARD]
    if values is None:
        values = np.empty((0, 0, 0, 0), np.float32)
    return FeatureMap(values, stride, vector)


def read_ahead(
    read: Callable[[Sequence[int]], FloatArray], jobs: Sequence[Sequence[int]]
) -> Iterator[FloatArray]:
    """Yield ``read(job)`` for each job, reading one job ahead in a thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(read, jobs[0]) if jobs else None
        for following in [*jobs[1:], None]:
            if pending is None:
                return
            stack = pending.result()
            pending = pool.submit(read, following) if following is not None else None
            yield stack


def shard_indices(patches: Patches, shard: int) -> range:
    """Indices of the patches of a shard."""
    return range(shard * SHARD, min((shard + 1) * SHARD, len(patches.patches)))
