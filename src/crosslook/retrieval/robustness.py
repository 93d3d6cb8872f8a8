"""The robustness of a study: its curves for one extractor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from crosslook.data.patches import PatchSet
from crosslook.extract.base import Extractor
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.pooling import pool
from crosslook.retrieval.compare.similarity import fit_scoring, normalise, rank_partners
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.measure.gallery_size import measure_gallery_size
from crosslook.retrieval.measure.patch_size import measure_patch_size
from crosslook.retrieval.measure.perturbations import PERTURBATIONS, Perturbation, speckle
from crosslook.retrieval.measure.robustness import (
    DIRECTION,
    Gallery,
    Robustness,
    measure_date_gap,
    measure_robustness,
)
from crosslook.retrieval.split import Division
from crosslook.types import FloatArray, Indices, Metric, Modality

CALIBRATION = "standardize"
SCORING = "csls"


def study_robustness(
    extractor: Extractor,
    descriptors: Descriptors,
    patches: PatchSet,
    division: Division,
    units: Sequence[str],
    seed: int,
    draws: int,
    days: Mapping[str, float] | None = None,
) -> Robustness:
    """Measure all curves of one extractor by ``CALIBRATION`` and ``SCORING``.

    Parameters
    ----------
    extractor : Extractor
        Open, that of the descriptors.
    descriptors : Descriptors
        Of the whole, undisturbed set ``patches``.
    division : Division
    units : sequence of str
        Of each patch of the set.
    seed, draws : int
        Of samples, perturbations and intervals.
    days : mapping of scene to days between its images, optional
    """

    def describe(images: FloatArray) -> FloatArray:
        return pool(extractor.extract(images), descriptors.setup.pooling)

    def read_context(indices: Indices, margin: int) -> FloatArray:
        return np.stack([_context(patches, int(i), margin) for i in indices])

    measured = division.measured
    where = np.unique([units[i] for i in measured], return_inverse=True)[1].astype(np.int64)
    gallery, queries = _gallery(descriptors, division, where)
    result = measure_robustness(
        read_context,
        describe,
        gallery,
        measured,
        patches.size,
        seed,
        draws=draws,
        perturbations=perturbations_of(patches),
    )
    scenes = [patches.patches[i].scene for i in measured]
    result.metrics += _by_gallery(gallery, queries, scenes, days or {}, seed, draws)
    sizes = measure_patch_size(
        lambda modality, indices: patches.read(modality, indices.tolist()),
        describe,
        division.fit,
        measured,
        where,
        patches.size,
        seed,
        calibration=CALIBRATION,
        scoring=SCORING,
        draws=draws,
    )
    return Robustness(result.metrics + sizes.metrics, result.left_out | sizes.left_out)


def _by_gallery(
    gallery: Gallery,
    queries: FloatArray,
    scenes: Sequence[str],
    days: Mapping[str, float],
    seed: int,
    draws: int,
) -> list[Metric]:
    """Recall over the size of the gallery and over the days between the images."""
    count = len(queries)
    offsets = gallery.scoring.offsets(queries, gallery.optical)
    partner = np.arange(count, dtype=np.int64)
    ranks = rank_partners(queries, gallery.optical, partner, offsets=offsets, top=1).rank
    return [
        *measure_gallery_size(ranks, gallery.units, count, DIRECTION, seed, draws=draws),
        *measure_date_gap(ranks, scenes, days, count, seed, units=gallery.units, draws=draws),
    ]


def perturbations_of(patches: PatchSet) -> dict[str, Perturbation]:
    """All perturbations, speckle in the tone and limits of the set's radiometry."""
    sides = [scene.sides["sar"] for scene in patches.scenes.values()]
    tone = "linear" if sides[0].scale == "stored" else patches.reading.sar.tone
    low = float(np.median([side.stretch.low[0] for side in sides]))
    high = float(np.median([side.stretch.high[0] for side in sides]))
    return {**PERTURBATIONS, "looks": speckle(tone, low, high)}


def _gallery(
    descriptors: Descriptors, division: Division, units: Indices
) -> tuple[Gallery, FloatArray]:
    fit, measured = division.fit, division.measured
    calibration = fit_calibration(CALIBRATION, descriptors.sar[fit], descriptors.optical[fit])

    def unit(modality: Modality, rows: Indices) -> FloatArray:
        return normalise(calibration.apply(descriptors.of(modality)[rows], modality))

    scoring = fit_scoring(SCORING, unit("sar", fit), unit("optical", fit))
    gallery = Gallery(unit("optical", measured), units, calibration, scoring)
    return gallery, unit("sar", measured)


def _context(patches: PatchSet, index: int, margin: int) -> FloatArray:
    """Read a SAR patch and what lies around it; NaN beyond the scene."""
    patch = patches.patches[index]
    return patches.scenes[patch.scene].read("sar", patch.window.pad(margin))
