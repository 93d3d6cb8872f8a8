"""The form in which every metric is defined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Definition:
    """What a metric is.

    ``better`` says which way is good; ``neither`` where the value only
    describes.
    """

    title: str
    formula: str
    source: str
    low: float
    high: float
    better: Literal["higher", "lower", "neither"]
    reading: str
