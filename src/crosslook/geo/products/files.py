"""Products of one file or store that holds several images: which are bands, and where each lies.

Each is one row of ``FILES``. It looks at the name first, so that ordinary
rasters are not opened twice. Of a container that is no product the largest
images are named, as they can be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from crosslook.gdal_names import is_virtual, split_name, without_keys
from crosslook.geo.products.bands import Product
from crosslook.geo.products.hdf5 import hdf5_bands, hdf5_source
from crosslook.geo.products.vrt import quiet
from crosslook.geo.products.zarr import zarr_bands, zarr_source
from crosslook.storage import for_gdal

_SIZE = re.compile(r"^\[([\dx]+)\]")
_MOST = 3


def images_inside(data: Any) -> list[str]:
    """Names of the images in an open container, the largest first.

    HDF5 files that netCDF reads with their place are named so: the HDF5 driver
    gives pixels alone.
    """
    listed = data.tags(ns="SUBDATASETS")
    names = [str(name) for name in data.subdatasets]
    sizes = {
        name: _pixels(str(listed.get(f"SUBDATASET_{number}_DESC", "")))
        for number, name in enumerate(names, 1)
    }
    return [_with_place(name) for name in sorted(names, key=lambda name: -sizes[name])[:_MOST]]


def describe_container(name: str, data: Any) -> str:
    """Say of an open container what it holds and what to give instead."""
    count = len(data.subdatasets)
    if not count:
        return f"{name} holds no image. Give the file that does."
    shown = " or ".join(f"'{without_keys(one)}'" for one in images_inside(data))
    return f"{name} holds {count} images and is no product that is known. Name one, as {shown}."


def _pixels(described: str) -> int:
    sizes = _SIZE.match(described)
    pixels = 1
    for side in sizes[1].split("x") if sizes else ():
        pixels *= int(side or 1)
    return pixels


def _with_place(name: str) -> str:
    driver, file, inside = split_name(name)
    if driver not in ("HDF5", "ZARR", "NETCDF"):
        return name
    if driver == "HDF5":
        by_netcdf = f'NETCDF:"{file}":{inside.removeprefix("/")}'
        try:
            with quiet(), rasterio.open(by_netcdf) as data:
                if data.crs or data.gcps[0]:
                    return by_netcdf
        except RasterioError:
            pass
    return f'{driver}:"{file}":{inside}'


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
