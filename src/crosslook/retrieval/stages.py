"""Two stages and fusions of a study: what needs more than one extractor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.errors import MatchError
from crosslook.retrieval.compare.fusion import WEIGHTS, FusedScores, Member, fit_fusions
from crosslook.retrieval.compare.pooling import Pooling
from crosslook.retrieval.compare.similarity import Matrix, Ranks, rank
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.evaluate import Evaluator, match_table
from crosslook.retrieval.measure.registry import measure_all
from crosslook.retrieval.measure.resampling import bootstrap_mean, sample
from crosslook.retrieval.measure.two_stage import (
    StageFeatures,
    Stages,
    StageScores,
    flat_scores,
    partner_ranks,
    shifted_scores,
    shortlist,
)
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.stage_spec import Fusion, Stage, TwoStage
from crosslook.types import DIRECTIONS, Direction, FeatureMap, FloatArray, Indices, Metric


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
_NEIGHBOURS = 10
MOST = 1500
"""Pairs of the test set; of more, a sample is drawn (fine alone costs the square)."""

ReadMaps = Callable[[str, Indices], tuple[FeatureMap, FeatureMap]]
"""Maps (SAR, optical) of an extractor of chosen patches, in the given order."""


@dataclass(frozen=True, eq=False)
class TwoStageResult:
    """What two stages reach.

    Attributes
    ----------
    metrics : list of Metric
        Measure ``two-stage``; ``k`` is the length of the shortlist, and the
        rank for ``coarse-alone`` and ``fine-alone``.
    items : int64 array, shape (M,)
        Patches that are queries and gallery, indices into all.
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
    spec: TwoStage,
    read: ReadMaps,
    clusters: ArrayLike,
    calibration_set: Indices,
    test_set: Indices,
    *,
    seed: int = 0,
    draws: int = 1000,
) -> TwoStageResult:
    """Measure two stages, each stage alone, the reversed order and both fusions.

    Parameters
    ----------
    spec : TwoStage
    read : callable
        Reads the maps that are needed alone.
    clusters : array, shape (N,)
        Cluster of each patch.
    calibration_set, test_set : int64 arrays
        Patches that fit calibrations and banks, and patches that are measured:
        every one is a query once, and all of them are the gallery.
    seed : int
        Of samples and of the bootstrap over clusters.
    draws : int
        Of the bootstrap.

    Raises
    ------
    MatchError
        If the fine stage keeps no map of cells, or patches are missing.
    """
    if len(calibration_set) == 0 or len(test_set) < 2:
        raise MatchError(
            f"{len(calibration_set)} calibration and {len(test_set)} measured patches; two stages "
            "need at least 1 and 2. Give more scenes."
        )
    bank = calibration_set[sample(len(calibration_set), _BANK, seed)]
    items = test_set[sample(len(test_set), MOST, seed)]
    notes = []
    if len(items) < len(test_set):
        count = f"{len(items)} of {len(test_set)} measured pairs"
        notes.append(f"{count}, drawn by the seed, are queries and gallery.")
    used = np.concatenate([bank, items])
    maps = {name: read(name, used) for name in dict.fromkeys(s.extractor for s in spec.stages)}
    coarse, fine = (StageFeatures(stage, *maps[stage.extractor]) for stage in spec.stages)
    first, second = _both_scores(coarse, fine, len(bank), spec.radius)
    ks = tuple(k for k in spec.ks if k <= len(items)) or (len(items),)
    swapped = None
    if spec.reverse and coarse.has_maps:
        swapped = _both_scores(_as_coarse(fine), coarse, len(bank), spec.radius)
    elif spec.reverse:
        notes.append(f"No reversed order: '{coarse.stage}' keeps no map of cells to verify with.")
    of_items = np.asarray(clusters)[items]
    metrics = measure_all(Stages(first, second, swapped, ks, of_items, seed, draws))
    recommended = {m.direction: m.k for m in metrics if m.metric == "recommended-k"}
    answers: dict[str, Ranks] = {
        d: answer(first.side(d), second.side(d), recommended[d]) for d in DIRECTIONS
    }
    return TwoStageResult(metrics, items, recommended, answers, notes)


def _as_coarse(fine: StageFeatures) -> StageFeatures:
    """The fine stage as it makes a shortlist: pooled, unless it names how."""
    if fine.stage.how.name not in ("flatten", "dense"):
        return fine
    auto = fine.stage.model_copy(update={"pooling": Pooling(name="auto")})
    return replace(fine, stage=auto)


def _both_scores(
    coarse: StageFeatures, fine: StageFeatures, bank: int, radius: float
) -> tuple[StageScores, StageScores]:
    """Scores of both stages; the first ``bank`` patches are of the calibration set."""
    at = np.arange(bank), np.arange(bank, len(coarse.sar)), _NEIGHBOURS
    if coarse.stage.how.name == "dense":
        return shifted_scores(coarse, *at, radius), shifted_scores(fine, *at, radius)
    return flat_scores(coarse, *at), shifted_scores(fine, *at, radius)


FUSED_CALIBRATION = "standardize"
FUSED_SCORING: Literal["csls"] = "csls"


def evaluate_two_stages(spec: TwoStage, read: ReadMaps, evaluator: Evaluator) -> TwoStageResult:
    """Add the rows and matches of one ``COARSE+FINE``."""
    settings, division = evaluator.settings, evaluator.division
    result = evaluate_two_stage(
        spec,
        read,
        np.array(evaluator.all_clusters.names),
        division.calibration_set,
        division.test_set[evaluator.representatives],
        seed=settings.seed,
        draws=settings.draws,
    )
    setup = Setup(str(spec), f"{spec.coarse.how}+dense", FUSED_CALIBRATION, FUSED_SCORING)
    evaluator.findings.rows += evaluator.rows(setup, result.metrics)
    if evaluator.shown:
        evaluator.findings.matches += [
            match_table(setup, d, result.items, result.answers[d]) for d in DIRECTIONS
        ]
    return result


def evaluate_fusion(
    fusion: Fusion, members: Mapping[Stage, Descriptors], evaluator: Evaluator
) -> None:
    """Add a fusion with equal and with fitted weights, as if it were an extractor."""
    division, folder, parts = evaluator.division, evaluator.settings.out, []
    for member in fusion.members:
        own = evaluator.calibrate(evaluator.reduce(members[member]), FUSED_CALIBRATION)
        parts.append(Member(str(member), *own.whole(division, folder), own.shifts))
    clusters = np.array(evaluator.all_clusters.names)
    for direction in DIRECTIONS:
        fusions = fit_fusions(
            parts, division.calibration_set, clusters, direction=direction, scoring=FUSED_SCORING
        )
        # A member alone is a fusion that gives it all the weight: no score is made twice.
        single = [replace(fusions[0], weights=weights) for weights in np.eye(len(parts))]
        scores = FusedScores([*fusions, *single], division.test_set)
        partner = np.arange(len(division.test_set))
        ranked = rank(scores, partner, [evaluator.accepted])
        alone = [ranks.rank == 1 for [ranks] in ranked[len(fusions) :]]
        for weights, [ranks] in zip(WEIGHTS, ranked, strict=False):
            setup = Setup(fusions[0].name, f"fusion ({weights})", FUSED_CALIBRATION, FUSED_SCORING)
            gain = _gain(alone, direction, ranks, evaluator)
            evaluator.findings.rows += evaluator.rows(setup, [gain])
            evaluator.add_ranks(setup, direction, ranks)


def _gain(
    alone: Sequence[NDArray[np.bool_]], direction: Direction, ranks: Ranks, evaluator: Evaluator
) -> Metric:
    """Recall at 1 of a fusion minus that of its best member, query by query."""
    best = max(alone, key=lambda hits: float(hits.mean()))
    change = (ranks.rank == 1).astype(float) - best
    settings = evaluator.settings
    estimate = bootstrap_mean(change, evaluator.clusters, settings.seed, settings.draws)
    count = len(change)
    return Metric("retrieval", "gain-over-best-member", estimate, count, count, 0.0, direction, 1)
