"""Products of ESA: Sentinel-1 and Sentinel-2 as SAFE, and BIOMASS."""

from __future__ import annotations

import re

from crosslook.geo.products.bands import POLARISATIONS, Part, Product
from crosslook.geo.products.listing import Listing
from crosslook.geo.products.numbered import numbered

_SENTINEL_1 = re.compile(
    r"^s1\w-(?P<swath>[a-z]+\d?)-[a-z]+-\w\w-.*?(?P<number>\d+)(?:-cog)?\.tiff?$", re.IGNORECASE
)
_POLARISED = re.compile(r"[-_](vv|vh|hh|hv)[-_.]", re.IGNORECASE)
_BIOMASS_BANDS = ("hh", "hv", "vh", "vv")


def sentinel_1(listing: Listing) -> Product | None:
    """SAFE: one file per polarisation below ``measurement``, and per subswath where it is SLC."""
    named = [
        (name, name.rpartition("/")[2])
        for name in listing.find("measurement/*.tif", "measurement/*.tiff")
    ]
    swaths = {_swath(file) for _, file in named}
    found: dict[str, str] = {}
    for name, file in named:
        if match := _POLARISED.search(file):
            band = match[1].lower()
            band = f"{_swath(file)}_{band}" if len(swaths) > 1 else band
            found.setdefault(band, listing.at(name))
    if not found:
        return None
    first = [name for name in POLARISATIONS if name in found]
    ordered = {n: Part(found[n]) for n in [*first, *sorted(set(found) - set(first))]}
    return Product(ordered, radar=True, wanting=_BURSTS if len(swaths) > 1 else "")


def _swath(file: str) -> str:
    """The subswath in the name of a measurement, with its number in the wave mode; else empty."""
    match = _SENTINEL_1.match(file)
    if match is None:
        return ""
    vignette = f"_{match['number']}" if match["swath"].lower().startswith("wv") else ""
    return match["swath"].lower() + vignette


_BURSTS = (
    "its subswaths are images of their own, and the bursts of an SLC are not merged here: take the "
    "GRD or an RTC of the same pass"
)


def sentinel_2(listing: Listing) -> Product | None:
    """SAFE: L2A keeps its bands by resolution, finest first."""
    granules = sorted({n.rpartition("/")[0] for n in listing.find("GRANULE/*/IMG_DATA")})
    if not granules:
        return None
    at = f"{granules[0]}/IMG_DATA"
    places = (at, *(f"{at}/R{metres}m" for metres in (10, 20, 60)))
    return numbered(listing, [n for place in places for n in listing.find(f"{place}/*")])


def biomass(listing: Listing) -> Product | None:
    """Level 1: four polarisations of amplitude in one file, their phase in another."""
    amplitude = listing.find("measurement/*_i_abs.tif*")
    if not amplitude:
        return None
    phase = listing.find("measurement/*_i_phase.tif*")
    file = listing.at(amplitude[0])
    bands = {name: Part(file, _BIOMASS_BANDS.index(name) + 1) for name in POLARISATIONS}
    left = tuple(name.rpartition("/")[2] for name in phase)
    return Product(bands, left_out=left, radar=True, scale="amplitude")
