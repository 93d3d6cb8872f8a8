"""SAR products on a map in one HDF5 file: NISAR's GCOV and GSLC, OPERA's CSLC-S1.

GDAL's HDF5 driver gives their pixels but, before version 3.13, no place. The
place is read here, from the coordinates and the EPSG code beside the layers,
through the same driver: so it works for addresses too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from crosslook.errors import InputError, RasterError
from crosslook.gdal_names import split_name, without_keys
from crosslook.geo.products.bands import POLARISATIONS
from crosslook.geo.products.vrt import Georeference, axis_affine, placed, quiet
from crosslook.storage import for_gdal, is_gdal_name, is_remote, name_of

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUFFIXES = (".h5", ".hdf5", ".he5")
_POLARISED = r"(?P<name>[HVRL][HV](?:[HVRL][HV])?)"
_NISAR = r"/science/(?P<radar>[LS]SAR)/{product}/{grid}/frequency(?P<group>[A-Z])/"


@dataclass(frozen=True)
class Layout:
    """How a product names its layers, and the axes beside each."""

    layer: re.Pattern[str]
    x: str
    y: str


_ON_A_MAP = _NISAR.format(product="(?:GCOV|GSLC)", grid="grids")
LAYOUTS = (
    Layout(re.compile(_ON_A_MAP + _POLARISED), "xCoordinates", "yCoordinates"),
    Layout(re.compile("(?P<group>/data)/" + _POLARISED), "x_coordinates", "y_coordinates"),
)


@dataclass(frozen=True)
class Layer:
    """One polarisation: its path in the file, what it is called, and its layout."""

    path: str
    group: str
    name: str
    layout: Layout


def hdf5_bands(text: str) -> dict[str, str] | None:
    """List the polarisations of a SAR product on a map, each as GDAL names it.

    Those of the first frequency go by their own names, as ``hhhh``, others as
    ``b/hhhh``.

    Raises
    ------
    InputError
        If the product is in radar geometry.
    """
    opened = _open(text) if _may_be_hdf5(text) else None
    if opened is None:
        return None
    layers = _layers(list(opened.described))
    if not layers:
        _refuse_radar_geometry(text, opened.described)
    bands: dict[str, str] = {}
    for layer in layers:
        first = layer.group == layers[0].group
        name = layer.name if first else f"{layer.group.split()[-1].lower()}/{layer.name}"
        bands.setdefault(name, _named(opened.gdal, layer.path))
    return bands or None


def hdf5_source(name: str) -> str | None:
    """Put a polarisation that is named as GDAL does at its place; None for other names.

    Raises
    ------
    RasterError
        If the product does not say where it lies.
    """
    driver, file, inside = split_name(name) if is_gdal_name(name) else ("", name, "")
    path = inside.replace("//", "/", 1)
    layers = _layers([path])
    if driver != "HDF5" or not layers or (opened := _open(file)) is None:
        return None
    with rasterio.Env(**opened.options):
        place = _place(opened, path.rpartition("/")[0], layers[0].layout)
        return placed(_named(opened.gdal, path), place, layers[0].name)


@dataclass(frozen=True)
class Opened:
    """An HDF5 file: its name and options for GDAL, its tags, and its layers with their sizes."""

    gdal: str
    options: dict[str, str]
    tags: Mapping[str, str]
    described: Mapping[str, str]


def _open(file: str) -> Opened | None:
    """Look into a file; None where GDAL cannot, which is said where it is opened as a raster."""
    gdal, options = for_gdal(file)
    try:
        with quiet(), rasterio.Env(**options), rasterio.open(gdal, driver="HDF5") as data:
            listed = data.tags(ns="SUBDATASETS")
            described = {
                split_name(name)[2].replace("//", "/", 1): listed[f"SUBDATASET_{number}_DESC"]
                for number, name in enumerate(data.subdatasets, 1)
            }
            tags = {str(key): str(value) for key, value in data.tags().items()}
    except RasterioError:
        return None
    return Opened(gdal, options, tags, described)


def _may_be_hdf5(file: str) -> bool:
    """Whether it is worth a look: by the first bytes of a local file, else by the name."""
    if is_remote(file) or file.startswith("/vsi"):
        return without_keys(file).lower().endswith(_SUFFIXES)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(len(_SIGNATURE)) == _SIGNATURE
    except (OSError, ValueError):
        return False


def _layers(paths: list[str]) -> list[Layer]:
    """The polarisations among the layers: powers and amplitudes first, co-polarised before cross.

    Terms between two channels, as HHHV, come last.
    """
    found = [
        Layer(path, f"{known.get('radar', '')} {known['group']}", known["name"].lower(), layout)
        for path in paths
        for layout in LAYOUTS
        if (match := layout.layer.fullmatch(path)) and (known := match.groupdict())
    ]
    order = {name: number for number, name in enumerate(POLARISATIONS)}
    return sorted(found, key=lambda layer: (layer.group, order.get(layer.name, len(order))))


def _place(opened: Opened, group: str, layout: Layout) -> Georeference:
    """Read the map of a group: its axes hold the centres of pixels."""
    start = f"{group.strip('/').replace('/', '_')}_projection_"
    code, text = (opened.tags.get(start + key, "") for key in ("epsg_code", "spatial_ref"))
    crs = f"EPSG:{code.strip()}" if code.strip().isdigit() else text
    x, y = (_axis(_named(opened.gdal, f"{group}/{name}")) for name in (layout.x, layout.y))
    affine = axis_affine(x, y)
    if not crs or affine is None:
        lacking = "a CRS" if not crs else f"even {layout.x} and {layout.y}"
        raise RasterError(
            f"{name_of(opened.gdal)} lacks {lacking} in {group}, so its place is not known. "
            "The file is incomplete or follows another specification; get it again."
        )
    return Georeference(crs, affine, nodata_by_driver=True)


def _axis(name: str) -> NDArray[Any]:
    try:
        with quiet(), rasterio.open(name) as data:
            values: NDArray[Any] = data.read(1).ravel()
    except RasterioError:
        return np.empty(0)
    return values


def _named(gdal: str, path: str) -> str:
    return f'HDF5:"{gdal}":/{path}'


# Products in radar geometry: a layer by which each is known, its name, and what to use instead.
_UNPLACED = {
    _NISAR.format(product="R?SLC", grid="swaths") + f"{_POLARISED} .*": (
        "a NISAR RSLC",
        "Use the GSLC or GCOV product of the same pass",
    ),
    "/s_[iq] .*": (
        "an ICEYE SLC, of real and imaginary parts",
        "Use the amplitude (GeoTIFF) or the SICD of the same image",
    ),
    r"/S\d\d/(SBI|IMG) .*x2\].*": (
        "a COSMO-SkyMed SCS, of real and imaginary parts",
        "Use the geocoded product (GEC or GTC) of the same image",
    ),
}


def _refuse_radar_geometry(file: str, described: Mapping[str, str]) -> None:
    """Say what to use instead of a product whose pixels have no map.

    Raises
    ------
    InputError
        If it is one.
    """
    for layer, (name, instead) in _UNPLACED.items():
        for path, size in described.items():
            if re.fullmatch(layer, f"{path} {size}"):
                raise InputError(
                    f"{name_of(file)} is {name}: its pixels are in radar geometry, "
                    f"without a map. {instead}. A layer alone is read as a plain image "
                    f"""without a place, as 'HDF5:"{without_keys(file)}":/{path}'."""
                )
