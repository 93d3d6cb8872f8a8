"""What a place names: a file, a product's folder, a STAC item; and how GDAL opens it.

Product folders (Sentinel-1, Sentinel-2, Landsat, or any folder of files named
by band) and STAC items become one raster of their bands, written as a virtual
raster (VRT) that GDAL reads from its text. So do files whose pixels are not
numbers yet: complex ones (their amplitude) and palettes (their colours).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import urlopen
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from crosslook.errors import InputError, RasterError
from crosslook.storage import Place, as_path, for_gdal, is_gdal_name, is_remote, name_of, reaching

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".nc", ".h5", ".ntf", ".img")
"""Endings of the rasters that are looked for in a folder."""

_POLARISATIONS = ("vv", "vh", "hh", "hv")
_BAND = re.compile(r"(?:^|[_.-])(?:SR_|ST_)?B(\d{1,2}A?)(?:_\d+m)?\.(?:tiff?|jp2)$", re.IGNORECASE)
_LANDSAT = re.compile(r"^L[COTEM]\d\d_", re.IGNORECASE)
_SENTINEL_1 = re.compile(r"[-_](vv|vh|hh|hv)[-_.]", re.IGNORECASE)
_VISIBLE = {
    "sentinel": ("B04", "B03", "B02"),
    "landsat": ("B04", "B03", "B02"),
    "tm": ("B03", "B02", "B01"),
}
_ITEM = re.compile(r"#(\d+)\.json$")  # an item of a collection, as `stac_items` names it
_MOST_JSON = 64 << 20
_PATIENCE = 60.0  # seconds
_COLOURS = ("red", "green", "blue")
_AMPLITUDE = ("complex64", "complex128", "complex_int16", "cint16", "cint32", "complex_int32")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep rasterio from warning of images that lie nowhere, which are welcome here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@dataclass(frozen=True)
class Opening:
    """What GDAL opens for a place.

    Attributes
    ----------
    name : str
        A file name, an address, or the text of a virtual raster.
    files : tuple of str
        The files that a virtual raster made here is of; else empty.
    """

    name: str
    files: tuple[str, ...] = ()


def resolve(place: Place, bands: Sequence[str] = ()) -> Opening:
    """Say what GDAL opens for a place.

    Parameters
    ----------
    place : path, address or name that GDAL knows
    bands : sequence of str
        Bands of a product by name, as ``B08``; its visible ones by default.

    Raises
    ------
    InputError
        If a folder is no product, or a product lacks the bands.
    """
    return _resolve(str(place), tuple(bands))


@lru_cache(maxsize=512)
def _resolve(text: str, bands: tuple[str, ...]) -> Opening:
    members = product_bands(text)
    if members is None:
        return Opening(for_gdal(text)[0])
    names = _chosen(members, bands, name_of(text))
    files = tuple(members[name] for name in names)
    return Opening(stack([for_gdal(file)[0] for file in files], names), files)


def product_bands(place: Place) -> dict[str, str] | None:
    """List the bands of a product: name to file, visible ones or polarisations first.

    None where the place is no product: a file, or a folder of other rasters.
    """
    text = str(place)
    if is_gdal_name(text):
        return None
    if _is_json(text):
        return _stac_bands(text)
    if is_remote(text):
        return None
    path = Path(text)
    if path.name.lower() in ("manifest.safe", "mtd_msil1c.xml", "mtd_msil2a.xml"):
        path = path.parent
    return _folder_bands(path) if path.is_dir() else None


def stac_items(place: Place) -> list[str] | None:
    """Places of the items of a STAC item collection; None for anything else."""
    if not _is_json(str(place)):
        return None
    loaded = _load_json(str(place))
    if loaded.get("type") != "FeatureCollection":
        return None
    return [f"{place}#{number}.json" for number in range(len(loaded.get("features", [])))]


def _is_json(text: str) -> bool:
    """Whether a place is a JSON file, be it one of a signed address or an item of a collection."""
    return _address(text).lower().endswith(".json") or bool(_ITEM.search(text))


def _address(text: str) -> str:
    """A web address without the query that signs it; anything else as it is."""
    return text.partition("?")[0] if is_remote(text) else text


def _folder_bands(folder: Path) -> dict[str, str] | None:
    files = sorted(p for p in folder.iterdir() if p.is_file())
    measurement = folder / "measurement"
    if measurement.is_dir():  # Sentinel-1 SAFE
        polarised: dict[str, str] = {}
        for file in sorted(measurement.glob("*.tif*")):
            if match := _SENTINEL_1.search(file.name):
                polarised.setdefault(match[1].lower(), str(file))
        return {n: polarised[n] for n in _POLARISATIONS if n in polarised} or None
    granules = sorted(folder.glob("GRANULE/*/IMG_DATA"))
    if granules:  # Sentinel-2 SAFE: L2A keeps its bands by resolution, finest first
        files = [
            p
            for where in (granules[0], *(granules[0] / f"R{m}m" for m in (10, 20, 60)))
            if where.is_dir()
            for p in sorted(where.iterdir())
        ]
    bands: dict[str, str] = {}
    for file in files:
        if match := _BAND.search(file.name):
            bands.setdefault(_band_name(match[1]), str(file))
    if len(bands) < 2:
        return None
    landsat = next((f.name for f in files if _LANDSAT.match(f.name)), "")
    kind = "sentinel" if not landsat else "landsat" if landsat[2:4] in ("08", "09") else "tm"
    visible = [name for name in _VISIBLE[kind] if name in bands]
    return {name: bands[name] for name in [*visible, *sorted(set(bands) - set(visible))]}


def _band_name(digits: str) -> str:
    number = digits.upper()
    return f"B{number.zfill(3 if number.endswith('A') else 2)}"


def _chosen(members: Mapping[str, str], bands: Sequence[str], name: str) -> list[str]:
    """Names of the bands wanted; by default the first ones: visible, or polarisations."""
    if not bands:
        polarised = [band for band in members if band in _POLARISATIONS]
        if polarised:
            return polarised[:2]
        visible = list(members)[:3]
        known = [set(v) for v in _VISIBLE.values()]
        if set(visible) in known or set(visible) == set(_COLOURS) or set(members) <= {"visual"}:
            return visible
        raise InputError(
            f"'{name}' holds the bands {', '.join(members)} and not all visible ones. "
            f"Name those to use with --bands, as {':'.join(list(members)[:3])}."
        )
    aliases = {key.lower(): key for key in members}
    out = []
    for band in bands:
        key = aliases.get(band.lower()) or aliases.get(_numbered(band).lower())
        if key is None:
            raise InputError(
                f"'{name}' has no band '{band}'; it has {', '.join(members)}. "
                "Name some of these with --bands."
            )
        out.append(key)
    return out


def _numbered(text: str) -> str:
    match = re.fullmatch(r"b?(\d{1,2}a?)", text, re.IGNORECASE)
    return _band_name(match[1]) if match else text


def _stac_bands(place: str) -> dict[str, str]:
    """Assets of a STAC item by band: common names where known, else the asset's key."""
    one = _ITEM.search(place)
    base = place[: one.start()] if one else place
    item = _load_json(base)
    if one:
        item = item["features"][int(one[1])]
    elif item.get("type") == "FeatureCollection":
        if len(item.get("features", [])) != 1:
            raise InputError(
                f"{name_of(place)} holds {len(item.get('features', []))} items; one image is "
                "needed here. Give one item, or build an atlas of all."
            )
        item = item["features"][0]
    bands: dict[str, str] = {}
    for key, asset in item.get("assets", {}).items():
        href = _located(str(asset.get("href", "")), base)
        described = asset.get("bands") or asset.get("eo:bands") or [{}]
        common = described[0].get("common_name") or described[0].get("eo:common_name")
        if not _is_raster(asset, href):
            continue
        if len(described) == 1 and common in _COLOURS:
            bands.setdefault(common, href)
        bands.setdefault(key.lower(), href)
    if not bands:
        raise InputError(f"{name_of(place)} is no STAC item with raster assets.")
    if "visual" in bands and not set(_COLOURS) <= set(bands):
        return {"visual": bands["visual"]}
    first = [name for name in (*_COLOURS, *_POLARISATIONS) if name in bands]
    return {name: bands[name] for name in [*first, *sorted(set(bands) - set(first))]}


def _is_raster(asset: Mapping[str, Any], href: str) -> bool:
    kind = str(asset.get("type", ""))
    ending = href.split("?")[0].lower().endswith(SUFFIXES)
    return "tiff" in kind or "jp2" in kind or (not kind and ending)


def _located(href: str, base: str) -> str:
    if is_remote(href) or is_gdal_name(href) or Path(href).is_absolute():
        return href
    if is_remote(base):
        return urljoin(base, href)
    return str((Path(base).parent / href).resolve())


@lru_cache(maxsize=64)
def _load_json(place: str) -> dict[str, Any]:
    try:
        with reaching(place):
            loaded = json.loads(_bytes_of(place))
    except OSError as error:
        raise InputError(f"cannot read {_address(place)}: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"{_address(place)} is not JSON: {error}.") from error
    if not isinstance(loaded, dict) or "type" not in loaded:
        raise InputError(f"{_address(place)} is no STAC item or item collection.")
    return loaded


def _bytes_of(place: str) -> bytes:
    """All of a small file; web addresses by the standard library, so that no extra is needed."""
    if not place.startswith(("http://", "https://")):
        return as_path(place).read_bytes()
    with urlopen(place, timeout=_PATIENCE) as answer:
        data: bytes = answer.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise InputError(f"{_address(place)} is over {_MOST_JSON >> 20} MiB: no STAC item.")
    return data


def stack(files: Sequence[str], names: Sequence[str]) -> str:
    """Write the virtual raster of one or more files, all bands of each, on the grid of the first.

    Raises
    ------
    RasterError
        If a file cannot be read.
    """
    root: Element | None = None
    for file, name in zip(files, names, strict=True):
        try:
            with quiet(), rasterio.open(file) as data:
                root = _vrt_head(data) if root is None else root
                for band in range(1, data.count + 1):
                    label = f"{name} {band}" if data.count > 1 else name
                    _add_band(root, data, file, band, label)
        except RasterioError as error:
            raise RasterError(f"{name_of(file)} cannot be read: {error}.") from error
    return "" if root is None else tostring(root, encoding="unicode")


def normalised(data: Any, *, indexed: bool = False) -> str | None:
    """Write the virtual raster of an open file whose pixels are no numbers yet; None for others.

    ``indexed`` takes the numbers of a palette for what they are.
    """
    root = _vrt_head(data)
    if data.dtypes[0] in _AMPLITUDE:
        for band in range(1, data.count + 1):
            _add_band(root, data, data.name, band, str(data.descriptions[band - 1] or ""))
    elif data.colorinterp[0] is ColorInterp.palette and not indexed:
        _add_colours(root, data)
    else:
        return None
    return tostring(root, encoding="unicode")


def _vrt_head(data: Any) -> Element:
    """Size, SRS, affine map, control points and rational polynomials of an open file."""
    size = {"rasterXSize": str(data.width), "rasterYSize": str(data.height)}
    root = Element("VRTDataset", size)
    if data.crs:
        SubElement(root, "SRS").text = data.crs.to_wkt()
    if not data.transform.is_identity:
        a, b, c, d, e, f = tuple(data.transform)[:6]
        numbers = ",".join(repr(float(number)) for number in (c, a, b, f, d, e))
        SubElement(root, "GeoTransform").text = numbers
    points, crs = data.gcps
    if points:
        listed = SubElement(root, "GCPList", {"Projection": "" if crs is None else crs.to_wkt()})
        for number, point in enumerate(points):
            place = {"Pixel": point.col, "Line": point.row, "X": point.x, "Y": point.y}
            place |= {"Z": point.z or 0.0}
            texts = {key: repr(float(value)) for key, value in place.items()}
            SubElement(listed, "GCP", {"Id": str(number), **texts})
    if data.rpcs:
        domain = SubElement(root, "Metadata", {"domain": "RPC"})
        for key, value in data.tags(ns="RPC").items():
            SubElement(domain, "MDI", {"key": str(key)}).text = str(value)
    return root


def _add_source(
    root: Element, parent: Element, kind: str, data: Any, file: str, band: int
) -> Element:
    """Add all of a file's band as a source of one of the virtual raster's, over all of it.

    A band of coarser pixels, as Sentinel-2 has them, fills the same ground.
    """
    own = {"xSize": str(data.width), "ySize": str(data.height)}
    whole = {"xSize": root.get("rasterXSize", ""), "ySize": root.get("rasterYSize", "")}
    source = SubElement(parent, kind)
    SubElement(source, "SourceFilename", {"relativeToVRT": "0"}).text = file
    SubElement(source, "SourceBand").text = str(band)
    SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0", **own})
    SubElement(source, "DstRect", {"xOff": "0", "yOff": "0", **whole})
    return source


def _add_band(root: Element, data: Any, file: str, band: int, label: str) -> None:
    """Add one band of a file; the amplitude where it is complex."""
    kind, nodata = data.dtypes[band - 1], data.nodatavals[band - 1]
    amplitude = kind in _AMPLITUDE
    number = str(len(root.findall("VRTRasterBand")) + 1)
    named = {"dataType": _GDAL_TYPES.get(kind, "Float32"), "band": number}
    if amplitude:
        named["subClass"] = "VRTDerivedRasterBand"
    added = SubElement(root, "VRTRasterBand", named)
    SubElement(added, "Description").text = label
    if amplitude:
        SubElement(added, "PixelFunctionType").text = "mod"
        SubElement(added, "SourceTransferType").text = "CFloat32"
    else:
        if nodata is not None:
            SubElement(added, "NoDataValue").text = repr(float(nodata))
        SubElement(added, "Offset").text = repr(float(data.offsets[band - 1]))
        SubElement(added, "Scale").text = repr(float(data.scales[band - 1]))
    _add_source(root, added, "SimpleSource", data, file, band)


def _add_colours(root: Element, data: Any) -> None:
    """Add red, green and blue of a palette image, and the mask of its see-through entries."""
    for component, colour in enumerate(_COLOURS, 1):
        named = {"dataType": "Byte", "band": str(component)}
        added = SubElement(root, "VRTRasterBand", named)
        SubElement(added, "ColorInterp").text = colour.title()
        source = _add_source(root, added, "ComplexSource", data, data.name, 1)
        SubElement(source, "ColorTableComponent").text = str(component)
    clear = {index for index, colour in data.colormap(1).items() if colour[3] == 0}
    if data.nodata is not None and np.isfinite(data.nodata):
        clear.add(int(data.nodata))
    if clear:
        mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", {"dataType": "Byte"})
        source = _add_source(root, mask, "ComplexSource", data, data.name, 1)
        steps = (f"{index}:{0 if index in clear else 255}" for index in range(256))
        SubElement(source, "LUT").text = ",".join(steps)


_GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
    "int32": "Int32", "float32": "Float32", "float64": "Float64",
}  # fmt: skip
