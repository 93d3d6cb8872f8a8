"""Blocks of an atlas, transformed and kept, ready for any template."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import cv2
import numpy as np
from scipy import fft

from crosslook.atlas.manifest import Block
from crosslook.atlas.principal import SHARE, principal_channels
from crosslook.atlas.store import Atlas
from crosslook.atlas.transforms import Transforms
from crosslook.types import FloatArray

MOST_CELLS = 64
"""Largest side of a template in cells: the overlap of the transformed blocks."""

_LEAST_COVER = 0.5
_ENERGY_FLOOR = 0.05
_KEPT_SHAPES = 2  # of templates, whose energies under a block are kept


@dataclass(frozen=True, eq=False)
class ReadyBlock:
    """A block prepared for correlation, with half an overlap on every side.

    Attributes
    ----------
    spectrum
        What its transforms made of its channels.
    energy, cover : float32 array, shape (h, w)
        Sum of squares over principal channels; 1 where a cell is valid.
    inverse : dict of template shape to float32 array
        What :meth:`ReadyBlocks.inverse_root` kept.
    """

    spectrum: Any
    energy: FloatArray
    cover: FloatArray
    inverse: dict[tuple[int, int], FloatArray] = field(default_factory=dict)


class ReadyBlocks:
    """Prepares the blocks of one level, and keeps them where they fit in memory.

    Attributes
    ----------
    side : int
        Cells of a block.
    size : int
        Of its transform: the block and an overlap, rounded to a fast length.
    block_bytes : int
        What a block that is kept takes at most.
    keeps : bool
        Whether all blocks stay in memory between searches.
    """

    def __init__(self, atlas: Atlas, level: int, transforms: Transforms) -> None:
        self.atlas = atlas
        self.level = level
        self.transforms = transforms
        self.side = atlas.grid.block // atlas.manifest.levels[level].cell
        self.size = fft.next_fast_len(self.side + MOST_CELLS, real=True)
        self._basis = principal_channels(atlas, level)
        spectrum = 8 * len(self._basis) * self.size * (self.size // 2 + 1)
        self.block_bytes = spectrum + 8 * self.size**2 + 4 * _KEPT_SHAPES * self.side**2
        self.keeps = self.block_bytes * len(atlas.manifest.blocks) <= transforms.keep_bytes
        self._held: dict[Block, ReadyBlock] = {}
        self._lock = Lock()

    def get(self, block: Block) -> ReadyBlock:
        """Read and transform a block, or take it from memory."""
        if block in self._held:
            return self._held[block]
        margin = MOST_CELLS // 2
        corner = (block[0] * self.side - margin, block[1] * self.side - margin)
        reach = self.side + MOST_CELLS
        channels = self.atlas.features(self.level, corner, (reach, reach))
        values = self.project(channels.values)
        spectrum = self.transforms.block(values, self.size)
        energy = np.einsum("chw,chw->hw", values, values)
        ready = ReadyBlock(spectrum, energy, channels.valid.astype(np.float32))
        if self.keeps:
            self._held[block] = ready
        return ready

    def project(self, values: FloatArray) -> FloatArray:
        """Channels (C, h, w) in the principal directions of the level, (K, h, w)."""
        return np.tensordot(self._basis, values, axes=1)

    def positions(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Offsets of a template whose middle lies in the block: ``side`` each way."""
        first = [MOST_CELLS // 2 - length // 2 for length in shape]
        return slice(first[0], first[0] + self.side), slice(first[1], first[1] + self.side)

    def inverse_root(self, ready: ReadyBlock, shape: tuple[int, int]) -> FloatArray:
        """One over the root of the energy under a template, (side, side).

        0 where less than half of the template lies on valid cells.
        """
        with self._lock:
            if shape in ready.inverse:
                return ready.inverse[shape]
        height, width = shape
        here = self.positions(shape)
        # A calibrated channel has energy 1 a cell, faded to a quarter where contrast is usual.
        floor = _ENERGY_FLOOR * 0.25 * SHARE * self._basis.shape[1] * height * width
        under = _box(ready.energy, height, width)[here]
        enough = _box(ready.cover, height, width)[here] >= _LEAST_COVER * height * width
        found = np.where(enough, 1.0 / np.sqrt(np.maximum(under, floor)), 0).astype(np.float32)
        if self.keeps:
            with self._lock:
                while len(ready.inverse) >= _KEPT_SHAPES:
                    del ready.inverse[next(iter(ready.inverse))]
                ready.inverse[shape] = found
        return found


def _box(values: FloatArray, height: int, width: int) -> FloatArray:
    """Sum over the box whose first cell is each cell."""
    return np.asarray(
        cv2.boxFilter(
            values,
            -1,
            (width, height),
            anchor=(0, 0),
            normalize=False,
            borderType=cv2.BORDER_CONSTANT,
        ),
        np.float32,
    )
