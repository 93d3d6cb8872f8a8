"""Delete-a-block jackknife over scenes, for statistics that dislike duplicates.

A bootstrap draws scenes more than once; rank, entropy and cluster agreement
then see copies that were never measured. The jackknife only leaves scenes out.
Efron and Stein, "The jackknife estimate of variance", Annals of Statistics 1981.

Confidence intervals by resampling scenes.

Patches of one scene look alike, so they are not independent: whole scenes are
drawn, with replacement. Percentile interval of the cluster bootstrap
(Efron and Tibshirani 1993, chapter 13; Field and Welsh, JRSS B 2007).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.types import Estimate

LEVEL = 0.95
DRAWS = 1000
_WEIGHTS_AT_ONCE = 1 << 21  # of items in draws, so that memory does not grow with their product


def draw_scenes(count: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Return how often each of ``count`` scenes is in each draw, (draws, count)."""
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, count, size=(draws, count))
    weights = np.zeros((draws, count))
    np.add.at(weights, (np.arange(draws)[:, None], picked), 1.0)
    return weights


def bootstrap_mean(
    values: ArrayLike, scenes: ArrayLike, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> Estimate:
    """Estimate the mean of per-item values, with an interval over scenes.

    Parameters
    ----------
    values : array, shape (n,)
        One value per query or pair.
    scenes : array, shape (n,)
        The scene of each.
    seed : int
        Of the draws.
    draws, level
        Number of draws; confidence in 0..1.

    Returns
    -------
    Estimate
        Bounds are NaN where there is only one scene to draw from.
    """
    x = np.asarray(values, np.float64)
    _, which = np.unique(np.asarray(scenes), return_inverse=True)
    totals = np.bincount(which, weights=x)
    sizes = np.bincount(which).astype(np.float64)
    if len(sizes) < 2:
        return Estimate(float(x.mean()), float("nan"), float("nan"))
    weights = draw_scenes(len(sizes), draws, seed)
    return interval(float(x.mean()), (weights @ totals) / (weights @ sizes), level)


def bootstrap_median(
    values: ArrayLike, scenes: ArrayLike, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> Estimate:
    """Estimate the (lower) median of per-item values, with an interval over scenes."""
    x = np.asarray(values, np.float64)
    _, which = np.unique(np.asarray(scenes), return_inverse=True)
    order = np.argsort(x, kind="stable")
    value = float(x[order][(len(x) - 1) // 2])
    count = int(which.max()) + 1
    if count < 2:
        return Estimate(value, float("nan"), float("nan"))
    drawn, at = draw_scenes(count, draws, seed), which[order]
    step = max(1, _WEIGHTS_AT_ONCE // len(x))
    middle = np.concatenate([_middles(drawn[i : i + step], at) for i in range(0, draws, step)])
    return interval(value, x[order][middle], level)


def _middles(drawn: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position of the lower median in each of some draws, items in order."""
    cumulative = np.cumsum(drawn[:, at], axis=1)
    found: NDArray[np.intp] = (cumulative >= (cumulative[:, -1:] + 1) // 2).argmax(axis=1)
    return found


def interval(value: float, draws: NDArray[np.float64], level: float = LEVEL) -> Estimate:
    """Set a value between the percentiles of its draws, widened to contain it."""
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value))


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
