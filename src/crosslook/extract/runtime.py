"""Where and how a model runs: device, number format, batch size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

from crosslook.errors import SettingError, did_you_mean
from crosslook.options import Dtype, check_device

DTYPES: tuple[Dtype, ...] = get_args(Dtype)
_LARGEST_BATCH = {"cuda": 64, "mps": 16, "cpu": 8}


@dataclass(frozen=True)
class Runtime:
    """A device (``cuda``, ``cuda:1``, ``mps`` or ``cpu``), a dtype, a batch size or none.

    ``by_itself`` says that ``auto`` chose the device: where a model cannot run
    on it, another one may be taken.
    """

    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int | None = None
    by_itself: bool = False

    @property
    def kind(self) -> str:
        """The device without its number."""
        return self.device.partition(":")[0]

    @property
    def torch_dtype(self) -> Any:
        """The dtype as torch knows it."""
        import torch

        return getattr(torch, self.dtype)

    def batch_for(self, image_bytes: float, cpu_bytes: float = float("inf")) -> int:
        """Images per step: the requested number, or what half of the memory takes.

        The total memory is taken, not what is free, so that the same machine
        always works in the same steps. On a CPU activations beyond
        ``cpu_bytes`` leave its caches, and smaller steps are faster.
        """
        if self.batch_size is not None:
            return self.batch_size
        most = 0.5 * _memory(self.device)
        if self.kind == "cpu":
            most = min(most, cpu_bytes)
        fitting = int(most / max(image_bytes, 1.0))
        return max(1, min(fitting, _LARGEST_BATCH[self.kind]))


def resolve_runtime(device: str, dtype: str, batch_size: int | None) -> Runtime:
    """Check the settings and choose the device that ``auto`` means.

    Raises
    ------
    SettingError
        If a name is unknown, the batch size is not positive, or the device is
        not there.
    """
    import torch

    kind, number = check_device(device)
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
    if kind == "auto":
        first = next(name for name, available in there.items() if available)
        return Runtime(first, dtype, batch_size, by_itself=True)
    if not there[kind]:
        raise SettingError(
            f"device '{device}' is not available to torch here; use --device cpu, "
            "or install a torch build for it."
        )
    if number is not None and number >= torch.cuda.device_count():
        raise SettingError(
            f"device '{device}' is not there: torch sees {torch.cuda.device_count()} GPU(s), "
            "counted from 0."
        )
    return Runtime(device, dtype, batch_size)


def computes_in(runtime: Runtime) -> bool:
    """Whether the device has units for the dtype; a processor without converts every operand."""
    if runtime.kind != "cpu" or runtime.dtype == "float32":
        return True
    import torch

    # torch tells it only by these two; one that has lost them is taken to be fast.
    name = {"bfloat16": "_is_mkldnn_bf16_supported", "float16": "_is_mkldnn_fp16_supported"}
    tell = getattr(torch.ops.mkldnn, name[runtime.dtype], None)
    return tell is None or bool(tell())


@contextmanager
def exact_products(runtime: Runtime) -> Iterator[None]:
    """Keep float32 at float32: no TF32, whose products have ten bits of mantissa.

    torch switches it on for convolutions by default; a user's own setting is
    brought back afterwards.
    """
    if runtime.dtype != "float32" or runtime.kind != "cuda":
        yield
        return
    import torch

    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, products.allow_tf32
    cudnn.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, products.allow_tf32 = before


def is_out_of_memory(error: BaseException) -> bool:
    """Tell an allocation that failed from any other error of torch."""
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def release_memory(device: str) -> None:
    """Give cached memory of the device back, so that the next model finds it."""
    import gc

    gc.collect()
    kind = device.partition(":")[0]
    if kind in ("cuda", "mps"):
        import torch

        getattr(torch, kind).empty_cache()


def _memory(device: str) -> float:
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    if not hasattr(os, "sysconf"):
        return 2.0**33
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
