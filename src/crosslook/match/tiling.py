"""How large images are cut for matchers that look at all of an image at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from crosslook.errors import SpecError, did_you_mean
from crosslook.spec import Written, split_options
from crosslook.types import Array, Indices, Window

PRESETS: dict[str, dict[str, int | None]] = {
    "whole": {"side": None, "overlap": 0, "maximum": None},
    "spacenet9": {"side": 512, "overlap": 256, "maximum": 1024},
}
"""Tilings by a word: no tiles at all, and those of a published study (arXiv:2604.10217)."""


class Tiling(Written):
    """Tiles of an image: ``side=512,overlap=256,maximum=1024``, or the word of a preset.

    Attributes
    ----------
    side : int or None
        Pixels along a side; None leaves the image whole.
    overlap : int
        Pixels that neighbours share.
    maximum : int or None
        Pixels along the longer side of an image; a larger one is reduced first.
    """

    side: int | None = Field(default=1024, ge=32, le=8192)
    overlap: int = Field(default=256, ge=0)
    maximum: int | None = Field(default=None, ge=32, le=16384)

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """The fields that ``WORD,KEY=VALUE,...`` stands for."""
        words, options = split_options(text, text)
        fields: dict[str, Any] = {}
        for word in words:
            if word not in PRESETS:
                raise SpecError(
                    f"unknown tiling '{word}'; write {', '.join(PRESETS)}, or "
                    f"side=512,overlap=256,maximum=1024." + did_you_mean(word, list(PRESETS))
                )
            fields |= PRESETS[word]
        return fields | options

    def __str__(self) -> str:
        """The text that it is read from."""
        if self.side is None:
            return "whole" if self.maximum is None else f"whole,maximum={self.maximum}"
        text = f"side={self.side},overlap={self.overlap}"
        return text if self.maximum is None else f"{text},maximum={self.maximum}"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.side is not None and self.overlap >= self.side:
            raise SpecError(
                f"tiles of {self.side} px cannot share {self.overlap} px; an overlap below "
                "the side is allowed."
            )
        return self

    def factor(self, shape: tuple[int, int]) -> float:
        """What sides of an image (rows, columns) are multiplied with before it is cut, <= 1."""
        return 1.0 if self.maximum is None else min(1.0, self.maximum / max(shape))

    def windows(self, shape: tuple[int, int]) -> Iterator[Window]:
        """The tiles of an image (rows, columns), row by row.

        All have the same side, except in an image that is smaller; the last of a
        row ends where the image does, so it may share more with its neighbour.
        """
        if self.side is None:
            yield Window.whole(shape)
            return
        height, width = (min(self.side, length) for length in shape)
        rows, cols = (self._starts(length) for length in shape)
        for row in rows:
            for col in cols:
                yield Window(row, col, height, width)

    def _starts(self, length: int) -> list[int]:
        side = self.side or length
        last = max(0, length - side)
        return sorted({*range(0, last, side - self.overlap), last})


def without_duplicates(sar: Array, optical: Array, score: Array, within: float) -> Indices:
    """One of each set of correspondences that say the same, the one with the best score.

    Tiles that overlap find the same correspondence twice or more.

    Parameters
    ----------
    sar, optical : float64 array, shape (n, 2)
    score : float64 array, shape (n,)
    within : float
        Pixels within which both positions of two must agree to be one.

    Returns
    -------
    int64 array, shape (m,)
        Indices that remain, in order.
    """
    from scipy.spatial import KDTree

    if len(sar) < 2:
        return np.arange(len(sar), dtype=np.int64)
    both = np.column_stack([sar, optical])
    near = KDTree(both).query_pairs(within, p=np.inf, output_type="ndarray")
    order = np.argsort(-score, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    left = np.ones(len(sar), np.bool_)
    # From the best on: one that is left drops all that say the same.
    first, second = np.sort(place[near], axis=1).T
    for better, worse in sorted(zip(first.tolist(), second.tolist(), strict=True)):
        if left[order[better]]:
            left[order[worse]] = False
    return np.flatnonzero(left).astype(np.int64)
