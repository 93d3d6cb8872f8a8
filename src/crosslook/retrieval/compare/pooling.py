"""Feature maps to what is compared: one vector per image, or the map over small shifts.

A descriptor fails where two images lie some pixels apart; the best cosine over
the shifts within a radius (``dense:R``, fine stages) does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from crosslook.errors import MatchError, SettingError, did_you_mean
from crosslook.spec import Written
from crosslook.types import MODALITIES, FeatureMap, FloatArray, Modality

_FLOOR = 1e-6


@dataclass(frozen=True)
class Shifts:
    """Flat descriptors that are maps of ``shape`` (C, h, w), and the radius in cells.

    A score is the greatest cosine over all shifts of at most ``radius`` rows and
    columns; for each, only the cells that both maps share count, in the product
    and in both lengths, so that an offset costs no more than what it cuts off.
    The radius is limited so that half of a side is shared.
    """

    shape: tuple[int, int, int]
    radius: int

    def tried(self) -> list[tuple[int, int]]:
        """Shifts in cells, the shortest first, so that ties stay near zero."""
        return shifts(self.radius, self.shape[1:])

    @property
    def multiplications(self) -> int:
        """Multiplications that one pair of maps costs over all shifts."""
        channels, height, width = self.shape
        return sum(
            channels * (height - abs(down)) * (width - abs(right)) for down, right in self.tried()
        )


def shifts(radius: int, cells: tuple[int, ...]) -> list[tuple[int, int]]:
    """Shifts of at most ``radius`` cells, and of half a side, the shortest first."""
    down, right = (min(radius, side // 2) for side in cells)
    every = [(r, c) for r in range(-down, down + 1) for c in range(-right, right + 1)]
    return sorted(every, key=lambda s: (s[0] ** 2 + s[1] ** 2, s))


class ShiftedGallery:
    """A gallery of flat maps (Ng, D) that blocks of queries are compared with.

    Memory is the gallery as it lies, and its energies: one number per cell.
    """

    def __init__(self, gallery: FloatArray, how: Shifts) -> None:
        self.gallery = gallery
        self.how = how
        energies = cell_energies(gallery, how.shape)
        self._lengths = {shift: _length(energies, (-shift[0], -shift[1])) for shift in how.tried()}

    def each(self, query: FloatArray) -> Iterator[tuple[tuple[int, int], FloatArray]]:
        """Yield every shift with the cosines (n, Ng) of a block of queries (n, D) under it.

        Query cell (i + row, j + column) lies on cell (i, j) of the gallery. The
        cosines are overwritten by those of the next shift.
        """
        channels, height, width = self.how.shape
        maps = query.reshape(len(query), channels, height, width)
        energies = cell_energies(query, self.how.shape)
        moved = np.zeros_like(maps)
        scores = np.empty((len(query), len(self.gallery)), np.float32)
        for shift in self.how.tried():
            back = -shift[0], -shift[1]
            own, other = _overlap(shift, height, width), _overlap(back, height, width)
            moved[:] = 0
            moved[:, :, other[0], other[1]] = maps[:, :, own[0], own[1]]
            np.matmul(moved.reshape(len(query), -1), self.gallery.T, out=scores)
            scores /= _length(energies, shift)[:, None]
            scores /= self._lengths[shift]
            yield shift, scores

    def best(self, query: FloatArray, out: FloatArray) -> FloatArray:
        """Greatest cosine over the shifts of a block of queries (n, D), into ``out`` (n, Ng)."""
        out[:] = -1.0
        for _, scores in self.each(query):
            np.maximum(out, scores, out=out)
        return out


def cell_energies(flat: FloatArray, shape: tuple[int, int, int]) -> FloatArray:
    """Sum of squares over the channels of flat maps (n, D): float32 (n, h, w)."""
    out = np.empty((len(flat), *shape[1:]), np.float32)
    for start in range(0, len(flat), 256):
        maps = flat[start : start + 256].reshape(-1, *shape)
        out[start : start + 256] = np.einsum("nchw,nchw->nhw", maps, maps)
    return out


def _length(energies: FloatArray, shift: tuple[int, int]) -> FloatArray:
    rows, cols = _overlap(shift, *energies.shape[1:])
    total = energies[:, rows, cols].sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(np.maximum(np.sqrt(total), _FLOOR), np.float32)


def _overlap(shift: tuple[int, int], height: int, width: int) -> tuple[slice, slice]:
    down, right = shift
    return (slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right)))


def radius_in_cells(radius: float, stride: float) -> int:
    """Whole cells within ``radius`` pixels; at least one where it is above 0."""
    return max(1, math.floor(radius / stride)) if radius > 0 else 0


@dataclass(frozen=True, eq=False)
class MapCalibration:
    """Brings the feature maps of both modalities to a common scale.

    Each channel of each map loses its mean over the cells (what is left says
    where, not how much) and is divided by the standard deviation that this channel has
    in the calibration set, per modality. ``basis`` (C, c), where there are
    too many channels, keeps the principal directions of both modalities.
    """

    scale: dict[Modality, FloatArray]
    basis: FloatArray | None = None

    def apply(self, values: FloatArray, modality: Modality) -> FloatArray:
        """Calibrate maps (N, C, h, w); gives (N, c, h, w) float32."""
        scaled = remove_means(values) / self.scale[modality][:, None, None]
        if self.basis is None:
            return np.asarray(scaled, np.float32)
        return np.asarray(np.einsum("nchw,ck->nkhw", scaled, self.basis, optimize=True), np.float32)


def fit_maps(sar: FloatArray, optical: FloatArray, most_channels: int = 256) -> MapCalibration:
    """Fit a :class:`MapCalibration` on the maps of the calibration set.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, C, h, w)
    most_channels : int
        Keep at most so many directions, the strongest of both modalities.

    Raises
    ------
    MatchError
        If no map is given, or maps have one cell and nothing to be shifted.
    """
    if len(sar) == 0 or sar.shape[2] * sar.shape[3] < 2:
        raise MatchError(
            f"feature maps of shape {sar.shape} cannot be shifted against each other; "
            "fine verification needs maps of several cells and a calibration set."
        )
    scale: dict[Modality, FloatArray] = {"sar": _std(sar), "optical": _std(optical)}
    calibration = MapCalibration(scale)
    if sar.shape[1] <= most_channels:
        return calibration
    scatter = np.zeros((sar.shape[1], sar.shape[1]))
    for values, modality in zip((sar, optical), MODALITIES, strict=True):
        cells = calibration.apply(values, modality).transpose(0, 2, 3, 1).reshape(-1, sar.shape[1])
        scatter += cells.T.astype(np.float64) @ cells
    basis = np.linalg.eigh(scatter)[1][:, ::-1][:, :most_channels]
    return MapCalibration(scale, np.asarray(basis, np.float32))


def dense_scores(queries: FloatArray, gallery: FloatArray, radius: int) -> FloatArray:
    """Best cosine of each pair of maps over shifts of at most ``radius`` cells.

    For a shift, only the cells that both maps share count, in the product and
    in both lengths, so that an offset costs no more than what it cuts off.

    Parameters
    ----------
    queries : float32 array, shape (Nq, C, h, w)
    gallery : float32 array, shape (Ng, C, h, w)
        Both calibrated.
    radius : int
        Cells along rows and columns; limited so that half of a side is shared.

    Returns
    -------
    float32 array, shape (Nq, Ng)
        In -1..1. Exact; memory is that of one shifted copy of the queries and
        two matrices of this shape.
    """
    if queries.ndim != 4 or gallery.ndim != 4 or queries.shape[1:] != gallery.shape[1:]:
        raise MatchError(
            f"maps of shape {queries.shape} and {gallery.shape} cannot be correlated; both "
            "need equal channels, rows and columns. Extract them from patches of one size."
        )
    flat = np.ascontiguousarray(gallery, np.float32).reshape(len(gallery), -1)
    how = Shifts((gallery.shape[1], gallery.shape[2], gallery.shape[3]), radius)
    out = np.empty((len(queries), len(gallery)), np.float32)
    return ShiftedGallery(flat, how).best(queries.reshape(len(queries), -1), out)


def remove_means(values: FloatArray) -> FloatArray:
    """Take the mean over cells from each channel of each map (N, C, h, w)."""
    means = values.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    return np.asarray(values - means.astype(np.float32), np.float32)


def _std(values: FloatArray) -> FloatArray:
    variance = np.mean(remove_means(values) ** 2, axis=(0, 2, 3), dtype=np.float64)
    return np.maximum(np.sqrt(variance), _FLOOR).astype(np.float32)


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
