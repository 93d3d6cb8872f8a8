"""An image put where its product says that it lies, though GDAL does not know: as a virtual raster.

Drivers of containers give pixels, and often neither a CRS nor the true place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.errors import CRSError, RasterioError

from crosslook.errors import RasterError
from crosslook.geo.products.vrt import quiet
from crosslook.storage import name_of


@dataclass(frozen=True)
class Georeference:
    """Where the pixels of an image lie, and what its numbers mean.

    Attributes
    ----------
    crs : str
        As text of any kind, as ``EPSG:32633``.
    affine : Affine or None
        Pixel corners to the map.
    points : sequence of GroundControlPoint
        In place of a map; row and column count from the corner of the first pixel.
    scale, offset : float
        Stored numbers times scale plus offset are the values.
    nodata : float or None
        A stored number.
    nodata_by_driver : bool
        Take what the driver says for that instead.
    """

    crs: str = ""
    affine: Affine | None = None
    points: Sequence[GroundControlPoint] = ()
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    nodata_by_driver: bool = False


def placed(source: str, georeference: Georeference, label: str) -> str:
    """Write the virtual raster of an image that GDAL opens as ``source``, at its place.

    Raises
    ------
    RasterError
        If it cannot be read, or its CRS is not known.
    """
    try:
        with quiet(), rasterio.open(source) as data:
            root = _head(data, georeference)
            for band in range(1, data.count + 1):
                text = f"{label} {band}" if data.count > 1 else label
                _add_band(root, data, source, band, text, georeference)
    except CRSError as error:
        raise RasterError(f"{name_of(source)}: {georeference.crs} is no known CRS.") from error
    except RasterioError as error:
        raise RasterError(f"{name_of(source)} cannot be read: {error}.") from error
    return tostring(root, encoding="unicode")


def axis_affine(x: NDArray[Any], y: NDArray[Any]) -> Affine | None:
    """Map of a grid whose axes hold the centres of its pixels; None where these are not even."""
    steps = []
    for axis in (x, y):
        if axis.size < 2 or not np.isfinite(axis).all():
            return None
        step = (float(axis[-1]) - float(axis[0])) / (axis.size - 1)
        even = float(axis[0]) + step * np.arange(axis.size)
        if step == 0 or np.abs(axis - even).max() > _UNEVEN * abs(step):
            return None
        steps.append(step)
    across, down = steps
    return Affine(across, 0, float(x[0]) - across / 2, 0, down, float(y[0]) - down / 2)


_UNEVEN = 0.05  # of a pixel


def _head(data: Any, where: Georeference) -> Element:
    size = {"rasterXSize": str(data.width), "rasterYSize": str(data.height)}
    root = Element("VRTDataset", size)
    wkt = rasterio.CRS.from_user_input(where.crs).to_wkt() if where.crs else ""
    if where.affine is not None:
        SubElement(root, "SRS").text = wkt
        a, b, c, d, e, f = tuple(where.affine)[:6]
        numbers = ",".join(repr(float(number)) for number in (c, a, b, f, d, e))
        SubElement(root, "GeoTransform").text = numbers
    if where.points:
        listed = SubElement(root, "GCPList", {"Projection": wkt})
        for number, point in enumerate(where.points):
            place = {"Pixel": point.col, "Line": point.row, "X": point.x, "Y": point.y}
            place |= {"Z": point.z or 0.0}
            texts = {key: repr(float(value)) for key, value in place.items()}
            SubElement(listed, "GCP", {"Id": str(number), **texts})
    return root


def _add_band(
    root: Element, data: Any, source: str, band: int, label: str, where: Georeference
) -> None:
    named = {"dataType": _GDAL_TYPES[data.dtypes[band - 1]], "band": str(band)}
    added = SubElement(root, "VRTRasterBand", named)
    SubElement(added, "Description").text = label
    nodata = data.nodatavals[band - 1] if where.nodata_by_driver else where.nodata
    if nodata is not None and not named["dataType"].startswith("C"):
        SubElement(added, "NoDataValue").text = repr(float(nodata))
    SubElement(added, "Offset").text = repr(where.offset)
    SubElement(added, "Scale").text = repr(where.scale)
    rectangle = {"xSize": str(data.width), "ySize": str(data.height)}
    simple = SubElement(added, "SimpleSource")
    SubElement(simple, "SourceFilename", {"relativeToVRT": "0"}).text = source
    SubElement(simple, "SourceBand").text = str(band)
    SubElement(simple, "SrcRect", {"xOff": "0", "yOff": "0", **rectangle})
    SubElement(simple, "DstRect", {"xOff": "0", "yOff": "0", **rectangle})


_GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
    "int32": "Int32", "uint64": "UInt64", "int64": "Int64", "float16": "Float32",
    "float32": "Float32", "float64": "Float64", "complex_int16": "CInt16",
    "complex64": "CFloat32", "complex128": "CFloat64", "complex_int32": "CInt32",
}  # fmt: skip
