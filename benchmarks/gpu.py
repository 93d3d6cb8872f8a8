"""``make bench-gpu``: what only a GPU can tell, in one command.

    python benchmarks/gpu.py [--models sd-vae,dinov2] [--images 256] [--gallery 225907]

Features of the five models at float32 on CUDA equal to 1e-4 of the CPU's (weights
are random, of published size), correlation by ``torch.fft`` equal to 1e-4 of
scipy's, scores to 1e-5 and at least 99 % of the ranks equal to the CPU's; then the
models at bfloat16 in images a second, and the ranking of a gallery of 282,384 pairs of
which a fifth is set aside, beside the product that it rests on. Where torch sees
no GPU it says what it needs and ends with exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from time import perf_counter

import numpy as np

MODELS = ("sd-vae", "sd-unet", "dinov2", "clip", "sam2")
SIDE, TOLERANCE = 256, 1e-4
NEEDS = """make bench-gpu needs an NVIDIA GPU that torch can use; {seen}.
  GPU memory   8 GiB are enough for all five models at bfloat16 (sd-unet is the largest)
  driver       one for the CUDA version of the installed torch ({torch})
  then         pip install torch --index-url https://download.pytorch.org/whl/cu126
  no weights   models run with random ones of published size"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--images", type=int, default=256, help="images of the timing")
    parser.add_argument("--gallery", type=int, default=225_907, help="items of the timed ranking")
    given = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        seen = "its torch is built without CUDA" if not torch.version.cuda else "it sees none"
        print(NEEDS.format(seen=seen, torch=torch.__version__))
        raise SystemExit(2)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    models = given.models.split(",")
    fine = [same_features(name) for name in models]
    fine += [same_search(), same_ranks()]
    for name in models:
        speed(name, given.images)
    ranking(given.gallery)
    if not all(fine):
        sys.exit(1)


def random_images(count: int) -> np.ndarray:
    """Random images (count, 3, 256, 256), smooth enough to be no mere noise."""
    rng = np.random.default_rng(0)
    coarse = rng.random((count, 3, SIDE // 8, SIDE // 8), np.float32)
    return np.kron(coarse, np.ones((1, 1, 8, 8), np.float32))


def same_features(name: str) -> bool:
    """Compare the features of two images on both devices."""
    from crosslook.extract.registry import open_extractor

    features = []
    for device in ("cpu", "cuda"):
        extractor = open_extractor(f"untrained:{name}", device=device)
        features.append(extractor.extract(random_images(2)).values)
        extractor.close()
    apart = float(np.abs(features[0] - features[1]).max() / np.abs(features[0]).max())
    print(f"features {name}: {apart:.1e} of the largest (at most {TOLERANCE:.0e})", flush=True)
    return apart <= TOLERANCE


def same_search() -> bool:
    """Compare the correlation of one template with one block."""
    from crosslook.match.ncc import fetch, forward, inverse, place, summed_product

    rng = np.random.default_rng(0)
    size, side = (320, 320), 32
    rows = slice(0, size[0] - side)
    block = rng.standard_normal((9, size[0] - side, size[1] - side), np.float32)
    template = block[:, 40 : 40 + side, 50 : 50 + side].copy()
    results, seconds = [], []
    for device in ("cpu", "cuda"):
        one, other = (forward(place(values, device), size) for values in (block, template))
        fetch(inverse(summed_product(one, other.conj()), size, rows))
        started = perf_counter()
        results.append(fetch(inverse(summed_product(one, other.conj()), size, rows)))
        seconds.append(perf_counter() - started)
    apart = float(np.abs(results[0] - results[1]).max() / np.abs(results[0]).max())
    print(
        f"search by torch.fft: {apart:.1e} of the largest (at most {TOLERANCE:.0e}); a block "
        f"takes {1e3 * seconds[0]:.2f} ms on the CPU and {1e3 * seconds[1]:.2f} ms on the GPU",
        flush=True,
    )
    return apart <= TOLERANCE


def places(count: int, dimensions: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (count, dimensions) of two sides, partners alike but not equal."""
    from crosslook.retrieval.compare.similarity import normalise

    rng = np.random.default_rng(0)
    ours = rng.standard_normal((count, dimensions), np.float32)
    noise = rng.standard_normal((count, dimensions), np.float32)
    return normalise(ours), normalise(ours + 3 * noise)


def same_ranks(count: int = 20_000) -> bool:
    """Compare the ranks of partners, under cosine and CSLS, with neighbours accepted."""
    from crosslook.retrieval.compare.similarity import OnDevice, Similarities, fit_scoring, rank

    query, gallery = places(count)
    partner = np.arange(count)
    accept = [np.array([i, (i + 1) % count]) for i in range(count)]
    offsets = [
        fit_scoring(name, query[:2000], gallery[:2000]).offsets(query, gallery)
        for name in ("cosine", "csls")
    ]
    scorers = (
        Similarities(query, gallery, offsets),
        OnDevice("cuda", query, gallery, offsets),
    )
    expected, ranks = (rank(scorer, partner, [None, accept]) for scorer in scorers)
    pairs = [
        (one, other)
        for a, b in zip(expected, ranks, strict=True)
        for one, other in zip(a, b, strict=True)
    ]
    differ = max(float((a.rank != b.rank).mean()) for a, b in pairs)
    apart = max(float(np.abs(a.partner_score - b.partner_score).max()) for a, b in pairs)
    most = max(int(np.abs(a.rank - b.rank).max()) for a, b in pairs)
    print(
        f"ranks of {count} among {count}: {differ:.2e} of them differ, by {most} at most, "
        f"scores by {apart:.1e} (at most 1e-2 and 1e-5)",
        flush=True,
    )
    return apart <= 1e-5 and differ <= 0.01


def ranking(count: int, queries: int = 16_384) -> None:
    """Time the ranking of some queries in a large gallery, and the bare product."""
    import torch

    from crosslook.retrieval.compare.similarity import Offsets, OnDevice, rank

    query, gallery = places(count)
    query, partner = query[:queries], np.arange(min(queries, count))
    offsets = [Offsets.none(len(query), count)] * 2
    few = slice(0, 256)
    first = [Offsets.none(len(query[few]), count)]
    rank(OnDevice("cuda", query[few], gallery, first), partner[few])  # loads the libraries
    started = perf_counter()
    rank(OnDevice("cuda", query, gallery, offsets), partner)
    seconds = perf_counter() - started
    there, items = torch.from_numpy(query[:1024]).to("cuda"), torch.from_numpy(gallery).to("cuda")
    there @ items.T
    torch.cuda.synchronize()
    started = perf_counter()
    there @ items.T
    torch.cuda.synchronize()
    bare = (perf_counter() - started) * len(query) / len(there)
    print(
        f"ranking {len(query)} of {count} queries of 512 dimensions, two scorings: "
        f"{seconds:.2f} s; the bare product {bare:.2f} s; "
        f"all queries {seconds * count / len(query):.0f} s",
        flush=True,
    )


def speed(name: str, count: int) -> None:
    """Images a second at bfloat16, once batches of this size have been seen."""
    import torch

    from crosslook.extract.registry import open_extractor

    extractor = open_extractor(f"untrained:{name}", device="cuda", dtype="bfloat16")
    images = random_images(count)
    extractor.extract(images)  # a first batch of a size loads what it needs, for a second or more
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    started = perf_counter()
    extractor.extract(images)
    seconds = perf_counter() - started
    memory = torch.cuda.max_memory_allocated() / 2**30
    print(
        f"bfloat16 {name}: {count / seconds:.0f} images of {SIDE} px a second, {memory:.1f} GiB",
        flush=True,
    )
    extractor.close()


if __name__ == "__main__":
    main()
