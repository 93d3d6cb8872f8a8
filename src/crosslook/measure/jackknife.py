"""Delete-a-block jackknife over scenes, for statistics that dislike duplicates.

A bootstrap draws scenes more than once; rank, entropy and cluster agreement
then see copies that were never measured. The jackknife only leaves scenes out.
Efron and Stein, "The jackknife estimate of variance", Annals of Statistics 1981.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.types import Estimate

_BLOCKS = 10


def jackknife(
    statistic: Callable[[NDArray[np.int64]], float],
    scenes: ArrayLike,
    seed: int,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
    blocks: int = _BLOCKS,
) -> Estimate:
    """Estimate a statistic of ``n`` items with an interval over scenes.

    Scenes are dealt at random into at most ``blocks`` blocks; the statistic is
    computed without each of them in turn. With pseudo-variance
    ``(b - 1) / b * sum (theta_i - mean theta)^2`` the interval is that of
    Student's t with ``b - 1`` degrees of freedom.

    Parameters
    ----------
    statistic : callable
        Takes item indices, int64 ``(m,)``, gives a number.
    scenes : array, shape (n,)
        The scene of each item.
    seed : int
        Deals the scenes.
    bounds : tuple of float
        The range of the statistic; the interval is clipped to it.
    level : float
        Confidence, 0..1.
    blocks : int
        At most so many parts are left out in turn.

    Returns
    -------
    Estimate
        Bounds are NaN where fewer than two scenes are there, or where the
        statistic is not finite.
    """
    names, which = np.unique(np.asarray(scenes), return_inverse=True)
    everything = np.arange(len(which), dtype=np.int64)
    value = statistic(everything)
    count = min(blocks, len(names))
    if count < 2:
        return Estimate(value, float("nan"), float("nan"))
    dealt = np.random.default_rng(seed).permutation(len(names)) % count
    block = dealt[which]
    without = np.array([statistic(everything[block != b]) for b in range(count)])
    if not (np.isfinite(value) and np.isfinite(without).all()):
        return Estimate(value, float("nan"), float("nan"))
    spread = float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
    reach = _student(level, count - 1) * spread
    low, high = np.clip([value - reach, value + reach], *bounds)
    return Estimate(value, float(low), float(high))


def _student(level: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))
