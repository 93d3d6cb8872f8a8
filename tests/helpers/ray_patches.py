"""Patches for the Ray test: the first read of one shard kills its worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosslook.types import FloatArray, Modality, Patch, Window


@dataclass(frozen=True)
class DeadlyPatches:
    """``count`` random patches; reading patch ``deadly`` kills the process once."""

    count: int
    deadly: int
    marker: Path

    @property
    def patches(self) -> tuple[Patch, ...]:
        return tuple(Patch(f"s/{i}", "s", "s", Window(0, 0, 32, 32)) for i in range(self.count))

    def fingerprint(self, modality: Modality) -> str:
        return f"deadly-{self.count}-{modality}"

    def read(self, modality: Modality, indices: Sequence[int]) -> FloatArray:
        if self.deadly in indices and not self.marker.exists():
            self.marker.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        images = [np.random.default_rng(i).random((3, 32, 32), dtype=np.float32) for i in indices]
        return np.stack(images)
