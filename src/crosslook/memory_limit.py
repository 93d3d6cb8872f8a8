"""A limit on the memory of the process, as ``ulimit -v`` sets it: heeded, and named in errors.

Each copy of OpenBLAS (NumPy, SciPy and OpenCV bring one each) starts a thread
per core and keeps memory for every one of them. Where it gets none it tries
again for ever, or crashes: so under a tight limit there is one thread, and what
OpenBLAS needs is had before the work begins.
"""

from __future__ import annotations

import os

LEAST_BYTES = 896 << 20
"""What the libraries and a small image take."""
_BASE_BYTES, _CORE_BYTES = 2 << 30, 512 << 20  # what is enough for a thread per core
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_ARENAS = -8  # M_ARENA_MAX of glibc: each arena takes 64 MiB of addresses


def memory_limit() -> int | None:
    """Bytes that the process may take by its resource limits; None where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    limits = [limit for limit in soft if limit != resource.RLIM_INFINITY]
    return min(limits) if limits else None


def is_tight() -> bool:
    """Whether the limit does not hold a thread per core."""
    limit = memory_limit()
    return limit is not None and limit < _BASE_BYTES + _CORE_BYTES * (os.cpu_count() or 1)


def make_do() -> None:
    """Under a tight limit keep the libraries to one thread; call it before they are imported."""
    if not is_tight():
        return
    for name in _THREADS:
        os.environ[name] = "1"
    try:
        import ctypes

        ctypes.CDLL(None).mallopt(_ARENAS, 1)
    except (ImportError, OSError, AttributeError, TypeError):  # another C library
        return


def check_memory() -> None:
    """See that the work can begin, and let OpenBLAS take what it needs.

    Raises
    ------
    MemoryError
        If the limit is too low for any work.
    """
    limit = memory_limit()
    if limit is None or not is_tight():
        return
    if limit < LEAST_BYTES:
        raise MemoryError
    import numpy as np
    import scipy.linalg.blas

    some = np.ones((256, 256))
    some @ some
    scipy.linalg.blas.dgemm(1.0, some, some)


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error of any library says that memory, or threads, could not be had."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    if isinstance(error, SystemError):  # an allocation that failed inside Python itself
        return memory_limit() is not None
    return any(words in text for words in _SAID)


_SAID = (
    "insufficient memory",
    "cannot allocate memory",
    "failed to map segment",
    "can't start new thread",
    "resource temporarily unavailable",
    "out of memory",
    "bad_alloc",
    "failed to allocate",
    "unable to allocate",
)


def describe_lack() -> str:
    """What to say where memory is not enough: the limit where there is one, and the next step."""
    limit = memory_limit()
    if limit is None:
        return (
            "the memory of this machine is not enough. Close other programs, or use "
            "smaller images, fewer patches or a smaller extractor."
        )
    return (
        f"the memory that this process may take, {limit >> 20} MiB, is not enough; "
        f"{LEAST_BYTES >> 20} MiB is the least, and large images need more. Raise the limit "
        "(ulimit -v unlimited, or that of the batch job), or use smaller images."
    )
