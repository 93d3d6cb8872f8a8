"""Features of a study: extracted through the store by the chosen engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosslook.data.patches import PatchSet
from crosslook.extract.registry import open_model
from crosslook.extract.run import Patches, extract_patches, iterate
from crosslook.extract.store import FeatureSet
from crosslook.retrieval.compare.pooling import dense_shifts, pool
from crosslook.retrieval.compare.shifts import Shifts
from crosslook.retrieval.models import Plan
from crosslook.retrieval.settings import StudySettings
from crosslook.scratch import scratch
from crosslook.storage import is_remote, open_folder
from crosslook.types import MODALITIES, FloatArray, Modality

MAX_DIMENSIONS = 2**16
"""Longest descriptor that ``auto`` makes: 736 of them take 190 MB."""


@dataclass(frozen=True)
class Descriptors:
    """Pooled features of all patches of a set, both modalities, in order.

    ``sar`` and ``optical`` are float32 (N, D); row i of both is one pair.
    ``shifts`` says that they are maps, compared over small shifts (``dense:R``).
    """

    extractor: str
    revision: str
    pooling: str
    sar: FloatArray
    optical: FloatArray
    shifts: Shifts | None = None

    def of(self, modality: Modality) -> FloatArray:
        """The matrix of one modality."""
        return self.sar if modality == "sar" else self.optical


def resolve_pooling(pooling: str, shape: tuple[int, ...]) -> str:
    """Turn ``auto`` into a pooling for maps of ``shape`` (N, C, h, w).

    ``flatten`` where the descriptor has at most ``MAX_DIMENSIONS`` values,
    else the finest ``grid:N`` that has; where they lie matters more to
    matching than how they are averaged.
    """
    if pooling != "auto":
        return pooling
    _, channels, height, width = shape
    if channels * height * width <= MAX_DIMENSIONS:
        return "flatten"
    side = int(np.sqrt(MAX_DIMENSIONS / channels))
    return f"grid:{max(1, min(side, height, width))}"


def pool_set(features: FeatureSet, patches: Patches, pooling: str, folder: Path) -> FloatArray:
    """Pool every shard of a feature set into one matrix (N, D), on disk where it is large."""
    out: FloatArray | None = None
    start = 0
    for part in iterate(features, patches):
        pooled = pool(part, pooling)
        if out is None:
            out = scratch((len(patches.patches), pooled.shape[1]), folder)
        out[start : start + len(pooled)] = pooled
        start += len(pooled)
    return out if out is not None else np.empty((0, 0), np.float32)


DEFAULT_WORKERS = 2


def describe(
    spec: str, patches: PatchSet, settings: StudySettings, plan: Plan, pooling: str = ""
) -> Descriptors:
    """Extract both modalities through the store and pool them, as the settings say by default."""
    sar, optical = extract_both(spec, patches, settings, plan)
    shape = sar.read(0).values.shape
    pooling = resolve_pooling(pooling or settings.pooling, shape)
    return Descriptors(
        spec,
        plan.revisions[spec],
        pooling,
        pool_set(sar, patches, pooling, settings.out),
        pool_set(optical, patches, pooling, settings.out),
        dense_shifts(pooling, shape),
    )


def extract_both(
    spec: str, patches: PatchSet, settings: StudySettings, plan: Plan
) -> tuple[FeatureSet, FeatureSet]:
    """Make sure that the features of both modalities are in the store."""
    place = str(settings.store or settings.out / "features")
    if settings.engine == "ray":
        return _extract_with_ray(spec, patches, settings, plan, place)
    extractor = open_model(spec, settings)
    try:
        store = open_folder(place)
        sar = extract_patches(extractor, patches, "sar", store)
        optical = extract_patches(extractor, patches, "optical", store)
    finally:
        extractor.close()
    plan.revisions[spec] = extractor.revision
    return sar, optical


def _extract_with_ray(
    spec: str, patches: PatchSet, settings: StudySettings, plan: Plan, place: str
) -> tuple[FeatureSet, FeatureSet]:
    from crosslook.extract.ray_engine import RayJob, extract_with_ray

    # Workers may run in another folder.
    store = place if is_remote(place) else str(Path(place).resolve())
    sets = []
    for modality in MODALITIES:
        job = RayJob(spec, patches, modality, store, settings)
        sets.append(
            extract_with_ray(job, settings.workers or DEFAULT_WORKERS, settings.ray_address)
        )
    plan.revisions[spec] = str(sets[0].key["revision"])
    return sets[0], sets[1]
