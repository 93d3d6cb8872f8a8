"""Extractor specs as the user types them, and the options of extractors.

A term of the grammar of :mod:`crosslook.spec`: ``[untrained:]name[:variant][,key=value...]``
or ``[untrained:]name:key=value,...``; for ``hf`` the part after the first colon, up to
the first comma, is a hub id or a folder. Examples: ``hog``, ``hog:cell=8``,
``dinov2:vits14,layer=9``, ``hf:google/siglip2-base-patch16-224``, ``untrained:dinov2``.
Sweeps, ``dinov2:layer=1..12`` or ``sd-unet:t=0,261;block=0..2``, are written as one spec
for each combination (:func:`expand_sweep`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field

from crosslook.errors import SpecError, did_you_mean
from crosslook.spec import Written, read_bool, read_whole, split_options


@dataclass(frozen=True)
class Option:
    """One option of an extractor.

    Attributes
    ----------
    default : int, float, str or bool
        Its type is the type of the option.
    help : str
        One line for ``crosslook extractors NAME``.
    choices : tuple
        Allowed values; empty for any.
    low, high : float or None
        Inclusive bounds of a number.
    """

    default: int | float | str | bool
    help: str
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None


def read_options(
    owner: str, allowed: Mapping[str, Option], typed: Mapping[str, str]
) -> dict[str, Any]:
    """Return every option of ``allowed`` with its typed or default value.

    Raises
    ------
    SpecError
        For an unknown key or a value out of range, naming what is allowed.
    """
    for key in typed:
        if key not in allowed:
            keys = ", ".join(allowed) or "none"
            raise SpecError(
                f"'{owner}' has no option '{key}'; it has: {keys}."
                + did_you_mean(key, list(allowed))
            )
    return {
        key: _convert(owner, key, option, typed[key]) if key in typed else option.default
        for key, option in allowed.items()
    }


def _convert(owner: str, key: str, option: Option, text: str) -> Any:
    kind = type(option.default)
    try:
        value = read_bool(text) if kind is bool else kind(text)
    except ValueError:
        raise SpecError(
            f"'{key}={text}' of '{owner}' is not a {kind.__name__}: {option.help}"
        ) from None
    if option.choices and value not in option.choices:
        allowed = ", ".join(str(choice) for choice in option.choices)
        raise SpecError(f"'{key}={text}' of '{owner}' must be one of: {allowed}.")
    if isinstance(value, int | float):
        low = float("-inf") if option.low is None else option.low
        high = float("inf") if option.high is None else option.high
        if not low <= value <= high:  # written so that NaN fails
            raise SpecError(
                f"'{key}={text}' of '{owner}' must lie in {low:g}..{high:g}: {option.help}"
            )
    return value


UNTRAINED = "untrained"
_MOST_SWEPT = 100


class ExtractorSpec(Written):
    """A parsed spec; ``options`` holds only what was typed, as text."""

    name: str
    variant: str | None = None
    options: dict[str, str] = Field(default_factory=dict)
    untrained: bool = False

    @classmethod
    def read(cls, text: str) -> dict[str, Any]:
        """The parts of a spec; SpecError if there is no name or an option is not ``key=value``."""
        rest = text.strip()
        untrained = rest.startswith(f"{UNTRAINED}:")
        name, _, tail = rest.removeprefix(f"{UNTRAINED}:" if untrained else "").partition(":")
        if not name or "=" in name or "," in name:
            raise SpecError(f"'{text}' is not an extractor spec; write name[:variant][,key=value].")
        first, comma, others = tail.partition(",")
        variant: str | None = None
        if "=" not in first or ("/" in first and Path(first).is_dir()):
            variant, tail = first.strip(), others if comma else ""
        words, options = split_options(tail, text)
        if words:
            raise SpecError(f"'{words[0]}' in '{text}' is not key=value.")
        return {
            "name": name,
            "variant": variant or None,
            "options": options,
            "untrained": untrained,
        }

    def __str__(self) -> str:
        head = f"{UNTRAINED}:{self.name}" if self.untrained else self.name
        tail = [self.variant] if self.variant else []
        tail += [f"{key}={value}" for key, value in self.options.items()]
        return f"{head}:{','.join(tail)}" if tail else head

    def without(self, keys: Sequence[str]) -> tuple[ExtractorSpec, dict[str, str]]:
        """Take options that are not the extractor's out of a spec."""
        own = {key: value for key, value in self.options.items() if key not in keys}
        taken = {key: value for key, value in self.options.items() if key in keys}
        return self.model_copy(update={"options": own}), taken


parse_spec = ExtractorSpec.parse


def split_specs(text: str) -> list[str]:
    """Split a comma-separated list of specs; ``key=value`` stays with its spec.

    >>> split_specs("raw,sd-unet:t=261,block=1,hog")
    ['raw', 'sd-unet:t=261,block=1', 'hog']
    >>> split_specs("sam2:level=4,8,16,dinov2:layer=1..3")
    ['sam2:level=4,8,16', 'dinov2:layer=1..3']
    """
    specs: list[str] = []
    for part in (piece.strip() for piece in text.split(",")):
        if not part:
            continue
        head = part.split("=", 1)[0]
        if specs and "=" in specs[-1] and part[:1].isdigit():
            specs[-1] += f",{part}"  # a further value of a swept option
        elif "=" in part and ":" not in head and specs:
            specs[-1] += ("," if ":" in specs[-1] else ":") + part
        else:
            specs.append(part)
    if not specs:
        raise SpecError("no extractor was named; see 'crosslook extractors'.")
    return specs


def expand_sweep(text: str) -> list[str]:
    """Write a spec whose options have several values as one spec for each combination.

    Values are lists or ranges; options after a list are separated by ``;``.

    >>> expand_sweep("sd-unet:t=0,261;block=0..1")
    ['sd-unet:t=0,block=0', 'sd-unet:t=0,block=1', 'sd-unet:t=261,block=0', \
'sd-unet:t=261,block=1']
    >>> expand_sweep("dinov2:vits14,layer=9")
    ['dinov2:vits14,layer=9']

    Raises
    ------
    SpecError
        If a range is none, or means more than 100 values.
    """
    head, *pieces = re.split("[,;]", text)
    # The first option may come right after the name: hog:cell=4,8.
    front, colon, first = head.rpartition(":")
    if "=" in first:
        head, pieces = front, [first, *pieces]
    options: list[tuple[str, list[str]]] = []
    for piece in (one.strip() for one in pieces):
        key, equals, value = piece.partition("=")
        if equals:
            options.append((key, _values(text, value)))
        elif options:
            options[-1][1].extend(_values(text, piece))
        else:
            return [text]  # not the form of a sweep: the parser says what is wrong
    if not options or (all(len(values) == 1 for _, values in options) and ";" not in text):
        return [text]
    joint = ":" if colon and "=" in first else ","
    return [
        head + joint + ",".join(f"{key}={v}" for (key, _), v in zip(options, chosen, strict=True))
        for chosen in product(*(values for _, values in options))
    ]


def _values(text: str, value: str) -> list[str]:
    if ".." not in value:
        return [value]
    try:
        return [str(number) for number in read_whole(value, _MOST_SWEPT)]
    except ValueError:
        raise SpecError(
            f"'{value}' in '{text}' is no range of 1 to {_MOST_SWEPT} whole numbers, as 1..12."
        ) from None
