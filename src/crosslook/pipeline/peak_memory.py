"""The largest memory that a process has held."""

from __future__ import annotations

import sys
from pathlib import Path

from crosslook.errors import CrosslookError


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory from before exec
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        raise CrosslookError(
            "peaks of memory cannot be read on this system; measure the costs on Linux or macOS "
            "and give them with --costs."
        ) from None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
