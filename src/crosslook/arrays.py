"""Arrays from ``.npy`` and ``.npz`` files, whichever thread asks."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

_PARSING = Lock()
"""numpy parses a header by ``ast.literal_eval``. Before CPython 3.11.8 and 3.12.2 that may raise
SystemError ('AST constructor recursion depth mismatch') where two threads do so at once."""


def load_array(file: Path | BinaryIO, mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
    """Read an ``.npy`` file, or map it into memory.

    Raises
    ------
    OSError, ValueError
        If it cannot be read.
    """
    with _PARSING:
        return np.asarray(np.load(file, mmap_mode=mmap_mode, allow_pickle=False))


def load_arrays(file: Path | BinaryIO) -> dict[str, NDArray[Any]]:
    """Read all arrays of an ``.npz`` file by their names.

    Raises
    ------
    OSError, ValueError, EOFError, zipfile.BadZipFile
        If it cannot be read.
    """
    with _PARSING, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)
