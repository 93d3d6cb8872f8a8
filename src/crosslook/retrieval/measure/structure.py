"""What the joint feature space of both sensors looks like: numbers and figures.

>>> structure = measure_structure(sar, optical, units, seed=0)   # doctest: +SKIP
>>> rows += [to_row(metric) for metric in structure.metrics]       # doctest: +SKIP
>>> plot(structure.umap.sar, structure.umap.optical)               # doctest: +SKIP
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.errors import InputError
from crosslook.retrieval.measure.clustering import Clusters, find_clusters, measure_clusters
from crosslook.retrieval.measure.embedding import Embedding, embed_pca, embed_umap, principal_scores
from crosslook.retrieval.measure.heat_map import HeatMap, heat_map
from crosslook.retrieval.measure.hubness import measure_hubness
from crosslook.retrieval.measure.resampling import sample
from crosslook.retrieval.measure.separability import measure_separability
from crosslook.retrieval.measure.spectrum import explained_fractions, measure_spectrum
from crosslook.types import FloatArray, Metric

MOST_PAIRS = 1000
"""Pairs that are looked at; of more, a seeded sample stands for all."""


@dataclass(frozen=True, eq=False)
class Structure:
    """The structure of one feature space.

    Attributes
    ----------
    metrics : list of Metric
        Measure ``structure``.
    items : int64 array, shape (n,)
        The pairs that were looked at, ascending; all of them up to
        ``MOST_PAIRS``, else a sample drawn by the seed.
    sampled : bool
        Whether ``items`` is a sample; a report says so.
    pca, umap : Embedding
        Plane coordinates of ``items``.
    by_unit, by_cluster : HeatMap
        Their ``order`` points into ``items``; the cluster is that of the
        optical descriptor under k-means.
    clusters : Clusters
        Of the 2 n descriptors, all sar first.
    spectra : dict of str to float64 array
        Fractions of variance along the principal axes, per modality.
    """

    metrics: list[Metric]
    items: NDArray[np.int64]
    sampled: bool
    pca: Embedding
    umap: Embedding
    by_unit: HeatMap
    by_cluster: HeatMap
    clusters: Clusters
    spectra: dict[str, NDArray[np.float64]]


def measure_structure(
    sar: FloatArray,
    optical: FloatArray,
    units: ArrayLike,
    seed: int,
    *,
    groups: ArrayLike | None = None,
    most: int = MOST_PAIRS,
) -> Structure:
    """Measure and draw the joint space of both modalities.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
        Descriptors, calibrated or not; row i of both shows one place. Cosine
        geometry is used throughout, so lengths do not matter.
    units : array, shape (N,)
        Unit of each pair, names or numbers: one cluster of k-means for each.
    seed : int
        Draws the sample, starts k-means and UMAP, shuffles for chance levels.
    groups : array, shape (N,), optional
        A label of each pair beside its unit (tile, land cover, season).
    most : int
        Look at so many pairs at most.

    Raises
    ------
    InputError
        If shapes do not fit, fewer than four pairs are there, or a value is
        not finite.
    """
    names = np.asarray(units)
    labels = None if groups is None else np.asarray(groups)
    _check(sar, optical, names, labels)
    items = sample(len(sar), most, seed)
    first, second, at = sar[items], optical[items], names[items]
    group = None if labels is None else labels[items]
    reduced = principal_scores(np.concatenate([first, second]))
    clusters = find_clusters(reduced, len(np.unique(at)), seed)
    metrics = [
        *measure_separability(first, second, at, seed, group),
        *measure_clusters(clusters, at, seed, group),
        *measure_spectrum(first, second, at, seed),
        *measure_hubness(first, second, at, seed),
    ]
    return Structure(
        metrics,
        items,
        len(items) < len(sar),
        embed_pca(reduced),
        embed_umap(reduced, seed),
        heat_map(first, second, at, "unit"),
        heat_map(first, second, clusters.kmeans[len(items) :], "cluster"),
        clusters,
        {"sar": explained_fractions(first), "optical": explained_fractions(second)},
    )


def _check(
    sar: FloatArray,
    optical: FloatArray,
    units: NDArray[np.generic],
    groups: NDArray[np.generic] | None,
) -> None:
    labelled = groups is None or groups.shape == units.shape
    if sar.ndim != 2 or sar.shape != optical.shape or units.shape != sar.shape[:1] or not labelled:
        raise InputError(
            f"descriptors {sar.shape} and {optical.shape} with {units.shape} units: equal "
            "(N, D), one unit and one label per pair are needed."
        )
    if len(sar) < 4:
        raise InputError(f"{len(sar)} pairs have no structure to speak of; give at least 4.")
    if not (np.isfinite(sar).all() and np.isfinite(optical).all()):
        raise InputError("descriptors hold NaN or infinite values; look at their extractor.")
