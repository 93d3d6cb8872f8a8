"""What ends a process that looks at it, as want of memory does."""

from __future__ import annotations

import os
from multiprocessing import parent_process


class Deadly:
    """The path of an image that ends every process but the first as it is opened."""

    def __str__(self) -> str:
        if parent_process() is not None:
            os._exit(9)
        return "none.tif"
