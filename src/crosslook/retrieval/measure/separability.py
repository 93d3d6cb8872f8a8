"""Do descriptors gather by place or by sensor? Silhouettes and Fisher's ratio."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.errors import InputError
from crosslook.retrieval.compare.similarity import normalise
from crosslook.retrieval.measure.resampling import jackknife
from crosslook.types import Estimate, FloatArray, Metric

_SHUFFLES = 5
_PAIRINGS = 20


def silhouettes(descriptors: FloatArray, labels: ArrayLike) -> NDArray[np.float64]:
    """Silhouette of each descriptor under given labels, cosine distance.

    Rousseeuw, "Silhouettes", J. Comput. Appl. Math. 1987:
    ``(b - a) / max(a, b)`` with ``a`` the mean distance to those of the same
    label and ``b`` to those of the nearest other label; -1..1, above 0 where
    the own label is nearer. 0 for a label that occurs once.

    Parameters
    ----------
    descriptors : float32 array, shape (M, D)
    labels : array, shape (M,)
        At least two different ones.

    Raises
    ------
    InputError
        If all labels are the same.
    """
    if len(np.unique(np.asarray(labels))) < 2:
        raise InputError("a silhouette compares at least two labels; all are the same here.")
    return _silhouettes(_cosine_distances(descriptors), np.asarray(labels))


def fisher_ratio(sar: FloatArray, optical: FloatArray) -> float:
    """Scatter between places over scatter within pairs.

    One-way analysis of variance with one class per pair, traces of the scatter
    matrices (Fisher 1936; Fukunaga 1990, ch. 10): with ``m_i`` the midpoint of
    pair i and ``m`` their mean,
    ``[2 sum |m_i - m|^2 / (N - 1)] / [sum |s_i - o_i|^2 / (2 N)]``.
    0 or more; 1 where partners are no nearer than strangers of one cloud;
    infinite where partners coincide.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
        Rows are scaled to length 1 first; row i of both shows one place.
    """
    return _ratio(*_pair_parts(sar, optical))


def measure_separability(
    sar: FloatArray,
    optical: FloatArray,
    units: ArrayLike,
    seed: int,
    groups: ArrayLike | None = None,
) -> list[Metric]:
    """Silhouettes by modality, unit and label, and Fisher's ratio.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
    units : array, shape (N,)
    seed : int
        Shuffles labels and pairs for the chance levels, deals units.
    groups : array, shape (N,), optional
        A label of each pair beside its unit.

    Returns
    -------
    list of Metric
        ``silhouette/modality``, ``silhouette/unit``, ``silhouette/label`` (the
        last two only where more than one is there) and ``fisher-ratio``.
    """
    both = np.concatenate([sar, optical])
    distances = _cosine_distances(both)
    metrics: list[Metric] = []
    for name, labels in joint_labels(units, groups).items():
        estimate, chance = _silhouette(distances, labels, units, seed)
        metrics.append(
            Metric("structure", f"silhouette/{name}", estimate, len(both), len(both), chance)
        )
    between, within = _pair_parts(sar, optical)
    estimate = jackknife(
        lambda items: _ratio(between[items], within[items]), units, seed, bounds=(0.0, math.inf)
    )
    chance = _pairing_chance(sar, optical, seed)
    metrics.append(Metric("structure", "fisher-ratio", estimate, len(sar), len(sar), chance))
    return metrics


def joint_labels(units: ArrayLike, groups: ArrayLike | None = None) -> dict[str, NDArray[np.int64]]:
    """Labels of the 2 N descriptors (all sar, then all optical), by name.

    ``modality`` always; ``unit`` and ``label`` where there are at least two,
    and ``label`` only where it says something else than the unit.
    """
    unit = _codes(units)
    labels = {"modality": np.repeat(np.arange(2, dtype=np.int64), len(unit))}
    if unit.max(initial=0) > 0:
        labels["unit"] = np.tile(unit, 2)
    if groups is not None:
        group = _codes(groups)
        pairs = len(np.unique(np.column_stack([unit, group]), axis=0))
        same = pairs == unit.max(initial=0) + 1 == group.max(initial=0) + 1
        if group.max(initial=0) > 0 and not same:
            labels["label"] = np.tile(group, 2)
    return labels


def _codes(names: ArrayLike) -> NDArray[np.int64]:
    return np.unique(np.asarray(names), return_inverse=True)[1].astype(np.int64)


def _silhouette(
    distances: FloatArray, labels: NDArray[np.int64], units: ArrayLike, seed: int
) -> tuple[Estimate, float]:
    values = _silhouettes(distances, labels)
    twice = np.tile(_codes(units), 2)
    estimate = jackknife(lambda items: float(values[items].mean()), twice, seed, bounds=(-1, 1))
    rng = np.random.default_rng(seed)
    shuffled = [
        float(_silhouettes(distances, rng.permutation(labels)).mean()) for _ in range(_SHUFFLES)
    ]
    return estimate, float(np.mean(shuffled))


def _cosine_distances(descriptors: FloatArray) -> FloatArray:
    directions = normalise(descriptors)
    return np.asarray(1.0 - np.clip(directions @ directions.T, -1.0, 1.0), np.float32)


def _silhouettes(distances: FloatArray, labels: NDArray[np.int64]) -> NDArray[np.float64]:
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


def _pair_parts(
    sar: FloatArray, optical: FloatArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per pair: twice the squared distance of the midpoint from the mean, and half the
    squared distance of the partners.
    """  # noqa: D205
    first, second = normalise(sar), normalise(optical)
    centre = (first + second) / 2
    from_mean = centre - centre.mean(axis=0, dtype=np.float64)
    between = 2 * np.einsum("nd,nd->n", from_mean, from_mean)
    apart = (first - second).astype(np.float64)
    return between, np.einsum("nd,nd->n", apart, apart) / 2


def _ratio(between: NDArray[np.float64], within: NDArray[np.float64]) -> float:
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
        agreement = float(cross[np.arange(count), rng.permutation(count)].sum())
        between = 2 * ((sizes + 2 * agreement) / 4 - count * float(mean @ mean))
        within = (sizes - 2 * agreement) / 2
        if within > 0:
            ratios.append((between / max(1, count - 1)) / (within / count))
    return float(np.mean(ratios)) if ratios else math.nan
