"""Rows of repeated splits, joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crosslook.retrieval.measure.definitions import define
from crosslook.retrieval.measure.resampling import pool_splits
from crosslook.types import Estimate, Row

_KEY = (
    "dataset", "extractor", "revision", "pooling", "calibration", "scoring", "split", "measure",
    "direction", "metric", "k",
)  # fmt: skip


def pool_rows(splits: Sequence[Sequence[Row]]) -> list[Row]:
    """Join the rows of repeated splits, row by row.

    Values are means and intervals hold the total variance (:func:`pool_splits`).
    Numbers of queries and items, which differ where units hold different
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
    definition = define(rows[0].measure, rows[0].metric)
    estimate = pool_splits(
        [Estimate(row.value, row.ci_low, row.ci_high) for row in rows],
        (definition.low, definition.high),
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
