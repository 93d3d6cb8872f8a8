"""Scores of one stage: of the measured pairs, and of their banks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.compare.calibration import fit_calibration
from crosslook.compare.pooling import pool
from crosslook.compare.similarity import normalise
from crosslook.errors import MatchError
from crosslook.match.dense_scores import (
    dense_scores,
    fit_maps,
    multiplications,
    radius_in_cells,
    regrid,
    remove_means,
)
from crosslook.match.stage_spec import StageSpec
from crosslook.types import FeatureMap, FloatArray

Indices = NDArray[np.int64]


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
    spread : float
        Deviation of the scores against the bank: the unit of a fusion.
    cost : int
        Multiplications that one pair costs.
    """

    corrected: FloatArray
    spread: float
    cost: int


def flat_scores(
    stage: StageFeatures, fit: Indices, measured: Indices, neighbours: int
) -> StageScores:
    """Score by pooled descriptors, standardised on the calibration scenes.

    Where the pooling keeps places, each channel of a map first loses its mean
    over the cells; a pooling of one value per channel keeps it.
    """
    sar = _pooled(stage.sar, stage.spec.pooling)
    optical = _pooled(stage.optical, stage.spec.pooling)
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
        multiplications(sar.shape[1:], cells),
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
    if stage.spec.pooling == "flatten":
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
    row = _mean_of_best(to_bank, neighbours)
    col = _mean_of_best(from_bank.T, neighbours)
    corrected = np.float32(2) * scores - row[:, None] - col[None, :]
    spread = float(np.std(2.0 * to_bank - row[:, None]))
    return StageScores(corrected, max(spread, 1e-12), cost)


def _mean_of_best(scores: FloatArray, count: int) -> FloatArray:
    kept = min(count, scores.shape[1])
    return np.asarray(np.partition(scores, -kept, axis=1)[:, -kept:].mean(axis=1), np.float32)
