"""Zarr stores: EOPF Sentinel-1 and Sentinel-2, GeoZarr, and any other with images on a grid."""

from __future__ import annotations

import re
from collections.abc import Iterable

import rasterio

from crosslook.errors import InputError
from crosslook.gdal_names import split_name
from crosslook.geo.products.bands import COLOURS, POLARISATIONS, VISIBLE, band_name
from crosslook.geo.products.placed import placed
from crosslook.geo.products.zarr_arrays import raster_of
from crosslook.geo.products.zarr_place import place_of
from crosslook.geo.products.zarr_tree import Node, Store, find_store
from crosslook.storage import for_gdal, is_gdal_name, name_of

_NUMBERED = re.compile(r"b(\d{1,2}a?)", re.IGNORECASE)
_POLARISED = re.compile(r"_(VV|VH|HH|HV)(?:_(\w+))?(?:/|$)")
_OF_IMAGES = {
    "y", "x", "lat", "lon", "latitude", "longitude", "azimuth_time", "ground_range",
    "slant_range_time", "line", "pixel", "row", "col", "rows", "cols",
}  # fmt: skip
_LEAST_SIDE = 16  # pixels
_MOST_OTHERS = 24  # of arrays that have no name of a band


def zarr_bands(text: str) -> dict[str, str] | None:
    """List the images of a Zarr store by band, each as GDAL names it; None for one so named.

    Of measurements and others the measurements; of several resolutions the
    finest of each band.

    Raises
    ------
    InputError
        If the store cannot be read, or holds no image.
    """
    store = find_store(text)
    if store is None or (is_gdal_name(text) and _array_of(store) is not None):
        return None
    images = _images(store)
    if not images:
        raise InputError(f"'{name_of(text)}' is a Zarr store without an image on a grid.")
    named: dict[str, Node] = {}
    for node in images:
        named.setdefault(_name(node), node)
    return {name: store.gdal_name(named[name].path) for name in _ordered(named)}


def zarr_source(name: str) -> str | None:
    """Put an array that is named as GDAL does at its place; None for other names.

    Raises
    ------
    InputError, MissingExtraError, RasterError
        If it cannot be read.
    """
    if not is_gdal_name(name) or split_name(name)[0] != "ZARR":
        return None
    store = find_store(name)
    if store is None or (node := _array_of(store)) is None:
        return None
    with rasterio.Env(**for_gdal(name)[1]):
        return placed(raster_of(store, node.path), place_of(store, node), _name(node))


def _array_of(store: Store) -> Node | None:
    """The one array that was asked for."""
    node = store.nodes.get(store.below)
    return node if node is not None and node.shape else None


def _images(store: Store) -> list[Node]:
    """Arrays that are images, the finest first: no axes, masks of quality, or grids of angles."""
    below = store.below
    inside = [
        node
        for node in store.nodes.values()
        if not below or node.path == below or node.path.startswith(f"{below}/")
    ]
    arrays = [node for node in inside if _is_image(node)]
    measured = [node for node in arrays if "/measurements/" in f"/{node.path}"]
    chosen = measured or arrays
    return sorted(chosen, key=lambda node: (-node.shape[-1] * node.shape[-2], node.path))


def _is_image(node: Node) -> bool:
    if len(node.shape) not in (2, 3) or min(node.shape[-2:]) < _LEAST_SIDE:
        return False
    return not node.dimensions or set(node.dimensions[-2:]) <= _OF_IMAGES


def _name(node: Node) -> str:
    """What a band is called: by number, by polarisation, else as its array."""
    if numbered := _NUMBERED.fullmatch(node.name):
        return band_name(numbered[1])
    if polarised := _POLARISED.search(node.path):
        return "/".join(part.lower() for part in polarised.groups() if part)
    return node.name.lower() or "image"


def _ordered(names: Iterable[str]) -> list[str]:
    """Names that are taken by default first, the others sorted, not more than can be listed."""
    every = list(names)
    first = [n for n in (*VISIBLE["sentinel"], *COLOURS, *POLARISATIONS) if n in every]
    return [*first, *sorted(set(every) - set(first))[:_MOST_OTHERS]]
