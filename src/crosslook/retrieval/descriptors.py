"""Features of a study: extracted through the store by the chosen engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosslook.data.bands import NamedBands
from crosslook.data.patches import PatchSet
from crosslook.extract.base import Extractor, family_of
from crosslook.extract.registry import extractor_class, find_row, open_model
from crosslook.extract.run import Patches, StoredForm, extract_family, iterate
from crosslook.extract.spec import parse_spec
from crosslook.extract.store import FeatureSet
from crosslook.retrieval.compare.pooling import dense_shifts, pool
from crosslook.retrieval.compare.shifts import Shifts
from crosslook.retrieval.models import StudyPlan
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.setup import Setup
from crosslook.scratch import scratch
from crosslook.storage import is_remote, open_folder
from crosslook.types import MODALITIES, FeatureMap, FloatArray, Modality

MAX_DIMENSIONS = 2**16
"""Longest descriptor that ``auto`` makes: 736 of them take 190 MB."""


@dataclass(frozen=True)
class Descriptors:
    """Pooled features of all patches of a set, both modalities, in order.

    ``setup`` names the extractor, its revision and the pooling.
    ``sar`` and ``optical`` are float32 (N, D); row i of both is one pair.
    ``shifts`` says that they are maps, compared over small shifts (``dense:R``).
    """

    setup: Setup
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
    spec: str, patches: PatchSet, settings: StudySettings, plan: StudyPlan, pooling: str = ""
) -> Descriptors:
    """Extract both modalities through the store and pool them, as the settings say by default."""
    sar, optical = extract_both(spec, patches, settings, plan)
    shape = sar.read(0).values.shape
    pooling = resolve_pooling(pooling or settings.pooling, shape)
    whole = settings.keep == "maps"
    return Descriptors(
        Setup(spec, pooling, revision=plan.revisions[spec]),
        pool_set(sar, patches, pooling if whole else "flatten", settings.out),
        pool_set(optical, patches, pooling if whole else "flatten", settings.out),
        dense_shifts(pooling, shape),
    )


def extract_both(
    spec: str, patches: PatchSet, settings: StudySettings, plan: StudyPlan
) -> tuple[FeatureSet, FeatureSet]:
    """Make sure that the features of both modalities are in the store."""
    place = str(settings.store or settings.out / "features")
    if settings.engine == "ray":
        return _extract_with_ray(spec, patches, settings, plan, place)
    store, kept = open_folder(place), kept_of(settings)
    swept = extractor_class(find_row(parse_spec(spec).name)).SWEPT
    # One pass serves all that differ in this option alone; the others then find their shards.
    same = [s for s in plan.specs if swept and family_of(s, swept) == family_of(spec, swept)]
    family = [open_model(one, settings) for one in dict.fromkeys([spec, *same])]
    seen = patches_for(family[0], patches)
    try:
        sar = extract_family(family, seen, "sar", store, kept)[0]
        optical = extract_family(family, seen, "optical", store, kept)[0]
    finally:
        for one in family:
            one.close()
    plan.revisions |= {one.spec: one.revision for one in family}
    plan.features[spec] = {"sar": sar.folder.name, "optical": optical.folder.name}
    return sar, optical


def patches_for(extractor: Extractor, patches: PatchSet) -> PatchSet | NamedBands:
    """The patches as an extractor asks for them: three channels, or bands by name."""
    return NamedBands(patches, extractor.BANDS) if extractor.BANDS else patches


def kept_of(settings: StudySettings) -> StoredForm:
    """What of the features the store keeps, as the settings say."""
    if settings.keep == "maps":
        return StoredForm(settings.stored)

    def shrink(features: FeatureMap) -> FeatureMap:
        pooled = pool(features, settings.pooling)
        return FeatureMap(pooled[:, :, None, None], features.stride, None)

    return StoredForm(settings.stored, settings.pooling, shrink)


def _extract_with_ray(
    spec: str, patches: PatchSet, settings: StudySettings, plan: StudyPlan, place: str
) -> tuple[FeatureSet, FeatureSet]:
    from crosslook.extract.ray_engine import RayJob, extract_with_ray

    # Workers may run in another folder.
    store = place if is_remote(place) else str(Path(place).resolve())
    bands = extractor_class(find_row(parse_spec(spec).name)).BANDS
    sets = []
    for modality in MODALITIES:
        seen = NamedBands(patches, bands) if bands else patches
        job = RayJob(spec, seen, modality, store, settings, settings.stored)
        sets.append(
            extract_with_ray(job, settings.workers or DEFAULT_WORKERS, settings.ray_address)
        )
    plan.revisions[spec] = str(sets[0].key["revision"])
    plan.features[spec] = {m: one.folder.name for m, one in zip(MODALITIES, sets, strict=True)}
    return sets[0], sets[1]
