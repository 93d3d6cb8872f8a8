"""What becomes of freed memory: the C library keeps some for the next array of that size.

By default glibc gives arrays of a few megabytes back as soon as they are freed, and each new
one is made of pages that the kernel has to clear. Images of a few million pixels are handled in
many such arrays: on a virtual machine a quarter of the time of a whole scene went into that.
"""

from __future__ import annotations

import sys

from crosslook.memory_limit import is_tight

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of glibc
_MOST_KEPT = 512 << 20
_MOST_IN_HEAP = 32 << 20  # bytes of an array; the most that older versions of glibc accept


def keep_freed() -> None:
    """Keep up to 512 MiB of freed memory; nothing under a tight limit or another C library.

    For a process that is crosslook's own: it changes the allocator of all that runs in it.
    """
    if not sys.platform.startswith("linux") or is_tight():
        return
    try:
        import ctypes

        adjust = ctypes.CDLL(None).mallopt
        adjust(_MMAP_THRESHOLD, _MOST_IN_HEAP)
        adjust(_TRIM_THRESHOLD, _MOST_KEPT)
    except (ImportError, OSError, AttributeError, TypeError):  # another C library
        return
