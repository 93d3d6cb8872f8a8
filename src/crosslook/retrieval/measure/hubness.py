"""How unevenly a gallery is retrieved, beside the skew that the gap rows give."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.retrieval.compare.similarity import normalise
from crosslook.retrieval.measure.resampling import jackknife
from crosslook.types import DIRECTIONS, FloatArray, Metric

_NEIGHBOURS = 10


def occurrences(queries: FloatArray, gallery: FloatArray, k: int) -> NDArray[np.int64]:
    """How often each gallery item is among the ``k`` nearest of a query, shape (Ng,).

    Cosine; ties go to the lower index.
    """
    similarity = normalise(queries) @ normalise(gallery).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return np.bincount(nearest.ravel(), minlength=len(gallery)).astype(np.int64)


def measure_hubness(
    sar: FloatArray, optical: FloatArray, units: ArrayLike, seed: int, k: int = _NEIGHBOURS
) -> list[Metric]:
    """Robin Hood index of the k-occurrence, both directions.

    Feldbauer et al., "Fast approximate hubness reduction", ICBK 2018: the share
    of the occurrences that would have to be given from hubs to the others for
    all to be equal, ``sum |O_j - mean O| / (2 sum O)``. 0 for none, near 1 where
    few items answer every query. Chance is that of a Poisson count with mean k.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
    units : array, shape (N,)
    seed : int
    k : int
        Neighbours; fewer where the gallery is smaller.
    """
    kept = min(k, len(sar))
    chance = math.exp(kept * math.log(kept) - kept - math.lgamma(kept + 1))
    metrics = []
    for direction in DIRECTIONS:
        sides = (sar, optical) if direction == "sar->optical" else (optical, sar)
        counts = occurrences(*sides, kept)
        uneven = np.abs(counts - counts.mean()) / (2 * counts.mean())
        estimate = jackknife(
            lambda items, uneven=uneven: float(uneven[items].mean()),  # type: ignore[misc]
            units,
            seed,
            bounds=(0.0, 1.0),
        )
        size = len(sar)
        metrics.append(
            Metric("structure", "robin-hood", estimate, size, size, chance, direction, kept)
        )
    return metrics
