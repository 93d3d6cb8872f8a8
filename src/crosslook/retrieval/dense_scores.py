"""Scores of one stage: of the measured pairs, and of their banks.

Scores of feature maps against feature maps over small shifts.

A descriptor fails when the two images are some pixels apart; the best
correlation over the shifts within a radius does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import MatchError
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.compare.shifts import ShiftedGallery, Shifts, radius_in_cells
from crosslook.retrieval.compare.similarity import csls_offsets, normalise
from crosslook.retrieval.stage_spec import StageSpec
from crosslook.types import FeatureMap, FloatArray, Indices, Modality

_FLOOR = 1e-6


@dataclass(frozen=True, eq=False)
class MapCalibration:
    """Brings the feature maps of both modalities to common units.

    Each channel of each map loses its mean over the cells (what is left says
    where, not how much) and is divided by the standard deviation that this channel has
    in the calibration units, per modality. ``basis`` (C, c), where there are
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
    """Fit a :class:`MapCalibration` on the maps of the calibration units.

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
            "fine verification needs maps of several cells and calibration units."
        )
    scale: dict[Modality, FloatArray] = {
        "sar": _std(sar),
        "optical": _std(optical),
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
        In -1..1. Exact; memory is that of one shifted copy of the queries and
        two matrices of this shape.
    """
    _check_maps(queries, gallery)
    out = np.empty((len(queries), len(gallery)), np.float32)
    return _shifted(gallery, radius).best(queries.reshape(len(queries), -1), out)


def score_shortlist(
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
    every = [
        (shift, s[0].copy()) for shift, s in _shifted(shortlist, radius).each(query.reshape(1, -1))
    ]
    scores = np.stack([one for _, one in every])
    best = scores.argmax(axis=0)
    tried = np.array([shift for shift, _ in every], np.int64)
    return scores[best, np.arange(len(shortlist))], -tried[best]


def _shifted(gallery: FloatArray, radius: int) -> ShiftedGallery:
    flat = np.ascontiguousarray(gallery, np.float32).reshape(len(gallery), -1)
    return ShiftedGallery(flat, _shifts_of(gallery, radius))


def _shifts_of(maps: FloatArray, radius: int) -> Shifts:
    return Shifts((maps.shape[1], maps.shape[2], maps.shape[3]), radius)


def regrid(values: FloatArray, side: int) -> FloatArray:
    """Area means of maps (N, C, h, w) on ``side`` x ``side`` cells."""
    pooled = pool(FeatureMap(values, 1.0), f"grid:{side}")
    return pooled.reshape(*values.shape[:2], side, side)


def remove_means(values: FloatArray) -> FloatArray:
    """Take the mean over cells from each channel of each map (N, C, h, w)."""
    means = values.mean(axis=(2, 3), keepdims=True, dtype=np.float64)
    return np.asarray(values - means.astype(np.float32), np.float32)


def _std(values: FloatArray) -> FloatArray:
    variance = np.mean(remove_means(values) ** 2, axis=(0, 2, 3), dtype=np.float64)
    return np.maximum(np.sqrt(variance), _FLOOR).astype(np.float32)


def _check_maps(queries: FloatArray, gallery: FloatArray) -> None:
    if queries.ndim != 4 or gallery.ndim != 4 or queries.shape[1:] != gallery.shape[1:]:
        raise MatchError(
            f"maps of shape {queries.shape} and {gallery.shape} cannot be correlated; both "
            "need equal channels, rows and columns. Extract them from patches of one size."
        )


@dataclass(frozen=True, eq=False)
class StageFeatures:
    """Features of all patches, both modalities, for one stage; row i is one pair."""

    spec: StageSpec
    sar: FeatureMap
    optical: FeatureMap


@dataclass(frozen=True, eq=False)
class StageScores:
    """What a stage says of every sar patch and every optical patch.

    Attributes
    ----------
    corrected : float32 array, shape (M, M)
        sar (rows) by optical of the measured pairs; CSLS with the calibration
        scenes as banks: ``2 s - r(sar) - r(optical)``, where ``r`` is the mean
        score of the best ``neighbours`` of the other side's bank. Its
        transpose serves the other direction.
    std : float
        Standard deviation of the scores against the bank: the unit of a fusion.
    cost : int
        Multiplications that one pair costs.
    """

    corrected: FloatArray
    std: float
    cost: int


_COARSE_CELLS = 8
_COARSE_VALUES = 4096


def coarse_pooling(channels: int, height: int, width: int) -> str:
    """The finest ``grid:N`` of at most 8 x 8 cells and 4,096 values, for ``auto``."""
    fitting = int(math.sqrt(_COARSE_VALUES / channels))
    return f"grid:{max(1, min(_COARSE_CELLS, fitting, height, width))}"


def flat_scores(
    stage: StageFeatures, fit: Indices, measured: Indices, neighbours: int
) -> StageScores:
    """Score by pooled descriptors, standardised on the calibration units.

    Where the pooling keeps places, each channel of a map first loses its mean
    over the cells; a pooling of one value per channel keeps it.
    """
    pooling = stage.spec.pooling
    if pooling == "auto":
        pooling = coarse_pooling(*stage.sar.values.shape[1:])
    sar, optical = _pooled(stage.sar, pooling), _pooled(stage.optical, pooling)
    calibration = fit_calibration("standardize", sar[fit], optical[fit])
    sar = normalise(calibration.apply(sar, "sar"))
    optical = normalise(calibration.apply(optical, "optical"))
    return _correct(
        sar[measured] @ optical[measured].T,
        sar[measured] @ optical[fit].T,
        sar[fit] @ optical[measured].T,
        neighbours,
        sar.shape[1],
    )


def shifted_scores(
    stage: StageFeatures, fit: Indices, measured: Indices, neighbours: int, radius: float
) -> StageScores:
    """Score by dense correlation over shifts of at most ``radius`` pixels."""
    sar, optical, stride = stage_maps(stage)
    cells = radius_in_cells(radius, stride)
    calibration = fit_maps(sar[fit], optical[fit])
    sar, optical = calibration.apply(sar, "sar"), calibration.apply(optical, "optical")
    # Measured and bank in one go: each shift is cut out and scaled once.
    both, count = np.concatenate([measured, fit]), len(measured)
    scores = dense_scores(sar[both], optical[both], cells)
    return _correct(
        scores[:count, :count],
        scores[:count, count:],
        scores[count:, :count],
        neighbours,
        _shifts_of(sar, cells).multiplications,
    )


def stage_maps(stage: StageFeatures) -> tuple[FloatArray, FloatArray, float]:
    """Maps of both modalities on the grid of the stage, and pixels per cell.

    Raises
    ------
    MatchError
        If the pooling leaves no map: ``mean``, ``gem`` or ``vector``.
    """
    if not has_maps(stage):
        raise MatchError(
            f"'{stage.spec}' keeps no map of cells, so nothing can be shifted; a stage that "
            "verifies needs 'flatten' (the default) or 'grid=N' with N of 2 or more."
        )
    sar, optical, side = stage.sar.values, stage.optical.values, stage.spec.grid
    if not side:
        return sar, optical, stage.sar.stride
    stride = stage.sar.stride * max(sar.shape[2:]) / side
    return regrid(sar, side), regrid(optical, side), stride


def has_maps(stage: StageFeatures) -> bool:
    """Whether a stage keeps more than one cell, so that it can verify."""
    if stage.spec.pooling in ("flatten", "auto"):
        return bool(np.prod(stage.sar.values.shape[2:]) > 1)
    return stage.spec.grid > 1


def _pooled(features: FeatureMap, pooling: str) -> FloatArray:
    cells = features.values.shape[2] * features.values.shape[3]
    places = pooling == "flatten" or (pooling.startswith("grid:") and pooling != "grid:1")
    if places and cells > 1:
        features = FeatureMap(remove_means(features.values), features.stride, features.vector)
    return pool(features, pooling)


def _correct(
    scores: FloatArray, to_bank: FloatArray, from_bank: FloatArray, neighbours: int, cost: int
) -> StageScores:
    offsets = csls_offsets(to_bank, from_bank, neighbours)
    std = float(np.std(offsets.scale * to_bank - offsets.query[:, None]))
    return StageScores(offsets.apply(scores.copy()), max(std, 1e-12), cost)
