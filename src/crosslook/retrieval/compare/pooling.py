"""Feature maps to descriptors: one vector per image."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from crosslook.errors import SettingError, did_you_mean
from crosslook.retrieval.compare.maps import Shifts
from crosslook.spec import Written
from crosslook.types import FeatureMap, FloatArray

PoolingName = Literal["auto", "flatten", "grid", "mean", "gem", "vector", "dense"]
POOLINGS = ("auto", "flatten", "grid:N", "mean", "gem", "gem:P", "vector", "dense:R")
MAX_DIMENSIONS = 2**16
"""Longest descriptor that ``auto`` makes: 736 of them take 190 MB."""
_COARSE_CELLS, _COARSE_VALUES = 8, 4096
_GEM_POWER = 3.0
_GEM_FLOOR = 1e-6


class Pooling(Written):
    """How a feature map becomes a descriptor, as ``flatten`` or ``grid:4``.

    ``flatten``: all cells, C * h * w values, the place of each kept.
    ``grid:N``: area average onto N x N cells, C * N * N values.
    ``mean``: average over cells, C values.
    ``gem`` or ``gem:P``: generalised mean ``mean(max(x, 1e-6)^P)^(1/P)``
    with P = 3 by default, C values (Radenovic et al., PAMI 2019).
    ``vector``: the model's own global embedding.
    ``dense:R``: as ``flatten``; such maps are compared over shifts of up to R cells.
    ``auto``: ``flatten`` or a grid, by the size of the map (:func:`resolve_pooling`).
    """

    name: PoolingName
    number: float = 0.0

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """The name and the number of ``NAME[:NUMBER]``."""
        name, colon, argument = text.partition(":")
        known = get_args(PoolingName)
        takes, needs = name in ("grid", "gem", "dense"), name in ("grid", "dense")
        if name not in known or (colon and not takes):
            raise SettingError(
                f"unknown pooling '{text}'; allowed are: {', '.join(POOLINGS)}."
                + did_you_mean(name, known)
            )
        try:
            number = float(argument) if colon or needs else 0.0
        except ValueError:
            number = -1.0
        if (colon or needs) and not 0 < number < 1e6:
            raise SettingError(f"'{argument}' in pooling '{text}' is not a positive number.")
        if needs and number != int(number):
            raise SettingError(f"'{argument}' in pooling '{text}' must be a whole number.")
        return {"name": name, "number": number}

    def __str__(self) -> str:
        return f"{self.name}:{self.number:g}" if self.number else self.name

    @property
    def cells(self) -> int:
        """Cells a side that maps are brought to; 0 leaves them as they are."""
        return int(self.number) if self.name == "grid" else 0

    @property
    def keeps_places(self) -> bool:
        """Whether a descriptor says where in the image its numbers lie."""
        return self.name in ("auto", "flatten", "dense") or self.cells > 1


def as_pooling(pooling: Pooling | str) -> Pooling:
    """Read a pooling from its text."""
    return Pooling.parse(pooling) if isinstance(pooling, str) else pooling


def resolve_pooling(pooling: Pooling, shape: tuple[int, ...]) -> Pooling:
    """Turn ``auto`` into a pooling for maps of ``shape`` (N, C, h, w).

    ``flatten`` where the descriptor has at most ``MAX_DIMENSIONS`` values,
    else the finest ``grid:N`` that has; where they lie matters more to
    matching than how they are averaged.
    """
    if pooling.name != "auto":
        return pooling
    if int(np.prod(shape[1:])) <= MAX_DIMENSIONS:
        return Pooling(name="flatten")
    return _finest_grid(shape, MAX_DIMENSIONS)


def coarse_pooling(shape: tuple[int, ...]) -> Pooling:
    """The finest ``grid:N`` of at most 8 x 8 cells and 4,096 values, for a shortlist."""
    sides = (min(_COARSE_CELLS, side) for side in shape[2:])
    return _finest_grid((*shape[:2], *sides), _COARSE_VALUES)


def _finest_grid(shape: tuple[int, ...], most: int) -> Pooling:
    side = min(int(np.sqrt(most / shape[1])), *shape[2:])
    return Pooling(name="grid", number=max(1, side))


def pool(features: FeatureMap, pooling: Pooling | str) -> FloatArray:
    """Pool feature maps into descriptors.

    Parameters
    ----------
    features : FeatureMap
        Values (N, C, h, w).
    pooling : Pooling or str

    Returns
    -------
    float32 array, shape (N, D)

    Raises
    ------
    SettingError
        For an unknown pooling, a grid finer than the map, or ``vector`` where
        the extractor has none.
    """
    values = features.values
    how = resolve_pooling(as_pooling(pooling), values.shape)
    if how.name == "mean":
        return np.asarray(values.mean(axis=(2, 3)), np.float32)
    if how.name == "grid":
        return _grid(values, how.cells)
    if how.name == "gem":
        power = how.number or _GEM_POWER
        raised = np.maximum(values, _GEM_FLOOR) ** np.float32(power)
        return np.asarray(raised.mean(axis=(2, 3)) ** (1 / power), np.float32)
    if how.name == "vector":
        if features.vector is None:
            raise SettingError(
                "pooling 'vector' needs an extractor with a global embedding; "
                "this one has none. Use flatten, grid:N, mean or gem."
            )
        return features.vector
    dense_shifts(how, values.shape)
    return values.reshape(len(values), -1)


def dense_shifts(pooling: Pooling | str, shape: tuple[int, ...]) -> Shifts | None:
    """How maps of ``shape`` (N, C, h, w) are compared under a pooling; None for flat products.

    Raises
    ------
    SettingError
        If ``dense:R`` has a radius that leaves less than half of a side shared.
    """
    how = as_pooling(pooling)
    if how.name != "dense":
        return None
    most = min(shape[2:]) // 2
    if how.number > most:
        raise SettingError(
            f"pooling '{how}' does not fit a map of {shape[2]} x {shape[3]} cells; "
            f"R must be a whole number from 1 to {most}, so that half of a side is shared."
            if most
            else f"pooling '{how}' needs maps of several cells; this one has "
            f"{shape[2]} x {shape[3]}."
        )
    return Shifts((shape[1], shape[2], shape[3]), int(how.number))


def _grid(values: FloatArray, cells: int) -> FloatArray:
    height, width = values.shape[2:]
    if cells > min(height, width):
        raise SettingError(
            f"pooling 'grid:{cells}' does not fit a map of {height} x {width} cells; "
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
