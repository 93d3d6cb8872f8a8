"""Names of the bands of a product, and which of them are taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from crosslook.errors import InputError

POLARISATIONS = ("vv", "vh", "hh", "hv", "vvvv", "vhvh", "hhhh", "hvhv", "rhrh", "rvrv")
COLOURS = ("red", "green", "blue")
VISIBLE = {
    "sentinel": ("B04", "B03", "B02"),
    "landsat": ("B04", "B03", "B02"),
    "tm": ("B03", "B02", "B01"),
}


def band_name(digits: str) -> str:
    """Name a numbered band, as ``B04`` for ``4``."""
    number = digits.upper()
    return f"B{number.zfill(3 if number.endswith('A') else 2)}"


def chosen(members: Mapping[str, str], bands: Sequence[str], name: str) -> list[str]:
    """Names of the bands wanted; by default the first ones: visible, or polarisations."""
    if not bands:
        polarised = [band for band in members if band in POLARISATIONS]
        if polarised:
            return polarised[:2]
        visible = list(members)[:3]
        known = [set(v) for v in VISIBLE.values()]
        if set(visible) in known or set(visible) == set(COLOURS) or len(members) == 1:
            return visible
        raise InputError(
            f"'{name}' holds the bands {', '.join(members)} and not all visible ones. "
            f"Name those to use with --bands, as {':'.join(list(members)[:3])}."
        )
    aliases = {key.lower(): key for key in members}
    out = []
    for band in bands:
        key = aliases.get(band.lower()) or aliases.get(_numbered(band).lower())
        if key is None:
            raise InputError(
                f"'{name}' has no band '{band}'; it has {', '.join(members)}. "
                "Name some of these with --bands."
            )
        out.append(key)
    return out


def _numbered(text: str) -> str:
    match = re.fullmatch(r"b?(\d{1,2}a?)", text, re.IGNORECASE)
    return band_name(match[1]) if match else text
