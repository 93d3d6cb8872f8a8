"""Correlation of many channels in the Fourier domain, by scipy or on a GPU by torch.

Both give the same sums; what is kept of a block between queries is opaque to
the search, since it lives where it is used.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Literal, Protocol

import numpy as np
from scipy import fft

from crosslook.errors import MissingExtraError, SettingError, did_you_mean
from crosslook.types import FloatArray

Device = Literal["auto", "cpu", "cuda"]
DEVICES = ("auto", "cpu", "cuda")
CPU_KEEP_BYTES = 2 << 30
"""Transforms of an atlas are kept up to this size, else made anew per pass."""

_GPU_SHARE = 0.5


class Transforms(Protocol):
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


class ScipyTransforms:
    """On this machine's cores; blocks run in threads, so each block takes one."""

    def __init__(self) -> None:
        self.threads = os.cpu_count() or 1
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
        found: FloatArray = fft.irfft(down[rows], size, axis=1, workers=1, overwrite_x=True)
        return found


class TorchTransforms:
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
            self.keep_bytes = int(_GPU_SHARE * total)

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
        found: FloatArray = torch.fft.irfft(down[rows], size, dim=1).cpu().numpy()
        return found


def choose_transforms(device: str = "auto") -> Transforms:
    """Open the transforms of a device; ``auto`` takes a GPU where there is one.

    Raises
    ------
    SettingError
        If the device is unknown, or not there.
    MissingExtraError
        If a GPU is asked for and torch is not installed.
    """
    if device not in DEVICES:
        raise SettingError(
            f"unknown device '{device}'; allowed: {', '.join(DEVICES)}."
            + did_you_mean(device, DEVICES)
        )
    # Torch takes seconds to import, so it is asked only where a driver is.
    if device == "cpu" or (device == "auto" and shutil.which("nvidia-smi") is None):
        return ScipyTransforms()
    try:
        import torch
    except ImportError:
        if device == "auto":
            return ScipyTransforms()
        raise MissingExtraError(
            "device 'cuda' needs torch: pip install 'crosslook[models]', or use --device cpu."
        ) from None
    if torch.cuda.is_available():
        return TorchTransforms("cuda")
    if device == "cuda":
        raise SettingError("device 'cuda' is not available to torch here; use --device cpu.")
    return ScipyTransforms()
