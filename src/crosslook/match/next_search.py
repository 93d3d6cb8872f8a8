"""What to search next where no match was found: the options to change, and what they mean.

From the content of a ``match.json``, so that the command line, Python and the explorer offer the
same.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosslook.errors import SettingError
from crosslook.geo.grid import is_placed, make_grid, mean_metres
from crosslook.match.settings import factors

_POSES: dict[str, Any] = {"rotation": 180.0, "scale": "0.5:2"}
_ATLAS_POSES: dict[str, Any] = {"rotation": 180.0, "scale": "0.1"}
_PRIORS = {"bbox": "--bbox", "near": "--near", "radius_km": "--radius"}
_FLAGS = {True: "--{}", False: "--no-{}"}


@dataclass(frozen=True)
class NextSearch:
    """A search that may find what the last one did not.

    Attributes
    ----------
    words : str
        What it searches, in a few words.
    settings : dict
        Options that change, by their names in run files; None takes one out.
    """

    words: str
    settings: dict[str, Any]

    @property
    def options(self) -> str:
        """The options as they are typed, or those to leave out."""
        without = [_PRIORS[name] for name, value in self.settings.items() if value is None]
        typed = [f"no {', '.join(without)}"] if without else []
        for name, value in self.settings.items():
            option = name.replace("_", "-")
            if isinstance(value, bool):
                typed.append(_FLAGS[value].format(option))
            elif value is not None:
                number = f"{value:g}" if isinstance(value, float) else str(value)
                typed.append(f"--{option} {shlex.quote(number)}")
        return " ".join(typed)


def next_searches(match: dict[str, Any]) -> list[NextSearch]:
    """The searches to try after a ``no match``, the likeliest first; none after any other."""
    if match["verdict"] != "no match":
        return []
    settings = match.get("settings") or {}
    return _on_atlas(settings) if "atlas" in settings else _on_image(match, settings)


def _on_atlas(settings: dict[str, Any]) -> list[NextSearch]:
    out = []
    if not _reaches(settings, _ATLAS_POSES):
        words = "any rotation, and the scale to 10 %"
        out.append(NextSearch(words, _extended(settings, _ATLAS_POSES)))
    if any(settings.get(name) is not None for name in _PRIORS):
        out.append(NextSearch("all of the atlas, without the prior", dict.fromkeys(_PRIORS)))
    if settings.get("gsd") is not None and not _covers(settings, _POSES["scale"]):
        words = "half to double the pixel size given"
        out.append(NextSearch(words, _extended(settings, {"scale": _POSES["scale"]})))
    return out


def _on_image(match: dict[str, Any], settings: dict[str, Any]) -> list[NextSearch]:
    out = []
    if settings.get("near_only"):
        out.append(NextSearch("the whole overlap", {"near_only": False}))
    if not _reaches(settings, _POSES):
        words = "any rotation, half to double the scale"
        out.append(NextSearch(words, _extended(settings, _POSES)))
    shift = _far_shift(match)
    if (settings.get("shift") or 0.0) < shift:
        unit = "m" if _is_placed(match["images"]["optical"]) else "px"
        out.append(NextSearch(f"shifts up to {shift:g} {unit}", {"shift": shift}))
    if not settings.get("flip"):
        poses = _extended(settings, _POSES)
        out.append(NextSearch("the mirror image too", {**poses, "flip": True}))
    return out


def _reaches(settings: dict[str, Any], requested: dict[str, Any]) -> bool:
    """Whether what was searched has these rotations and scales already."""
    far = float(settings.get("rotation") or 0.0) >= requested["rotation"]
    return far and _covers(settings, requested["scale"])


def _covers(settings: dict[str, Any], scale: str) -> bool:
    """Whether these scales were searched already."""
    searched, (least, most) = _scales_of(settings), factors(scale)
    return searched is not None and searched[0] <= least + 1e-9 and searched[1] >= most - 1e-9


def _scales_of(settings: dict[str, Any]) -> tuple[float, float] | None:
    """The least and the largest scale that was searched; None where the text says none."""
    try:
        return factors(settings.get("scale") or "")
    except SettingError:
        return None


def _extended(settings: dict[str, Any], requested: dict[str, Any]) -> dict[str, Any]:
    """Rotations and scales to search, those that were searched among them; what stays is not named.

    A page changes options of the last search, and a person types them anew or adds to them:
    neither may search less far than before.
    """
    out = {}
    if float(settings.get("rotation") or 0.0) < requested.get("rotation", 0.0):
        out["rotation"] = requested["rotation"]
    if not _covers(settings, requested["scale"]):
        out["scale"] = _union(settings, requested["scale"])
    return out


def _union(settings: dict[str, Any], scale: str) -> str:
    """The scales of a search and of another one, as they are typed."""
    searched, (least, most) = _scales_of(settings), factors(scale)
    if searched is None or (least <= searched[0] + 1e-9 and most >= searched[1] - 1e-9):
        return scale
    return f"{min(searched[0], least):g}:{max(searched[1], most):g}"


def _far_shift(match: dict[str, Any]) -> float:
    """As far as the optical image is wide: metres where it has a place, else pixels."""
    image = match["images"]["optical"]
    side = float(max(image["shape"]))
    if _is_placed(image):
        grid = make_grid(image["crs"], tuple(image["affine"]), *image["shape"])
        side *= mean_metres(grid, np.array([image["shape"]], np.float64) / 2)
    digits = 1 - int(np.floor(np.log10(side)))
    return float(round(side, digits))


def _is_placed(image: dict[str, Any]) -> bool:
    if not image.get("affine"):
        return False
    return is_placed(make_grid(image["crs"], tuple(image["affine"]), *image["shape"]))
