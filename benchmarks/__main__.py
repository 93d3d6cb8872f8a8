"""``make bench``: short benchmarks, each a ratio to a floor measured in the same run.

Longer ones have a command of their own: ``python benchmarks/registration.py PAIRS``
and ``python benchmarks/fit_verdict.py PAIRS``, from this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from crosslook.compare.similarity import normalise, rank_partners
from crosslook.extract.registry import open_extractor


def best_of(call: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest of several calls."""
    seconds = []
    for _ in range(times):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return min(seconds)


def hog() -> None:
    """Milliseconds per 256 px patch beside one pass over its pixels in NumPy."""
    images = np.random.default_rng(0).random((16, 3, 256, 256), dtype=np.float32)
    extractor = open_extractor("hog")
    patch = best_of(lambda: extractor.extract(images)) / len(images) * 1e3
    floor = best_of(lambda: images * np.float32(0.5)) / len(images) * 1e3
    print(f"hog: {patch:.2f} ms per patch, {patch / floor:.0f} passes over its pixels")


def search(count: int = 8192, dimensions: int = 512) -> None:
    """Exact ranks and the best ten beside one bare matrix product."""
    rng = np.random.default_rng(0)
    query, gallery = (
        normalise(rng.normal(size=(count, dimensions)).astype(np.float32)) for _ in range(2)
    )
    product = best_of(lambda: query @ gallery.T, 3)
    ranked = best_of(lambda: rank_partners(query, gallery, np.arange(count)), 3)
    print(f"search, {count} x {count} x {dimensions}: {ranked / product:.2f} bare products")


if __name__ == "__main__":
    hog()
    search()
