"""Virtual rasters (VRT): several files as one image, and pixels that are no numbers yet.

Complex pixels become their amplitude, palettes their colours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from crosslook.errors import RasterError
from crosslook.geo.explain import explain
from crosslook.geo.products.bands import Part
from crosslook.storage import name_of

_AMPLITUDE = ("complex64", "complex128", "complex_int16", "cint16", "cint32", "complex_int32")
_COLOURS = ("red", "green", "blue")
PRODUCT_TAGS = "CROSSLOOK"
"""Domain of what a product says and GDAL has no place for."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep rasterio from warning of images that lie nowhere, which are welcome here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def stack(parts: Sequence[Part], names: Sequence[str], scale: str = "") -> str:
    """Write the virtual raster of one or more files, on the grid of the first.

    Parameters
    ----------
    parts : sequence of Part
        One band of each file, or all of it.
    names : sequence of str
    scale : str
        What the numbers are, where the product says so.

    Raises
    ------
    RasterError
        If a file cannot be read.
    """
    root: Element | None = None
    for part, name in zip(parts, names, strict=True):
        try:
            with quiet(), rasterio.open(part.file) as data:
                root = _vrt_head(data) if root is None else root
                for band in (part.number,) if part.number else range(1, data.count + 1):
                    if band > data.count:
                        raise RasterError(f"{name_of(part.file)} has no band {band} ({name}).")
                    label = f"{name} {band}" if data.count > 1 and not part.number else name
                    _add_band(root, data, part, band, label)
        except RasterioError as error:
            raise RasterError(f"{name_of(part.file)} {explain(error)}.") from error
    if root is None:
        return ""
    if scale:
        domain = SubElement(root, "Metadata", {"domain": PRODUCT_TAGS})
        SubElement(domain, "MDI", {"key": "scale"}).text = scale
    return tostring(root, encoding="unicode")


def normalised(data: Any, *, indexed: bool = False) -> str | None:
    """Write the virtual raster of an open file whose pixels are no numbers yet; None for others.

    ``indexed`` takes the numbers of a palette for what they are.
    """
    root = _vrt_head(data)
    if data.dtypes[0] in _AMPLITUDE:
        for band in range(1, data.count + 1):
            label = str(data.descriptions[band - 1] or "")
            _add_band(root, data, Part(data.name), band, label)
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


def _add_band(root: Element, data: Any, part: Part, band: int, label: str) -> None:
    """Add one band of a file; the amplitude where it is complex."""
    kind, nodata = data.dtypes[band - 1], data.nodatavals[band - 1]
    amplitude = kind in _AMPLITUDE
    number = str(len(root.findall("VRTRasterBand")) + 1)
    made_of = "mod" if amplitude else "complex" if part.imaginary else "mul" if part.mask else ""
    type_read = _GDAL_TYPES.get(kind, "Float32")
    if made_of:
        type_read = "CFloat32" if part.imaginary else "Float32"
    named = {"dataType": type_read, "band": number}
    if made_of:
        named["subClass"] = "VRTDerivedRasterBand"
    added = SubElement(root, "VRTRasterBand", named)
    SubElement(added, "Description").text = label
    if made_of:
        SubElement(added, "PixelFunctionType").text = made_of
        SubElement(added, "SourceTransferType").text = "CFloat32" if amplitude else "Float32"
    if not amplitude and not part.imaginary:
        nodata = nodata if part.nodata is None else part.nodata
        if nodata is not None and not (part.mask and np.isnan(nodata)):
            SubElement(added, "NoDataValue").text = repr(float(nodata))
        offset = data.offsets[band - 1] if part.offset is None else part.offset
        scale = data.scales[band - 1] if part.scale is None else part.scale
        SubElement(added, "Offset").text = repr(float(offset))
        SubElement(added, "Scale").text = repr(float(scale))
    _add_source(root, added, "SimpleSource", data, part.file, band)
    if part.imaginary:
        _add_source(root, added, "SimpleSource", data, part.imaginary, band)
    if part.mask and not amplitude:
        source = _add_source(root, added, "ComplexSource", data, part.mask, 1)
        steps = [f"{n}:1" for low, high in part.masked[:1] for n in (0, low - 1) if n < low]
        steps += [f"{n}:nan" for low, high in part.masked for n in (low, high)]
        SubElement(source, "LUT").text = ",".join(dict.fromkeys(steps))


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
