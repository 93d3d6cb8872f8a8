"""Confidence intervals by resampling clusters (groups or scenes of patches).

Patches of one cluster look alike, so they are not independent: whole clusters are
resampled. Means and medians have the percentile interval of the cluster bootstrap
(Efron and Tibshirani 1993, chapter 13; Field and Welsh, JRSS B 2007). A bootstrap
draws clusters more than once; rank, entropy and cluster agreement then see copies
that were never measured. Such statistics have the delete-a-block jackknife (Efron
and Stein, Annals of Statistics 1981), which only leaves clusters out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.types import Estimate, Indices

LEVEL = 0.95
DRAWS = 1000
_WEIGHTS_AT_ONCE = 1 << 21  # of items in draws, so that memory does not grow with their product
_BLOCKS = 10  # of the jackknife
_CACHED = 1 << 25  # weights cached between calls, at two bytes each


def sample(count: int, most: int, seed: int) -> Indices:
    """Return all indices, or ``most`` of them drawn by the seed, in order."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    drawn = np.random.default_rng(seed).choice(count, most, replace=False)
    return np.sort(drawn).astype(np.int64)


def draw_clusters(count: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of ``count`` clusters is in each draw: parts (some draws, count).

    The numbers are the same however they are cut. They are cached
    where they are few; a study draws the same ones for everything that it says.
    """
    if count * draws <= _CACHED:
        cached = _cached_draws(count, draws, seed)
        step = max(1, _WEIGHTS_AT_ONCE // count)
        for start in range(0, draws, step):
            yield cached[start : start + step].astype(np.float64)
        return
    for part in _draw(count, draws, seed):
        yield part.astype(np.float64)


def _draw(count: int, draws: int, seed: int) -> Iterator[NDArray[np.uint32]]:
    rng = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_AT_ONCE // count)
    for start in range(0, draws, step):
        picked = rng.integers(0, count, size=(min(step, draws - start), count))
        # One count over all draws of the part: each has numbers of its own.
        picked += np.arange(len(picked))[:, None] * count
        counted = np.bincount(picked.ravel(), minlength=picked.size)
        yield counted.reshape(picked.shape).astype(np.uint32)


@lru_cache(maxsize=1)
def _cached_draws(count: int, draws: int, seed: int) -> NDArray[np.uint16]:
    cached = np.empty((draws, count), np.uint16)  # 1,000 draws of 33,000 clusters are 64 MiB
    start = 0
    for part in _draw(count, draws, seed):
        cached[start : start + len(part)] = part
        start += len(part)
    return cached


def bootstrap_mean(
    values: ArrayLike, clusters: ArrayLike, seed: int, draws: int = DRAWS
) -> Estimate:
    """Estimate the mean of per-item values, with an interval over clusters.

    Parameters
    ----------
    values : array, shape (n,)
        One value per query or pair.
    clusters : array, shape (n,)
        The cluster of each.
    seed, draws : int
        Of the draws, and how many.

    Returns
    -------
    Estimate
        Bounds are NaN where there is only one cluster to draw from.
    """
    x = np.asarray(values, np.float64)
    _, which = np.unique(np.asarray(clusters), return_inverse=True)
    totals = np.bincount(which, weights=x)
    sizes = np.bincount(which).astype(np.float64)
    if len(sizes) < 2:
        return Estimate(float(x.mean()), float("nan"), float("nan"))
    drawn = [(w @ totals) / (w @ sizes) for w in draw_clusters(len(sizes), draws, seed)]
    return _interval(float(x.mean()), np.concatenate(drawn))


def bootstrap_fraction(
    hits: ArrayLike, clusters: ArrayLike, seed: int, draws: int = DRAWS
) -> Estimate:
    """Estimate a proportion, with an interval over clusters.

    As :func:`bootstrap_mean`, but where all or none are hits every draw is the
    same and says nothing: then the interval is the exact one of as many trials
    as there are clusters (Clopper and Pearson, Biometrika 1934), ``1 - 0.025^(1/n)``
    wide at 95 %. It is conservative, since a cluster holds more than one trial.

    Parameters
    ----------
    hits : bool array, shape (n,)
    clusters : array, shape (n,)
    seed, draws
        As in :func:`bootstrap_mean`.
    """
    estimate = bootstrap_mean(hits, clusters, seed, draws)
    return _sure(estimate, len(np.unique(np.asarray(clusters))))


def _sure(estimate: Estimate, clusters: int) -> Estimate:
    """Give a proportion of 0 or 1 the interval of ``clusters`` trials; NaN of one cluster stays."""
    if estimate.value not in (0.0, 1.0) or estimate.low != estimate.high:
        return estimate
    reach = 1.0 - ((1.0 - LEVEL) / 2) ** (1.0 / clusters)
    return Estimate(
        estimate.value, *((1.0 - reach, 1.0) if estimate.value == 1.0 else (0.0, reach))
    )


def bootstrap_median(
    values: ArrayLike, clusters: ArrayLike, seed: int, draws: int = DRAWS
) -> Estimate:
    """Estimate the (lower) median of per-item values, with an interval over clusters."""
    x = np.asarray(values, np.float64)
    _, which = np.unique(np.asarray(clusters), return_inverse=True)
    order = np.argsort(x, kind="stable")
    value = float(x[order][(len(x) - 1) // 2])
    count = int(which.max()) + 1
    if count < 2:
        return Estimate(value, float("nan"), float("nan"))
    at, step = which[order], max(1, _WEIGHTS_AT_ONCE // len(x))
    medians = np.concatenate(
        [
            _median_ranks(part[i : i + step], at)
            for part in draw_clusters(count, draws, seed)
            for i in range(0, len(part), step)
        ]
    )
    return _interval(value, x[order][medians])


def _median_ranks(drawn: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position of the lower median in each of some draws, items in order."""
    cumulative = np.cumsum(drawn[:, at], axis=1)
    ranks: NDArray[np.intp] = (cumulative >= (cumulative[:, -1:] + 1) // 2).argmax(axis=1)
    return ranks


def _interval(value: float, draws: NDArray[np.float64]) -> Estimate:
    """Set a value between the percentiles of its draws, which are moved to contain it."""
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value))


def jackknife(
    statistic: Callable[[NDArray[np.int64]], float],
    clusters: ArrayLike,
    seed: int,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    bounded: bool = False,
) -> Estimate:
    """Estimate a statistic of ``n`` items with an interval over clusters.

    Clusters are dealt at random into at most ten blocks; the statistic is
    computed without each of them in turn. With pseudo-variance
    ``(b - 1) / b * sum (theta_i - mean theta)^2`` the interval is that of
    Student's t with ``b - 1`` degrees of freedom.

    Parameters
    ----------
    statistic : callable
        Takes item indices, int64 ``(m,)``, gives a number.
    clusters : array, shape (n,)
        The cluster of each item.
    seed : int
        Deals the clusters.
    bounds : tuple of float
        The range of the statistic; the interval is clipped to it.
    bounded : bool
        The statistic is a proportion: 0 and 1 get the interval of
        :func:`bootstrap_fraction`.

    Returns
    -------
    Estimate
        Bounds are NaN where fewer than two clusters are there, or where the
        statistic is not finite.
    """
    names, which = np.unique(np.asarray(clusters), return_inverse=True)
    everything = np.arange(len(which), dtype=np.int64)
    value = statistic(everything)
    count = min(_BLOCKS, len(names))
    if count < 2:
        return Estimate(value, float("nan"), float("nan"))
    dealt = np.random.default_rng(seed).permutation(len(names)) % count
    block = dealt[which]
    without = np.array([statistic(everything[block != b]) for b in range(count)])
    if not (np.isfinite(value) and np.isfinite(without).all()):
        return Estimate(value, float("nan"), float("nan"))
    error = float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
    reach = student(count - 1) * error
    low, high = np.clip([value - reach, value + reach], *bounds)
    estimate = Estimate(value, float(low), float(high))
    return _sure(estimate, len(names)) if bounded else estimate


def student(freedom: float) -> float:
    """Half-width of the interval of Student's t, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + LEVEL / 2))


def pool_splits(estimates: Sequence[Estimate], bounds: tuple[float, float]) -> Estimate:
    """Join the estimates of repeated splits: their mean, with the total variance.

    Rubin's rules ("Multiple Imputation for Nonresponse in Surveys", 1987, ch.
    3): variance within a split, from the half-widths of its interval on either
    side, plus ``1 + 1/m`` times the variance between the ``m`` splits; Student's
    t with ``(m - 1) (1 + within / between')^2`` degrees of freedom. Splits share
    their clusters, so averaging does not make the part within any smaller.

    Parameters
    ----------
    estimates : sequence of Estimate
        One per split.
    bounds : tuple of float
        The range of the statistic.

    Returns
    -------
    Estimate
        Bounds are NaN where those of a split are.
    """
    from scipy.special import ndtri

    table = np.array([(e.value, e.low, e.high) for e in estimates], np.float64)
    value, count = float(table[:, 0].mean()), len(table)
    if count == 1 or not np.isfinite(table).all():
        return Estimate(value, float(table[:, 1].mean()), float(table[:, 2].mean()))
    between = (1 + 1 / count) * float(table[:, 0].var(ddof=1))
    reach = []
    for side in (1, 2):
        within = float((((table[:, side] - table[:, 0]) / ndtri(0.5 + LEVEL / 2)) ** 2).mean())
        freedom = (count - 1) * (1 + within / between) ** 2 if between > 0 else np.inf
        wide = student(freedom) if np.isfinite(freedom) else ndtri(0.5 + LEVEL / 2)
        reach.append(float(wide * np.sqrt(within + between)))
    low, high = np.clip([value - reach[0], value + reach[1]], *bounds)
    return Estimate(value, min(float(low), value), max(float(high), value))
