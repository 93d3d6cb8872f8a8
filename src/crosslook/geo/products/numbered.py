"""Folders whose files are named by the number of their band, as Landsat's are."""

from __future__ import annotations

import re
from collections.abc import Sequence

from crosslook.geo.products.bands import VISIBLE, Product, band_name
from crosslook.geo.products.listing import Listing

_BAND = re.compile(r"(?:^|[_.-])(?:SR_|ST_)?B(\d{1,2}A?)(?:_\d+m)?\.(?:tiff?|jp2)$", re.IGNORECASE)
_LANDSAT = re.compile(r"^L[COTEM]\d\d_", re.IGNORECASE)


def numbered_bands(listing: Listing) -> Product | None:
    """Landsat, and any folder whose files are named by band, as ``..._B04.tif``."""
    return numbered(listing, listing.find("*.tif", "*.tiff", "*.jp2"))


def numbered(listing: Listing, names: Sequence[str]) -> Product | None:
    """Bands by the numbers in the names of files; of one band the first file."""
    bands: dict[str, str] = {}
    for name in names:
        if match := _BAND.search(name):
            bands.setdefault(band_name(match[1]), listing.at(name))
    if len(bands) < 2:
        return None
    files = [name.rpartition("/")[2] for name in names]
    landsat = next((name for name in files if _LANDSAT.match(name)), "")
    kind = "sentinel" if not landsat else "landsat" if landsat[2:4] in ("08", "09") else "tm"
    visible = [name for name in VISIBLE[kind] if name in bands]
    ordered = [*visible, *sorted(set(bands) - set(visible))]
    return Product.of({name: bands[name] for name in ordered})
