"""The one grammar of values that are written as text, and the models that hold them.

A term is a name, words and options, ``NAME[:WORD][,KEY=VALUE,...]``; several are
joined by ``+``. In a value ``:`` lists numbers or names, ``4:3:2``, and ``..`` is written
for whole numbers in a row, ``1..12``. Extractors, stages, fusions, poolings,
radiometries and seeds are written in it. Settings hold the models; files hold the text.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, PlainSerializer, model_serializer, model_validator

from crosslook.errors import SpecError
from crosslook.options import Settings

MOST_IN_A_RANGE = 10_000
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Written(Settings):
    """Base of values that are written as text: read from it and shown as it."""

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """The fields that a text stands for."""
        raise NotImplementedError

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a text.

        Raises
        ------
        SettingError
            For anything that is not allowed: what was seen, and what is allowed.
        """
        return cls(**cls.read(text))

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return cls.read(value) if isinstance(value, str) else value

    @model_serializer(mode="plain")
    def _as_text(self) -> str:
        return str(self)

    def __hash__(self) -> int:
        return hash(str(self))


def split_options(text: str, owner: str) -> tuple[list[str], dict[str, str]]:
    """Words and options of ``WORD,KEY=VALUE,...``, in any order.

    Raises
    ------
    SpecError
        If a key or a value is empty, or a key is given twice.
    """
    words: list[str] = []
    options: dict[str, str] = {}
    for part in (piece.strip() for piece in text.split(",")):
        key, equals, value = part.partition("=")
        if not equals and part:
            words.append(part)
        elif equals:
            if not key or not value:
                raise SpecError(f"'{part}' in '{owner}' is not key=value.")
            if key in options:
                raise SpecError(f"'{key}' is given twice in '{owner}'.")
            options[key] = value
    return words, options


def split_terms(text: str) -> list[str]:
    """The terms of ``A+B+C``, as they are typed."""
    return [part.strip() for part in text.split("+")]


def split_list(value: Any) -> Any:
    """The words of ``A,B,C``; anything but text stays as it is."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def read_bool(text: str) -> bool:
    """Read yes or no; ValueError for anything else."""
    try:
        return _BOOLS[text.lower()]
    except KeyError:
        raise ValueError("write yes or no") from None


def read_numbers(text: str) -> tuple[float, ...]:
    """Read ``4:3.5:2``; ValueError for anything else."""
    try:
        numbers = tuple(float(part) for part in text.split(":"))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"'{text}' are no numbers, as 4:3.5")
    return numbers


def read_whole(text: str, most: int = MOST_IN_A_RANGE) -> tuple[int, ...]:
    """Read whole numbers ``5:20``, ``5,20`` or ``0..9``; ValueError for anything else."""
    numbers: list[int] = []
    for part in text.replace(",", ":").split(":"):
        first, dots, last = part.strip().partition("..")
        try:
            row = range(int(first), int(last if dots else first) + 1)
        except ValueError:
            row = range(0)
        if not 1 <= len(row) <= most:
            raise ValueError(f"'{part.strip()}' is no range of 1 to {most} whole numbers, as 1..12")
        numbers += row
    return tuple(numbers)


def _as_rising(value: Any) -> Any:
    if isinstance(value, str):
        value = read_numbers(value)
    if isinstance(value, list | tuple) and not (len(value) == 2 and value[0] < value[1]):
        raise ValueError("write LOW:HIGH, rising")
    return value


def _as_pair(value: tuple[float, float] | None) -> str | None:
    return None if value is None else ":".join(f"{end:g}" for end in value)


Interval = Annotated[tuple[float, float], BeforeValidator(_as_rising), PlainSerializer(_as_pair)]
"""``LOW:HIGH``, or two numbers."""
