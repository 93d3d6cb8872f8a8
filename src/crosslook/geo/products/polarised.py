"""One file a polarisation: OPERA's RTC, HyP3's, JAXA's mosaics, and others named alike."""

from __future__ import annotations

import re
from pathlib import Path

from crosslook.geo.products.bands import POLARISATIONS, Part, Product
from crosslook.geo.products.listing import Listing
from crosslook.geo.products.names import is_no_imagery

_TOKEN = re.compile(r"(?:^|(?<=[_.-]))(vv|vh|hh|hv)(?=[_.-])", re.IGNORECASE)
_OPERA = re.compile(r"^(OPERA_L2_RTC-S1_.+)_(VV|VH|HH|HV)\.tif$", re.IGNORECASE)
_LAYOVER_AND_SHADOW = ((1, 255),)
"""Of OPERA's masks: 0 is neither, 1 shadow, 2 layover, 3 both, 255 outside."""


def opera(listing: Listing) -> Product | None:
    """RTC-S1: a burst's polarisations as linear power, and the mask of layover and shadow."""
    bursts: dict[str, dict[str, str]] = {}
    for name in listing.find("OPERA_L2_RTC-S1_*.tif"):
        if match := _OPERA.match(name):
            bursts.setdefault(match[1], {})[match[2].lower()] = name
    if not bursts:
        return None
    mask_names = {name.lower(): name for name in listing.find("OPERA_L2_RTC-S1_*_mask.tif")}
    bands: dict[str, Part] = {}
    for burst, files in bursts.items():
        mask = mask_names.get(f"{burst}_mask.tif".lower())
        for polarisation in sorted(files, key=POLARISATIONS.index):
            name = polarisation if len(bursts) == 1 else f"{_burst_of(burst)}_{polarisation}"
            bands.setdefault(name, _masked(listing, files[polarisation], mask))
    left = listing.find("*_BROWSE*.png", "*.h5")
    wanting = "each burst is an image of its own: name one, or its file" if len(bursts) > 1 else ""
    return Product(bands, left_out=tuple(left), radar=True, scale="power", wanting=wanting)


def opera_file(path: Path) -> Product | None:
    """One file of RTC-S1, with the mask that lies beside it."""
    match = _OPERA.match(path.name)
    if match is None:
        return None
    mask = path.with_name(f"{match[1]}_mask.tif")
    if not mask.is_file():
        return None
    part = Part(str(path), mask=str(mask), masked=_LAYOVER_AND_SHADOW)
    return Product({match[2].lower(): part}, radar=True, scale="power")


def _masked(listing: Listing, file: str, mask: str | None) -> Part:
    if mask is None:
        return Part(listing.at(file))
    return Part(listing.at(file), mask=listing.at(mask), masked=_LAYOVER_AND_SHADOW)


def _burst_of(name: str) -> str:
    """Track, burst and subswath in the name of a product: ``t069-147170-iw1``."""
    return name.split("_")[3].lower()


def by_name(listing: Listing) -> Product | None:
    """Two or more files whose names differ by the polarisation alone."""
    product = polarised_files(listing, "*.tif", "*.tiff", "*.img", "*.jp2")
    if product is None or len(product.bands) < 2:
        return None
    return product


def polarised_files(listing: Listing, *patterns: str) -> Product | None:
    """One or more files whose names differ by the polarisation alone; None where others do too."""
    every = listing.find(*patterns)
    groups: dict[str, dict[str, str]] = {}
    for name in every:
        found = list(_TOKEN.finditer(name))
        if len(found) == 1 and not is_no_imagery(name):
            rest = name[: found[0].start()] + "*" + name[found[0].end() :]
            groups.setdefault(rest.lower(), {})[found[0][1].lower()] = name
    if len(groups) != 1:
        return None
    ((rest, files),) = groups.items()
    start = rest.partition("*")[0]
    others = [n for n in every if n not in files.values() and not is_no_imagery(n)]
    if any(not start or not name.lower().startswith(start) for name in others):
        return None
    ordered = {n: Part(listing.at(files[n])) for n in POLARISATIONS if n in files}
    left = tuple(name for name in every if name not in files.values())
    return Product(ordered, left_out=left, radar=True)
