"""Feature sets to descriptor matrices, shard by shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosslook.compare.pooling import pool
from crosslook.extract.run import Patches, iterate
from crosslook.extract.store import FeatureSet
from crosslook.scratch import scratch
from crosslook.types import FloatArray, Modality

MAX_DIMENSIONS = 2**16
"""Longest descriptor that ``auto`` makes: 736 of them take 190 MB."""


@dataclass(frozen=True)
class Descriptors:
    """Pooled features of all patches of a set, both modalities, in order.

    ``sar`` and ``optical`` are float32 (N, D); row i of both is one pair.
    """

    extractor: str
    revision: str
    pooling: str
    sar: FloatArray
    optical: FloatArray

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
