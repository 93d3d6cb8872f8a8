"""Approximate indexes on real SAR queries: what they gain and what they lose.

    python benchmarks/index.py SENTINEL [--patch 64] [--stride 32] [--queries 2000]

A large gallery of overlapping optical patches (``hog:cell=8``, standardised
per modality over all of them: transductive, which favours no index). The same
index answers SAR queries and, as the control, optical patches of half a cell
beside: an index that serves the second well may fail the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

from crosslook.data.pairs import open_pairs
from crosslook.data.patches import PatchSet
from crosslook.extract.registry import open_extractor
from crosslook.progress import track
from crosslook.retrieval.compare.approximate import INDEXES, ApproximateIndex, rank_shortlists
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.similarity import Offsets, normalise, rank_partners
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.types import FloatArray, Modality

SHIFT_PX = 4
BATCH = 512


def describe(patches: PatchSet, modality: Modality) -> FloatArray:
    extractor = open_extractor("hog:cell=8")
    starts = range(0, len(patches.patches), BATCH)
    parts = []
    for start in track(starts, f"hog {modality}", len(starts)):
        indices = range(start, min(start + BATCH, len(patches.patches)))
        values = extractor.extract(patches.read(modality, indices)).values
        parts.append(values.reshape(len(values), -1))
    return np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sentinel", type=Path)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--stride", type=int, default=32)
    parser.add_argument("--queries", type=int, default=2000)
    given = parser.parse_args()
    pairs = open_pairs(given.sentinel)
    patches = PatchSet.open(pairs, patch=given.patch, stride=given.stride)
    shifts = {pair.id: (float(SHIFT_PX), float(SHIFT_PX)) for pair in pairs}
    sar, optical = describe(patches, "sar"), describe(patches, "optical")
    # The optical image as the 'SAR' side of a shifted pair: the same sensor, a little beside.
    same = [type(p)(p.id, p.group, p.optical, p.optical) for p in pairs]
    moved = PatchSet.open(same, patch=given.patch, stride=given.stride, alignment=shifts)
    chosen = np.sort(np.random.default_rng(0).permutation(len(sar))[: given.queries])
    ids = {patch.id: number for number, patch in enumerate(moved.patches)}
    chosen = np.array([i for i in chosen if patches.patches[i].id in ids])
    beside = _some(moved, [ids[patches.patches[i].id] for i in chosen])
    calibration = fit_calibration("standardize", sar, optical)
    gallery = normalise(calibration.apply(optical, "optical"))
    sides = {
        "SAR": normalise(calibration.apply(sar[chosen], "sar")),
        "optical": normalise(calibration.apply(beside, "optical")),
    }
    scenes = np.array([patches.patches[i].scene for i in chosen])
    print(f"gallery {len(gallery)} x {gallery.shape[1]}, {len(chosen)} queries", flush=True)
    exact = {}
    for kind in INDEXES:
        for name, query in sides.items():
            started = perf_counter()
            built = 0.0
            if kind == "exact":
                ranks = exact[name] = rank_partners(query, gallery, chosen)
            else:
                none = Offsets.none(len(query), len(gallery))
                index = ApproximateIndex(kind, gallery, none)
                built = perf_counter() - started
                [ranks] = rank_shortlists(index, query, chosen)
            seconds = perf_counter() - started - built
            recall = bootstrap_mean(ranks.rank == 1, scenes, 0)
            loss = bootstrap_mean((exact[name].rank == 1) * 1.0 - (ranks.rank == 1), scenes, 0)
            pairs_of = zip(exact[name].top_indices, ranks.top_indices, strict=True)
            nearest = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in pairs_of])
            print(
                f"{kind:7} {name:8} build {built:6.1f} s, {seconds / len(query) * 1e3:6.2f} ms a "
                f"query, recall at 1 {recall.value:.3f}, lost {loss.value:.3f} "
                f"({loss.low:.3f} to {loss.high:.3f}), nearest ten found {nearest:.3f}",
                flush=True,
            )


def _some(patches: PatchSet, indices: list[int]) -> FloatArray:
    extractor = open_extractor("hog:cell=8")
    parts = [
        extractor.extract(patches.read("sar", indices[s : s + BATCH])).values
        for s in range(0, len(indices), BATCH)
    ]
    values = np.concatenate(parts)
    return values.reshape(len(values), -1)


if __name__ == "__main__":
    main()
