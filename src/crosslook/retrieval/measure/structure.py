"""What the joint feature space of both sensors looks like, in numbers.

Do descriptors gather by place or by sensor, how many directions are in use, how
unevenly a gallery answers, and which clusters are found. Two clusterings are
meant: that of the pairs, by which intervals are resampled (``clusters``), and
those that are found in the space (``Partitions``).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.retrieval.compare.calibration import principal_axes
from crosslook.retrieval.compare.similarity import normalise
from crosslook.retrieval.measure.base import Definition, Measure
from crosslook.retrieval.measure.gap import occurrences
from crosslook.retrieval.measure.resampling import jackknife, sample
from crosslook.types import DIRECTIONS, MODALITIES, Array, Estimate, FloatArray, Indices, Metric

MOST_PAIRS = 1000
"""Pairs that are looked at; of more, a seeded sample is taken."""

_SHUFFLES = 5
_PAIRINGS = 20
_NEIGHBOURS = 10


@dataclass(frozen=True, eq=False)
class Partitions:
    """Cluster found for each of the 2 N descriptors: all sar first, then all optical.

    Attributes
    ----------
    kmeans : int64 array, shape (2 N,)
        k-means with as many clusters as the pairs have.
    density : int64 array, shape (2 N,)
        HDBSCAN; -1 for those in no cluster.
    """

    kmeans: Indices
    density: Indices


class Space:
    """A feature space of at most ``most`` pairs, and what several metrics and maps need of it.

    Attributes
    ----------
    items : int64 array, shape (n,)
        The pairs that are looked at, ascending; all of them up to ``most``, else
        a sample drawn by the seed.
    sar, optical : float32 arrays, shape (n, D)
        Their descriptors, calibrated or not. Cosine geometry is used throughout,
        so lengths do not matter.
    clusters : array, shape (n,)
        Cluster of each, names or numbers; k-means looks for as many.
    groups : array, shape (n,), or None
        A label of each beside its cluster (tile, land cover, season).
    seed : int
        Draws the sample, starts k-means and UMAP, shuffles for chance levels.
    """

    def __init__(
        self,
        sar: FloatArray,
        optical: FloatArray,
        clusters: ArrayLike,
        seed: int,
        *,
        groups: ArrayLike | None = None,
        most: int = MOST_PAIRS,
    ) -> None:
        """Sample the pairs."""
        self.items = sample(len(sar), most, seed)
        self.sar, self.optical = sar[self.items], optical[self.items]
        self.clusters = np.asarray(clusters)[self.items]
        self.groups = None if groups is None else np.asarray(groups)[self.items]
        self.seed = seed

    @cached_property
    def reduced(self) -> FloatArray:
        """All descriptors on few principal axes (2 n, d)."""
        return principal_scores(np.concatenate([self.sar, self.optical]))

    @cached_property
    def partitions(self) -> Partitions:
        """Clusters by k-means and by density.

        k-means++ (Arthur and Vassilvitskii 2007), best of three starts; HDBSCAN
        (Campello et al. 2013) with at least five members.
        """
        from sklearn.cluster import HDBSCAN, KMeans

        reduced, wanted = self.reduced, len(np.unique(self.clusters))
        distinct = len(np.unique(reduced, axis=0))
        kmeans = KMeans(max(1, min(wanted, distinct)), n_init=3, random_state=self.seed)
        density = HDBSCAN(min_cluster_size=min(5, len(reduced)), copy=True)
        return Partitions(
            kmeans.fit(reduced).labels_.astype(np.int64),
            np.asarray(density.fit(reduced).labels_, np.int64),
        )

    @property
    def labels(self) -> dict[str, Indices]:
        """Labels of all descriptors by name (see :func:`joint_labels`)."""
        return joint_labels(self.clusters, self.groups)

    def embeddings(self) -> dict[str, tuple[FloatArray, FloatArray]]:
        """SAR and optical in the plane (n, 2): ``pca``, and ``umap`` where it can be drawn."""
        drawn = {"pca": embed_pca(self.reduced), "umap": embed_umap(self.reduced, self.seed)}
        count = len(self.items)
        return {n: (both[:count], both[count:]) for n, both in drawn.items() if both is not None}

    def heat_maps(self) -> tuple[HeatMap, HeatMap]:
        """Similarity of the sensors, ordered by the pairs' own cluster and by that of k-means."""
        found = self.partitions.kmeans[len(self.items) :]
        return (
            heat_map(self.sar, self.optical, self.clusters, "unit"),
            heat_map(self.sar, self.optical, found, "cluster"),
        )


_JOINT = "Over both modalities together, unit descriptors. "


def _partition_scores(method: str, title: str, source: str) -> dict[str, Definition]:
    against = "Against modality: clusters are sensors; against unit: clusters are places."
    return {
        f"{method}-ari": Definition(
            f"Adjusted Rand index of {title}",
            "(RI - E[RI]) / (max RI - E[RI]) over pairs of items, clusters against labels",
            f"Hubert and Arabie 1985; {source}",
            f"{_JOINT}0 is chance, 1 the same partition. {against}",
            low=-0.5,
            better="neither",
            chance=0.0,
        ),
        f"{method}-nmi": Definition(
            f"Normalised mutual information of {title}",
            "2 I(C; L) / (H(C) + H(L))",
            f"Strehl and Ghosh 2002; {source}",
            f"{_JOINT}Many small clusters raise it: compare with its chance. {against}",
            better="neither",
        ),
        f"{method}-purity": Definition(
            f"Purity of {title}",
            "sum over clusters of the count of their commonest label / number of items",
            f"Manning et al. 2008, ch. 16; {source}",
            f"{_JOINT}Compare with its chance. {against}",
            better="neither",
        ),
        f"{method}-clusters": Definition(
            f"Clusters of {title}",
            "number of clusters found",
            source,
            "k-means is given the number of clusters of pairs; density finds its own.",
            high=math.inf,
            better="neither",
        ),
    }


class Structure(Measure[Space]):
    """Silhouettes, scatter, spectrum, hubs and clusters of a feature space."""

    name = "structure"
    title = "Structure"
    how = (
        "A point is a patch, a line joins the two patches of a pair; hover shows both. "
        "Two separate clouds are sensors; clouds that mix are places. In the similarity "
        "maps a bright diagonal means that partners are alike."
    )
    sees = Space
    definitions: ClassVar[Mapping[str, Definition]] = {
        "silhouette": Definition(
            "Silhouette",
            "mean of (b - a) / max(a, b): a mean cosine distance to the own label, "
            "b to the nearest other one",
            "Rousseeuw 1987",
            f"{_JOINT}By modality: 0 is best, 1 means two separate sensors; by unit: 1 is best.",
            low=-1.0,
            better="neither",
        ),
        "fisher-ratio": Definition(
            "Fisher's ratio of places to pairs",
            "[2 sum |m_i - m|^2 / (N - 1)] / [sum |s_i - o_i|^2 / (2 N)], "
            "m_i the midpoint of pair i",
            "Fisher 1936; Fukunaga 1990, ch. 10 (traces of the scatter matrices)",
            "1: partners are no nearer than strangers of one cloud; "
            "a shift between sensors lowers it.",
            high=math.inf,
        ),
        "effective-rank": Definition(
            "Effective rank",
            "exp(-sum p_i log p_i), p_i = s_i / sum s, s the singular values of the centred matrix",
            "Roy and Vetterli, EUSIPCO 2007",
            "How many directions are in use; at most the number of patches less one.",
            high=math.inf,
            better="neither",
        ),
        "anisotropy": Definition(
            "Anisotropy",
            "mean cosine over all pairs of different items of one modality",
            "Ethayarajh, EMNLP 2019",
            "Near 1 all descriptors lie in a narrow cone, and every cosine is high.",
            low=-1.0,
            better="lower",
            chance=0.0,
        ),
        "robin-hood": Definition(
            "Robin Hood index of the k-occurrence",
            "sum |O_j - mean O| / (2 sum O), O_j how often item j is among the k nearest "
            "of a query",
            "Feldbauer et al., ICBK 2018",
            "Fraction of answers that hubs take from the others; a random gallery has its chance.",
            better="lower",
        ),
        **_partition_scores("kmeans", "k-means", "k-means++, Arthur and Vassilvitskii 2007"),
        **_partition_scores("density", "density clusters", "HDBSCAN, Campello et al. 2013"),
        "density-outside": Definition(
            "Fraction in no density cluster",
            "fraction of descriptors that HDBSCAN leaves out",
            "Campello et al. 2013",
            "They count as one cluster of their own in the scores.",
            better="neither",
        ),
    }

    def __call__(self, view: Space) -> list[Metric]:
        """All metrics of one space; what is named after a slash says what it is of."""
        return [
            *self._silhouettes(view),
            self._fisher(view),
            *self._spectra(view),
            *self._hubs(view),
            *self._partitions(view),
        ]

    def _silhouettes(self, view: Space) -> Iterator[Metric]:
        """By modality, cluster and group; chance is the mean over shuffled labels."""
        distances = cosine_distances(np.concatenate([view.sar, view.optical]))
        for name, labels in view.labels.items():
            values = silhouettes(distances, labels)
            rng = np.random.default_rng(view.seed)
            shuffled = [
                float(silhouettes(distances, rng.permutation(labels)).mean())
                for _ in range(_SHUFFLES)
            ]
            yield self._resampled(
                f"silhouette/{name}",
                lambda items, values=values: float(values[items].mean()),  # type: ignore[misc]
                view,
                low=-1.0,
                chance=float(np.mean(shuffled)),
            )

    def _fisher(self, view: Space) -> Metric:
        between, within = pair_scatter(view.sar, view.optical)
        estimate = jackknife(
            lambda items: scatter_ratio(between[items], within[items]),
            view.clusters,
            view.seed,
            bounds=(0.0, math.inf),
        )
        chance = _pairing_chance(view.sar, view.optical, view.seed)
        return self.metric("fisher-ratio", estimate, len(view.items), chance=chance)

    def _spectra(self, view: Space) -> Iterator[Metric]:
        for modality, descriptors in zip(MODALITIES, (view.sar, view.optical), strict=True):
            gram = descriptors.astype(np.float64) - descriptors.mean(axis=0, dtype=np.float64)
            gram = gram @ gram.T  # one product; each block of the jackknife recentres it
            directions = normalise(descriptors).astype(np.float64)
            statistics: dict[str, Callable[[Indices], float]] = {
                "effective-rank": lambda items, gram=gram: effective_rank(  # type: ignore[misc]
                    gram[np.ix_(items, items)]
                ),
                "anisotropy": lambda items, all_of=directions: mean_cosine(  # type: ignore[misc]
                    all_of[items]
                ),
            }
            for name, statistic in statistics.items():
                bounds = self.define(name).bounds
                estimate = jackknife(statistic, view.clusters, view.seed, bounds=bounds)
                yield self.metric(f"{name}/{modality}", estimate, len(descriptors))

    def _hubs(self, view: Space) -> Iterator[Metric]:
        """Robin Hood index of the k-occurrence, both directions.

        The fraction of the occurrences that would have to be given from hubs to the
        others for all to be equal: 0 for none, near 1 where few items answer every
        query. Chance is that of a Poisson count with mean k.
        """
        kept = min(_NEIGHBOURS, len(view.sar))
        chance = math.exp(kept * math.log(kept) - kept - math.lgamma(kept + 1))
        for direction in DIRECTIONS:
            sides = (view.sar, view.optical)
            uneven = unevenness(*(sides if direction == "sar->optical" else sides[::-1]), kept)
            estimate = jackknife(
                lambda items, uneven=uneven: float(uneven[items].mean()),  # type: ignore[misc]
                view.clusters,
                view.seed,
                bounds=(0.0, 1.0),
            )
            count = len(view.sar)
            yield self.metric(
                "robin-hood", estimate, count, chance=chance, direction=direction, k=kept
            )

    def _partitions(self, view: Space) -> Iterator[Metric]:
        """Both clusterings against modality, cluster and group, and how many they find.

        The clusterings are fixed in the intervals; only pairs are left out.
        """
        found = view.partitions
        for method, members in (("kmeans", found.kmeans), ("density", found.density)):
            for name, labels in view.labels.items():
                yield from self._agreements(f"{method}-{{}}/{name}", members, labels, view)
            count = float(len(np.unique(members[members >= 0])))
            exact = Estimate(count, math.nan, math.nan)
            yield self.metric(f"{method}-clusters", exact, len(members))
        yield self._resampled(
            "density-outside", lambda items: float((found.density[items] < 0).mean()), view
        )

    def _agreements(
        self, name: str, members: Indices, labels: Indices, view: Space
    ) -> Iterator[Metric]:
        rng = np.random.default_rng(view.seed)
        shuffled = [agreement(members, rng.permutation(labels)) for _ in range(_SHUFFLES)]
        for score in shuffled[0]:

            def statistic(items: Indices, score: str = score) -> float:
                return agreement(members[items], labels[items])[score]

            metric = name.format(score)
            known = math.isfinite(self.define(metric).chance)
            chance = None if known else float(np.mean([one[score] for one in shuffled]))
            low = -1.0 if score == "ari" else 0.0
            yield self._resampled(metric, statistic, view, low=low, chance=chance)

    def _resampled(
        self,
        name: str,
        statistic: Callable[[Indices], float],
        view: Space,
        *,
        low: float = 0.0,
        chance: float | None = None,
    ) -> Metric:
        """A statistic of the 2 n descriptors, with an interval over clusters of pairs."""
        twice = np.tile(_codes(view.clusters), 2)
        estimate = jackknife(statistic, twice, view.seed, bounds=(low, 1.0))
        return self.metric(name, estimate, len(twice), chance=chance)


def joint_labels(clusters: ArrayLike, groups: ArrayLike | None = None) -> dict[str, Indices]:
    """Labels of the 2 N descriptors (all sar, then all optical), by name.

    ``modality`` always; ``unit`` (the cluster) and ``label`` (the group) where there
    are at least two, and ``label`` only where it says something else than the cluster.
    """
    cluster = _codes(clusters)
    labels = {"modality": np.repeat(np.arange(2, dtype=np.int64), len(cluster))}
    if cluster.max(initial=0) > 0:
        labels["unit"] = np.tile(cluster, 2)
    if groups is not None:
        group = _codes(groups)
        pairs = len(np.unique(np.column_stack([cluster, group]), axis=0))
        same = pairs == cluster.max(initial=0) + 1 == group.max(initial=0) + 1
        if group.max(initial=0) > 0 and not same:
            labels["label"] = np.tile(group, 2)
    return labels


def _codes(names: ArrayLike) -> Indices:
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


def cosine_distances(descriptors: FloatArray) -> FloatArray:
    """Cosine distance of every two rows, 0..2."""
    directions = normalise(descriptors)
    return np.asarray(1.0 - np.clip(directions @ directions.T, -1.0, 1.0), np.float32)


def silhouettes(distances: FloatArray, labels: Indices) -> Array:
    """Silhouette of each item under given labels.

    Rousseeuw, "Silhouettes", J. Comput. Appl. Math. 1987:
    ``(b - a) / max(a, b)`` with ``a`` the mean distance to those of the same
    label and ``b`` to those of the nearest other label; -1..1, above 0 where
    the own label is nearer. 0 for a label that occurs once.

    Parameters
    ----------
    distances : float32 array, shape (M, M)
    labels : int64 array, shape (M,)
        At least two different ones.
    """
    codes = _codes(labels)
    count = np.bincount(codes)
    member = np.zeros((len(codes), len(count)), np.float32)
    member[np.arange(len(codes)), codes] = 1.0
    sums = (distances @ member).astype(np.float64)
    each = np.arange(len(codes))
    own_sum = sums[each, codes] - np.diagonal(distances)
    own = own_sum / np.maximum(count[codes] - 1, 1)
    means = sums / count
    means[each, codes] = np.inf
    other = means.min(axis=1)
    larger = np.maximum(own, other)
    result = np.where(larger > 0, (other - own) / np.where(larger > 0, larger, 1.0), 0.0)
    return np.asarray(np.where(count[codes] == 1, 0.0, result), np.float64)


def pair_scatter(sar: FloatArray, optical: FloatArray) -> tuple[Array, Array]:
    """Scatter of each pair about the mean of all, and within it.

    Twice the squared distance of its midpoint from the mean, and half the squared
    distance of the partners; rows are scaled to length 1 first.
    """
    first, second = normalise(sar), normalise(optical)
    centre = (first + second) / 2
    from_mean = centre - centre.mean(axis=0, dtype=np.float64)
    between = 2 * np.einsum("nd,nd->n", from_mean, from_mean)
    apart = (first - second).astype(np.float64)
    return between, np.einsum("nd,nd->n", apart, apart) / 2


def scatter_ratio(between: Array, within: Array) -> float:
    """Fisher's ratio of :func:`pair_scatter`: infinite where partners coincide."""
    scatter, apart = float(between.sum()) / max(1, len(between) - 1), float(within.mean())
    if apart <= 1e-12 * max(scatter, 1.0):  # equal up to rounding of float32
        return math.inf if scatter > 1e-12 else math.nan
    return scatter / apart


def _pairing_chance(sar: FloatArray, optical: FloatArray, seed: int) -> float:
    """Fisher's ratio when partners are dealt at random, mean over seeded shuffles."""
    first, second = normalise(sar).astype(np.float64), normalise(optical).astype(np.float64)
    cross = first @ second.T
    sizes = float((first**2).sum() + (second**2).sum())
    mean = (first.mean(axis=0) + second.mean(axis=0)) / 2
    count, rng = len(first), np.random.default_rng(seed)
    ratios = []
    for _ in range(_PAIRINGS):
        agreed = float(cross[np.arange(count), rng.permutation(count)].sum())
        between = 2 * ((sizes + 2 * agreed) / 4 - count * float(mean @ mean))
        within = (sizes - 2 * agreed) / 2
        if within > 0:
            ratios.append((between / max(1, count - 1)) / (within / count))
    return float(np.mean(ratios)) if ratios else math.nan


def effective_rank(gram: Array) -> float:
    """Exponential of the entropy of the singular values' fractions, from a Gram matrix (N, N).

    Between 1 and ``min(N - 1, D)``; 0 where all descriptors are equal. At best
    ``sqrt(N)`` digits of the smallest values are lost, which it does not notice.
    """
    gram = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    values = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0.0, None))
    kept = values[values > 1e-7 * float(values.max(initial=0.0))]  # rounding of the matrix
    if len(kept) == 0:
        return 0.0
    fractions = kept / kept.sum()
    return float(np.exp(-np.sum(fractions * np.log(fractions))))


def mean_cosine(directions: Array) -> float:
    """Mean cosine over all pairs of different unit vectors (N, D), exact."""
    total, count = directions.sum(axis=0), len(directions)
    own = float((directions**2).sum())
    return float((total @ total - own) / max(1, count * (count - 1)))


def unevenness(queries: FloatArray, gallery: FloatArray, k: int) -> Array:
    """How far each item's k-occurrence is from the mean, over twice the mean, shape (Ng,)."""
    counts = occurrences(queries, gallery, k)
    return np.asarray(np.abs(counts - counts.mean()) / (2 * counts.mean()), np.float64)


def agreement(members: Indices, labels: Indices) -> dict[str, float]:
    """Adjusted Rand index, normalised mutual information and purity.

    Mutual information is over the mean of the entropies; purity is the fraction of
    items whose label is the commonest one of their cluster. Items in no cluster
    count as one cluster of their own.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    table = contingency_matrix(labels, members)
    return {
        "ari": float(adjusted_rand_score(labels, members)),
        "nmi": float(normalized_mutual_info_score(labels, members)),
        "purity": float(table.max(axis=0).sum() / table.sum()),
    }


_AXES = 50
_FEWEST = 8
_SIDE = 200


def principal_scores(descriptors: FloatArray, axes: int = _AXES) -> FloatArray:
    """Unit-length descriptors on their first principal axes.

    Parameters
    ----------
    descriptors : float32 array, shape (M, D)
        All sar first, then all optical.
    axes : int
        At most so many; fewer where M or D is smaller.

    Returns
    -------
    float32 array, shape (M, min(axes, M - 1, D))
        The sign of an axis makes its largest entry positive, so that equal
        input gives equal coordinates.
    """
    rows = normalise(descriptors).astype(np.float64)
    rows -= rows.mean(axis=0)
    kept = max(1, min(axes, len(rows) - 1, rows.shape[1]))
    scores = principal_axes(rows).scores(rows, kept)
    peak = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return np.asarray(scores * np.where(peak < 0, -1.0, 1.0), np.float32)


def embed_pca(reduced: FloatArray) -> FloatArray:
    """The first two principal axes (2 N, 2): the linear control beside UMAP."""
    flat = reduced[:, :2]
    if flat.shape[1] < 2:
        flat = np.column_stack([flat, np.zeros(len(flat), np.float32)])
    return np.asarray(flat, np.float32)


def embed_umap(reduced: FloatArray, seed: int) -> FloatArray | None:
    """UMAP of both modalities together.

    McInnes, Healy and Melville, arXiv 1802.03426: 15 neighbours, minimum
    distance 0.1, start from the principal axes. One thread, since more would
    make the result depend on their order.

    Parameters
    ----------
    reduced : float32 array, shape (2 N, d)
        From :func:`principal_scores`.
    seed : int

    Returns
    -------
    float32 array, shape (2 N, 2), or None
        None where fewer than eight descriptors, or equal ones, leave no
        neighbourhoods to draw.
    """
    if len(reduced) < _FEWEST or float(np.ptp(reduced)) == 0.0:
        return None
    from umap import UMAP

    start = embed_pca(reduced)
    start = start / max(float(np.abs(start).max()), 1e-12) * 10
    model = UMAP(
        n_neighbors=min(15, len(reduced) - 1),
        min_dist=0.1,
        init=start.astype(np.float32),
        random_state=seed,
        n_jobs=1,
        n_epochs=200,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        return np.asarray(model.fit_transform(reduced), np.float32)


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Mean cosine of blocks of sar (rows) and optical (columns) descriptors.

    Attributes
    ----------
    order_by : str
        ``unit`` or ``cluster``.
    values : float32 array, shape (b, b)
        Block means; the same order on both sides, so that partners lie on the
        diagonal.
    order : int64 array, shape (N,)
        Pair at each place before the blocks were averaged.
    borders : float64 array
        Where the next cluster begins, in blocks, 0 and b left out.
    """

    order_by: str
    values: FloatArray
    order: NDArray[np.int64]
    borders: NDArray[np.float64]


def heat_map(
    sar: FloatArray, optical: FloatArray, labels: ArrayLike, order_by: str, side: int = _SIDE
) -> HeatMap:
    """Cosines between the modalities, pairs sorted by label, averaged in blocks.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
    labels : array, shape (N,)
        Sorts the pairs; equal labels keep their order.
    order_by : str
        What the labels are, for the caption.
    side : int
        At most so many blocks along a side; no block average where N is less.
    """
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable").astype(np.int64)
    count = min(side, len(order))
    starts = (np.arange(count) * len(order)) // count
    sizes = np.diff(np.append(starts, len(order)))[:, None]
    # The mean cosine of two blocks is the product of their mean unit vectors.
    rows = np.add.reduceat(normalise(sar)[order], starts, axis=0) / sizes
    cols = np.add.reduceat(normalise(optical)[order], starts, axis=0) / sizes
    changes = np.flatnonzero(np.diff(codes[order])) + 1
    return HeatMap(
        order_by,
        np.asarray(rows @ cols.T, np.float32),
        order,
        np.asarray(changes * (count / len(order)), np.float64),
    )
