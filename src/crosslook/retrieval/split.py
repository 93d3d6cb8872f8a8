"""Which scenes fit the calibrations and which are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import CalibrationError
from crosslook.types import Patch, Split

_AT_LEAST = 2


@dataclass(frozen=True)
class Division:
    """Indices of patches: ``fit`` for calibrations, ``measured`` for the rest."""

    split: Split
    fit: NDArray[np.int64]
    measured: NDArray[np.int64]
    fit_scenes: tuple[str, ...]


def divide(patches: Sequence[Patch], share: float, seed: int, by: str = "scene") -> Division:
    """Set a share of the scenes (at least two) aside for the calibrations.

    Parameters
    ----------
    patches : sequence of Patch
    share : float
        Share of the scenes, 0..1.
    seed : int
        Draws which ones.
    by : str
        ``scene`` or ``group``: the unit that is never divided.

    Raises
    ------
    CalibrationError
        If fewer than three units are there: two to fit and one to measure.
    """
    units = np.array([patch.scene if by == "scene" else patch.group for patch in patches])
    names = sorted(set(units.tolist()))
    if len(names) <= _AT_LEAST:
        raise CalibrationError(
            f"{len(names)} {by}(s) with usable patches; a calibration needs at least "
            f"{_AT_LEAST} to fit and one more to measure. Give more {by}s, or fit on the "
            "measured ones with --split transductive (rows are then marked so)."
        )
    count = min(max(_AT_LEAST, round(share * len(names))), len(names) - 1)
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[i] for i in order[:count]}
    fits = np.array([unit in chosen for unit in units.tolist()])
    scenes = tuple(sorted({p.scene for p, fit in zip(patches, fits, strict=True) if fit}))
    return Division("held-out", np.flatnonzero(fits), np.flatnonzero(~fits), scenes)


def transductive(patches: Sequence[Patch]) -> Division:
    """Fit on everything and measure everything; rows say ``transductive``."""
    everything = np.arange(len(patches))
    scenes = tuple(sorted({patch.scene for patch in patches}))
    return Division("transductive", everything, everything, scenes)
