"""Work on a Ray cluster: independent pieces given to actors, and the extraction of features.

Ray Data hands shard numbers to actors that hold the model. Each shard is
extracted and stored exactly as on one machine, so the bytes in the store do not
tell which engine made them. A worker that dies costs the shard it worked on: Ray
starts another and gives it that shard again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crosslook.errors import MissingExtraError, OutputError, SettingError
from crosslook.extract.registry import open_model
from crosslook.extract.run import (
    Patches,
    StoredForm,
    extract_shard,
    missing_shards,
    open_features,
    shard_indices,
)
from crosslook.extract.store import FeatureSet
from crosslook.options import ModelOptions, check_device
from crosslook.progress import track
from crosslook.storage import open_folder
from crosslook.types import Modality


def each_on_ray(
    worker: type,
    job: object,
    items: Sequence[dict[str, int]],
    label: str,
    workers: int,
    address: str | None,
    gpus: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Call ``worker(job)(batch)`` with every item once, on actors that hold the job.

    Ray Data starts an actor again when its process dies, and gives it the
    items that it had not finished.

    Parameters
    ----------
    worker : class
        Its instances take a batch of one item: a dict of arrays of length 1.
    job : object
        What a worker is made from; it travels to other machines.
    items : sequence of dict
    label : str
        Of the progress bar.
    workers : int
        Actors; each takes one core, and ``gpus`` GPUs.
    address : str or None
        A running cluster, as ``ray://host:10001``; None starts a local one
        (or joins the one already started in this process).

    Yields
    ------
    dict
        What each call returns, arrays of length 1, as they come.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    """
    ray = _started(address)
    data = ray.data.from_items(list(items), override_num_blocks=len(items))
    done = data.map_batches(
        worker, fn_constructor_args=(job,), batch_size=1, concurrency=workers, num_gpus=gpus
    )
    yield from track(done.iter_batches(batch_size=1), label, len(items))


def worker_device(device: str, address: str | None) -> tuple[str, int | None]:
    """Where workers run a model for which the driver says ``device``, and GPUs for each.

    ``auto`` is settled by the cluster, not by the driver's machine: Ray hides
    the GPUs of a worker that asks for none. A number is of the driver's machine;
    a worker has the one that Ray gives it.

    Raises
    ------
    SettingError
        If a GPU is requested and no machine of the cluster has one, or for ``mps``.
    """
    kind, _ = check_device(device)
    if kind in ("cpu", "mps"):
        if kind == "mps":
            raise SettingError("--engine ray runs on CPUs and CUDA GPUs; use --device cpu or cuda.")
        return "cpu", None
    there = float(_started(address).cluster_resources().get("GPU", 0.0)) >= 1
    if kind == "cuda" and not there:
        raise SettingError(
            f"--device {device}: no machine of the Ray cluster has a GPU; use --device cpu."
        )
    return ("cuda", 1) if there else ("cpu", None)


def _started(address: str | None) -> Any:
    try:
        import ray
    except ImportError:
        raise MissingExtraError(
            "--engine ray needs Ray: pip install 'crosslook[ray]', or use --engine local."
        ) from None
    # Ray's own messages stay off the terminal; an error of a worker is raised here anyway.
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False  # crosslook shows its own
    if not ray.is_initialized():
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    return ray


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
        kept = StoredForm(job.stored)
        self.features = open_features(self.extractor, job.patches, job.modality, store, kept)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Extract and store the shards named in a batch."""
        for shard in map(int, batch["shard"]):
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
        for _ in each_on_ray(ShardWorker, there, items, label, workers, address, gpus):
            pass
    head.extractor.close()
    left = missing_shards(head.features, job.patches)
    if left:
        raise OutputError(
            f"{len(left)} shards are missing in {job.store} after the Ray run. "
            "Check that all workers reach the store, then run again."
        )
    return head.features
