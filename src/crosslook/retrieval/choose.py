"""The one setup of an extractor, chosen where nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.similarity import Similarities, fit_scoring, normalise, rank
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.measure.resampling import sample
from crosslook.types import MODALITIES, Indices

USUAL = ("standardize", "csls")
"""Kept unless another setup is better by more than a standard error."""

_FOLDS = 10
_MOST = 1000


def choose_setup(
    descriptors: Descriptors,
    fit: Indices,
    clusters: Sequence[str],
    calibrations: Sequence[str],
    scorings: Sequence[str],
    seed: int,
) -> tuple[str, str] | None:
    """Choose calibration and scoring by cross-validation within the calibration set.

    The best of many setups on the measured queries is optimistic. Here one of
    the clusters set aside is left out after the other (a tenth, where there are
    more than ten); every setup is fitted on the rest, and the patches left out
    look for their partners among all that are set aside. The highest mean
    reciprocal rank over both directions wins, but the usual setup is kept unless
    the winner beats it by more than a standard error over clusters: the few clusters
    that are set aside decide little, and more of them are fitted in the end.

    Parameters
    ----------
    descriptors : Descriptors
        Of all patches.
    fit : int64 array
        Patches of the calibration set; a sample of at most 1,000 is used.
    clusters : sequence of str
        Cluster of every patch.
    calibrations, scorings : sequence of str
        What is tried.
    seed : int
        Deals the clusters, draws the sample.

    Returns
    -------
    tuple of str or None
        Calibration and scoring; None where fewer than two clusters are set aside.
    """
    setups = [(calibration, scoring) for calibration in calibrations for scoring in scorings]
    if len(setups) == 1:
        return setups[0]
    used = fit[sample(len(fit), _MOST, seed)]
    names, which = np.unique([clusters[at] for at in used], return_inverse=True)
    if len(names) < 2:
        return None
    quality = np.empty((len(setups), len(used)))
    folds = GroupKFold(min(_FOLDS, len(names)))
    for fitted, left_out in folds.split(used, groups=which):
        quality[:, left_out] = _reciprocal_ranks(
            descriptors, used, fitted, left_out, calibrations, scorings
        )
    best = setups[int(np.argmax(quality.mean(axis=1)))]
    if USUAL not in setups or best == USUAL:
        return best
    gain = quality[setups.index(best)] - quality[setups.index(USUAL)]
    sums = np.bincount(which, weights=gain - gain.mean())  # residuals by cluster
    error = float(np.sqrt((sums**2).sum() * len(names) / (len(names) - 1))) / len(used)
    return best if gain.mean() > error else USUAL


def _reciprocal_ranks(
    descriptors: Descriptors,
    used: Indices,
    fitted: Indices,
    left_out: Indices,
    calibrations: Sequence[str],
    scorings: Sequence[str],
) -> NDArray[np.float64]:
    """Mean reciprocal rank over directions, by setup and patch left out."""
    raw, shifts = {m: descriptors.of(m)[used] for m in MODALITIES}, descriptors.shifts
    reciprocal = np.zeros((len(calibrations), len(scorings), len(left_out)))
    for at, name in enumerate(calibrations):
        # One patch has no statistics; so few clusters leave only what needs none.
        known = (raw["sar"][fitted], raw["optical"][fitted])
        calibration = fit_calibration(name if len(fitted) > 1 else "none", *known)
        sides = {m: normalise(calibration.apply(raw[m], m)) for m in MODALITIES}
        for query, gallery in (MODALITIES, MODALITIES[::-1]):
            banks = sides[query][fitted], sides[gallery][fitted]
            pair = sides[query][left_out], sides[gallery]
            offsets = [
                fit_scoring(scoring, *banks, shifts=shifts).offsets(*pair) for scoring in scorings
            ]
            ranked = rank(Similarities(*pair, offsets, shifts), left_out, top=1)
            reciprocal[at] += [0.5 / ranks.rank for [ranks] in ranked]
    return reciprocal.reshape(-1, len(left_out))
