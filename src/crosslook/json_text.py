"""JSON from outside: an object, or one kind of error."""

from __future__ import annotations

import json
from typing import Any


def json_object(text: str | bytes, *, finite: bool = False) -> dict[str, Any]:
    """Parse a JSON object.

    Parameters
    ----------
    text : str or bytes
    finite : bool
        Refuse NaN and infinite numbers, which are no JSON though Python writes them.

    Raises
    ------
    ValueError
        If it is no JSON, no object, or nested too deeply.
    """
    try:
        loaded = json.loads(text, parse_constant=_no_number if finite else None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(loaded, dict):
        raise ValueError(f"it holds a {type(loaded).__name__}, not an object")
    return loaded


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")
