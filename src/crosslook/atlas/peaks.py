"""Best places in maps of scores, as arrays: a search meets many thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.types import FloatArray

_MOST_OF_A_MAP = 64
_MOST_KEPT = 8192


@dataclass(frozen=True)
class Peak:
    """A place where a template fits better than around it.

    Attributes
    ----------
    score : float
        Cosine of the template and the atlas under it, in principal channels, -1..1.
    row, col : int
        Cell of the atlas under the template's first one; may be negative.
    template : int
        Number of the template.
    """

    score: float
    row: int
    col: int
    template: int


@dataclass(frozen=True, eq=False)
class Peaks:
    """Many peaks.

    Attributes
    ----------
    score : float32 array, shape (n,)
    place : int64 array, shape (n, 3)
        Row, column and template of each, as :class:`Peak` has them.
    """

    score: FloatArray
    place: NDArray[np.int64]

    def sorted(self) -> Peaks:
        """Best first; of equal scores the first row, column and template."""
        row, col, template = self.place.T
        order = np.lexsort((template, col, row, -self.score))
        return Peaks(self.score[order], self.place[order])

    def thinned(self, count: int, apart: int) -> list[Peak]:
        """The best of which no two are within ``apart`` cells on both axes, best first."""
        best = self.sorted()
        kept: list[Peak] = []
        # Plain numbers: few are looked at, and each against few.
        for score, (row, col, template) in zip(best.score, best.place, strict=True):
            if len(kept) == count:
                break
            if all(abs(row - one.row) > apart or abs(col - one.col) > apart for one in kept):
                kept.append(Peak(float(score), int(row), int(col), int(template)))
        return kept


class PeakHeap:
    """Peaks of map after map; the best few thousand stay, so memory is bounded."""

    def __init__(self) -> None:
        self._kept: list[Peaks] = []
        self._count = 0

    def add(self, peaks: Peaks) -> None:
        """Take the peaks of one more map."""
        self._kept.append(peaks)
        self._count += len(peaks.score)
        if self._count > _MOST_KEPT:
            best = join(self._kept).sorted()
            half = slice(_MOST_KEPT // 2)
            self._kept = [Peaks(best.score[half], best.place[half])]
            self._count = len(self._kept[0].score)

    def best(self, count: int, apart: int) -> list[Peak]:
        """As :meth:`Peaks.thinned`."""
        return join(self._kept).thinned(count, apart)


def find_maxima(scores: FloatArray, apart: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Find places above 0 that no other within ``apart`` exceeds.

    Parameters
    ----------
    scores : float32 array, shape (h, w)
    apart : int

    Returns
    -------
    score : float32 array, shape (n,)
        The best 64, and those equal to the last of them.
    place : int64 array, shape (n, 2)
        Row and column.
    """
    around = np.ones((2 * apart + 1, 2 * apart + 1), np.uint8)
    at = np.flatnonzero(scores == cv2.dilate(scores, around))
    values = scores.ravel()[at]
    at, values = at[values > 0], values[values > 0]
    if len(at) > _MOST_OF_A_MAP:
        bar = np.partition(values, -_MOST_OF_A_MAP)[-_MOST_OF_A_MAP]
        at, values = at[values >= bar], values[values >= bar]
    return values, np.stack(np.divmod(at, scores.shape[1]), axis=1)


def join(parts: Sequence[Peaks]) -> Peaks:
    """All peaks of several lists."""
    joined = [Peaks(np.empty(0, np.float32), np.empty((0, 3), np.int64)), *parts]
    return Peaks(
        np.concatenate([one.score for one in joined]), np.concatenate([one.place for one in joined])
    )
