"""A coarse shortlist, then fine verification by dense correlation.

>>> spec = TwoStage.parse("hog:grid=8+hog:cell=8")                 # doctest: +SKIP
>>> result = evaluate_two_stage(                                   # doctest: +SKIP
...     StageFeatures(spec.coarse, sar_maps, optical_maps),
...     StageFeatures(spec.fine, sar_fine, optical_fine),
...     clusters, division.calibration_set, division.test_set, seed=0,
... )
>>> rows += [setup.row(name, metric) for metric in result.metrics] # doctest: +SKIP
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.errors import MatchError, SettingError
from crosslook.retrieval.compare.pooling import Pooling
from crosslook.retrieval.compare.similarity import Matrix, Ranks, rank
from crosslook.retrieval.compare.stage_scores import (
    StageFeatures,
    StageScores,
    flat_scores,
    shifted_scores,
)
from crosslook.retrieval.measure.registry import measure_all
from crosslook.retrieval.measure.resampling import sample
from crosslook.retrieval.measure.two_stage import Stages, partner_ranks, shortlist
from crosslook.types import DIRECTIONS, FloatArray, Indices, Metric


def answer(coarse: FloatArray, fine: FloatArray, k: int, top: int = 10) -> Ranks:
    """Answer every query by a shortlist of ``k`` and the fine score.

    A partner that the shortlist lacks has its coarse rank, which lies beyond.
    """
    order, coarse_rank = shortlist(coarse, k), partner_ranks(coarse)
    kept = np.full_like(fine, -np.inf)
    np.put_along_axis(kept, order, np.take_along_axis(fine, order, axis=1), axis=1)
    [[ranks]] = rank(Matrix(kept), np.arange(len(coarse)), top=min(top, order.shape[1]))
    return replace(
        ranks,
        rank=np.where(coarse_rank <= k, ranks.rank, coarse_rank),
        partner_score=np.diagonal(fine).copy(),
    )


_BANK = 256


@dataclass(frozen=True)
class TwoStageSettings:
    """How two stages are run.

    Attributes
    ----------
    ks : tuple of int
        Lengths of the shortlist; those beyond the gallery are left out.
    radius : float
        Search radius of the fine stage, pixels along rows and columns; whole
        cells within it are tried, at least one. Above the offset expected.
    neighbours : int
        Of CSLS, which corrects both scores.
    most : int
        Measured pairs; of more, a sample drawn by the seed (fine alone costs
        the square).
    reverse : bool
        Measure the swapped order too.
    """

    ks: tuple[int, ...] = (5, 10, 20, 50, 100, 200)
    radius: float = 24.0
    neighbours: int = 10
    most: int = 1500
    reverse: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not self.ks or min(self.ks) < 1 or list(self.ks) != sorted(set(self.ks)):
            raise SettingError(f"ks are {self.ks}; give rising whole numbers from 1.")
        if not (math.isfinite(self.radius) and self.radius >= 0):
            raise SettingError(f"the radius is {self.radius} pixels; give 0 or more.")
        if self.neighbours < 1 or self.most < 2:
            raise SettingError(
                f"neighbours is {self.neighbours} and most {self.most}; at least 1 and 2."
            )


@dataclass(frozen=True, eq=False)
class TwoStageResult:
    """What two stages reach.

    Attributes
    ----------
    metrics : list of Metric
        Measure ``two-stage``; ``k`` is the length of the shortlist, and the
        rank for ``coarse-alone`` and ``fine-alone``.
    items : int64 array, shape (M,)
        Measured patches, indices into all.
    recommended : dict of str to int
        K per direction, by the rule of :func:`crosslook.retrieval.measure.two_stage.recommend`.
    answers : dict of str to Ranks
        Per direction at that K; indices are positions in ``items``.
    notes : list of str
        What was left out, and why.
    """

    metrics: list[Metric]
    items: NDArray[np.int64]
    recommended: dict[str, int]
    answers: dict[str, Ranks]
    notes: list[str]


def evaluate_two_stage(
    coarse: StageFeatures,
    fine: StageFeatures,
    clusters: ArrayLike,
    fit: Indices,
    measured: Indices,
    *,
    settings: TwoStageSettings | None = None,
    seed: int = 0,
    draws: int = 1000,
) -> TwoStageResult:
    """Measure two stages, each stage alone, the reversed order and both fusions.

    Parameters
    ----------
    coarse, fine : StageFeatures
        Features of all patches; row i of both modalities shows one place.
    clusters : array, shape (N,)
        Unit of each patch.
    fit, measured : int64 arrays
        Patches that fit calibrations and banks, and patches that are measured:
        every one is a query once, and all of them are the gallery.
    settings : TwoStageSettings, optional
    seed : int
        Of samples and of the bootstrap over clusters.
    draws : int
        Of the bootstrap.

    Raises
    ------
    MatchError
        If the fine stage keeps no map of cells, or patches are missing.
    """
    how = settings or TwoStageSettings()
    bank, items = choose_patches(fit, measured, how, seed)
    notes = []
    if len(items) < len(measured):
        notes.append(f"{len(items)} of {len(measured)} measured pairs, drawn by the seed.")
    first, second = _both_scores(coarse, fine, bank, items, how)
    ks = tuple(k for k in how.ks if k <= len(items)) or (len(items),)
    swapped = None
    if how.reverse and coarse.has_maps:
        swapped = _both_scores(_as_coarse(fine), coarse, bank, items, how)
    elif how.reverse:
        notes.append(f"No reversed order: '{coarse.stage}' keeps no map of cells to verify with.")
    of_items = np.asarray(clusters)[items]
    metrics = measure_all(Stages(first, second, swapped, ks, of_items, seed, draws))
    recommended = {m.direction: m.k for m in metrics if m.metric == "recommended-k"}
    answers: dict[str, Ranks] = {
        d: answer(first.side(d), second.side(d), recommended[d]) for d in DIRECTIONS
    }
    return TwoStageResult(metrics, items, recommended, answers, notes)


def choose_patches(
    fit: Indices, measured: Indices, how: TwoStageSettings, seed: int
) -> tuple[Indices, Indices]:
    """Draw the bank and the measured patches that are used: no other map is needed.

    Raises
    ------
    MatchError
        If there are too few.
    """
    if len(fit) == 0 or len(measured) < 2:
        raise MatchError(
            f"{len(fit)} calibration and {len(measured)} measured patches; two stages need "
            "at least 1 and 2. Give more scenes."
        )
    return fit[sample(len(fit), _BANK, seed)], measured[sample(len(measured), how.most, seed)]


def _as_coarse(fine: StageFeatures) -> StageFeatures:
    """The fine stage as it makes a shortlist: pooled, unless it names how."""
    if fine.stage.how.name not in ("flatten", "dense"):
        return fine
    auto = fine.stage.model_copy(update={"pooling": Pooling(name="auto")})
    return replace(fine, stage=auto)


def _both_scores(
    coarse: StageFeatures,
    fine: StageFeatures,
    bank: Indices,
    items: Indices,
    how: TwoStageSettings,
) -> tuple[StageScores, StageScores]:
    first = flat_scores if coarse.stage.how.name != "dense" else partial(shifted_scores, radius=0.0)
    return (
        first(coarse, bank, items, how.neighbours),
        shifted_scores(fine, bank, items, how.neighbours, how.radius),
    )
