"""Products of one file that holds several images: which of them are bands, and how GDAL opens each.

Each is one row of ``FILES``: a function that lists the bands of a file, or
gives None where the file is no such product. It looks at the name first, so
that ordinary rasters are not opened twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crosslook.geo.products.bands import Product


@dataclass(frozen=True)
class FileProduct:
    """One kind of container.

    Attributes
    ----------
    name : str
    bands : callable
        Place to its bands, each as a name that GDAL opens, or to a whole product; None where
        it is no such.
    """

    name: str
    bands: Callable[[str], dict[str, str] | Product | None]


FILES: tuple[FileProduct, ...] = ()


def file_bands(text: str) -> dict[str, str] | Product | None:
    """List the bands of a container; None where the file is none."""
    found = (product.bands(text) for product in FILES)
    return next((bands for bands in found if bands is not None), None)
