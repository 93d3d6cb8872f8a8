"""Rows of repeated splits, joined: their mean, with the total variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crosslook.retrieval.measure.registry import find_measure
from crosslook.retrieval.measure.resampling import LEVEL, student
from crosslook.types import Estimate, Row

_KEY = (
    "dataset", "extractor", "revision", "pooling", "calibration", "scoring", "split", "measure",
    "direction", "metric", "k",
)  # fmt: skip


def pool_rows(splits: Sequence[Sequence[Row]]) -> list[Row]:
    """Join the rows of repeated splits, row by row.

    Values are means and intervals hold the total variance (:func:`pool_splits`).
    Numbers of queries and items, which differ where clusters hold different
    numbers of patches, are rounded means. ``splits`` counts the splits that
    gave a row: a recall at 50 is there only where a gallery holds 50.
    """
    if len(splits) == 1:
        return list(splits[0])
    groups: dict[tuple[object, ...], list[Row]] = {}
    for rows in splits:
        for row in rows:
            groups.setdefault(tuple(getattr(row, name) for name in _KEY), []).append(row)
    return [_pool(rows) for rows in groups.values()]


def _pool(rows: Sequence[Row]) -> Row:
    definition = find_measure(rows[0].measure).define(rows[0].metric)
    estimate = pool_splits(
        [Estimate(row.value, row.ci_low, row.ci_high) for row in rows], definition.bounds
    )
    return replace(
        rows[0],
        value=estimate.value,
        ci_low=estimate.low,
        ci_high=estimate.high,
        n_query=round(float(np.mean([row.n_query for row in rows]))),
        n_gallery=round(float(np.mean([row.n_gallery for row in rows]))),
        chance=float(np.mean([row.chance for row in rows])),
        splits=len(rows),
    )


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
