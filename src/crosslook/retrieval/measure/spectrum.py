"""How many directions a feature space uses, and whether it is a narrow cone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.retrieval.compare.similarity import normalise
from crosslook.retrieval.measure.resampling import jackknife
from crosslook.types import MODALITIES, Estimate, FloatArray, Metric

SingularValues = NDArray[np.float64]


def singular_values(descriptors: FloatArray) -> SingularValues:
    """Singular values of the centred matrix, largest first.

    Parameters
    ----------
    descriptors : float array, shape (N, D)

    Returns
    -------
    float64 array, shape (min(N, D),)
        Found through the smaller Gram matrix; at best ``sqrt(N)`` digits of the
        smallest ones are lost, which no measure here notices.
    """
    centred = descriptors.astype(np.float64) - descriptors.mean(axis=0, dtype=np.float64)
    wide = centred.shape[1] > centred.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    return np.asarray(np.sqrt(np.clip(np.linalg.eigvalsh(gram)[::-1], 0.0, None)), np.float64)


def effective_rank(descriptors: FloatArray) -> float:
    """Exponential of the entropy of the singular values' shares.

    Roy and Vetterli, "The effective rank: a measure of effective
    dimensionality", EUSIPCO 2007: ``exp(-sum p_i log p_i)`` with
    ``p_i = s_i / sum s``. Between 1 and ``min(N - 1, D)``; 0 where all
    descriptors are equal.
    """
    return _rank_of(singular_values(descriptors))


def explained_fractions(descriptors: FloatArray, count: int = 100) -> SingularValues:
    """Fractions of the variance along the first ``count`` principal axes."""
    variance = singular_values(descriptors) ** 2
    total = float(variance.sum())
    return variance[:count] / total if total > 0 else np.zeros(min(count, len(variance)))


def anisotropy(descriptors: FloatArray) -> float:
    """Mean cosine over all pairs of different descriptors, exact.

    Ethayarajh, "How contextual are contextualized word representations?",
    EMNLP 2019: 0 for directions spread over the sphere, near 1 for a narrow
    cone.
    """
    return _mean_cosine(normalise(descriptors).astype(np.float64))


def measure_spectrum(
    sar: FloatArray, optical: FloatArray, units: ArrayLike, seed: int
) -> list[Metric]:
    """Effective rank and anisotropy of each modality.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
        Descriptors; row i of both shows one place.
    units : array, shape (N,)
        Unit of each pair; the intervals leave units out (jackknife).
    seed : int
        Deals units into blocks.
    """
    metrics: list[Metric] = []
    for modality, descriptors in zip(MODALITIES, (sar, optical), strict=True):
        for name, estimate in _estimates(descriptors, units, seed).items():
            metrics.append(
                Metric(
                    "structure",
                    f"{name}/{modality}",
                    estimate,
                    len(descriptors),
                    len(descriptors),
                    0.0 if name == "anisotropy" else math.nan,
                )
            )
    return metrics


def _estimates(descriptors: FloatArray, units: ArrayLike, seed: int) -> dict[str, Estimate]:
    centred = descriptors.astype(np.float64) - descriptors.mean(axis=0, dtype=np.float64)
    gram = centred @ centred.T  # one product; each block of the jackknife recentres it
    directions = normalise(descriptors).astype(np.float64)

    def rank(items: NDArray[np.int64]) -> float:
        part = gram[np.ix_(items, items)]
        part = part - part.mean(axis=0) - part.mean(axis=1)[:, None] + part.mean()
        return _rank_of(np.sqrt(np.clip(np.linalg.eigvalsh(part), 0.0, None)))

    def cone(items: NDArray[np.int64]) -> float:
        return _mean_cosine(directions[items])

    return {
        "effective-rank": jackknife(rank, units, seed, bounds=(0.0, math.inf)),
        "anisotropy": jackknife(cone, units, seed, bounds=(-1.0, 1.0)),
    }


def _rank_of(values: SingularValues) -> float:
    floor = 1e-7 * float(values.max(initial=0.0))  # rounding of the Gram matrix
    kept = values[values > floor]
    if len(kept) == 0:
        return 0.0
    fractions = kept / kept.sum()
    return float(np.exp(-np.sum(fractions * np.log(fractions))))


def _mean_cosine(directions: NDArray[np.float64]) -> float:
    total, count = directions.sum(axis=0), len(directions)
    own = float((directions**2).sum())
    return float((total @ total - own) / max(1, count * (count - 1)))
