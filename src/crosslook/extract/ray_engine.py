"""Extraction on a Ray cluster: the same shards, written by several workers.

Ray Data hands shard numbers to actors that hold the model; each shard is
extracted and stored exactly as on one machine, so the bytes in the store do
not tell which engine made them. A worker that dies costs the shard it held:
Ray starts another and gives it that shard again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from crosslook.errors import OutputError
from crosslook.extract.registry import open_model
from crosslook.extract.run import (
    Kept,
    Patches,
    extract_shard,
    missing_shards,
    open_features,
    shard_indices,
)
from crosslook.extract.store import FeatureSet
from crosslook.options import ModelOptions
from crosslook.ray_work import run_on_ray, worker_device
from crosslook.storage import open_folder
from crosslook.types import Modality


@dataclass(frozen=True)
class RayJob:
    """What a worker needs to extract shards; it travels to other machines.

    ``store`` and the scenes must be reachable from every worker: a shared
    file system or an object store.
    """

    spec: str
    patches: Patches
    modality: Modality
    store: str
    models: ModelOptions = field(default_factory=ModelOptions)
    stored: str = "float32"


class ShardWorker:
    """An actor: opens the extractor once, then extracts shard after shard."""

    def __init__(self, job: RayJob) -> None:
        self.job = job
        self.extractor = open_model(job.spec, job.models)
        store = open_folder(job.store)
        kept = Kept(job.stored)
        self.features = open_features(self.extractor, job.patches, job.modality, store, kept)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Extract and store the shards named in a batch."""
        for shard in (int(number) for number in batch["shard"]):
            # Asked again: a shard may be here from a worker that died later.
            if not self.features.has(shard):
                patches, modality = self.job.patches, self.job.modality
                images = patches.read(modality, shard_indices(patches, shard))
                [features] = extract_shard([self.extractor], patches, modality, shard, images)
                self.features.write(shard, features)
        return batch


def extract_with_ray(job: RayJob, workers: int = 2, address: str | None = None) -> FeatureSet:
    """Make sure that every shard of a job is in the store, using Ray.

    Parameters
    ----------
    job : RayJob
    workers : int
        Actors; each takes one core, or one GPU where the device is ``cuda``.
    address : str or None
        A running cluster, as ``ray://host:10001``; None starts a local one
        (or joins the one already started in this process).

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    OutputError
        If shards are still missing after Ray says that it is done.
    """
    # Here only names and keys are needed; the device is that of the workers.
    head = ShardWorker(replace(job, models=job.models.model_copy(update={"device": "cpu"})))
    missing = missing_shards(head.features, job.patches)
    if missing:
        device, gpus = worker_device(job.models.device, address)
        there = replace(job, models=job.models.model_copy(update={"device": device}))
        items = [{"shard": shard} for shard in missing]
        label = f"{job.spec} {job.modality} (ray)"
        run_on_ray(ShardWorker, there, items, label, workers, address, gpus)
    head.extractor.close()
    left = missing_shards(head.features, job.patches)
    if left:
        raise OutputError(
            f"{len(left)} shards are missing in {job.store} after the Ray run. "
            "Check that all workers reach the store, then run again."
        )
    return head.features
