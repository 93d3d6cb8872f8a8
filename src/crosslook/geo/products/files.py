"""Products of one file or store that holds several images: which are bands, and where each lies.

These are SAR on a map in HDF5, and Zarr. Both look at the name first, so that
ordinary rasters are not opened twice. Of a container that is no product the
largest images are named, as they can be read.
"""

from __future__ import annotations

import math
import re
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
    sizes = {
        str(name): _pixels(str(listed.get(f"SUBDATASET_{number}_DESC", "")))
        for number, name in enumerate(data.subdatasets, 1)
    }
    return [_with_place(name) for name in sorted(sizes, key=lambda name: -sizes[name])[:_MOST]]


def describe_container(name: str, data: Any) -> str:
    """Say of an open container what it holds and what to give instead."""
    count = len(data.subdatasets)
    if not count:
        return f"{name} holds no image. Give the file that does."
    shown = " or ".join(f"'{without_keys(one)}'" for one in images_inside(data))
    return f"{name} holds {count} images and is no product that is known. Name one, as {shown}."


def _pixels(described: str) -> int:
    sizes = _SIZE.match(described)
    return math.prod(int(side or 1) for side in sizes[1].split("x")) if sizes else 1


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


def file_product(text: str) -> Product | None:
    """The bands of a container, each as GDAL names it; None where the file is none."""
    bands = hdf5_bands(text)
    bands = zarr_bands(text) if bands is None else bands
    return None if bands is None else Product.of(bands)


def gdal_source(name: str) -> str:
    """What GDAL opens for a file or a layer: its name, or a virtual raster at its true place."""
    if is_virtual(name):
        return name
    return hdf5_source(name) or zarr_source(name) or for_gdal(name)[0]
