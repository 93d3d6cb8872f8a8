"""Feature maps compared over small shifts: what ``dense:R`` and fine stages compare.

A descriptor fails where two images lie some pixels apart; the best cosine over
the shifts within a radius does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from crosslook.errors import MatchError
from crosslook.types import FloatArray, Modality

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
        cosines are overwritten when the next shift is asked for.
        """
        channels, height, width = self.how.shape
        maps = query.reshape(len(query), channels, height, width)
        energies = cell_energies(query, self.how.shape)
        moved = np.zeros_like(maps)
        scores = np.empty((len(query), len(self.gallery)), np.float32)
        for shift in self.how.tried():
            own, other = _overlap(shift, height, width), _overlap(_back(shift), height, width)
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


def _back(shift: tuple[int, int]) -> tuple[int, int]:
    return -shift[0], -shift[1]


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
            "fine verification needs maps of several cells and calibration set."
        )
    scale: dict[Modality, FloatArray] = {"sar": _std(sar), "optical": _std(optical)}
    calibration = MapCalibration(scale)
    if sar.shape[1] <= most_channels:
        return calibration
    scatter = np.zeros((sar.shape[1], sar.shape[1]))
    pairs: tuple[tuple[FloatArray, Modality], ...] = ((sar, "sar"), (optical, "optical"))
    for values, modality in pairs:
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
