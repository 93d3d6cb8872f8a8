"""Differences between pretrained models, pair by pair: what claims are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from crosslook.extract.registry import extractor_class, find_row
from crosslook.extract.spec import parse_spec
from crosslook.retrieval.compare.similarity import paired_cosines
from crosslook.retrieval.measure.base import PAIRED, Definition, Measure
from crosslook.retrieval.measure.resampling import DRAWS, bootstrap_mean
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

    @classmethod
    def of(cls, sar: FloatArray, optical: FloatArray, ranks: Indices) -> Plain:
        """From unit descriptors (n, D) and the ranks of partners (n,)."""
        return cls((1 - paired_cosines(sar, optical)).astype(np.float32), ranks == 1)


@dataclass(frozen=True, eq=False)
class TwoModels:
    """Two pretrained models on the same pairs.

    Attributes
    ----------
    first, second : Plain
        The metrics are those of the first, minus those of the second.
    other : str
        Spec of the second.
    clusters : int64 array, shape (n,)
        Cluster of each pair.
    seed, draws : int
        Of the bootstrap.
    """

    first: Plain
    second: Plain
    other: str
    clusters: Indices
    seed: int
    draws: int = DRAWS


def is_pretrained(spec: str) -> bool:
    """Whether a spec names learned weights: neither a baseline nor an untrained control."""
    parsed = parse_spec(spec)
    return extractor_class(find_row(parsed.name)).PRETRAINED and not parsed.untrained


class Difference(Measure[TwoModels]):
    """Distance of pairs and recall at 1 of one model minus those of another.

    Both saw the same pairs, so the difference of each pair is taken first and
    clusters are drawn afterwards: what the two share cancels.
    """

    name = "difference"
    title = "Alignment beside retrieval"
    how = (
        "Distances are those of uncalibrated pairs, smaller is better aligned. Claims are "
        "judged among the pretrained models alone, by the difference of every two on the same "
        "pairs: decided only where its interval over clusters excludes zero. Baselines and "
        "untrained controls are shown beside them."
    )
    sees = TwoModels
    definitions: ClassVar[Mapping[str, Definition]] = {
        "pair-distance": Definition(
            "Difference of the distance of pairs",
            "mean_i [(1 - cos(s_i, o_i)) of this extractor - that of the other], uncalibrated",
            PAIRED,
            "Below 0 this extractor's pairs are nearer; the interval decides the claims.",
            low=-2.0,
            high=2.0,
            better="lower",
            chance=0.0,
        ),
        "recall": Definition(
            "Difference of recall at 1",
            "mean_i [right at rank 1 by this extractor - by the other], uncalibrated",
            PAIRED,
            "Above 0 this extractor retrieves better; the interval decides the claims.",
            low=-1.0,
            chance=0.0,
        ),
    }

    def __call__(self, view: TwoModels) -> list[Metric]:
        """``pair-distance/<other>`` and ``recall/<other>``."""
        first, second = view.first, view.second
        changes = (
            ("pair-distance", first.distance.astype(np.float64) - second.distance, "", 0),
            ("recall", first.hits.astype(np.float64) - second.hits, "sar->optical", 1),
        )
        return [
            self.metric(
                f"{name}/{view.other}",
                bootstrap_mean(change, view.clusters, view.seed, view.draws),
                len(change),
                direction=direction,
                k=k,
            )
            for name, change, direction, k in changes
        ]
