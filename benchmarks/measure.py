"""Time and memory of a call, as the benchmarks count them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from time import perf_counter

import psutil

_EVERY_S = 0.005


def best_of(call: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of several calls: the others met something else that ran."""
    seconds = []
    for _ in range(times):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return min(seconds)


def peak_memory(call: Callable[[], object]) -> int:
    """Bytes of resident memory at the highest, beyond those before the call."""
    gc.collect()
    process = psutil.Process()

    def resident() -> int:
        return int(process.memory_info().rss)

    before = highest = resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(_EVERY_S):
            highest = max(highest, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        kept = call()
        highest = max(highest, resident())
        del kept
    finally:
        done.set()
        watcher.join()
    return highest - before
