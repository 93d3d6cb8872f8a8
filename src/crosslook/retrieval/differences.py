"""Differences between pretrained models, pair by pair: what claims are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.extract.registry import extractor_class, find_row
from crosslook.extract.spec import parse_spec
from crosslook.retrieval.compare.similarity import paired_cosines
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.types import FloatArray, Indices, Metric


@dataclass(frozen=True, eq=False)
class Plain:
    """What an extractor does uncalibrated, SAR to optical.

    Attributes
    ----------
    distance : float32 array, shape (n,)
        Cosine distance of each measured pair.
    hits : bool array, shape (n,)
        Whether the query of each pair finds its partner first.
    """

    distance: FloatArray
    hits: NDArray[np.bool_]


def is_pretrained(spec: str) -> bool:
    """Whether a spec names learned weights: neither a baseline nor an untrained control."""
    parsed = parse_spec(spec)
    return extractor_class(find_row(parsed.name)).PRETRAINED and not parsed.untrained


def plain_of(sar: FloatArray, optical: FloatArray, ranks: Indices) -> Plain:
    """Gather what is compared from unit descriptors (n, D) and the ranks of partners (n,)."""
    return Plain((1 - paired_cosines(sar, optical)).astype(np.float32), ranks == 1)


def measure_differences(
    plains: Mapping[str, Plain], units: ArrayLike, seed: int, draws: int
) -> dict[str, list[Metric]]:
    """Differences of every two extractors, by a paired bootstrap over units.

    Both saw the same pairs, so the difference of each pair is taken first and
    units are drawn afterwards: what the two share cancels (Efron and Tibshirani
    1993, chapter 16).

    Returns
    -------
    dict of str to list of Metric
        By extractor ``pair-distance/<other>`` and ``recall/<other>``: its value
        minus that of the other one.
    """
    differences: dict[str, list[Metric]] = {}
    for first, second in combinations(plains, 2):
        a, b = plains[first], plains[second]
        changes = (
            ("pair-distance", a.distance.astype(np.float64) - b.distance, "", 0),
            ("recall", a.hits.astype(np.float64) - b.hits, "sar->optical", 1),
        )
        for name, change, direction, k in changes:
            estimate = bootstrap_mean(change, units, seed, draws)
            count = len(change)
            differences.setdefault(first, []).append(
                Metric("difference", f"{name}/{second}", estimate, count, count, 0.0, direction, k)
            )
    return differences
