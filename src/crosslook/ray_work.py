"""Independent pieces of work, given to the actors of a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from crosslook.errors import MissingExtraError
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
    data = ray.data.from_items(list(items), override_num_blocks=len(items))
    done = data.map_batches(
        worker, fn_constructor_args=(job,), batch_size=1, concurrency=workers, num_gpus=gpus
    )
    for _ in track(done.iter_batches(batch_size=1), label, len(items)):
        pass


def _quieten(ray: Any) -> None:
    """Keep Ray's own story off the terminal; an error of a worker is raised here anyway."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # crosslook shows its own
    logging.getLogger("ray.data").setLevel(logging.ERROR)
