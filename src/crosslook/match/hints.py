"""What is said of a model that was taken, or might be: with the numbers that were compared.

Made from the content of a ``match.json``, so that the command line, Python and the explorer say
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from crosslook.match.relief import HILLY_PX


class HeldOut(NamedTuple):
    """Mean distances to tie points that a model was not fitted to, optical pixels."""

    model: str
    error_px: float
    similarity_px: float | None


def held_out(match: dict[str, Any]) -> HeldOut | None:
    """How well the model of a match predicts held-out tie points; None where none was compared."""
    model = str((match.get("transform") or {}).get("model", ""))
    errors = _errors_px(match)
    if model not in errors:
        return None
    return HeldOut(model, errors[model], errors.get("similarity"))


def relief_hint(match: dict[str, Any]) -> str:
    """What is known of hills under a match whose model does not follow them; else empty."""
    model = str((match.get("transform") or {}).get("model", ""))
    if match["verdict"] != "match" or model in ("", "tps", "relief", "field") or "scene" in match:
        return ""
    errors, pixel = _errors_px(match), int(match.get("working_pixel", 1))
    if "relief" in errors and model in errors:
        relief, taken = errors["relief"], errors[model]
        result = "not clearly better" if relief < taken else "no better"
        return (
            f"relief would predict held-out tie points to {relief:.1f} px instead of "
            f"{taken:.1f} px of the {model}: {result}"
        )
    requested = (match.get("settings") or {}).get("model", "")
    extent = float((match.get("evidence") or {}).get("relief", 0.0))
    if requested == "relief" or (requested == "auto" and extent > HILLY_PX):
        return "no relief was followed: too few clear tie points are displaced along one line"
    if extent <= HILLY_PX:
        return ""
    return (
        f"tie points are displaced along one line by up to {extent * pixel:.0f} px, as over hills; "
        "--model auto compares a relief with the similarity, --model relief follows it"
    )


def heights_note(match: dict[str, Any], known: Mapping[str, str]) -> str:
    """What an elevation model did for a match, and what of the sensor was known or assumed.

    Parameters
    ----------
    match : dict
        Content of ``match.json``.
    known : dict of str to str
        Where ``heading`` and ``incidence`` come from, or ``swath``, an account of both over the
        image; of those that are known.
    """
    model = str((match.get("transform") or {}).get("model", ""))
    settings = match.get("settings") or {}
    if match["verdict"] == "no match" or not settings.get("dem") or "atlas" in settings:
        return ""  # on an atlas heights place the query, and nothing more
    if "scene" in match:
        terrain = (match["scene"].get("geometry") or {}).get("terrain")
        if terrain is None:
            return (
                "--dem: heights explain less than a tenth of what one map leaves, so no place "
                "was moved by them"
            )
        size = f"--dem: a metre of height displaces the ground by {terrain['px_per_metre']:g} px"
        if terrain.get("by"):
            return (
                f"{size}, {terrain['times_predicted']:g} times what incidence and range predict "
                f"({terrain['by']}); that was fitted to tie points"
            )
        why = (
            "; what the product or options say of incidence and range does not explain tie points "
            "as well"
            if {"heading", "incidence"} <= set(known) or "swath" in known
            else ""
        )
        return f"{size}; size and direction were fitted to tie points over the swath{why}"
    relief = (match.get("geometry") or {}).get("relief")
    if model != "relief" or relief is None or relief.get("px_per_metre") is None:
        return "--dem: no model that follows heights predicts tie points clearly better"
    if swath := known.get("swath"):
        return (
            f"--dem: a metre of height displaces the ground by {relief['px_per_metre']:g} px at "
            f"the centre, which was fitted to tie points; how that varies over the swath and the "
            f"range follow from {swath}"
        )
    incidence = known.get("incidence")
    heading = known.get("heading")
    size = (
        "was fitted to tie points: the file says no incidence angle"
        if incidence is None
        else f"follows from the incidence angle ({incidence}), which is taken as one for all of it"
    )
    way = (
        "the range is the line along which tie points spread: the file says no heading"
        if heading is None
        else f"the range follows from the heading ({heading}), of a sensor that looks to the right"
    )
    return (
        f"--dem: a metre of height displaces the ground by {relief['px_per_metre']:g} px, which "
        f"{size}; {way}"
    )


def _errors_px(match: dict[str, Any]) -> dict[str, float]:
    """Held-out error of each candidate model, optical pixels; those that have none left out."""
    geometry = match.get("geometry") or {}
    pixel = float(geometry.get("working_pixel", 1))
    return {
        one["model"]: one["error_px"] * pixel
        for one in geometry.get("candidates", ())
        if one.get("error_px") is not None
    }
