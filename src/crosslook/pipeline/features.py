"""Features of a study: extracted through the store by the chosen engine."""

from __future__ import annotations

from pathlib import Path

from crosslook.data.patches import PatchSet
from crosslook.extract.run import extract_patches, read_maps
from crosslook.extract.store import FeatureSet
from crosslook.pipeline.descriptors import Descriptors, pool_set, resolve_pooling
from crosslook.pipeline.models import Plan, open_planned
from crosslook.pipeline.settings import StudySettings
from crosslook.storage import is_remote, open_folder
from crosslook.types import MODALITIES, FeatureMap

DEFAULT_WORKERS = 2


def describe(spec: str, patches: PatchSet, settings: StudySettings, plan: Plan) -> Descriptors:
    """Extract both modalities through the store and pool them."""
    sar, optical = extract_both(spec, patches, settings, plan)
    pooling = resolve_pooling(settings.pooling, sar.read(0).values.shape)
    return Descriptors(
        spec,
        plan.revisions[spec],
        pooling,
        pool_set(sar, patches, pooling, settings.out),
        pool_set(optical, patches, pooling, settings.out),
    )


def whole_maps(
    spec: str, patches: PatchSet, settings: StudySettings, plan: Plan
) -> tuple[FeatureMap, FeatureMap]:
    """Extract both modalities and read all feature maps (SAR, optical)."""
    sar, optical = extract_both(spec, patches, settings, plan)
    everything = range(len(patches.patches))
    return read_maps(sar, patches, everything), read_maps(optical, patches, everything)


def extract_both(
    spec: str, patches: PatchSet, settings: StudySettings, plan: Plan
) -> tuple[FeatureSet, FeatureSet]:
    """Make sure that the features of both modalities are in the store."""
    place = str(settings.store or settings.out / "features")
    if settings.engine == "ray":
        return _extract_with_ray(spec, patches, settings, plan, place)
    extractor = open_planned(spec, settings)
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
        job = RayJob(
            spec,
            patches,
            modality,
            store,
            settings.device,
            settings.dtype,
            settings.batch_size,
            settings.weights,
        )
        sets.append(
            extract_with_ray(job, settings.workers or DEFAULT_WORKERS, settings.ray_address)
        )
    plan.revisions[spec] = str(sets[0].key["revision"])
    return sets[0], sets[1]
