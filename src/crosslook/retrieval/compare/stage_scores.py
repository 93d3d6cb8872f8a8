"""What one of two stages says of every pair, by pooled descriptors or by maps over shifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosslook.errors import MatchError
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.maps import (
    Shifts,
    dense_scores,
    fit_maps,
    radius_in_cells,
    remove_means,
)
from crosslook.retrieval.compare.pooling import Pooling, coarse_pooling, pool
from crosslook.retrieval.compare.similarity import csls_offsets, normalise
from crosslook.retrieval.stage_spec import VERIFYING, Stage
from crosslook.types import Direction, FeatureMap, FloatArray, Indices


@dataclass(frozen=True, eq=False)
class StageFeatures:
    """Features of all patches, both modalities, for one stage; row i is one pair."""

    stage: Stage
    sar: FeatureMap
    optical: FeatureMap

    @property
    def has_maps(self) -> bool:
        """Whether the stage keeps more than one cell, so that it can verify."""
        return self.stage.how.keeps_places and int(np.prod(self.sar.values.shape[2:])) > 1

    def maps(self) -> tuple[FloatArray, FloatArray, float]:
        """Maps of both modalities on the grid of the stage, and pixels per cell.

        Raises
        ------
        MatchError
            If they have a single cell.
        """
        if not self.has_maps:
            raise MatchError(
                f"'{self.stage}' keeps no map of cells, so nothing can be shifted; a stage that "
                f"verifies needs one of: {', '.join(VERIFYING)}."
            )
        sar, optical, side = self.sar.values, self.optical.values, self.stage.how.cells
        if not side:
            return sar, optical, self.sar.stride
        stride = self.sar.stride * max(sar.shape[2:]) / side
        return regrid(sar, side), regrid(optical, side), stride


@dataclass(frozen=True, eq=False)
class StageScores:
    """What a stage says of every sar patch and every optical patch.

    Attributes
    ----------
    corrected : float32 array, shape (M, M)
        sar (rows) by optical of the test set; CSLS with the calibration set
        as banks: ``2 s - r(sar) - r(optical)``, where ``r`` is the mean
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

    def side(self, direction: Direction) -> FloatArray:
        """The scores with the queries of a direction as rows."""
        return self.corrected if direction == "sar->optical" else self.corrected.T


def flat_scores(
    features: StageFeatures, bank: Indices, items: Indices, neighbours: int
) -> StageScores:
    """Score by pooled descriptors, standardised on the calibration set.

    Where the pooling keeps places, each channel of a map first loses its mean
    over the cells; a pooling of one value per channel keeps it.
    """
    pooling = features.stage.how
    if pooling.name == "auto":
        pooling = coarse_pooling(features.sar.values.shape)
    sar, optical = (_pooled(one, pooling) for one in (features.sar, features.optical))
    calibration = fit_calibration("standardize", sar[bank], optical[bank])
    sar = normalise(calibration.apply(sar, "sar"))
    optical = normalise(calibration.apply(optical, "optical"))
    return _correct(
        sar[items] @ optical[items].T,
        sar[items] @ optical[bank].T,
        sar[bank] @ optical[items].T,
        neighbours,
        sar.shape[1],
    )


def shifted_scores(
    features: StageFeatures, bank: Indices, items: Indices, neighbours: int, radius: float
) -> StageScores:
    """Score by dense correlation over shifts of at most ``radius`` pixels.

    A stage that is pooled as ``dense:R`` says itself by how many cells.
    """
    sar, optical, stride = features.maps()
    how = features.stage.how
    cells = int(how.number) if how.name == "dense" else radius_in_cells(radius, stride)
    calibration = fit_maps(sar[bank], optical[bank])
    sar, optical = calibration.apply(sar, "sar"), calibration.apply(optical, "optical")
    # Test set and bank in one go: each shift is cut out and scaled once.
    both, count = np.concatenate([items, bank]), len(items)
    scores = dense_scores(sar[both], optical[both], cells)
    return _correct(
        scores[:count, :count],
        scores[:count, count:],
        scores[count:, :count],
        neighbours,
        Shifts((sar.shape[1], sar.shape[2], sar.shape[3]), cells).multiplications,
    )


def regrid(values: FloatArray, side: int) -> FloatArray:
    """Area means of maps (N, C, h, w) on ``side`` x ``side`` cells."""
    pooled = pool(FeatureMap(values, 1.0), Pooling(name="grid", number=side))
    return pooled.reshape(*values.shape[:2], side, side)


def _pooled(features: FeatureMap, pooling: Pooling) -> FloatArray:
    cells = features.values.shape[2] * features.values.shape[3]
    if pooling.keeps_places and cells > 1:
        features = FeatureMap(remove_means(features.values), features.stride, features.vector)
    return pool(features, pooling)


def _correct(
    scores: FloatArray, to_bank: FloatArray, from_bank: FloatArray, neighbours: int, cost: int
) -> StageScores:
    offsets = csls_offsets(to_bank, from_bank, neighbours)
    std = float(np.std(offsets.scale * to_bank - offsets.query[:, None]))
    return StageScores(offsets.apply(scores.copy()), max(std, 1e-12), cost)
