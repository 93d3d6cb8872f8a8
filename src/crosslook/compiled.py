"""Compiled loops: numba compiles a function when it is first called.

It does so once per machine and stores the result beside the file of the function, or in the
cache folder of the user where that is not writable. To import this module takes as long as to
import numba (.4 s), so what uses it is imported where a loop is about to run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function of numpy arrays and numbers; other threads run while it does."""
    # A division that may raise an error is done one by one, so dividing by zero raises none.
    fast = {"reassoc", "contract", "nsz", "arcp"}
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fast}
    try:
        return cast(_Function, njit(function, cache=True, **options))
    except RuntimeError:  # no folder is writable, so it is compiled anew in every process
        return cast(_Function, njit(function, **options))
