"""Where and how a model runs: device, number format, batch size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, get_args

from crosslook.errors import SettingError, did_you_mean
from crosslook.options import Device, Dtype

DEVICES: tuple[Device, ...] = get_args(Device)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
_LARGEST_BATCH = {"cuda": 64, "mps": 16, "cpu": 8}


@dataclass(frozen=True)
class Runtime:
    """A device (``cuda``, ``mps`` or ``cpu``), a dtype, and a batch size or none."""

    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int | None = None

    @property
    def torch_dtype(self) -> Any:
        """The dtype as torch knows it."""
        import torch

        return getattr(torch, self.dtype)

    def batch_for(self, image_bytes: float, cpu_bytes: float = float("inf")) -> int:
        """Images per step: the asked number, or what half of the memory takes.

        The total memory is taken, not what is free, so that the same machine
        always works in the same steps. On a CPU activations beyond
        ``cpu_bytes`` leave its caches, and smaller steps are faster.
        """
        if self.batch_size is not None:
            return self.batch_size
        most = 0.5 * _memory(self.device)
        if self.device == "cpu":
            most = min(most, cpu_bytes)
        fitting = int(most / max(image_bytes, 1.0))
        return max(1, min(fitting, _LARGEST_BATCH[self.device]))


def resolve_runtime(device: str, dtype: str, batch_size: int | None) -> Runtime:
    """Check the settings and choose the device that ``auto`` stands for.

    Raises
    ------
    SettingError
        If a name is unknown, the batch size is not positive, or the device is
        not there.
    """
    import torch

    if device not in DEVICES:
        raise SettingError(
            f"unknown device '{device}'; allowed: {', '.join(DEVICES)}."
            + did_you_mean(device, DEVICES)
        )
    if dtype not in DTYPES:
        raise SettingError(
            f"unknown dtype '{dtype}'; allowed: {', '.join(DTYPES)}." + did_you_mean(dtype, DTYPES)
        )
    if batch_size is not None and batch_size < 1:
        raise SettingError(f"batch size {batch_size} must be at least 1.")
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kind = next(name for name, found in there.items() if found) if device == "auto" else device
    if not there[kind]:
        raise SettingError(
            f"device '{kind}' is not available to torch here; use --device cpu, "
            "or install a torch build for it."
        )
    return Runtime(kind, dtype, batch_size)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell an allocation that failed from any other error of torch."""
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def release_memory(device: str) -> None:
    """Give cached memory of the device back, so that the next model finds it."""
    import gc

    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()
    elif device == "mps":
        import torch

        torch.mps.empty_cache()


def _memory(device: str) -> float:
    if device == "cuda":
        import torch

        return float(torch.cuda.get_device_properties(0).total_memory)
    pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**21
    size = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
    return float(pages * size)
