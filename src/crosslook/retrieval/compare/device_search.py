"""The same exact ranking on a GPU: products, corrections, ranks and the best few.

What :func:`~crosslook.retrieval.compare.similarity.rank_all` does in blocks of
256 queries in the caches of a processor, in blocks of a gigabyte of scores.
Calibrations stay on the processor: they pass once over numbers that lie on disk.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from crosslook.extract.runtime import Runtime, exact_products, resolve_runtime
from crosslook.retrieval.compare.similarity import Offsets, Ranks, empty_ranks
from crosslook.types import FloatArray, Indices

BLOCK_SCORES = 2**28
"""Scores of a block: 1 GiB, and as much again for each of two copies."""
_ACCEPTED = 2**24  # accepted items looked up at once
_LOG = logging.getLogger("crosslook")


def search_device(device: str, gallery_bytes: int) -> str | None:
    """The GPU that a gallery of so many bytes is searched on, or None for the processor.

    ``auto`` takes a CUDA GPU where there is one; a gallery that does not fit its
    memory is searched on the processor, with a warning.

    Raises
    ------
    SettingError
        If a GPU is asked for that is not there.
    """
    # Torch takes seconds to import, so it is asked only where a driver is.
    if device in ("cpu", "mps") or (device == "auto" and shutil.which("nvidia-smi") is None):
        return None
    try:
        runtime = resolve_runtime(device, "float32", None)
    except ImportError:
        return None
    if runtime.kind != "cuda":
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(torch.device(runtime.device))
    if gallery_bytes + 3 * 4 * BLOCK_SCORES > free:
        _LOG.warning(
            "a gallery of %.1f GB does not fit the GPU (%.1f GB free): searched on the CPU. "
            "--pca makes it smaller.",
            gallery_bytes / 1e9,
            free / 1e9,
        )
        return None
    return runtime.device


def rank_on_device(
    device: str,
    query: FloatArray,
    gallery: FloatArray,
    partner: Indices,
    offsets: Sequence[Offsets],
    accepts: Sequence[Sequence[Indices] | None] = (None,),
    top: int = 10,
) -> list[list[Ranks]]:
    """Rank as :func:`rank_all` does, on a torch device; arguments are its own.

    Ranks are exact for the products of that device, which may differ from those
    of the processor in the last bit.
    """
    import torch

    count, best = len(query), min(top, len(gallery))
    results = [[empty_ranks(count, best) for _ in accepts] for _ in offsets]
    step = max(1, BLOCK_SCORES // max(1, len(gallery)))

    def there(values: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    with torch.inference_mode(), exact_products(Runtime(device)):
        items = there(gallery)
        columns = [there(one.gallery) for one in offsets]
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            cosines = there(query[rows]) @ items.T
            own_at = there(partner[rows])[:, None]
            for how, column, ranks in zip(offsets, columns, results, strict=True):
                block = cosines * np.float32(how.scale)
                block -= there(how.query[rows])[:, None]
                block -= column
                _fill(ranks, accepts, rows, block, own_at)
    return results


def _fill(
    ranks: Sequence[Ranks],
    accepts: Sequence[Sequence[Indices] | None],
    rows: slice,
    block: Any,
    own_at: Any,
) -> None:
    import torch

    own = block.gather(1, own_at)
    values, at = (part.cpu().numpy() for part in torch.topk(block, ranks[0].top_indices.shape[1]))
    # Of equal scores the lower index first, as on the processor.
    order = np.lexsort((at, -values), axis=1)
    strict = (block >= own).sum(dim=1).cpu().numpy()
    for one, accept in zip(ranks, accepts, strict=True):
        one.partner_score[rows] = own[:, 0].cpu().numpy()
        one.top_indices[rows] = np.take_along_axis(at, order, axis=1)
        one.top_scores[rows] = np.take_along_axis(values, order, axis=1)
        one.rank[rows] = strict
        if accept is not None:
            one.rank[rows] = _rank_accepted(block, accept[rows])


def _rank_accepted(block: Any, accept: Sequence[Indices]) -> Indices:
    """Rank of the best accepted item of each row, the others not standing in its way."""
    import torch

    # Rows accept few items but not equally many: missing ones repeat the first,
    # and are told apart where they are counted.
    most = max(map(len, accept))
    if len(accept) > 1 and len(accept) * most > _ACCEPTED:
        # One row that accepts much of the gallery makes all as long.
        half = len(accept) // 2
        parts = (slice(None, half), slice(half, None))
        return np.concatenate([_rank_accepted(block[part], accept[part]) for part in parts])
    items = np.stack([np.concatenate([row, np.repeat(row[:1], most - len(row))]) for row in accept])
    real = np.arange(most) < np.array([len(row) for row in accept])[:, None]
    chosen = block.gather(1, torch.from_numpy(items).to(block.device))
    highest = chosen.amax(dim=1, keepdim=True)
    own = ((chosen >= highest) & torch.from_numpy(real).to(block.device)).sum(dim=1)
    better = (block >= highest).sum(dim=1) - own
    return np.asarray(1 + better.cpu().numpy(), np.int64)
