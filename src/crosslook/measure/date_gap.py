"""Recall over the days between the two images of a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from crosslook.measure.bootstrap import DRAWS, bootstrap_mean
from crosslook.measure.robustness import DIRECTION
from crosslook.types import Metric

Indices = NDArray[np.int64]

DAY_BINS = (1, 3, 7, 14, 30, 90, 400)


def measure_date_gap(
    ranks: Indices,
    scenes: Sequence[str],
    days: Mapping[str, float],
    n_gallery: int,
    seed: int,
    *,
    draws: int = DRAWS,
    bins: Sequence[int] = DAY_BINS,
) -> list[Metric]:
    """Recall at 1 by the days between the two images; ``k`` is a bin's upper end.

    Parameters
    ----------
    ranks : int64 array, shape (Nq,)
    scenes : sequence of str
        Scene of each query.
    days : mapping
        Days between SAR and optical per scene; scenes that are not in it are
        left out, so data without dates give no row.
    n_gallery, seed, draws
        As in :func:`~crosslook.measure.retrieval.measure_retrieval`.
    bins : sequence of int
        Upper ends, rising; a gap of at most the first falls into the first.
    """
    gaps = np.array([abs(days.get(scene, np.nan)) for scene in scenes], np.float64)
    names = np.asarray(scenes)
    metrics = []
    low = -np.inf
    for high in bins:
        inside = (gaps > low) & (gaps <= high)
        low = high
        if inside.any():
            estimate = bootstrap_mean(ranks[inside] == 1, names[inside], seed, draws)
            count = int(inside.sum())
            metrics.append(
                Metric(
                    "robustness",
                    "recall@1/days-apart",
                    estimate,
                    count,
                    n_gallery,
                    1 / n_gallery,
                    DIRECTION,
                    high,
                )
            )
    return metrics
