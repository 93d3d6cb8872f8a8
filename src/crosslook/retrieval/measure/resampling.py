"""Delete-a-block jackknife over units, for statistics that dislike duplicates.

A bootstrap draws units more than once; rank, entropy and cluster agreement
then see copies that were never measured. The jackknife only leaves units out.
Efron and Stein, "The jackknife estimate of variance", Annals of Statistics 1981.

Confidence intervals by resampling units (regions, units).

Patches of one unit look alike, so they are not independent: whole units are
drawn, with replacement. Percentile interval of the cluster bootstrap
(Efron and Tibshirani 1993, chapter 13; Field and Welsh, JRSS B 2007).
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
_KEPT = 1 << 25  # weights kept between calls, at two bytes each


def sample(count: int, most: int, seed: int) -> Indices:
    """Return all indices, or ``most`` of them drawn by the seed, in order."""
    if count <= most:
        return np.arange(count, dtype=np.int64)
    drawn = np.random.default_rng(seed).choice(count, most, replace=False)
    return np.sort(drawn).astype(np.int64)


def draw_units(count: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of ``count`` units is in each draw: parts (some draws, count).

    The numbers are the same however they are cut. They are kept between calls
    where they are few; a study draws the same ones for everything that it says.
    """
    if count * draws <= _KEPT:
        kept = _kept_draws(count, draws, seed)
        step = max(1, _WEIGHTS_AT_ONCE // count)
        for start in range(0, draws, step):
            yield kept[start : start + step].astype(np.float64)
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
def _kept_draws(count: int, draws: int, seed: int) -> NDArray[np.uint16]:
    kept = np.empty((draws, count), np.uint16)  # 1,000 draws of 33,000 units are 64 MiB
    start = 0
    for part in _draw(count, draws, seed):
        kept[start : start + len(part)] = part
        start += len(part)
    return kept


def bootstrap_mean(
    values: ArrayLike, units: ArrayLike, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> Estimate:
    """Estimate the mean of per-item values, with an interval over units.

    Parameters
    ----------
    values : array, shape (n,)
        One value per query or pair.
    units : array, shape (n,)
        The unit of each.
    seed : int
        Of the draws.
    draws, level
        Number of draws; confidence in 0..1.

    Returns
    -------
    Estimate
        Bounds are NaN where there is only one unit to draw from.
    """
    x = np.asarray(values, np.float64)
    _, which = np.unique(np.asarray(units), return_inverse=True)
    totals = np.bincount(which, weights=x)
    sizes = np.bincount(which).astype(np.float64)
    if len(sizes) < 2:
        return Estimate(float(x.mean()), float("nan"), float("nan"))
    drawn = [(w @ totals) / (w @ sizes) for w in draw_units(len(sizes), draws, seed)]
    return interval(float(x.mean()), np.concatenate(drawn), level)


def bootstrap_fraction(
    hits: ArrayLike, units: ArrayLike, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> Estimate:
    """Estimate a proportion, with an interval over units.

    As :func:`bootstrap_mean`, but where all or none are hits every draw is the
    same and says nothing: then the interval is the exact one of as many trials
    as there are units (Clopper and Pearson, Biometrika 1934), ``1 - 0.025^(1/n)``
    wide at 95 %. It is conservative, since a unit holds more than one trial.

    Parameters
    ----------
    hits : bool array, shape (n,)
    units : array, shape (n,)
    seed, draws, level
        As in :func:`bootstrap_mean`.
    """
    estimate = bootstrap_mean(hits, units, seed, draws, level)
    return _sure(estimate, len(np.unique(np.asarray(units))), level)


def _sure(estimate: Estimate, units: int, level: float) -> Estimate:
    """Give a proportion of 0 or 1 the interval of ``units`` trials; NaN of one unit stays."""
    if estimate.value not in (0.0, 1.0) or estimate.low != estimate.high:
        return estimate
    reach = 1.0 - ((1.0 - level) / 2) ** (1.0 / units)
    return Estimate(
        estimate.value, *((1.0 - reach, 1.0) if estimate.value == 1.0 else (0.0, reach))
    )


def bootstrap_median(
    values: ArrayLike, units: ArrayLike, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> Estimate:
    """Estimate the (lower) median of per-item values, with an interval over units."""
    x = np.asarray(values, np.float64)
    _, which = np.unique(np.asarray(units), return_inverse=True)
    order = np.argsort(x, kind="stable")
    value = float(x[order][(len(x) - 1) // 2])
    count = int(which.max()) + 1
    if count < 2:
        return Estimate(value, float("nan"), float("nan"))
    at, step = which[order], max(1, _WEIGHTS_AT_ONCE // len(x))
    medians = np.concatenate(
        [
            _median_ranks(part[i : i + step], at)
            for part in draw_units(count, draws, seed)
            for i in range(0, len(part), step)
        ]
    )
    return interval(value, x[order][medians], level)


def _median_ranks(drawn: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position of the lower median in each of some draws, items in order."""
    cumulative = np.cumsum(drawn[:, at], axis=1)
    ranks: NDArray[np.intp] = (cumulative >= (cumulative[:, -1:] + 1) // 2).argmax(axis=1)
    return ranks


def interval(value: float, draws: NDArray[np.float64], level: float = LEVEL) -> Estimate:
    """Set a value between the percentiles of its draws, widened to contain it."""
    tail = (1 - level) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value))


_BLOCKS = 10


def jackknife(
    statistic: Callable[[NDArray[np.int64]], float],
    units: ArrayLike,
    seed: int,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
    blocks: int = _BLOCKS,
    bounded: bool = False,
) -> Estimate:
    """Estimate a statistic of ``n`` items with an interval over units.

    Units are dealt at random into at most ``blocks`` blocks; the statistic is
    computed without each of them in turn. With pseudo-variance
    ``(b - 1) / b * sum (theta_i - mean theta)^2`` the interval is that of
    Student's t with ``b - 1`` degrees of freedom.

    Parameters
    ----------
    statistic : callable
        Takes item indices, int64 ``(m,)``, gives a number.
    units : array, shape (n,)
        The unit of each item.
    seed : int
        Deals the units.
    bounds : tuple of float
        The range of the statistic; the interval is clipped to it.
    level : float
        Confidence, 0..1.
    blocks : int
        At most so many parts are left out in turn.
    bounded : bool
        The statistic is a proportion: 0 and 1 get the interval of
        :func:`bootstrap_fraction`.

    Returns
    -------
    Estimate
        Bounds are NaN where fewer than two units are there, or where the
        statistic is not finite.
    """
    names, which = np.unique(np.asarray(units), return_inverse=True)
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
    error = float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
    reach = _student(level, count - 1) * error
    low, high = np.clip([value - reach, value + reach], *bounds)
    estimate = Estimate(value, float(low), float(high))
    return _sure(estimate, len(names), level) if bounded else estimate


def pool_splits(
    estimates: Sequence[Estimate], bounds: tuple[float, float], level: float = LEVEL
) -> Estimate:
    """Join the estimates of repeated splits: their mean, with the total variance.

    Rubin's rules ("Multiple Imputation for Nonresponse in Surveys", 1987, ch.
    3): variance within a split, from the half-widths of its interval on either
    side, plus ``1 + 1/m`` times the variance between the ``m`` splits; Student's
    t with ``(m - 1) (1 + within / between')^2`` degrees of freedom. Splits share
    their units, so averaging does not make the part within any smaller.

    Parameters
    ----------
    estimates : sequence of Estimate
        One per split.
    bounds : tuple of float
        The range of the statistic.
    level : float
        Confidence of the given intervals, and of the result.

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
        within = float((((table[:, side] - table[:, 0]) / ndtri(0.5 + level / 2)) ** 2).mean())
        freedom = (count - 1) * (1 + within / between) ** 2 if between > 0 else np.inf
        wide = _student(level, freedom) if np.isfinite(freedom) else ndtri(0.5 + level / 2)
        reach.append(float(wide * np.sqrt(within + between)))
    low, high = np.clip([value - reach[0], value + reach[1]], *bounds)
    return Estimate(value, min(float(low), value), max(float(high), value))


def _student(level: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + level / 2))
