"""The command line as a process: quiet, one line for whatever ends it, an exit code.

Nothing heavy is imported here: from the first moment on, Ctrl-C is answered.

A signal ends the process also where Python cannot answer it. Python runs signal
handlers in the main thread, between two of its own instructions. While that
thread waits in a library, or for threads that do, the handler has to wait; where
a library holds the interpreter meanwhile, so has everything written in Python.
Two things look after such a process:

- a thread, which hears of the signal at once (``signal.set_wakeup_fd``) and ends
  the process by an orderly way out after a few seconds;
- the kernel, where that thread cannot run either. The byte that Python's
  handler in C writes makes the kernel raise ``SIGUSR1`` (``O_ASYNC``), whose
  handler is the C library's own ``alarm``. It takes the number of the signal,
  10, for seconds, and ``SIGALRM`` then ends the process. No Python is run.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from crosslook.atomic import discard_unfinished
from crosslook.errors import CrosslookError
from crosslook.heap import keep_freed
from crosslook.memory_limit import describe_lack, is_lack_of_memory, make_do

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


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


DEBUG = "CROSSLOOK_DEBUG"
"""Environment variable: ``1`` shows warnings, library logs and tracebacks."""
BUG = 70
"""Exit code of an error that nobody foresaw (EX_SOFTWARE of sysexits.h)."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_GOES_ON = {"study", "demo", "simulate", "audit", "atlas build", "weights fetch", "explore"}
_AGAIN_SECONDS = 0.05  # enough to leave the callback
_signals: list[int] = []
_stopped: list[int] = []  # exit codes that were said


class Stopped(BaseException):
    """Ctrl-C, or another polite request to end.

    No ``KeyboardInterrupt``, which libraries catch and answer in their own words.
    """


def run(load: Callable[[], Callable[[], object]]) -> NoReturn:
    """Run the command that ``load`` imports, and end the process.

    Errors of the family become one line and their code. Ctrl-C says what is
    kept and exits with 130 (a request to terminate with 143); anything else
    is one line and 70. No temporary file is left in any of these cases.
    """
    _listen()
    make_do()
    keep_freed()
    if not debugging():
        _silence()
    code = BUG
    try:
        load()()
        code = 0
    except SystemExit as end:  # what the command itself chose
        code = _code_of(end)
    except BaseException as error:
        code = _tell(error)
    finally:
        discard_unfinished()
    _flush()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; what follows takes no time
    sys.exit(code)


def _tell(error: BaseException) -> int:
    """Say in one line what ended the command; return its exit code."""
    if _signals:  # libraries may have turned the interruption into an error of theirs
        return _say_stopped()
    if debugging():
        traceback.print_exception(error)
    if isinstance(error, CrosslookError):
        return _say(f"error: {error}", error.exit_code)
    if isinstance(error, BrokenPipeError):  # 'crosslook ... | head' has read enough
        return 1
    if is_lack_of_memory(error):
        return _say(f"error: {describe_lack()}", 1)
    if isinstance(error, OSError) and error.errno in _FULL:
        place = f" ({error.filename})" if error.filename else ""
        return _say(
            f"error: the disk is full{place}: {error.strerror}. "
            "Free some space, then run the same command again.",
            1,
        )
    if isinstance(error, OSError) and error.filename:  # what the system refuses is no bug
        return _say(f"error: {error.filename}: {error.strerror or error}.", 1)
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return _say(f"unexpected error: {what}; set {DEBUG}=1 to see where; please report it", BUG)


def _say_stopped(number: int | None = None) -> int:
    command = " ".join(word for word in sys.argv[1:] if not word.startswith("-"))
    if any(command == name or command.startswith(f"{name} ") for name in _GOES_ON):
        rest = "Start the same command again: it goes on where it was."
    elif command.startswith("locate "):
        rest = "Start the same command again: of several queries, those that are done are kept."
    else:
        rest = "No half-written file is left."
    code = 128 + (number or _signals[0])
    if _stopped:  # by another thread, while the process was about to end
        return code
    _stopped.append(code)
    return _say(f"stopped. {rest}", code)


def _say(text: str, code: int) -> int:
    with suppress(OSError):  # where nobody reads it any more
        print(text, file=sys.stderr, flush=True)
    return code


def _code_of(end: SystemExit) -> int:
    if _signals and end.code != 0:
        return _say_stopped()
    if isinstance(end.code, int) or end.code is None:
        return end.code or 0
    return _say(str(end.code), 1)


def _flush() -> None:
    """See whether what was printed has arrived; a reader that left is no error to tell."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def debugging() -> bool:
    """Whether ``CROSSLOOK_DEBUG`` is set, for warnings and tracebacks."""
    return os.environ.get(DEBUG, "") not in ("", "0")


def _listen() -> None:
    """Answer Ctrl-C and requests to terminate, unless whoever started us has them ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    sys.unraisablehook = _again
    guard((signal.SIGINT, signal.SIGTERM), _end)


def _end(number: int) -> NoReturn:
    """End a process that did not end by itself: whatever still waits does not matter."""
    discard_unfinished()
    os._exit(_say_stopped(number))


def _stop(number: int, _: FrameType | None) -> None:
    if _signals:  # a second time
        _end(number)
    _signals.append(number)
    raise Stopped


def _again(lost: UnraisableHookArgs) -> None:
    """Ask again where the interruption fell into a callback that cannot raise it."""
    if lost.exc_type is Stopped:
        number = _signals.pop()
        main = threading.main_thread().ident or 0
        later = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, [main, number])
        later.daemon = True
        later.start()
    elif debugging():
        sys.__unraisablehook__(lost)


def _silence() -> None:
    """Keep what libraries say off the terminal: what matters is raised or said in our words.

    These are warnings and logs of Python code (rasters without georeference,
    sums over nothing, deprecations, fonts that are indexed), and what code in C
    prints on the standard error (GDAL, libtiff, the processes of Ray). Python
    keeps a standard error of its own.
    """
    with suppress(OSError, ValueError):
        if sys.stderr.fileno() == 2:
            own = os.fdopen(os.dup(2), "w", 1, sys.stderr.encoding, "backslashreplace")
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            sys.stderr = own
    logging.captureWarnings(True)
    logging.getLogger().addHandler(logging.NullHandler())
    ours = logging.getLogger("crosslook")
    ours.addHandler(logging.StreamHandler())
    ours.propagate = False
