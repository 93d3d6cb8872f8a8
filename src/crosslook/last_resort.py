"""A signal ends the process also where Python cannot answer it.

Python runs signal handlers in the main thread, between two of its own
instructions. While that thread waits in a library, or for threads that do, the
handler has to wait; where a library holds the interpreter meanwhile, so has
everything written in Python. Two things look after such a process:

- a thread, which hears of the signal at once (``signal.set_wakeup_fd``) and ends
  the process by an orderly way out after a few seconds;
- the kernel, where that thread cannot run either. The byte that Python's
  handler in C writes makes the kernel raise ``SIGUSR1`` (``O_ASYNC``), whose
  handler is the C library's own ``alarm``. It takes the number of the signal,
  10, for seconds, and ``SIGALRM`` then ends the process. No Python is run.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

_PAUSES = (0.0, 0.05, 0.2, 0.8, 2.0, 4.0)  # seconds; together less than the kernel counts
GRACE_SECONDS = 5.0
"""From a signal to the orderly way out; the kernel's comes after ten."""


def guard(numbers: Collection[int], end: Callable[[int], object]) -> None:
    """End the process some seconds after one of these signals, whatever it is doing.

    Call it from the main thread, once handlers written in Python are there for
    these signals. A forked child is not guarded.

    Parameters
    ----------
    numbers : collection of int
        Signals.
    end : callable
        Takes the number of the signal and ends the process; called in a thread.
    """
    if not hasattr(os, "register_at_fork"):  # Windows
        return
    heard, hears = os.pipe()
    os.set_blocking(hears, False)
    try:
        signal.set_wakeup_fd(hears, warn_on_full_buffer=False)
    except ValueError:  # not the main thread: signals are for who started us
        return
    os.register_at_fork(after_in_child=_leave)
    _ask_kernel(heard)
    threading.Thread(
        target=_watch, args=(heard, frozenset(numbers), end), name="last resort", daemon=True
    ).start()


def _leave() -> None:
    with suppress(ValueError):
        signal.set_wakeup_fd(-1)


def _watch(heard: int, numbers: frozenset[int], end: Callable[[int], object]) -> None:
    while received := os.read(heard, 64):
        for number in received:
            if number in numbers:
                time.sleep(GRACE_SECONDS)
                end(number)
        _let_go(heard)  # another signal with a handler in Python, which is no reason to end


def _let_go(heard: int) -> None:
    """Take the kernel's count back; on a busy machine it begins a little after the byte."""
    for pause in _PAUSES:
        signal.alarm(0)
        if select.select([heard], [], [], pause)[0]:
            return
    signal.alarm(0)


def _ask_kernel(heard: int) -> None:
    """Have the kernel count the seconds too, where it can (Linux)."""
    try:
        import ctypes
        import fcntl

        library = ctypes.CDLL(None)
        if signal.getsignal(signal.SIGUSR1) is not signal.SIG_DFL:
            return
        library.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        library.signal.restype = ctypes.c_void_p
        library.signal(signal.SIGUSR1, ctypes.cast(library.alarm, ctypes.c_void_p))
        fcntl.fcntl(heard, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(heard, fcntl.F_SETSIG, signal.SIGUSR1)
        flags = fcntl.fcntl(heard, fcntl.F_GETFL)
        fcntl.fcntl(heard, fcntl.F_SETFL, flags | os.O_ASYNC)
    except (ImportError, AttributeError, OSError):
        return
