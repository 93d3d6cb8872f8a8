"""Exact ranks and the best ten beside one bare matrix product of the same size.

    python benchmarks/search.py [--count 8192] [--dimensions 512] [--memory 50000]

The floor is the product itself: 2 * count^2 * dimensions operations. With
--memory N the ranks of N queries among N items are made too, and the peak of
memory beyond the features is printed.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np

from crosslook.retrieval.compare.similarity import normalise, rank_partners
from crosslook.types import FloatArray
from history import record
from measure import best_of, peak_memory


def sides(count: int, dimensions: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    shape = (count, dimensions)
    query, gallery = (normalise(rng.standard_normal(shape, np.float32)) for _ in range(2))
    return query, gallery


def ratio(count: int, dimensions: int) -> None:
    query, gallery = sides(count, dimensions)
    partner = np.arange(count)
    product = best_of(lambda: query @ gallery.T, 3)
    ranked = best_of(lambda: rank_partners(query, gallery, partner), 3)
    speed = 2e-9 * count**2 * dimensions / product
    print(
        f"search, {count} x {count} x {dimensions}: {ranked / product:.2f} bare products "
        f"({product:.2f} s, {speed:.0f} GFLOP/s)"
    )
    name = f"search {count} x {dimensions}"
    record(name, {"ranked_s": ranked, "floor_times": ranked / product})


def memory(count: int, dimensions: int) -> None:
    query, gallery = sides(count, dimensions)
    started = perf_counter()
    peak = peak_memory(lambda: rank_partners(query, gallery, np.arange(count)))
    print(
        f"search, {count} x {count} x {dimensions}: {perf_counter() - started:.0f} s, "
        f"{peak / 2**20:.0f} MiB beyond the features of {2 * query.nbytes / 2**20:.0f} MiB"
    )
    record(f"search {count} x {dimensions}, memory", {"peak_mib": peak / 2**20})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8192)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--memory", type=int, default=0)
    given = parser.parse_args()
    ratio(given.count, given.dimensions)
    if given.memory:
        memory(given.memory, given.dimensions)


if __name__ == "__main__":
    main()
