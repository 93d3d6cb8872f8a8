"""Products of one file or store that holds several images: which are bands, and where each lies.

Each is one row of ``FILES``. It looks at the name first, so that ordinary
rasters are not opened twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crosslook.gdal_names import is_virtual
from crosslook.geo.products.bands import Product
from crosslook.geo.products.hdf5 import hdf5_bands, hdf5_source
from crosslook.geo.products.zarr import zarr_bands, zarr_source
from crosslook.storage import for_gdal


@dataclass(frozen=True)
class FileProduct:
    """One kind of container.

    Attributes
    ----------
    name : str
    bands : callable
        Place to its bands, each as a name that GDAL opens, or to a whole product; None where
        it is no such.
    source : callable, optional
        A name that GDAL opens to the text of a virtual raster, where GDAL alone would not know
        its place; None for other names.
    """

    name: str
    bands: Callable[[str], dict[str, str] | Product | None]
    source: Callable[[str], str | None] | None = None


FILES: tuple[FileProduct, ...] = (
    FileProduct("SAR on a map in HDF5", hdf5_bands, hdf5_source),
    FileProduct("Zarr", zarr_bands, zarr_source),
)


def file_bands(text: str) -> dict[str, str] | Product | None:
    """List the bands of a container; None where the file is none."""
    found = (product.bands(text) for product in FILES)
    return next((bands for bands in found if bands is not None), None)


def gdal_source(name: str) -> str:
    """What GDAL opens for a file or a layer: its name, or a virtual raster at its true place."""
    if is_virtual(name):
        return name
    for product in FILES:
        text = None if product.source is None else product.source(name)
        if text is not None:
            return text
    return for_gdal(name)[0]
