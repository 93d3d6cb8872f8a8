"""Choices of how a matcher is run, and all combinations of those that are swept."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from crosslook.errors import SpecError, did_you_mean

KEYS: dict[str, str] = {
    "model": "the geometry that is fitted: similarity, affine, homography",
    "tile": "side of a tile in pixels, of which half is shared; whole",
    "maximum": "longer side of an image before it is cut; none",
    "gate": "largest distance of an inlier in pixels",
    "refine": "refinement by mutual information: yes, no",
    "tone": "tone of the SAR image: root, log, linear",
}
"""What may be swept, by the name of each."""

_WORDS = {"yes": True, "no": False}


@dataclass(frozen=True)
class Protocol:
    """One combination: keys with their values, in the order of :data:`KEYS`.

    Attributes
    ----------
    choices : tuple of (str, str)
    """

    choices: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """The text of the rows, ``model=affine,tile=512``; ``default`` where nothing is swept."""
        return ",".join(f"{key}={value}" for key, value in self.choices) or "default"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` gave."""
        parts = [] if text == "default" else [part.partition("=") for part in text.split(",")]
        return cls(tuple((key, value) for key, _, value in parts))

    @property
    def tone(self) -> str:
        """SAR radiometry as ``--sar`` takes it; empty for that of the run."""
        return next((f"tone={value}" for key, value in self.choices if key == "tone"), "")

    def options(self, tiling: Any) -> dict[str, Any]:
        """The options of ``register`` that it sets; ``tiling`` is that of the run."""
        given = dict(self.choices)
        options: dict[str, Any] = {}
        if "model" in given:
            options["model"] = given["model"]
        if "gate" in given:
            options["gate"] = float(given["gate"])
        if "refine" in given:
            options["refine"] = _WORDS[given["refine"]]
        if "tile" in given or "maximum" in given:
            fields = {"side": tiling.side, "overlap": tiling.overlap, "maximum": tiling.maximum}
            if (tile := given.get("tile")) is not None:
                side = None if tile == "whole" else int(tile)
                fields |= {"side": side, "overlap": 0 if side is None else side // 2}
            if (most := given.get("maximum")) is not None:
                fields["maximum"] = None if most == "none" else int(most)
            options["tiling"] = type(tiling)(**fields)
        return options


def read_sweep(text: str) -> tuple[Protocol, ...]:
    """All combinations of ``KEY=A:B:C,KEY=D:E``; one without choices for an empty text.

    Raises
    ------
    SpecError
        If a key is unknown or given twice, or a value is not allowed.
    """
    swept: dict[str, list[str]] = {}
    for part in (one.strip() for one in text.split(",") if one.strip()):
        key, equals, values = part.partition("=")
        if key not in KEYS or not equals or not values or key in swept:
            allowed = "; ".join(f"{name}, {about}" for name, about in KEYS.items())
            raise SpecError(
                f"'{part}' is no sweep, as model=similarity:affine,gate=1.5:3; keys are: "
                f"{allowed}." + did_you_mean(key, list(KEYS))
            )
        swept[key] = [_checked(key, value) for value in values.split(":")]
        if len(set(swept[key])) < len(swept[key]):
            raise SpecError(f"'{part}' names a value twice; name each once.")
    keys = [key for key in KEYS if key in swept]
    return tuple(
        Protocol(tuple(zip(keys, values, strict=True)))
        for values in product(*(swept[key] for key in keys))
    )


def _checked(key: str, value: str) -> str:
    allowed = {
        "model": ("shift", "similarity", "affine", "homography", "auto"),
        "refine": tuple(_WORDS),
        "tone": ("root", "log", "linear"),
    }
    if key in allowed:
        if value not in allowed[key]:
            raise SpecError(
                f"{key}={value} is not allowed; allowed: {', '.join(allowed[key])}."
                + did_you_mean(value, allowed[key])
            )
        return value
    if value == {"tile": "whole", "maximum": "none"}.get(key, ""):
        return value
    try:
        number = float(value) if key == "gate" else int(value)
    except ValueError:
        number = 0
    low, high = {"gate": (0.01, 64), "tile": (32, 8192), "maximum": (32, 16384)}[key]
    if not low <= number <= high:
        raise SpecError(f"{key}={value} is not allowed; a number from {low:g} to {high:g} is.")
    return value
