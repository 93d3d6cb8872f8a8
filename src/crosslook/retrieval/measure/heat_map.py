"""Similarity of the two modalities as a small image, ordered by unit or cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.retrieval.compare.similarity import normalise
from crosslook.types import FloatArray

_SIDE = 200


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Mean cosine of blocks of sar (rows) and optical (columns) descriptors.

    Attributes
    ----------
    order_by : str
        ``unit`` or ``cluster``.
    values : float32 array, shape (b, b)
        Block means; the same order on both sides, so that partners lie on the
        diagonal.
    order : int64 array, shape (N,)
        Pair at each place before the blocks were averaged.
    borders : float64 array
        Where the next unit or cluster begins, in blocks, 0 and b left out.
    """

    order_by: str
    values: FloatArray
    order: NDArray[np.int64]
    borders: NDArray[np.float64]


def heat_map(
    sar: FloatArray, optical: FloatArray, labels: ArrayLike, order_by: str, side: int = _SIDE
) -> HeatMap:
    """Cosines between the modalities, pairs sorted by label, averaged in blocks.

    Parameters
    ----------
    sar, optical : float32 arrays, shape (N, D)
    labels : array, shape (N,)
        Sorts the pairs; equal labels keep their order.
    order_by : str
        What the labels are, for the caption.
    side : int
        At most so many blocks along a side; no block average where N is less.
    """
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable").astype(np.int64)
    count = min(side, len(order))
    starts = (np.arange(count) * len(order)) // count
    sizes = np.diff(np.append(starts, len(order)))[:, None]
    # The mean cosine of two blocks is the product of their mean unit vectors.
    rows = np.add.reduceat(normalise(sar)[order], starts, axis=0) / sizes
    cols = np.add.reduceat(normalise(optical)[order], starts, axis=0) / sizes
    changes = np.flatnonzero(np.diff(codes[order])) + 1
    return HeatMap(
        order_by,
        np.asarray(rows @ cols.T, np.float32),
        order,
        np.asarray(changes * (count / len(order)), np.float64),
    )
