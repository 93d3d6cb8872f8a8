"""Settings of the last stages that depend on how large a query is."""

from __future__ import annotations

import numpy as np

from crosslook.match.refine import LEVELS, SHARE, Level
from crosslook.match.tie_points import Pass

_SMALL = 448
_COARSE_SHARE = 0.25


def passes_for(shape: tuple[int, int]) -> tuple[Pass, ...]:
    """Passes for a query of this shape: about as many templates whatever its size.

    The place is known to a few pixels by now, so no pass looks far; small
    queries need templates closer together than register does.
    """
    step = float(np.clip(max(shape) / 7, 32.0, 96.0))
    return (
        Pass(template=128.0, radius=32.0, step=step, threshold=10.0),
        Pass(template=112.0, radius=16.0, step=step, threshold=6.0),
        Pass(template=96.0, radius=12.0, step=0.75 * step, threshold=3.0),
    )


def refinement_for(shape: tuple[int, int]) -> tuple[tuple[Level, ...], float]:
    """Levels of the refinement on an optical part of this shape, and the share of the way to go.

    The finest level is left out for a large one, to save its time; half the
    resolution shows the optimum less well, so less of the way to it is gone.
    """
    return (LEVELS, SHARE) if max(shape) <= _SMALL else (LEVELS[:-1], _COARSE_SHARE)
