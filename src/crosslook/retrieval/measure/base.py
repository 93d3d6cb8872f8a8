"""What a measure is: a name, the definitions of its metrics, and a call that gives them.

A measure is one object in one file. It sees one kind of view: :class:`Pairs`, or
one that is defined beside its measure. Whoever makes a view calls
:func:`crosslook.retrieval.measure.registry.measure_all`, and every registered
measure of that kind of view answers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

from crosslook.types import Estimate, FloatArray, Indices, Metric

View = TypeVar("View", contravariant=True)

PAIRED = "paired bootstrap over clusters; Efron and Tibshirani 1993, chapter 16"
"""Source of every interval of a difference that is taken query by query."""


@dataclass(frozen=True)
class Definition:
    """What a metric is.

    Attributes
    ----------
    title, formula, source, reading : str
        In words: its name, how it is computed, who says so, how to read it.
    low, high : float
        The range that its value and its interval lie in.
    better : str
        Which way is good; ``neither`` where the value only describes.
    chance : float
        What guessing gives; NaN where there is no such thing, or where it depends
        on the data and is measured.
    """

    title: str
    formula: str
    source: str
    reading: str
    low: float = 0.0
    high: float = 1.0
    better: Literal["higher", "lower", "neither"] = "higher"
    chance: float = math.nan

    @property
    def bounds(self) -> tuple[float, float]:
        """The range."""
        return self.low, self.high


@dataclass(frozen=True, eq=False)
class Pairs:
    """The measured pairs in the feature space of one extractor, under one calibration.

    Attributes
    ----------
    sar, optical : float32 arrays, shape (N, D)
        Unit descriptors; row i of both shows one place, and no other row does.
    clusters : int64 array, shape (N,)
        Cluster of each pair (its group or scene), which intervals resample whole.
    seed, draws : int
        Of intervals and samples.
    """

    sar: FloatArray
    optical: FloatArray
    clusters: Indices
    seed: int
    draws: int = 1000


class Measure(ABC, Generic[View]):
    """One measure.

    Attributes
    ----------
    name : str
        Its value in the column ``measure``.
    title, how : str
        Heading of its section in the report, and how to read that.
    sees : type
        The view that it is called with.
    definitions : mapping of str to Definition
        By metric. What follows a slash in the name of a measured metric says
        of what it is (a modality, the labels it is taken against), and what follows
        ``=`` is a level; neither needs a definition of its own.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    how: ClassVar[str]
    sees: ClassVar[type[Any]]
    definitions: ClassVar[Mapping[str, Definition]]

    @abstractmethod
    def __call__(self, view: View) -> list[Metric]:
        """Measure a view."""

    def define(self, metric: str) -> Definition:
        """The definition of a metric.

        Raises
        ------
        KeyError
            If it has none.
        """
        name = metric.partition("=")[0]
        known = name in self.definitions
        return self.definitions[name if known else metric.partition("/")[0]]

    def metric(
        self,
        name: str,
        estimate: Estimate,
        n_query: int,
        n_gallery: int | None = None,
        *,
        chance: float | None = None,
        direction: str = "",
        k: int = 0,
    ) -> Metric:
        """A defined metric; gallery and queries are the same, and chance as defined, by default."""
        chance = self.define(name).chance if chance is None else chance
        n_gallery = n_query if n_gallery is None else n_gallery
        return Metric(self.name, name, estimate, n_query, n_gallery, chance, direction, k)
