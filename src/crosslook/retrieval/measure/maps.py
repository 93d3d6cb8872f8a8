"""Maps of a feature space: the pairs in the plane, and the similarity of the sensors in blocks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crosslook.retrieval.compare.calibration import principal_axes
from crosslook.retrieval.compare.similarity import normalise
from crosslook.types import FloatArray

_AXES = 50
_FEWEST = 8
_SIDE = 200


def principal_scores(descriptors: FloatArray, axes: int = _AXES) -> FloatArray:
    """Unit-length descriptors on their first principal axes.

    Parameters
    ----------
    descriptors : float32 array, shape (M, D)
        All sar first, then all optical.
    axes : int
        At most so many; fewer where M or D is smaller.

    Returns
    -------
    float32 array, shape (M, min(axes, M - 1, D))
        The sign of an axis makes its largest entry positive, so that equal
        input gives equal coordinates.
    """
    rows = normalise(descriptors).astype(np.float64)
    rows -= rows.mean(axis=0)
    kept = max(1, min(axes, len(rows) - 1, rows.shape[1]))
    scores = principal_axes(rows).scores(rows, kept)
    peak = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return np.asarray(scores * np.where(peak < 0, -1.0, 1.0), np.float32)


def embed_pca(reduced: FloatArray) -> FloatArray:
    """The first two principal axes (2 N, 2): the linear control beside UMAP."""
    flat = reduced[:, :2]
    if flat.shape[1] < 2:
        flat = np.column_stack([flat, np.zeros(len(flat), np.float32)])
    return np.asarray(flat, np.float32)


def embed_umap(reduced: FloatArray, seed: int) -> FloatArray | None:
    """UMAP of both modalities together.

    McInnes, Healy and Melville, arXiv 1802.03426: 15 neighbours, minimum
    distance 0.1, start from the principal axes. One thread, since more would
    make the result depend on their order.

    Parameters
    ----------
    reduced : float32 array, shape (2 N, d)
        From :func:`principal_scores`.
    seed : int

    Returns
    -------
    float32 array, shape (2 N, 2), or None
        None where fewer than eight descriptors, or equal ones, leave no
        neighbourhoods to draw.
    """
    if len(reduced) < _FEWEST or float(np.ptp(reduced)) == 0.0:
        return None
    from umap import UMAP

    start = embed_pca(reduced)
    start = start / max(float(np.abs(start).max()), 1e-12) * 10
    model = UMAP(
        n_neighbors=min(15, len(reduced) - 1),
        min_dist=0.1,
        init=start.astype(np.float32),
        random_state=seed,
        n_jobs=1,
        n_epochs=200,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        return np.asarray(model.fit_transform(reduced), np.float32)


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
        Where the next cluster begins, in blocks, 0 and b left out.
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
