"""What to name instead of a container of several images: the largest ones, as they can be read."""

from __future__ import annotations

import re
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from crosslook.gdal_names import split_name, without_keys
from crosslook.geo.products.vrt import quiet

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
