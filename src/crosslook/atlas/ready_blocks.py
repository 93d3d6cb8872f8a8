"""Blocks of an atlas, transformed and kept, ready for any template.

Correlation of many channels in the Fourier domain, by scipy or on a GPU by torch.

Both give the same sums; what is kept of a block between queries is opaque to
the search, since it lives where it is used.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import cv2
import numpy as np
from scipy import fft

from crosslook.atlas.manifest import Block
from crosslook.atlas.store import Atlas
from crosslook.errors import MissingExtraError
from crosslook.extract.runtime import available_cores, resolve_runtime
from crosslook.options import Device
from crosslook.types import FloatArray

ENERGY_FRACTION = 0.9
"""Fraction of the energy that is kept. Neighbouring orientations say much the same."""

_BLOCKS = 8
_CELLS = 4096


def principal_channels(atlas: Atlas, level: int) -> FloatArray:
    """Principal directions of the calibrated features of a level (Hotelling, 1933).

    Products of features, and so a correlation, hardly change when both are
    projected on the directions that hold most of their energy, while its cost
    and its memory fall with the number of channels. Taken from cells of eight
    blocks spread evenly over the atlas, always the same ones.

    Parameters
    ----------
    atlas : Atlas
    level : int

    Returns
    -------
    float32 array, shape (K, C)
        The fewest orthonormal rows that hold 90 per cent of the energy.
    """
    side = atlas.grid.block // atlas.manifest.levels[level].cell
    blocks = sorted(atlas.manifest.blocks)
    chosen = np.unique(np.linspace(0, len(blocks) - 1, _BLOCKS).round().astype(int))
    channels = len(atlas.manifest.statistics[level].mean)
    moments = np.zeros((channels, channels), np.float64)
    for row, col in (blocks[n] for n in chosen):
        values = atlas.features(level, (row * side, col * side), (side, side)).values
        cells = values.reshape(channels, -1)[:, :: max(1, side * side // _CELLS)]
        moments += cells.astype(np.float64) @ cells.T
    energies, directions = np.linalg.eigh(moments)
    cumulative = np.cumsum(energies[::-1])
    if not cumulative[-1] > 0:  # all sampled blocks are flat
        return np.eye(channels, dtype=np.float32)
    count = int(np.searchsorted(cumulative, ENERGY_FRACTION * cumulative[-1])) + 1
    return np.ascontiguousarray(directions[:, ::-1][:, :count].T, np.float32)


CPU_KEEP_BYTES = 2 << 30
"""Spectra of an atlas are kept up to this size, else made anew per pass."""

_GPU_FRACTION = 0.5


class FFTBackend(Protocol):
    """Where and how blocks are transformed."""

    threads: int
    keep_bytes: int

    def block(self, values: FloatArray, size: int) -> Any:
        """Transform channels (C, h, w), padded by zeros to ``size`` squared."""

    def template(self, values: FloatArray, size: int) -> Any:
        """Conjugate of :meth:`block`, as the correlation needs it."""

    def correlate(self, block: Any, template: Any, size: int, rows: slice) -> FloatArray:
        """Products of a block with a template at all offsets, summed over channels.

        Returns float32 (rows, size): offset (i, j) of the template's first
        cell at [i - first row, j], negative ones counted from the end. Rows
        that are not wanted are left out half way, which saves their part.
        """


class ScipyFFT:
    """On this machine's cores; blocks run in threads, so each block takes one."""

    def __init__(self) -> None:
        self.threads = available_cores()
        self.keep_bytes = CPU_KEEP_BYTES

    def block(self, values: FloatArray, size: int) -> Any:
        """Transform channels, as complex64 (C, size, size // 2 + 1)."""
        return np.asarray(fft.rfft2(values, (size, size), workers=1), np.complex64)

    def template(self, values: FloatArray, size: int) -> Any:
        """Transform channels and conjugate; templates come one by one, so all cores help."""
        spectrum = fft.rfft2(values, (size, size), workers=self.threads)
        return np.conj(spectrum, out=spectrum)

    def correlate(self, block: Any, template: Any, size: int, rows: slice) -> FloatArray:
        """Multiply, sum and transform back."""
        # A channel at a time, since the sum then stays in the cache: einsum takes twice as long.
        total = np.multiply(block[0], template[0])
        product = np.empty_like(total)
        for one, other in zip(block[1:], template[1:], strict=True):
            np.multiply(one, other, out=product)
            total += product
        down = fft.ifft(total, axis=0, workers=1, overwrite_x=True)
        scores: FloatArray = fft.irfft(down[rows], size, axis=1, workers=1, overwrite_x=True)
        return scores


class TorchFFT:
    """On a GPU; also runs on torch's CPU device, as tests do.

    Parameters
    ----------
    device : str
        As torch names it.
    """

    def __init__(self, device: str) -> None:
        import torch

        self.threads = 1
        self.device = torch.device(device)
        self.keep_bytes = CPU_KEEP_BYTES
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            self.keep_bytes = int(_GPU_FRACTION * total)

    def block(self, values: FloatArray, size: int) -> Any:
        """Transform channels where they will be used."""
        import torch

        return torch.fft.rfft2(torch.from_numpy(values).to(self.device), (size, size))

    def template(self, values: FloatArray, size: int) -> Any:
        """Transform channels and conjugate."""
        return self.block(values, size).conj()

    def correlate(self, block: Any, template: Any, size: int, rows: slice) -> FloatArray:
        """Multiply, sum and transform back; only the sum leaves the device."""
        import torch

        down = torch.fft.ifft((block * template).sum(dim=0), dim=0)
        scores: FloatArray = torch.fft.irfft(down[rows], size, dim=1).cpu().numpy()
        return scores


def choose_backend(device: Device = "auto") -> FFTBackend:
    """Open the FFT backend of a device; ``auto`` takes a GPU where there is one.

    On ``mps`` models run, while searches stay on the CPU: its FFTs lack
    what a search needs.

    Raises
    ------
    SettingError
        If the device is not there.
    MissingExtraError
        If a GPU is asked for and torch is not installed.
    """
    # Torch takes seconds to import, so it is asked only where a driver is.
    if device == "cpu" or (device == "auto" and shutil.which("nvidia-smi") is None):
        return ScipyFFT()
    try:
        kind = resolve_runtime(device, "float32", None).device
    except ImportError:
        if device == "auto":
            return ScipyFFT()
        raise MissingExtraError(
            f"device '{device}' needs torch: pip install 'crosslook[models]', or use --device cpu."
        ) from None
    return TorchFFT(kind) if kind.startswith("cuda") else ScipyFFT()


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
        What the FFTs made of its channels.
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
    spectrum_bytes : int
        What a transformed template takes.
    block_bytes : int
        What a block that is kept takes at most.
    keeps : bool
        Whether all blocks stay in memory between searches.
    """

    def __init__(self, atlas: Atlas, level: int, backend: FFTBackend) -> None:
        self.atlas = atlas
        self.level = level
        self.backend = backend
        self.side = atlas.grid.block // atlas.manifest.levels[level].cell
        self.size = fft.next_fast_len(self.side + MOST_CELLS, real=True)
        self._basis = principal_channels(atlas, level)
        self.spectrum_bytes = 8 * len(self._basis) * self.size * (self.size // 2 + 1)
        self.block_bytes = self.spectrum_bytes + 8 * self.size**2 + 4 * _KEPT_SHAPES * self.side**2
        self.keeps = self.block_bytes * len(atlas.manifest.blocks) <= backend.keep_bytes
        self._kept: dict[Block, ReadyBlock] = {}
        self._lock = Lock()

    def get(self, block: Block) -> ReadyBlock:
        """Read and transform a block, or take it from memory."""
        if block in self._kept:
            return self._kept[block]
        margin = MOST_CELLS // 2
        corner = (block[0] * self.side - margin, block[1] * self.side - margin)
        reach = self.side + MOST_CELLS
        channels = self.atlas.features(self.level, corner, (reach, reach))
        values = self.project(channels.values)
        spectrum = self.backend.block(values, self.size)
        energy = np.einsum("chw,chw->hw", values, values)
        ready = ReadyBlock(spectrum, energy, channels.valid.astype(np.float32))
        if self.keeps:
            self._kept[block] = ready
        return ready

    def project(self, values: FloatArray) -> FloatArray:
        """Channels (C, h, w) in the principal directions of the level, (K, h, w)."""
        return np.tensordot(self._basis, values, axes=1)

    def positions(self, shape: tuple[int, int]) -> tuple[slice, slice]:
        """Offsets of a template whose centre lies in the block: ``side`` each way."""
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
        floor = _ENERGY_FLOOR * 0.25 * ENERGY_FRACTION * self._basis.shape[1] * height * width
        under = _box(ready.energy, height, width)[here]
        enough = _box(ready.cover, height, width)[here] >= _LEAST_COVER * height * width
        inverse = np.where(enough, 1.0 / np.sqrt(np.maximum(under, floor)), 0).astype(np.float32)
        if self.keeps:
            with self._lock:
                while len(ready.inverse) >= _KEPT_SHAPES:
                    del ready.inverse[next(iter(ready.inverse))]
                ready.inverse[shape] = inverse
        return inverse


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
