"""Large arrays that need not stay in memory."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from crosslook.errors import OutputError
from crosslook.types import FloatArray

IN_MEMORY_BYTES = 64 << 20
"""An array up to this size is an ordinary one."""


def scratch(shape: tuple[int, ...], folder: Path) -> FloatArray:
    """Make a float32 array of zeros that the system may write out when memory is short.

    A large one is mapped from a file without a name in ``folder``: its pages
    are a cache that the system takes back, and it is gone with the process,
    however that ends.

    Raises
    ------
    OutputError
        If the folder cannot hold it.
    """
    size = 4 * prod(shape)
    if size <= IN_MEMORY_BYTES:
        return np.zeros(shape, np.float32)
    try:
        with TemporaryFile(dir=folder) as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):
                # Claim the space now: a disk that fills up later would end us by a signal.
                os.posix_fallocate(file.fileno(), 0, size)
            mapped: FloatArray = np.memmap(file, np.float32, "r+", shape=shape)
            return mapped
    except OSError as error:
        raise OutputError(
            f"{folder} cannot hold {size / 1e9:.1f} GB of descriptors: {error.strerror or error}. "
            "Free some space, or choose another --out."
        ) from error
