"""Options of extractors as data: type, default, allowed values, meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crosslook.errors import SpecError, did_you_mean


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
        value = _BOOLS[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise SpecError(
            f"'{key}={text}' of '{owner}' is not a {kind.__name__}: {option.help}"
        ) from None
    if option.choices and value not in option.choices:
        allowed = ", ".join(str(choice) for choice in option.choices)
        raise SpecError(f"'{key}={text}' of '{owner}' must be one of: {allowed}.")
    if isinstance(value, int | float) and not _within(value, option):
        raise SpecError(
            f"'{key}={text}' of '{owner}' must lie in {_range_text(option)}: {option.help}"
        )
    return value


_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _within(value: float, option: Option) -> bool:
    # Written so that NaN fails.
    return (
        (option.low is None or value >= option.low)
        and (option.high is None or value <= option.high)
        and value == value
    )


def _range_text(option: Option) -> str:
    low = "-inf" if option.low is None else f"{option.low:g}"
    high = "inf" if option.high is None else f"{option.high:g}"
    return f"{low}..{high}"
