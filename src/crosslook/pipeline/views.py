"""What a feature sees: maps of a few patches as pictures, for every extractor."""

from __future__ import annotations

import numpy as np

from crosslook.data.patches import PatchSet
from crosslook.extract.run import read_maps
from crosslook.measure.feature_views import (
    cell_response,
    fit_map_scale,
    pca_colours,
    telling_cell,
)
from crosslook.pipeline.features import extract_both
from crosslook.pipeline.models import Plan
from crosslook.pipeline.settings import StudySettings
from crosslook.pipeline.split import Division
from crosslook.report.views import FeatureView

SHOWN = 3
_FITTED_ON = 32


def feature_views(
    spec: str, patches: PatchSet, settings: StudySettings, plan: Plan, division: Division
) -> list[FeatureView]:
    """Make the views of patches spread evenly over the measured ones.

    Channels are standardised per sensor on patches of the calibration scenes.
    A map of a single cell has nothing to show and gives no view.
    """
    sar_set, optical_set = extract_both(spec, patches, settings, plan)
    places = np.linspace(0, len(division.measured) - 1, SHOWN + 2)[1:-1].round().astype(int)
    chosen = sorted({int(division.measured[place]) for place in places})
    fit = division.fit[:: max(1, len(division.fit) // _FITTED_ON)].tolist()
    scale = fit_map_scale(
        read_maps(sar_set, patches, fit).values, read_maps(optical_set, patches, fit).values
    )
    sar = scale.sar(read_maps(sar_set, patches, chosen).values)
    optical = scale.optical(read_maps(optical_set, patches, chosen).values)
    if min(sar.shape[2:]) < 2:
        return []
    found = []
    for index, first, second in zip(chosen, sar, optical, strict=True):
        cell = telling_cell(first)
        colours = pca_colours(first, second)
        found.append(FeatureView(spec, index, cell, *colours, cell_response(first, second, cell)))
    return found
