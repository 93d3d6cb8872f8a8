"""The one setup of an extractor, chosen where nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crosslook.retrieval.compare.calibration import fit_calibration
from crosslook.retrieval.compare.similarity import fit_scoring, normalise, rank_partners
from crosslook.retrieval.descriptors import Descriptors
from crosslook.retrieval.measure.resampling import sample
from crosslook.types import DIRECTIONS, MODALITIES, FloatArray, Indices, Modality

USUAL = ("standardize", "csls")
"""Kept unless another setup is better by more than a standard error."""

_FOLDS = 10
_MOST = 1000


def choose_setup(
    descriptors: Descriptors,
    fit: Indices,
    units: Sequence[str],
    calibrations: Sequence[str],
    scorings: Sequence[str],
    seed: int,
) -> tuple[str, str] | None:
    """Choose calibration and scoring by cross-validation within the calibration units.

    The best of many setups on the measured queries is optimistic. Here one of
    the units set aside is left out after the other (a tenth, where there are
    more than ten); every setup is fitted on the rest, and the patches left out
    look for their partners among all that are set aside. The highest mean
    reciprocal rank over both directions wins, but the usual setup is kept unless
    the winner beats it by more than a standard error over units: the few units
    that are set aside decide little, and more of them are fitted in the end.

    Parameters
    ----------
    descriptors : Descriptors
        Of all patches.
    fit : int64 array
        Patches of the calibration units; a sample of at most 1,000 is used.
    units : sequence of str
        Unit of every patch.
    calibrations, scorings : sequence of str
        What is tried.
    seed : int
        Deals the units, draws the sample.

    Returns
    -------
    tuple of str or None
        Calibration and scoring; None where fewer than two units are set aside.
    """
    setups = [(calibration, scoring) for calibration in calibrations for scoring in scorings]
    if len(setups) == 1:
        return setups[0]
    used = fit[sample(len(fit), _MOST, seed)]
    names, which = np.unique([units[at] for at in used], return_inverse=True)
    if len(names) < 2:
        return None
    dealt = np.random.default_rng(seed).permutation(len(names)) % min(_FOLDS, len(names))
    quality = np.empty((len(setups), len(used)))
    for fold in range(int(dealt.max()) + 1):
        left_out = dealt[which] == fold
        quality[:, left_out] = _reciprocal_ranks(descriptors, used, left_out, setups)
    best = setups[int(np.argmax(quality.mean(axis=1)))]
    if USUAL not in setups or best == USUAL:
        return best
    gain = quality[setups.index(best)] - quality[setups.index(USUAL)]
    sums = np.bincount(which, weights=gain - gain.mean())  # residuals by unit
    error = float(np.sqrt((sums**2).sum() * len(names) / (len(names) - 1))) / len(used)
    return best if gain.mean() > error else USUAL


def _reciprocal_ranks(
    descriptors: Descriptors,
    used: Indices,
    left_out: NDArray[np.bool_],
    setups: Sequence[tuple[str, str]],
) -> NDArray[np.float64]:
    """Mean reciprocal rank over directions, by setup and patch left out."""
    partner, reciprocal = np.flatnonzero(left_out), []
    done, sides = "", {}
    for calibration, scoring in setups:
        if calibration != done:
            done, sides = calibration, _sides(descriptors, used, ~left_out, calibration)
        total = np.zeros(len(partner))
        for direction in DIRECTIONS:
            query, gallery = MODALITIES if direction == "sar->optical" else MODALITIES[::-1]
            banks = sides[query][~left_out], sides[gallery][~left_out]
            fitted = fit_scoring(scoring, *banks, shifts=descriptors.shifts)
            pair = sides[query][left_out], sides[gallery]
            how = fitted.offsets(*pair)
            total += 0.5 / rank_partners(*pair, partner, how, 1, shifts=descriptors.shifts).rank
        reciprocal.append(total)
    return np.array(reciprocal)


def _sides(
    descriptors: Descriptors, used: Indices, fits: NDArray[np.bool_], calibration: str
) -> dict[Modality, FloatArray]:
    raw = {modality: descriptors.of(modality)[used] for modality in MODALITIES}
    # One patch has no statistics; so few units leave only what needs none.
    name = calibration if fits.sum() > 1 else "none"
    fitted = fit_calibration(name, raw["sar"][fits], raw["optical"][fits])
    return {modality: normalise(fitted.apply(raw[modality], modality)) for modality in MODALITIES}
