"""Compiled loops: numba compiles a function when it is first called.

It does so once per machine and stores the result beside the file of the function, or in the
cache folder of the user where that is not writable. To import this module takes as long as to
import numba (.4 s), so what uses it is imported where a loop is about to run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import event

from crosslook.progress import stage

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


class _Notice(event.Listener):  # type: ignore[misc]  # numba has no types
    """Says once that loops are being compiled, since the first run takes longer for it."""

    def __init__(self) -> None:
        self._is_said = False

    def on_start(self, event: Any) -> None:
        """Say so; what is read from the store compiles nothing and comes not here."""
        if self._is_said:
            return
        self._is_said = True
        stage("compilation")
        if sys.stderr.isatty():
            print(
                "Compiling loops, once per installation: about a minute.",
                file=sys.stderr,
                flush=True,
            )

    def on_end(self, event: Any) -> None:
        """Nothing to do."""


event.register("numba:compile", _Notice())
