"""Two stages and fusions of a study: what needs more than one extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from crosslook.retrieval.compare.fusion import Member, fit_fusion
from crosslook.retrieval.compare.similarity import Ranks
from crosslook.retrieval.dense_scores import StageFeatures
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.evaluate import Calibrated, Evaluator, Findings
from crosslook.retrieval.measure.resampling import bootstrap_mean
from crosslook.retrieval.stage_spec import StageSpec, members_of, parse_two_stage
from crosslook.retrieval.two_stage import TwoStageResult, evaluate_two_stage
from crosslook.types import DIRECTIONS, Direction, FeatureMap, FloatArray, Metric

FUSED_CALIBRATION = "standardize"
FUSED_SCORING: Literal["csls"] = "csls"


def evaluate_two_stages(
    text: str,
    maps: Mapping[str, tuple[FeatureMap, FeatureMap]],
    evaluator: Evaluator,
    found: Findings,
) -> TwoStageResult:
    """Add the rows of one ``COARSE+FINE``; ``maps`` holds (sar, optical) per spec."""
    coarse, fine = parse_two_stage(text)
    result = evaluate_two_stage(
        _features(coarse, maps),
        _features(fine, maps),
        np.array([patch.scene for patch in evaluator.patches]),
        evaluator.division.fit,
        evaluator.division.measured,
        seed=evaluator.settings.seed,
        draws=evaluator.settings.draws,
    )
    empty: FloatArray = np.empty((0, 0), np.float32)
    name = Descriptors(text, "", f"{coarse.pooling}+dense", empty, empty)
    found.rows += evaluator.rows(name, FUSED_CALIBRATION, FUSED_SCORING, result.metrics)
    return result


def evaluate_fusion(
    text: str, members: Mapping[str, Descriptors], evaluator: Evaluator, found: Findings
) -> None:
    """Add a fusion with equal and with fitted weights, as if it were an extractor."""
    names = members_of(text)
    own = [evaluator.calibrate(members[name], FUSED_CALIBRATION) for name in names]
    division = evaluator.division
    parts = [Member(name, *c.whole(division)) for name, c in zip(names, own, strict=True)]
    scenes = np.array([patch.scene for patch in evaluator.patches])
    for weights in ("equal", "fitted"):
        for direction in DIRECTIONS:
            fusion = fit_fusion(
                parts,
                division.fit,
                scenes,
                weights=weights,
                direction=direction,
                scoring=FUSED_SCORING,
            )
            ranks = fusion.rank(division.measured)
            shown = Descriptors(
                fusion.name,
                "",
                f"fusion ({weights})",
                parts[0].sar,
                parts[0].optical,
            )
            gain = _gain(own, direction, ranks, evaluator)
            found.rows += evaluator.rows(shown, FUSED_CALIBRATION, FUSED_SCORING, [gain])
            evaluator.add_ranks(shown, FUSED_CALIBRATION, FUSED_SCORING, direction, ranks, found)


def _gain(
    members: Sequence[Calibrated], direction: Direction, ranks: Ranks, evaluator: Evaluator
) -> Metric:
    """Recall at 1 of a fusion minus that of its best member, query by query."""
    alone = [evaluator.rank(member, FUSED_SCORING, direction).rank == 1 for member in members]
    best = max(alone, key=lambda hits: float(hits.mean()))
    change = (ranks.rank == 1).astype(float) - best
    settings = evaluator.settings
    estimate = bootstrap_mean(change, evaluator.scenes, settings.seed, settings.draws)
    count = len(change)
    return Metric("retrieval", "gain-over-best-member", estimate, count, count, 0.0, direction, 1)


def _features(stage: StageSpec, maps: Mapping[str, tuple[FeatureMap, FeatureMap]]) -> StageFeatures:
    sar, optical = maps[stage.extractor]
    return StageFeatures(stage, sar, optical)
