"""Dense correlation of an atlas beside the bare Fourier transforms that it needs.

    python benchmarks/correlation.py [--size 8192] [--poses 1]

The floor is what no correlation by FFT can do without once the transforms of
the atlas are kept: per query one forward transform of every channel of the
template, and per block one transform back, in as many threads. The second
floor adds the product of the spectra, which reads every kept transform once.
The atlas holds random features, whose values change no time.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import fft

from crosslook import threads
from crosslook.atlas.query import Template
from crosslook.atlas.search import QuerySearch, Searcher
from crosslook.atlas.store import LevelStatistics
from crosslook.match.channels import Channels
from crosslook.match.ncc import inverse, summed_product
from crosslook.types import FloatArray
from history import record
from measure import best_of

CHANNELS, CELL, BLOCK, SIDE = 9, 8, 2048, 32


def oriented(rng: np.random.Generator, shape: tuple[int, int]) -> FloatArray:
    """Noise (C, h, w) in which neighbouring channels are as alike as orientations are."""
    noise = rng.standard_normal((CHANNELS, *shape), np.float32)
    mixed: FloatArray = noise + 0.5 * np.roll(noise, 1, axis=0) + 0.5 * np.roll(noise, -1, axis=0)
    alike: FloatArray = mixed / 1.5**0.5
    return alike


class RandomAtlas:
    """What a search needs of an atlas: features of any window."""

    def __init__(self, size: int) -> None:
        count = -(-size // BLOCK)
        zeros = np.zeros(CHANNELS, np.float32)
        self.grid = SimpleNamespace(block=BLOCK)
        self.manifest = SimpleNamespace(
            levels=[SimpleNamespace(cell=CELL)],
            statistics=[LevelStatistics(zeros, zeros + 1, 0.1)],
            blocks={(row, col): {} for row in range(count) for col in range(count)},
        )
        self.rng = np.random.default_rng(0)

    def features(self, level: int, corner: tuple[int, int], shape: tuple[int, int]) -> Channels:
        """Random channels, all valid."""
        values = oriented(self.rng, shape)
        return Channels(values, np.ones(shape, np.bool_), float(CELL))


def floors(searcher: Searcher, templates: list[Template]) -> tuple[float, float]:
    """Seconds of the bare transforms, and of these with the products."""
    size = searcher.blocks.size
    blocks = [searcher.blocks.get(b) for b in searcher.atlas.manifest.blocks]
    spectra = [searcher.transform(t).spectrum for t in templates]
    sums = [b.spectrum[0].copy() for b in blocks]

    def back(one: Any) -> None:
        for _ in templates:
            fft.irfft2(one, size)

    def whole(one: Any) -> None:
        for spectrum in spectra:
            inverse(summed_product(one.spectrum, spectrum), size, slice(None))

    def run(work: Any, items: list[Any]) -> None:
        for one in templates:
            searcher.transform(one)
        with ThreadPoolExecutor(threads.count()) as pool:
            list(pool.map(work, items))

    return best_of(lambda: run(back, sums), 9), best_of(lambda: run(whole, blocks), 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=8192, help="side of the atlas in pixels")
    parser.add_argument("--poses", type=int, default=1, help="templates of a query")
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    atlas: Any = RandomAtlas(given.size)
    searcher = Searcher(atlas, 0)
    searcher.precompute()
    templates = [Template(oriented(rng, (SIDE, SIDE))) for _ in range(given.poses)]

    def search() -> None:
        query = QuerySearch(templates=[searcher.transform(one) for one in templates])
        searcher.gather([query])
        query.best(50)

    seconds = best_of(search, 9)
    bare, product = floors(searcher, templates)
    print(
        f"correlation, {given.size} x {given.size} px, {given.poses} pose(s): "
        f"{seconds * 1e3:.1f} ms, {seconds / bare:.2f} bare transforms, "
        f"{seconds / product:.2f} with the products"
    )
    record(
        f"correlation {given.size} px, {given.poses} pose(s)",
        {"search_ms": seconds * 1e3, "floor_times": seconds / bare},
    )


if __name__ == "__main__":
    main()
