"""The bands of a product: where their pixels lie, what they are called, and which are taken."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crosslook.errors import InputError

POLARISATIONS = ("vv", "vh", "hh", "hv", "vvvv", "vhvh", "hhhh", "hvhv", "rhrh", "rvrv")
COLOURS = ("red", "green", "blue")
VISIBLE = {
    "sentinel": ("B04", "B03", "B02"),
    "landsat": ("B04", "B03", "B02"),
    "tm": ("B03", "B02", "B01"),
}


@dataclass(frozen=True)
class Part:
    """Where the pixels of a band lie.

    Attributes
    ----------
    file : str
        As GDAL names it.
    number : int
        Of the band inside the file, from 1; 0 takes all of the file's.
    imaginary : str
        A file of the imaginary parts, where ``file`` holds the real ones.
    scale, offset, nodata : float or None
        What the product says of the numbers in place of the file.
    mask : str
        A file of equal pixels; where it is in ``masked`` there is no data.
    masked : tuple of (int, int)
        Lowest and highest numbers of the mask that mean no data.
    """

    file: str
    number: int = 0
    imaginary: str = ""
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    mask: str = ""
    masked: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Product:
    """Images that are one: the bands of a folder, a container, a STAC item.

    Attributes
    ----------
    bands : dict of str to Part
        Those taken by default first.
    default : tuple of str
        Bands taken where none are named; empty leaves it to their names
        (polarisations, or red, green and blue).
    aliases : dict of str to str
        Other names of bands, in lower case.
    left_out : tuple of str
        Files inside that are no imagery, or not the image taken.
    note : str
        What else a user should know.
    radar : bool
        Whether it is SAR, for messages that name the option.
    scale : str
        What the numbers are where the maker says so: ``power`` or ``amplitude``; else empty.
    points : tuple of (row, column, longitude, latitude)
        Where corners of pixels lie, for files that do not say it themselves.
    wanting : str
        Why no band is taken by default, where that is so.
    """

    bands: dict[str, Part]
    default: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    note: str = ""
    radar: bool = False
    scale: str = ""
    points: tuple[tuple[float, float, float, float], ...] = ()
    wanting: str = ""

    @classmethod
    def of(cls, files: Mapping[str, str]) -> Product:
        """One band a file."""
        radar = any(name in POLARISATIONS for name in files)
        return cls({name: Part(file) for name, file in files.items()}, radar=radar)


def band_name(digits: str) -> str:
    """Name a numbered band, as ``B04`` for ``4``."""
    number = digits.upper()
    return f"B{number.zfill(3 if number.endswith('A') else 2)}"


def chosen(product: Product, bands: Sequence[str], name: str) -> list[tuple[str, Part]]:
    """Names and places of the bands requested; by default visible ones, or polarisations.

    Where a whole file is the image, its own bands go by number too.

    Raises
    ------
    InputError
        If a band is not there, or it is not known which to take.
    """
    members = product.bands
    option = "--sar bands=" if product.radar else "--bands "
    if not bands:
        default = list(product.default) or _usual(list(members))
        if default and not product.wanting:
            return [(key, members[key]) for key in default]
        why = product.wanting or "not all visible ones are among them"
        first = ":".join(list(members)[: 1 if product.radar else 3])
        raise InputError(
            f"'{name}' holds the bands {_listed(members)}; {why}. "
            f"Name those to use with {option}{first}."
        )
    aliases = {**product.aliases, **{key.lower(): key for key in members}}
    whole = members[product.default[0]] if len(product.default) == 1 else None
    out = []
    for band in bands:
        if key := aliases.get(band.lower()) or aliases.get(_numbered(band).lower()):
            out.append((key, members[key]))
        elif whole is not None and not whole.number and band.isdigit():
            out.append((band, replace(whole, number=int(band))))
        else:
            raise InputError(
                f"'{name}' has no band '{band}'; it has {_listed(members)}. "
                f"Name some of these with {option.strip()}."
            )
    return out


def _usual(names: list[str]) -> list[str]:
    """Bands taken by their names alone: polarisations, one image, or the visible ones."""
    if polarised := [band for band in names if band in POLARISATIONS]:
        return polarised[:2]
    known = [set(v) for v in (*VISIBLE.values(), COLOURS)]
    return names[:3] if set(names[:3]) in known or len(names) == 1 else []


def _listed(names: Mapping[str, object], most: int = 24) -> str:
    shown = list(names)[:most]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


def _numbered(text: str) -> str:
    match = re.fullmatch(r"b?(\d{1,2}a?)", text, re.IGNORECASE)
    return band_name(match[1]) if match else text
