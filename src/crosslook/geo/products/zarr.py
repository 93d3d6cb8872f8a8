"""Products in Zarr stores: EOPF Sentinel-1 and Sentinel-2, GeoZarr, and any with images on a grid.

Where an array lies is read as EOPF, GeoZarr and CF write it: CRS, map or
control points.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint

from crosslook.errors import InputError
from crosslook.gdal_names import split_name
from crosslook.geo.products.bands import COLOURS, POLARISATIONS, VISIBLE, band_name
from crosslook.geo.products.vrt import Georeference, axis_affine, placed
from crosslook.geo.products.zarr_store import Node, Store, find_store, raster_of, values_of
from crosslook.storage import for_gdal, is_gdal_name, name_of

_DEGREES = ("lat", "lon", "latitude", "longitude")


def place_of(store: Store, node: Node) -> Georeference:
    """Say where the pixels of an array lie, and what its numbers mean.

    Control points (EOPF Sentinel-1) come first, then axes, whose values are
    the centres of pixels, then the affine map of the array or of the nearest
    group around it.

    Raises
    ------
    InputError
        If axes or control points cannot be read.
    """
    try:
        scale = float(_first(node, "scale_factor", 1.0))
        offset = float(_first(node, "add_offset", 0.0))
        if points := _control_points(store, node):
            return Georeference("EPSG:4326", None, points, scale, offset, _nodata(node))
        affine = _axes(store, node) or _written_affine(store, node)
        crs = next(filter(None, (_crs_in(one.attributes) for one in _around(store, node))), "")
        if not crs and node.dimensions and set(node.dimensions[-2:]) <= set(_DEGREES):
            crs = "EPSG:4326"
        return Georeference(crs if affine else "", affine, (), scale, offset, _nodata(node))
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"{name_of(store.root)} does not say where {node.path} lies in a way that is known: "
            f"{error}."
        ) from error


def _first(node: Node, key: str, default: Any) -> Any:
    inner = node.attributes.get("_eopf_attrs")
    places = (node.attributes, inner if isinstance(inner, Mapping) else {})
    return next((at[key] for at in places if at.get(key) is not None), default)


def _nodata(node: Node) -> float | None:
    """The number for no data; None where the store names none.

    The fill value of version 3 is what unwritten chunks hold, and no more.
    """
    for value in (_first(node, "_FillValue", None), _first(node, "fill_value", None), node.fill):
        if isinstance(value, str):
            value = _decoded(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _decoded(text: str) -> float | None:
    """A number as text, or as xarray writes it: the bytes of a double in base64."""
    with suppress(ValueError):
        return float(text)
    with suppress(binascii.Error, struct.error):
        return float(struct.unpack("<d", base64.b64decode(text, validate=True))[0])
    return None


def _around(store: Store, node: Node) -> Iterator[Node]:
    """The array, what holds its projection, and the groups around it, nearest first."""
    yield node
    groups, mapping = _groups(node), node.attributes.get("grid_mapping")
    if isinstance(mapping, str):
        named = (store.nodes.get(f"{group}/{mapping}".strip("/")) for group in groups)
        yield from list(filter(None, named))[:1]
    yield from (store.nodes[group] for group in groups if group in store.nodes)


def _groups(node: Node) -> list[str]:
    parts = node.group.split("/") if node.group else []
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _crs_in(attributes: Mapping[str, Any]) -> str:
    """A CRS among attributes, however it is written."""
    for key in ("code", "epsg", "wkt2", "projjson"):
        value = attributes.get(f"proj:{key}")
        if isinstance(value, dict):
            return json.dumps(value)
        if isinstance(value, int | str) and value:
            return f"EPSG:{value}" if str(value).isdigit() else str(value)
    for key in ("crs_wkt", "spatial_ref", "horizontal_CRS_code", "wkt"):
        if isinstance(value := attributes.get(key), str) and value:
            return value
    for key in ("_CRS", "other_metadata", "stac_discovery", "properties", "proj", "geo:proj"):
        if isinstance(inner := attributes.get(key), dict) and (text := _crs_in(inner)):
            return text
    return ""


def _sibling(store: Store, node: Node, name: str) -> Node | None:
    """An array of this name in the group of another, or in one around it."""
    found = (store.nodes.get(f"{group}/{name}".strip("/")) for group in _groups(node))
    return next((array for array in found if array is not None and array.shape), None)


def _axes(store: Store, node: Node) -> Affine | None:
    """Map of an array with axes of whole steps; None without."""
    values: list[NDArray[Any]] = []
    for side, name in zip(node.shape[-2:], node.dimensions[-2:], strict=False):
        axis = _sibling(store, node, name)
        if axis is None or axis.shape != (side,) or name not in ("x", "y", *_DEGREES):
            return None
        values.append(values_of(store, axis.path).astype(np.float64))
    return axis_affine(values[1], values[0]) if len(values) == 2 else None


def _written_affine(store: Store, node: Node) -> Affine | None:
    """An affine map among the attributes; one that is said to be of another shape is not taken."""
    for one in _around(store, node):
        numbers = one.attributes.get("spatial:transform") or one.attributes.get("proj:transform")
        shape = one.attributes.get("spatial:shape") or one.attributes.get("proj:shape")
        if shape is not None and tuple(shape) != node.shape[-2:]:
            continue
        if isinstance(numbers, Sequence) and len(numbers) in (6, 9):
            affine = Affine(*(float(number) for number in numbers[:6]))
            nodes = one.attributes.get("spatial:registration") == "node"
            return affine @ Affine.translation(-0.5, -0.5) if nodes else affine
        if isinstance(text := one.attributes.get("GeoTransform"), str):
            return Affine.from_gdal(*(float(number) for number in text.split()))
    return None


def _control_points(store: Store, node: Node) -> list[GroundControlPoint]:
    """The lattice of an EOPF Sentinel-1 product: ``conditions/gcp`` beside ``measurements``.

    Its lines and pixels count the centres, from 0; here they count from the corner.
    """
    start, found, _ = f"/{node.path}".rpartition("/measurements/")
    group = f"{start}/conditions/gcp".strip("/")
    names = {name: f"{group}/{name}" for name in ("latitude", "longitude", "height")}
    if not found or not {names["latitude"], names["longitude"]} <= store.nodes.keys():
        return []
    lattice = {n: values_of(store, path) for n, path in names.items() if path in store.nodes}
    rows, cols = (_positions(store, node, store.nodes[names["latitude"]], axis) for axis in (0, 1))
    heights = lattice.get("height", np.zeros_like(lattice["latitude"]))
    known = np.isfinite(lattice["latitude"]) & np.isfinite(lattice["longitude"])
    return [
        GroundControlPoint(
            row=float(rows[i]) + 0.5,
            col=float(cols[j]) + 0.5,
            x=float(lattice["longitude"][i, j]),
            y=float(lattice["latitude"][i, j]),
            z=float(np.nan_to_num(heights[i, j])),
        )
        for i, j in np.argwhere(known)
    ]


def _positions(store: Store, node: Node, lattice: Node, axis: int) -> NDArray[np.float64]:
    """Row or column of each line of the lattice: as written, else where its axis meets the image's.

    Raises
    ------
    InputError
        If neither is there.
    """
    written = store.nodes.get(f"{lattice.group}/{('line', 'pixel')[axis]}")
    if written is not None and written.shape == (lattice.shape[axis],):
        return values_of(store, written.path).astype(np.float64)
    names = lattice.dimensions[axis : axis + 1] + node.dimensions[-2:][axis : axis + 1]
    axes = [_sibling(store, of, name) for of, name in zip((lattice, node), names, strict=False)]
    if len(axes) == 2 and axes[0] is not None and axes[1] is not None:
        of_points, of_image = (values_of(store, one.path) for one in axes if one is not None)
        units = {str(one.attributes.get("units", "")) for one in axes if one is not None}
        if len(units) == 1 and of_image.size == node.shape[-2:][axis]:
            # Times in nanoseconds are whole numbers beyond a double's.
            known, target = ((v - of_image[0]).astype(np.float64) for v in (of_image, of_points))
            return np.asarray(np.interp(target, known, np.arange(known.size)), np.float64)
    raise InputError(
        f"{name_of(store.root)}: the control points in {lattice.group} name no lines and pixels "
        f"of {node.path}, so its place is not known. Get the product again."
    )


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
    """The one array requested."""
    node = store.nodes.get(store.below)
    return node if node is not None and node.shape else None


def _images(store: Store) -> list[Node]:
    """Arrays that are images, the finest first: no axes, masks of quality, or grids of angles."""
    start = f"{store.below}/".lstrip("/")
    inside = [node for node in store.nodes.values() if f"{node.path}/".startswith(start)]
    arrays = [node for node in inside if _is_image(node)]
    measured = [node for node in arrays if "/measurements/" in f"/{node.path}"]
    return sorted(measured or arrays, key=lambda n: (-n.shape[-1] * n.shape[-2], n.path))


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
