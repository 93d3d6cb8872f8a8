"""Clusters of the joint space, scored against sensor, unit and label."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.retrieval.measure.resampling import jackknife
from crosslook.retrieval.measure.separability import joint_labels
from crosslook.types import Estimate, FloatArray, Metric

Labels = NDArray[np.int64]
_SHUFFLES = 5
_SCORES = ("ari", "nmi", "purity")


@dataclass(frozen=True, eq=False)
class Clusters:
    """Cluster of each of the 2 N descriptors: all sar first, then all optical.

    Attributes
    ----------
    kmeans : int64 array, shape (2 N,)
        k-means with as many clusters as there are units.
    density : int64 array, shape (2 N,)
        HDBSCAN; -1 for those in no cluster.
    """

    kmeans: Labels
    density: Labels


def find_clusters(reduced: FloatArray, count: int, seed: int) -> Clusters:
    """Cluster by k-means and by density.

    k-means++ (Arthur and Vassilvitskii 2007), best of three starts; HDBSCAN
    (Campello et al. 2013) with at least five members.

    Parameters
    ----------
    reduced : float32 array, shape (M, d)
        Descriptors on few principal axes (see ``embedding.principal_scores``).
    count : int
        Clusters of k-means; at most the number of distinct rows is used.
    seed : int
    """
    from sklearn.cluster import HDBSCAN, KMeans

    distinct = len(np.unique(reduced, axis=0))
    kmeans = KMeans(max(1, min(count, distinct)), n_init=3, random_state=seed).fit(reduced)
    size = min(5, len(reduced))
    density = HDBSCAN(min_cluster_size=size, copy=True).fit(reduced) if size > 1 else None
    labels = density.labels_ if density is not None else np.full(len(reduced), -1)
    return Clusters(kmeans.labels_.astype(np.int64), np.asarray(labels, np.int64))


def agreement(clusters: Labels, labels: Labels) -> dict[str, float]:
    """Adjusted Rand index, normalised mutual information and purity.

    Hubert and Arabie 1985 (chance is 0, equal partitions 1); mutual
    information over the mean of the entropies, Strehl and Ghosh 2002; purity:
    fraction of items whose label is the commonest one of their cluster (Manning
    et al. 2008, ch. 16). Items in no cluster count as one cluster of their own.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(labels, clusters)
    return {
        "ari": float(adjusted_rand_score(labels, clusters)),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "purity": float(table.max(axis=0).sum() / table.sum()),
    }


def measure_clusters(
    clusters: Clusters, units: ArrayLike, seed: int, groups: ArrayLike | None = None
) -> list[Metric]:
    """Score both clusterings against modality, unit and label.

    Parameters
    ----------
    clusters : Clusters
    units : array, shape (N,)
        Unit of each pair.
    seed : int
        Shuffles labels for the chance levels, deals units for the intervals.
    groups : array, shape (N,), optional
        A label of each pair beside its unit.

    Returns
    -------
    list of Metric
        ``<kmeans|density>-<ari|nmi|purity>/<modality|unit|label>``, the number
        of clusters and the fraction of descriptors that density leaves in none.
        The clusters are held fixed in the intervals; only units are left out.
    """
    metrics: list[Metric] = []
    twice = np.tile(np.unique(np.asarray(units), return_inverse=True)[1], 2)
    for method, members in (("kmeans", clusters.kmeans), ("density", clusters.density)):
        for name, labels in joint_labels(units, groups).items():
            metrics += _scores(f"{method}-{{}}/{name}", members, labels, twice, seed)
        count = float(len(np.unique(members[members >= 0])))
        exact = Estimate(count, math.nan, math.nan)
        metrics.append(_metric(f"{method}-clusters", exact, len(members), math.nan))
    outside = jackknife(
        lambda items: float((clusters.density[items] < 0).mean()), twice, seed, bounds=(0, 1)
    )
    metrics.append(_metric("density-outside", outside, len(twice), math.nan))
    return metrics


def _scores(name: str, members: Labels, labels: Labels, units: Labels, seed: int) -> list[Metric]:
    rng = np.random.default_rng(seed)
    shuffled = [agreement(members, rng.permutation(labels)) for _ in range(_SHUFFLES)]
    scores = []
    for score in _SCORES:

        def statistic(items: Labels, score: str = score) -> float:
            return agreement(members[items], labels[items])[score]

        low = -1.0 if score == "ari" else 0.0
        estimate = jackknife(statistic, units, seed, bounds=(low, 1.0))
        chance = 0.0 if score == "ari" else float(np.mean([s[score] for s in shuffled]))
        scores.append(_metric(name.format(score), estimate, len(members), chance))
    return scores


def _metric(name: str, estimate: Estimate, count: int, chance: float) -> Metric:
    return Metric("structure", name, estimate, count, count, chance)
