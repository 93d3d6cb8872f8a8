"""Blocks of an atlas on a Ray cluster: the same bytes, written by several workers.

Blocks do not depend on each other, so Ray Data hands their numbers to actors
that hold the extractors. A worker that dies costs the block it held: its
``block.json`` was not written, so another worker makes the block again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crosslook.atlas.blocks import DONE, BlockJob, block_folder, make_block
from crosslook.atlas.manifest import Block
from crosslook.errors import OutputError
from crosslook.extract.registry import open_extractor
from crosslook.ray_work import run_on_ray
from crosslook.storage import open_folder


class BlockWorker:
    """An actor: opens the extractors once, then makes block after block."""

    def __init__(self, job: BlockJob) -> None:
        self.job = job
        self.store = open_folder(job.store)
        self.extractors = [open_extractor(level.spec) for level in job.levels]

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make the blocks named in a batch."""
        for row, col in zip(batch["row"], batch["col"], strict=True):
            block = (int(row), int(col))
            if not block_folder(self.store, block).has(DONE):
                make_block(self.job, block, self.extractors, self.store)
        return batch


def build_with_ray(
    job: BlockJob, blocks: Sequence[Block], workers: int = 2, address: str | None = None
) -> None:
    """Make blocks with Ray; the basemaps and the atlas must be reachable from every worker.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    OutputError
        If blocks are still missing after Ray says that it is done.
    """
    items = [{"row": row, "col": col} for row, col in blocks]
    run_on_ray(BlockWorker, job, items, "Building the atlas (ray)", workers, address)
    store = open_folder(job.store)
    left = sum(not block_folder(store, block).has(DONE) for block in blocks)
    if left:
        raise OutputError(
            f"{left} blocks are missing in {job.store} after the Ray run. "
            "Check that all workers reach the store, then run again."
        )
