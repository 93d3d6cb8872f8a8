"""Feature maps to descriptors: one vector per image."""

from __future__ import annotations

import numpy as np

from crosslook.errors import SettingError, did_you_mean
from crosslook.retrieval.compare.shifts import Shifts
from crosslook.types import FeatureMap, FloatArray

POOLINGS = ("flatten", "grid:N", "mean", "gem", "gem:P", "vector", "dense:R")
_GEM_POWER = 3.0
_GEM_FLOOR = 1e-6


def pool(features: FeatureMap, pooling: str) -> FloatArray:
    """Pool feature maps into descriptors.

    Parameters
    ----------
    features : FeatureMap
        Values (N, C, h, w).
    pooling : str
        ``flatten``: all cells, C * h * w values, the place of each kept.
        ``grid:N``: area average onto N x N cells, C * N * N values.
        ``mean``: average over cells, C values.
        ``gem`` or ``gem:P``: generalised mean ``mean(max(x, 1e-6)^P)^(1/P)``
        with P = 3 by default, C values (Radenovic et al., PAMI 2019).
        ``vector``: the model's own global embedding.
        ``dense:R``: as ``flatten``; retrieval compares such maps over shifts of
        up to R cells (:func:`dense_shifts`).

    Returns
    -------
    float32 array, shape (N, D)

    Raises
    ------
    SettingError
        For an unknown pooling, a grid finer than the map, or ``vector`` where
        the extractor has none.
    """
    name, _, argument = pooling.partition(":")
    values = features.values
    if name == "dense":
        dense_shifts(pooling, values.shape)
        return values.reshape(len(values), -1)
    if name == "flatten" and not argument:
        return values.reshape(len(values), -1)
    if name == "mean" and not argument:
        return np.asarray(values.mean(axis=(2, 3)), np.float32)
    if name == "grid":
        return _grid(values, _number(pooling, argument))
    if name == "gem":
        power = _number(pooling, argument) if argument else _GEM_POWER
        raised = np.maximum(values, _GEM_FLOOR) ** np.float32(power)
        return np.asarray(raised.mean(axis=(2, 3)) ** (1 / power), np.float32)
    if name == "vector" and not argument:
        if features.vector is None:
            raise SettingError(
                "pooling 'vector' needs an extractor with a global embedding; "
                "this one has none. Use flatten, grid:N, mean or gem."
            )
        return features.vector
    raise SettingError(
        f"unknown pooling '{pooling}'; allowed are: auto, {', '.join(POOLINGS)}."
        + did_you_mean(name, ["flatten", "grid", "mean", "gem", "vector", "dense"])
    )


def dense_shifts(pooling: str, shape: tuple[int, ...]) -> Shifts | None:
    """How maps of ``shape`` (N, C, h, w) are compared under a pooling; None for flat products.

    Raises
    ------
    SettingError
        If ``dense:R`` has a radius that leaves less than half of a side shared.
    """
    name, _, argument = pooling.partition(":")
    if name != "dense":
        return None
    radius, most = _number(pooling, argument), min(shape[2:]) // 2
    if radius != int(radius) or radius > most:
        raise SettingError(
            f"pooling '{pooling}' does not fit a map of {shape[2]} x {shape[3]} cells; "
            f"R must be a whole number from 1 to {most}, so that half of a side is shared."
            if most
            else f"pooling '{pooling}' needs maps of several cells; this one has "
            f"{shape[2]} x {shape[3]}."
        )
    return Shifts((shape[1], shape[2], shape[3]), int(radius))


def _grid(values: FloatArray, side: float) -> FloatArray:
    height, width = values.shape[2:]
    cells = int(side)
    if cells != side or cells > min(height, width):
        raise SettingError(
            f"pooling 'grid:{side:g}' does not fit a map of {height} x {width} cells; "
            f"N must be a whole number from 1 to {min(height, width)}."
        )
    rows, cols = _area_weights(height, cells), _area_weights(width, cells)
    pooled = np.matmul(np.matmul(rows, values), cols.T)
    return np.ascontiguousarray(pooled, np.float32).reshape(len(values), -1)


def _area_weights(length: int, cells: int) -> FloatArray:
    """Fraction of each of ``length`` inputs in each of ``cells`` outputs."""
    edges = np.linspace(0, length, cells + 1)
    start = np.arange(length)
    low = np.maximum(edges[:-1, None], start)
    high = np.minimum(edges[1:, None], start + 1)
    overlap = np.maximum(0.0, high - low)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), np.float32)


def _number(pooling: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < 1e6:
        raise SettingError(f"'{text}' in pooling '{pooling}' is not a positive number.")
    return number
