"""Score corrections against hubs: items that are near to everything.

Both corrections have the form ``scale * cosine - query - gallery`` with one
number per query and per gallery item, so they cost no second matrix. Their
banks are descriptors of the calibration scenes, never the measured ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosslook.compare.similarity import Offsets, similarity_blocks
from crosslook.errors import CalibrationError, SettingError, did_you_mean
from crosslook.types import FloatArray

SCORINGS = ("cosine", "csls", "inverted-softmax")


@dataclass(frozen=True)
class Scoring:
    """A scoring with its banks of unit descriptors (n, D) of both sides."""

    name: str
    query_bank: FloatArray
    gallery_bank: FloatArray
    neighbours: int
    temperature: float

    def offsets(self, query: FloatArray, gallery: FloatArray) -> Offsets:
        """Return the correction of unit queries (Nq, D) and gallery (Ng, D).

        ``csls``: ``2 cos(q, g) - r(q) - r(g)``, where ``r`` is the mean cosine
        to the ``neighbours`` nearest items of the bank of the other side
        (Conneau et al., ICLR 2018).
        ``inverted-softmax``: ``cos(q, g) / T - log sum_b exp(cos(b, g) / T)``
        over the bank ``b`` of queries (Smith et al., ICLR 2017).
        """
        zeros = np.zeros(len(query), np.float32)
        if self.name == "csls":
            return Offsets(
                2.0,
                _mean_of_nearest(query, self.gallery_bank, self.neighbours),
                _mean_of_nearest(gallery, self.query_bank, self.neighbours),
            )
        if self.name == "inverted-softmax":
            scale = 1.0 / self.temperature
            return Offsets(scale, zeros, _log_sum_exp(gallery, self.query_bank, scale))
        return Offsets(1.0, zeros, np.zeros(len(gallery), np.float32))


def fit_scoring(
    name: str,
    query_bank: FloatArray,
    gallery_bank: FloatArray,
    *,
    neighbours: int = 10,
    temperature: float = 0.05,
) -> Scoring:
    """Make a scoring from banks of unit descriptors.

    Parameters
    ----------
    name : str
        ``cosine``, ``csls`` or ``inverted-softmax``.
    query_bank, gallery_bank : float32 arrays, shapes (n, D) and (m, D)
        Calibrated descriptors of the calibration scenes.
    neighbours : int
        For ``csls``; at most the size of a bank is used.
    temperature : float
        For ``inverted-softmax``; above 0.

    Raises
    ------
    SettingError
        If the name is unknown or a number is out of range.
    CalibrationError
        If a bank is empty.
    """
    if name not in SCORINGS:
        raise SettingError(
            f"unknown scoring '{name}'; allowed are: {', '.join(SCORINGS)}."
            + did_you_mean(name, SCORINGS)
        )
    if neighbours < 1 or not temperature > 0:
        raise SettingError(
            f"neighbours is {neighbours} and temperature {temperature}; "
            "the first must be at least 1, the second above 0."
        )
    if name != "cosine" and min(len(query_bank), len(gallery_bank)) == 0:
        raise CalibrationError(f"scoring '{name}' has an empty bank; set more scenes aside.")
    return Scoring(name, query_bank, gallery_bank, neighbours, temperature)


def _mean_of_nearest(items: FloatArray, bank: FloatArray, count: int) -> FloatArray:
    nearest = min(count, len(bank))
    out = np.empty(len(items), np.float32)
    for rows, scores in similarity_blocks(items, bank):
        out[rows] = np.partition(scores, -nearest, axis=1)[:, -nearest:].mean(axis=1)
    return out


def _log_sum_exp(items: FloatArray, bank: FloatArray, scale: float) -> FloatArray:
    out = np.empty(len(items), np.float32)
    for rows, scores in similarity_blocks(items, bank):
        scores *= np.float32(scale)
        top = scores.max(axis=1, keepdims=True)
        out[rows] = (top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True)))[:, 0]
    return out
