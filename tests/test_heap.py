"""Freed memory is kept for the next array."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from crosslook.heap import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
def work():
    return sum(len(one) for one in [bytearray(20 << 20) for _ in range(6)])
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    call = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_arrays_are_not_made_of_new_pages_each_time() -> None:
    usual = faults("usual")
    if usual < 10_000:
        pytest.skip(f"this C library or kernel keeps pages itself: {usual} new ones")
    assert faults("kept") < usual / 4
