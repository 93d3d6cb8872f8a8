"""Dense correlation of a template with a whole atlas, all positions at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from crosslook.atlas.manifest import Block
from crosslook.atlas.store import Atlas
from crosslook.types import FloatArray

MOST_CELLS = 64
"""Largest side of a template in cells: the overlap of the transformed blocks."""

KEEP_BYTES = 2 << 30
"""Transforms of an atlas are kept in memory up to this size, else made anew per query."""

_LEAST_COVER = 0.5
_ENERGY_FLOOR = 0.05
_FINISHED = 1e-6
_PEAKS_PER_BLOCK = 64
Complex = NDArray[np.complex64]
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Template:
    """What is looked for.

    Attributes
    ----------
    values : float32 array, shape (C, h, w)
        Calibrated, mean 0 per channel, zero where not valid; at most 64 cells a side.
    """

    values: FloatArray


@dataclass(frozen=True)
class Peak:
    """A place where a template fits better than around it.

    Attributes
    ----------
    score : float
        Cosine of all channels of the template and of the atlas under it, -1..1.
    row, col : int
        Cell of the atlas under the template's first one; may be negative.
    template : int
        Number of the template.
    """

    score: float
    row: int
    col: int
    template: int


@dataclass(frozen=True, eq=False)
class _Ready:
    """A block prepared for correlation, with half an overlap on every side."""

    spectrum: Complex
    energy: FloatArray
    cover: FloatArray


class Searcher:
    """Correlates templates with one level of an atlas.

    Blocks overlap by the largest template, so every position is whole within
    one of them. The score is that of Lewis, "Fast normalized
    cross-correlation" (1995), over all channels: the products by FFT, divided
    by the root of the energy of both. Where the atlas is flat its energy is
    raised to a twentieth of the usual, so that noise does not score.
    """

    def __init__(self, atlas: Atlas, level: int, keep_bytes: int = KEEP_BYTES) -> None:
        self.atlas = atlas
        self.level = level
        self.stride = atlas.manifest.levels[level].cell
        self.side = atlas.grid.block // self.stride
        self.size = fft.next_fast_len(self.side + MOST_CELLS, real=True)
        self.workers = os.cpu_count() or 1
        channels = len(atlas.manifest.statistics[level].mean)
        one = 8 * channels * self.size * (self.size // 2 + 1) + 8 * self.size**2
        self._keeps = one * len(atlas.manifest.blocks) <= keep_bytes
        self._ready: dict[Block, _Ready] = {}

    def warm(self) -> None:
        """Transform all blocks now, where they fit in memory."""
        if self._keeps:
            self._map(self._prepare, list(self.atlas.manifest.blocks))

    def search(
        self,
        templates: Sequence[Template],
        count: int,
        inside: tuple[float, float, float, float] | None = None,
        apart: int = 4,
    ) -> list[Peak]:
        """Find the best places of all templates together.

        Parameters
        ----------
        templates : sequence of Template
            Say one per rotation and scale.
        count : int
            Peaks wanted.
        inside : (top, left, bottom, right), optional
            Cells within which the middle of the template must lie.
        apart : int
            Cells within which the lower of two peaks is dropped, per axis.

        Returns
        -------
        list of Peak
            Best first; fewer where the atlas has fewer.
        """
        spectra = [
            np.conj(fft.rfft2(t.values, (self.size, self.size), workers=self.workers))
            for t in templates
        ]

        def one(block: Block) -> list[Peak]:
            ready = self._prepare(block)
            return [
                peak
                for number, (template, spectrum) in enumerate(zip(templates, spectra, strict=True))
                for peak in self._peaks(block, ready, template, spectrum, number, inside)
            ]

        blocks = [b for b in self.atlas.manifest.blocks if self._meets(b, inside)]
        found = [peak for part in self._map(one, blocks) for peak in part]
        return _thin(sorted(found, key=lambda p: (-p.score, p.row, p.col)), count, apart)

    def _map(self, work: Callable[[Block], Result], blocks: Sequence[Block]) -> list[Result]:
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(work, blocks))

    def _meets(self, block: Block, inside: tuple[float, float, float, float] | None) -> bool:
        if inside is None:
            return True
        top, left = block[0] * self.side, block[1] * self.side
        return (
            top < inside[2]
            and left < inside[3]
            and top + self.side > inside[0]
            and left + self.side > inside[1]
        )

    def _prepare(self, block: Block) -> _Ready:
        if block in self._ready:
            return self._ready[block]
        margin = MOST_CELLS // 2
        corner = (block[0] * self.side - margin, block[1] * self.side - margin)
        reach = self.side + MOST_CELLS
        channels = self.atlas.features(self.level, corner, (reach, reach))
        values = channels.values
        spectrum = np.asarray(fft.rfft2(values, (self.size, self.size), workers=1), np.complex64)
        energy = np.einsum("chw,chw->hw", values, values)
        ready = _Ready(spectrum, energy, channels.valid.astype(np.float32))
        if self._keeps:
            self._ready[block] = ready
        return ready

    def _peaks(
        self,
        block: Block,
        ready: _Ready,
        template: Template,
        spectrum: Complex,
        number: int,
        inside: tuple[float, float, float, float] | None,
    ) -> list[Peak]:
        scores, first = self._scores(ready, template, spectrum)
        origin = (block[0] * self.side + first[0], block[1] * self.side + first[1])
        if inside is not None:
            _blank_outside(scores, origin, template.values.shape[1:], inside)
        top = cv2.dilate(scores, np.ones((5, 5), np.uint8))
        rows, cols = np.nonzero((scores >= top) & (scores > 0))
        order = np.argsort(-scores[rows, cols], kind="stable")[:_PEAKS_PER_BLOCK]
        return [
            Peak(float(scores[r, c]), int(r) + origin[0], int(c) + origin[1], number)
            for r, c in zip(rows[order], cols[order], strict=True)
        ]

    def _scores(
        self, ready: _Ready, template: Template, spectrum: Complex
    ) -> tuple[FloatArray, tuple[int, int]]:
        """Scores (side, side) of the positions whose middle lies in the block.

        Also the first position, in cells from the corner of the block.
        """
        height, width = template.values.shape[1:]
        total = np.multiply(ready.spectrum[0], spectrum[0])
        product = np.empty_like(total)
        for one, other in zip(ready.spectrum[1:], spectrum[1:], strict=True):
            np.multiply(one, other, out=product)
            total += product
        raw = fft.irfft2(total, (self.size, self.size), workers=1, overwrite_x=True)
        margin = MOST_CELLS // 2
        start = (margin - height // 2, margin - width // 2)
        here = (slice(start[0], start[0] + self.side), slice(start[1], start[1] + self.side))
        under = _box(ready.energy, height, width)[here]
        cover = _box(ready.cover, height, width)[here]
        own = float(np.einsum("chw,chw->", template.values, template.values))
        # A calibrated channel has energy 1 a cell, faded to a quarter where contrast is usual.
        floor = _ENERGY_FLOOR * 0.25 * len(template.values) * height * width
        scores = raw[here] / np.sqrt(np.maximum(under, floor) * max(own, _FINISHED))
        enough = cover >= _LEAST_COVER * height * width
        return np.where(enough, scores, 0).astype(np.float32), (-(height // 2), -(width // 2))


def searcher(atlas: Atlas, level: int) -> Searcher:
    """The searcher of a level; the same one for all queries of an opened atlas."""
    if level not in atlas.searchers:
        atlas.searchers[level] = Searcher(atlas, level)
    found: Searcher = atlas.searchers[level]
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


def _blank_outside(
    scores: FloatArray,
    origin: tuple[int, int],
    shape: tuple[int, ...],
    inside: tuple[float, float, float, float],
) -> None:
    rows = np.arange(scores.shape[0]) + origin[0] + shape[0] / 2
    cols = np.arange(scores.shape[1]) + origin[1] + shape[1] / 2
    scores[(rows < inside[0]) | (rows > inside[2])] = 0
    scores[:, (cols < inside[1]) | (cols > inside[3])] = 0


def _thin(peaks: Sequence[Peak], count: int, apart: int) -> list[Peak]:
    """The best peaks of which no two are near; ``peaks`` come best first."""
    kept: list[Peak] = []
    for peak in peaks:
        if all(max(abs(peak.row - k.row), abs(peak.col - k.col)) > apart for k in kept):
            kept.append(peak)
            if len(kept) == count:
                break
    return kept
