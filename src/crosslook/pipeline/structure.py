"""The structure of a study: numbers, embeddings and heat maps of each feature space."""

from __future__ import annotations

from crosslook.measure.structure import measure_structure
from crosslook.pipeline.descriptors import Descriptors
from crosslook.pipeline.evaluate import Calibrated, Evaluator, Findings
from crosslook.report.structure_files import EmbeddingTable, HeatTable

CALIBRATIONS = ("none", "standardize")
"""Shown before and after calibration; the other calibrations look much alike."""

_FEWEST_PAIRS = 4


def evaluate_structure(
    descriptors: Descriptors, calibrated: Calibrated, evaluator: Evaluator, found: Findings
) -> None:
    """Add structure rows, embeddings and heat maps of the measured patches.

    Fewer than four measured pairs have no structure, and add nothing.
    """
    at = evaluator.division.measured
    if len(at) < _FEWEST_PAIRS:
        return
    groups = [patch.group for patch in evaluator.measured]
    labelled = any(patch.group != patch.scene for patch in evaluator.measured)
    structure = measure_structure(
        calibrated.sar,
        calibrated.optical,
        evaluator.scenes,
        evaluator.settings.seed,
        groups=groups if labelled and len(set(groups)) > 1 else None,
    )
    name = (descriptors.extractor, calibrated.calibration)
    found.rows += evaluator.rows(descriptors, calibrated.calibration, "cosine", structure.metrics)
    index = at[structure.items]
    plans = {plan.method: plan for plan in (structure.pca, structure.umap)}
    found.embeddings += [
        EmbeddingTable(*name, method, index, plan.sar, plan.optical)
        for method, plan in plans.items()
    ]
    found.heat_maps += [
        HeatTable(*name, heat.order_by, heat.values, heat.borders)
        for heat in (structure.by_scene, structure.by_cluster)
    ]
