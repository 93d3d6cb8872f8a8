"""Independent pieces of work, given to the actors of a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from crosslook.errors import MissingExtraError, SettingError
from crosslook.options import check_device
from crosslook.progress import track


def run_on_ray(
    worker: type,
    job: object,
    items: Sequence[dict[str, int]],
    label: str,
    workers: int,
    address: str | None,
    gpus: int | None = None,
) -> None:
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
    for _ in track(done.iter_batches(batch_size=1), label, len(items)):
        pass


def worker_device(device: str, address: str | None) -> tuple[str, int | None]:
    """Where workers run a model for which the driver says ``device``, and GPUs for each.

    ``auto`` is settled by the cluster, not by the driver's machine: Ray hides
    the GPUs of a worker that asks for none. A number is of the driver's machine;
    a worker has the one that Ray gives it.

    Raises
    ------
    SettingError
        If a GPU is asked for and no machine of the cluster has one, or for ``mps``.
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
    _quieten(ray)
    if not ray.is_initialized():
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    return ray


def _quieten(ray: Any) -> None:
    """Keep Ray's own story off the terminal; an error of a worker is raised here anyway."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # crosslook shows its own
    logging.getLogger("ray.data").setLevel(logging.ERROR)
