"""Confidence intervals by resampling scenes.

Patches of one scene look alike, so they are not independent: whole scenes are
drawn, with replacement. Percentile interval of the cluster bootstrap
(Efron and Tibshirani 1993, chapter 13; Field and Welsh, JRSS B 2007).
"""

from __future__ import annotations

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
