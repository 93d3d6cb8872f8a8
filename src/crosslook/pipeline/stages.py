"""Two stages and fusions of a study: what needs more than one extractor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from crosslook.compare.fusion import Member, fit_fusion
from crosslook.match.stage_scores import StageFeatures
from crosslook.match.stage_spec import StageSpec, parse_two_stage
from crosslook.match.two_stage import TwoStageResult, evaluate_two_stage
from crosslook.pipeline.descriptors import Descriptors
from crosslook.pipeline.evaluate import Evaluator, Findings
from crosslook.pipeline.stage_texts import members_of
from crosslook.types import DIRECTIONS, FeatureMap, FloatArray

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
    parts = [Member(name, c.sar, c.optical) for name, c in zip(names, own, strict=True)]
    division = evaluator.division
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
            evaluator.add_ranks(shown, FUSED_CALIBRATION, FUSED_SCORING, direction, ranks, found)


def _features(stage: StageSpec, maps: Mapping[str, tuple[FeatureMap, FeatureMap]]) -> StageFeatures:
    sar, optical = maps[stage.extractor]
    return StageFeatures(stage, sar, optical)
