"""Two stages and fusions of a study: what needs more than one extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.compare.fusion import WEIGHTS, FusedScores, Member, fit_fusions
from crosslook.retrieval.compare.similarity import Ranks, rank
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.evaluate import Evaluator
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.retrieval.run_folder import MatchTable
from crosslook.retrieval.setup import Setup
from crosslook.retrieval.stage_spec import Fusion, Stage, TwoStage
from crosslook.retrieval.two_stage import ReadMaps, TwoStageResult, evaluate_two_stage
from crosslook.types import DIRECTIONS, Direction, Metric

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
        evaluator.findings.matches += _match_tables(setup, result)
    return result


def _match_tables(setup: Setup, result: TwoStageResult) -> list[MatchTable]:
    tables = []
    for direction in DIRECTIONS:
        ranks, items = result.answers[direction], result.items
        top, scores = items[ranks.top_indices], ranks.top_scores
        table = MatchTable(setup, direction, items, ranks.rank, top, scores, ranks.partner_score)
        tables.append(table)
    return tables


def evaluate_fusion(
    fusion: Fusion, members: Mapping[Stage, Descriptors], evaluator: Evaluator
) -> None:
    """Add a fusion with equal and with fitted weights, as if it were an extractor."""
    reduced = [evaluator.reduce(members[member]) for member in fusion.members]
    own = [evaluator.calibrate(one, FUSED_CALIBRATION) for one in reduced]
    division = evaluator.division
    folder = evaluator.settings.out
    parts = [
        Member(str(member), *c.whole(division, folder), c.shifts)
        for member, c in zip(fusion.members, own, strict=True)
    ]
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
