"""Coordinates for the plots of a feature space: PCA and UMAP."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from crosslook.retrieval.compare.principal import principal_axes
from crosslook.retrieval.compare.similarity import normalise
from crosslook.types import FloatArray

_AXES = 50
_FEWEST = 8


@dataclass(frozen=True, eq=False)
class Embedding:
    """Positions of the pairs in the plane, one set of axes for both modalities.

    Attributes
    ----------
    method : str
        ``pca`` or ``umap``.
    sar, optical : float32 arrays, shape (N, 2)
        Row i of both is one pair, to be joined by a line.
    """

    method: str
    sar: FloatArray
    optical: FloatArray


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
    units = normalise(descriptors).astype(np.float64)
    units -= units.mean(axis=0)
    kept = max(1, min(axes, len(units) - 1, units.shape[1]))
    scores = principal_axes(units).scores(units, kept)
    peak = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return np.asarray(scores * np.where(peak < 0, -1.0, 1.0), np.float32)


def embed_pca(reduced: FloatArray) -> Embedding:
    """The first two principal axes: the linear control beside UMAP."""
    flat = reduced[:, :2]
    if flat.shape[1] < 2:
        flat = np.column_stack([flat, np.zeros(len(flat), np.float32)])
    return _split("pca", flat)


def embed_umap(reduced: FloatArray, seed: int) -> Embedding:
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
    Embedding
        ``method`` is ``pca`` where fewer than eight descriptors, or equal ones,
        leave no neighbourhoods to draw.
    """
    flat = embed_pca(reduced)
    if len(reduced) < _FEWEST or float(np.ptp(reduced)) == 0.0:
        return flat
    from umap import UMAP

    start = np.concatenate([flat.sar, flat.optical])
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
        return _split("umap", model.fit_transform(reduced))


def _split(method: str, flat: FloatArray) -> Embedding:
    half = len(flat) // 2
    points = np.asarray(flat, np.float32)
    return Embedding(method, points[:half], points[half:])
