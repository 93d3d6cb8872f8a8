"""What ``--two-stage`` and ``--fusion`` name: extractors, and how each is pooled."""

from __future__ import annotations

import math
from typing import Any

from crosslook.errors import SettingError, SpecError
from crosslook.extract.spec import ExtractorSpec
from crosslook.retrieval.compare.pooling import Pooling
from crosslook.spec import Written, read_bool, read_numbers, read_whole, split_terms

VERIFYING = ("flatten (the default)", "grid:N with N of 2 or more", "dense:R")
"""Poolings whose maps can be compared over shifts."""


class Typed(Written):
    """Base of what is shown as it was typed.

    Attributes
    ----------
    text : str
    """

    text: str

    def __str__(self) -> str:
        return self.text


class Combined(Typed):
    """Base of what combines several extractors."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its parts."""
        raise NotImplementedError


class Stage(Typed):
    """An extractor spec that may hold ``pool=POOLING``, or ``grid=N`` for short.

    Attributes
    ----------
    text : str
        As it was typed.
    extractor : str
        The spec without what is said of the pooling.
    pooling : Pooling or None
        None where none is named: that of the study in a fusion; in two stages a
        short grid for the coarse one and whole maps for the fine one.
    """

    extractor: str
    pooling: Pooling | None = None

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """The parts of a text; SpecError for a pooling that is not allowed."""
        spec, own = ExtractorSpec.parse(text).without(("grid", "pool"))
        if len(own) == 2:
            raise SpecError(f"'{text}' names both grid and pool; give one of them.")
        typed = [f"grid:{n}" if key == "grid" else n for key, n in own.items()]
        try:
            pooling = Pooling.parse(typed[0]) if typed else None
        except SettingError as error:
            raise SpecError(f"'{text}': {error}") from None
        return {"text": text.strip(), "extractor": str(spec), "pooling": pooling}

    @property
    def how(self) -> Pooling:
        """The pooling, of one that names none that of whole maps."""
        return self.pooling or Pooling(name="flatten")


class TwoStage(Combined):
    """``COARSE+FINE[,ks=5:20:50][,radius=PX][,reverse=no]``: two stages and how they are run.

    >>> TwoStage.parse("hog:grid=8+hog:cell=8,ks=5:20").ks
    (5, 20)

    Attributes
    ----------
    text : str
        As it was typed.
    coarse, fine : Stage
        A coarse stage that names no pooling is pooled, since its whole map would
        cost more to search than verifying everything.
    ks : tuple of int
        Lengths of the shortlist, rising; those beyond the gallery are left out.
    radius : float
        Search radius of the fine stage, pixels along rows and columns; whole cells
        within it are tried, at least one. Above the offset expected. A stage pooled
        as ``dense:R`` gives it in cells.
    reverse : bool
        Whether the swapped order is measured too.
    """

    coarse: Stage
    fine: Stage
    ks: tuple[int, ...] = (5, 10, 20, 50, 100, 200)
    radius: float = 24.0
    reverse: bool = True

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """The parts of a text; SpecError for anything that is not allowed."""
        parts = split_terms(text)
        if len(parts) != 2 or not all(parts):
            raise SpecError(
                f"'{text}' is not COARSE+FINE: two extractor specs joined by one '+', "
                "for example hog:grid=8+hog:cell=8 or sam2+sd-vae."
            )
        last, typed = ExtractorSpec.parse(parts[1]).without(("ks", "radius", "reverse"))
        coarse, fine = Stage.parse(parts[0]), Stage.parse(str(last))
        if coarse.pooling is None:
            coarse = coarse.model_copy(update={"pooling": Pooling(name="auto")})
        if not fine.how.keeps_places:
            raise SpecError(
                f"pool={fine.how} in '{text}' keeps no map of cells, and the fine stage compares "
                f"maps over shifts; allowed there: {', '.join(VERIFYING)}."
            )
        if fine.how.name == "dense" and "radius" in typed:
            raise SpecError(f"'{text}' names both radius and pool={fine.how}; give one of them.")
        return {"text": text.strip(), "coarse": coarse, "fine": fine, **_how(text, typed)}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Both."""
        return self.coarse, self.fine


def _how(text: str, typed: dict[str, str]) -> dict[str, Any]:
    readers: dict[str, tuple[Any, str]] = {
        "ks": (_lengths, "write whole numbers from 1, as ks=5:20:50"),
        "radius": (_pixels, "write pixels from 0, as radius=24"),
        "reverse": (read_bool, "write yes or no"),
    }
    read = {}
    for key, value in typed.items():
        reader, form = readers[key]
        try:
            read[key] = reader(value)
        except ValueError:
            raise SpecError(f"{key}={value} in '{text}': {form}.") from None
    return read


def _lengths(text: str) -> tuple[int, ...]:
    numbers = read_whole(text)
    if min(numbers) < 1:
        raise ValueError("below 1")
    return tuple(sorted(set(numbers)))


def _pixels(text: str) -> float:
    (radius,) = read_numbers(text)
    if not 0 <= radius < math.inf:
        raise ValueError("below 0")
    return radius


class Fusion(Combined):
    """``A+B[+C]``: extractors of the study as one; a member may name its own pooling."""

    members: tuple[Stage, ...]

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """The members, each once; SettingError of fewer than two."""
        parts = dict.fromkeys(part for part in split_terms(text) if part)
        if len(parts) < 2:
            raise SettingError(f"--fusion {text}: join at least two extractors by '+', as hog+raw.")
        return {"text": text.strip(), "members": tuple(map(Stage.parse, parts))}

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The members."""
        return self.members
