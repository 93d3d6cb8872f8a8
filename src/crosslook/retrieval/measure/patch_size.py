"""Recall over the size of a patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from crosslook.errors import SettingError
from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.similarity import fit_scoring, normalise, rank_partners
from crosslook.retrieval.measure.perturbations import centre
from crosslook.retrieval.measure.resampling import DRAWS, bootstrap_fraction, sample
from crosslook.retrieval.measure.robustness import DIRECTION, Describe, Robustness
from crosslook.types import MODALITIES, FloatArray, Indices, Metric, Modality

Read = Callable[[Modality, Indices], FloatArray]

LEAST_SIZE = 32
MOST_GALLERY = 500
MOST_FIT = 200
_CHUNK = 32


def measure_patch_size(
    read: Read,
    describe: Describe,
    fit: Indices,
    measured: Indices,
    units: Indices,
    size: int,
    seed: int,
    *,
    calibration: str = "standardize",
    scoring: str = "csls",
    draws: int = DRAWS,
) -> Robustness:
    """Measure recall at 1 with the centre of each patch only; ``k`` is its side.

    Both sides are cut, described, calibrated and searched anew per size, so
    a row says what a study with such patches on the same places would give.

    Parameters
    ----------
    read : callable
        ``read(modality, indices)``: patches (n, 3, size, size) in 0..1.
    describe : callable
        Extractor and pooling.
    fit, measured : int64 arrays
        Patches that calibrations are fitted on (at most 200 are used) and
        those that are searched (at most 500), drawn by the seed.
    units : int64 array, shape (len(measured),)
        The unit of each measured patch.
    size : int
        Side of a patch; it, its half, quarter ... down to 32 px are measured.
    """
    result = Robustness()
    chosen = sample(len(measured), MOST_GALLERY, seed)
    searched, where = measured[chosen], units[chosen]
    bank = fit[sample(len(fit), MOST_FIT, seed)]
    side = size
    while side >= min(size, LEAST_SIZE):
        try:
            descriptors = {
                (modality, part): _describe_cut(read, describe, modality, indices, side)
                for modality in MODALITIES
                for part, indices in (("fit", bank), ("measured", searched))
            }
        except SettingError as error:  # the pooling is finer than so small a map
            result.left_out[f"patch={side}"] = str(error)
            break
        ranks = _search(descriptors, calibration, scoring)
        first = bootstrap_fraction(ranks == 1, where, seed, draws)
        count, name = len(ranks), "recall@1/patch"
        result.metrics.append(
            Metric("robustness", name, first, count, count, 1 / count, DIRECTION, side)
        )
        side //= 2
    return result


def _search(
    descriptors: Mapping[tuple[Modality, str], FloatArray], calibration: str, scoring: str
) -> Indices:
    fitted = fit_calibration(calibration, descriptors["sar", "fit"], descriptors["optical", "fit"])
    unit = {key: normalise(fitted.apply(value, key[0])) for key, value in descriptors.items()}
    query, gallery = unit["sar", "measured"], unit["optical", "measured"]
    correction = fit_scoring(scoring, unit["sar", "fit"], unit["optical", "fit"])
    partner = np.arange(len(query), dtype=np.int64)
    offsets = correction.offsets(query, gallery)
    return rank_partners(query, gallery, partner, offsets=offsets, top=1).rank


def _describe_cut(
    read: Read, describe: Describe, modality: Modality, indices: Indices, side: int
) -> FloatArray:
    return np.concatenate(
        [
            describe(np.ascontiguousarray(centre(read(modality, indices[i : i + _CHUNK]), side)))
            for i in range(0, len(indices), _CHUNK)
        ]
    )
