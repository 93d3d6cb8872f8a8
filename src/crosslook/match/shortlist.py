"""A shortlist by one score, decided by another: who is found, for every K.

Score matrices are (Nq, Ng) with query i's partner at gallery index i. A tie
counts against the partner everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crosslook.types import FloatArray

_RANK_CONSTANT = 60.0
Hits = NDArray[np.bool_]


def partner_ranks(scores: FloatArray) -> NDArray[np.int64]:
    """Rank of each query's partner, 1 is best, shape (Nq,)."""
    return np.asarray((scores >= np.diagonal(scores)[:, None]).sum(axis=1), np.int64)


def final_hits(coarse: FloatArray, fine: FloatArray, ks: tuple[int, ...]) -> list[Hits]:
    """Whether the partner is shortlisted and then scores best, for each K."""
    rank = partner_ranks(coarse)
    order = _order(coarse, max(ks))
    rivals = np.take_along_axis(fine, order, axis=1)
    rivals[order == np.arange(len(fine))[:, None]] = -np.inf
    strongest = np.maximum.accumulate(rivals, axis=1)
    partner = np.diagonal(fine)
    return [(rank <= k) & (strongest[:, k - 1] < partner) for k in ks]


def rank_fusion_hits(coarse: FloatArray, fine: FloatArray, ks: tuple[int, ...]) -> list[Hits]:
    """The same, decided by reciprocal rank fusion of both scores in the shortlist.

    Cormack, Clarke and Buettcher, SIGIR 2009: ``1 / (60 + rank)``, summed.
    """
    rank = partner_ranks(coarse)
    order = _order(coarse, max(ks))
    gathered = np.take_along_axis(fine, order, axis=1)
    found = []
    for k in ks:
        by_fine = np.argsort(np.argsort(-gathered[:, :k], axis=1, kind="stable"), axis=1)
        fused = 1 / (_RANK_CONSTANT + 1 + np.arange(k)) + 1 / (_RANK_CONSTANT + 1 + by_fine)
        own = order[:, :k] == np.arange(len(fine))[:, None]
        partner = np.where(own, fused, -np.inf).max(axis=1)
        rivals = np.where(own, -np.inf, fused).max(axis=1)
        found.append((rank <= k) & (rivals < partner))
    return found


def best_matches(coarse: FloatArray, fine: FloatArray, k: int) -> NDArray[np.int64]:
    """Gallery index that a shortlist of ``k`` ends with, shape (Nq,)."""
    order = _order(coarse, k)
    best = np.take_along_axis(fine, order, axis=1).argmax(axis=1)
    return np.asarray(order[np.arange(len(order)), best], np.int64)


def recommend(ks: tuple[int, ...], recalls: list[float], tolerance: float = 0.005) -> int:
    """The smallest K whose final recall is at most ``tolerance`` below the best one."""
    enough = max(recalls) - tolerance
    return next(k for k, recall in zip(ks, recalls, strict=True) if recall >= enough)


def _order(coarse: FloatArray, k: int) -> NDArray[np.int64]:
    return np.argsort(-coarse, axis=1, kind="stable")[:, :k].astype(np.int64)
