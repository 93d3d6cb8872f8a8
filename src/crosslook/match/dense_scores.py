"""Scores of feature maps against feature maps over small shifts.

A descriptor fails when the two pictures are some pixels apart; the best
correlation over the shifts within a radius does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.compare.pooling import pool
from crosslook.errors import MatchError
from crosslook.types import FeatureMap, FloatArray, Modality

_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class MapCalibration:
    """Brings the feature maps of both modalities to common units.

    Each channel of each map loses its mean over the cells (what is left says
    where, not how much) and is divided by the deviation that this channel has
    in the calibration scenes, per modality. ``basis`` (C, c), where there are
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
    """Fit a :class:`MapCalibration` on the maps of the calibration scenes.

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
            "fine verification needs maps of several cells and calibration scenes."
        )
    scale: dict[Modality, FloatArray] = {
        "sar": _deviation(sar),
        "optical": _deviation(optical),
    }
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
        In -1..1. Exact; memory is that of one shifted copy of each side and
        two matrices of this shape.
    """
    _check_maps(queries, gallery)
    best = np.full((len(queries), len(gallery)), -1.0, np.float32)
    for down, right in shifts(radius, queries.shape[2:]):
        first = _units(_overlap(queries, down, right))
        second = _units(_overlap(gallery, -down, -right))
        np.maximum(best, first @ second.T, out=best)
    return best


def verify(
    query: FloatArray, shortlist: FloatArray, radius: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Score one query against its shortlist, and say where it fits best.

    Parameters
    ----------
    query : float32 array, shape (C, h, w)
    shortlist : float32 array, shape (K, C, h, w)
    radius : int

    Returns
    -------
    scores : float32 array, shape (K,)
    offset : int64 array, shape (K, 2)
        Rows and columns in cells: query cell (i, j) shows what the other map
        has at (i + row, j + col).
    """
    _check_maps(query[None], shortlist)
    tried = shifts(radius, query.shape[1:])
    scores = np.stack(
        [
            _units(_overlap(shortlist, -down, -right))
            @ _units(_overlap(query[None], down, right))[0]
            for down, right in tried
        ]
    )
    best = scores.argmax(axis=0)
    return scores[best, np.arange(len(shortlist))], -np.array(tried, np.int64)[best]


def shifts(radius: int, cells: tuple[int, ...]) -> list[tuple[int, int]]:
    """Shifts that are tried, the shortest first, so that ties stay near zero."""
    down, right = (min(radius, side // 2) for side in cells)
    every = [(r, c) for r in range(-down, down + 1) for c in range(-right, right + 1)]
    return sorted(every, key=lambda s: (s[0] ** 2 + s[1] ** 2, s))


def multiplications(shape: tuple[int, ...], radius: int) -> int:
    """Multiplications that one pair of maps (C, h, w) costs over all shifts."""
    channels, height, width = shape
    return sum(
        channels * (height - abs(down)) * (width - abs(right))
        for down, right in shifts(radius, (height, width))
    )


def radius_in_cells(radius: float, stride: float) -> int:
    """Whole cells within ``radius`` pixels; at least one where it is above 0."""
    return max(1, int(radius / stride)) if radius > 0 else 0


def regrid(values: FloatArray, side: int) -> FloatArray:
    """Area means of maps (N, C, h, w) on ``side`` x ``side`` cells."""
    pooled = pool(FeatureMap(values, 1.0), f"grid:{side}")
    return pooled.reshape(*values.shape[:2], side, side)


def remove_means(values: FloatArray) -> FloatArray:
    """Take the mean over cells from each channel of each map (N, C, h, w)."""
    means = values.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    return np.asarray(values - means.astype(np.float32), np.float32)


def _deviation(values: FloatArray) -> FloatArray:
    variance = np.mean(remove_means(values) ** 2, axis=(0, 2, 3), dtype=np.float64)
    return np.maximum(np.sqrt(variance), _FLOOR).astype(np.float32)


def _overlap(values: FloatArray, down: int, right: int) -> FloatArray:
    height, width = values.shape[2:]
    rows = slice(max(0, down), height + min(0, down))
    cols = slice(max(0, right), width + min(0, right))
    return np.asarray(values[:, :, rows, cols].reshape(len(values), -1), np.float32)


def _units(rows: FloatArray) -> FloatArray:
    length = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return np.asarray(rows / np.maximum(length, np.float32(_FLOOR)), np.float32)


def _check_maps(queries: FloatArray, gallery: FloatArray) -> None:
    if queries.ndim != 4 or gallery.ndim != 4 or queries.shape[1:] != gallery.shape[1:]:
        raise MatchError(
            f"maps of shape {queries.shape} and {gallery.shape} cannot be correlated; both "
            "need equal channels, rows and columns. Extract them from patches of one size."
        )
