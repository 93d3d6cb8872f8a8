"""The parts that virtual rasters (VRT) are written of: place, bands, sources, remarks.

Drivers of containers give pixels, and often neither a CRS nor the true place:
such an image becomes a virtual raster that lies where its product says.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from crosslook.errors import RasterError
from crosslook.geo.products.bands import Part
from crosslook.storage import name_of
from crosslook.types import Window

COMPLEX = ("complex64", "complex128", "complex_int16", "cint16", "cint32", "complex_int32")
REMARKS = "CROSSLOOK"
"""Name space of the tags by which a virtual raster made here says how it came about."""
_GDAL_TYPES = {
    "uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "uint32": "UInt32",
    "int32": "Int32", "float32": "Float32", "float64": "Float64", "complex_int16": "CInt16",
    "uint64": "UInt64", "int64": "Int64", "float16": "Float32",
    "complex_int32": "CInt32", "complex64": "CFloat32", "complex128": "CFloat64",
}  # fmt: skip
_UNEVEN = 0.05  # of a pixel
_COLOURS = ("red", "green", "blue")
_SENTINEL_1 = re.compile(r"^s1[a-d]-(?:iw|ew|wv|s\d|en|n\d)", re.IGNORECASE)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep rasterio from warning of images that lie nowhere, which are welcome here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@dataclass(frozen=True, eq=False)
class Placement:
    """Where pixels lie, in whichever ways a file says it.

    Attributes
    ----------
    crs : str
        WKT of the affine map; may be empty.
    affine : tuple of float
        Six numbers in the order of GDAL, or nothing.
    points : float array (n, 5)
        Control points: column, row (counted from the corner of the first
        pixel), x, y, height.
    points_crs : str
        WKT of their x and y; may be empty.
    rpc : dict of str to str
        Rational polynomials as GDAL's metadata has them.
    """

    crs: str = ""
    affine: tuple[float, ...] = ()
    points: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 5)))
    points_crs: str = ""
    rpc: Mapping[str, str] = field(default_factory=dict)


def placement_of(data: Any) -> Placement:
    """Where an open file says that it lies."""
    affine = () if data.transform.is_identity else data.transform.to_gdal()
    points, crs = control_points(data)
    return Placement(
        data.crs.to_wkt() if data.crs else "",
        affine,
        points,
        "" if crs is None else crs.to_wkt(),
        {str(k): str(v) for k, v in data.tags(ns="RPC").items()} if data.rpcs else {},
    )


def control_points(data: Any) -> tuple[NDArray[np.float64], Any]:
    """Control points (column, row, x, y, height) of an open file, (n, 5), and their CRS.

    GDAL counts from the corner of the first pixel. Sentinel-1 numbers the
    centres of pixels by whole numbers, which GDAL passes on as they are.
    """
    points, crs = data.gcps
    out = np.array([(p.col, p.row, p.x, p.y, p.z or 0.0) for p in points], np.float64)
    out = out.reshape(-1, 5)
    if _numbers_centres(data):
        out[:, :2] += 0.5
    return out, crs


def _numbers_centres(data: Any) -> bool:
    """Whether control points are those of a Sentinel-1 product, which nobody has moved yet."""
    tags = data.tags()
    if tags.get("AREA_OR_POINT") == "Point" or (data.driver == "VRT" and _is_text(data.name)):
        return False
    described = tags.get("TIFFTAG_IMAGEDESCRIPTION", "") + tags.get("TIFFTAG_SOFTWARE", "")
    named = _SENTINEL_1.match(PurePath(str(data.name)).name)
    return bool(named) or "Sentinel-1" in described or data.driver == "SAFE"


def remarks_of(data: Any) -> dict[str, str]:
    """What a virtual raster made here says of itself; of files, which anyone may write, nothing."""
    return dict(data.tags(ns=REMARKS)) if _is_text(data.name) else {}


def _is_text(name: str) -> bool:
    return name.lstrip().startswith("<VRTDataset")


def pinned(name: str, driver: str) -> str:
    """The name of a file by which only one driver opens it, where one is named."""
    return f"vrt://{name}?if={driver}" if driver else name


def head(
    height: int, width: int, at: Placement, remarks: Mapping[str, str] | None = None
) -> Element:
    """Begin a virtual raster: size, place, and what is to be known of it."""
    root = Element("VRTDataset", {"rasterXSize": str(width), "rasterYSize": str(height)})
    if at.crs:
        SubElement(root, "SRS").text = at.crs
    if at.affine:
        SubElement(root, "GeoTransform").text = ",".join(repr(float(n)) for n in at.affine)
    if len(at.points):
        root.append(points_element(at.points, at.points_crs))
    for domain, values in (("RPC", at.rpc), (REMARKS, remarks or {})):
        if values:
            add_tags(root, domain, values)
    return root


def add_tags(root: Element, domain: str, values: Mapping[str, str]) -> None:
    """Add tags of a domain, the usual one where it has no name."""
    tags = SubElement(root, "Metadata", {"domain": domain} if domain else {})
    for key, value in values.items():
        SubElement(tags, "MDI", {"key": key}).text = value


def points_element(points: NDArray[np.float64], crs: str) -> Element:
    """Write control points (n, 5) in full; GDAL itself rounds pixels to four digits."""
    listed = Element("GCPList", {"Projection": crs})
    for number, point in enumerate(points):
        named = zip(("Pixel", "Line", "X", "Y", "Z"), point, strict=True)
        texts = {key: repr(float(value)) for key, value in named}
        SubElement(listed, "GCP", {"Id": str(number), **texts})
    return listed


def add_source(
    root: Element,
    parent: Element,
    kind: str,
    file: str,
    part: Window,
    band: int,
    onto: Window | None = None,
) -> Element:
    """Add a part of a file's band as a source of one of the virtual raster's.

    It fills the whole raster, as a band of coarser pixels does that covers the
    same ground, or the pixels ``onto`` of it.
    """
    whole = Window.whole([int(root.get(name, "0")) for name in ("rasterYSize", "rasterXSize")])
    source = SubElement(parent, kind)
    SubElement(source, "SourceFilename", {"relativeToVRT": "0"}).text = file
    SubElement(source, "SourceBand").text = str(band)
    for name, at in (("SrcRect", part), ("DstRect", onto or whole)):
        sides = {"xOff": at.col, "yOff": at.row, "xSize": at.width, "ySize": at.height}
        SubElement(source, name, {key: str(value) for key, value in sides.items()})
    return source


def new_band(root: Element, dtype: str, label: str = "") -> Element:
    """Add an empty band of a type named as NumPy does."""
    number = str(len(root.findall("VRTRasterBand")) + 1)
    named = {"dataType": _GDAL_TYPES.get(dtype, "Float32"), "band": number}
    band = SubElement(root, "VRTRasterBand", named)
    if label:
        SubElement(band, "Description").text = label
    return band


def derived_band(root: Element, function: str, label: str = "") -> Element:
    """Add an empty band that GDAL's ``mod``, ``mul`` or ``complex`` makes of its sources."""
    band = new_band(root, "complex64" if function == "complex" else "float32", label)
    band.set("subClass", "VRTDerivedRasterBand")
    SubElement(band, "PixelFunctionType").text = function
    SubElement(band, "SourceTransferType").text = "CFloat32" if function == "mod" else "Float32"
    return band


def add_colours(root: Element, data: Any, file: str) -> None:
    """Add red, green and blue of a palette image, and the mask of its see-through entries."""
    for component, colour in enumerate(_COLOURS, 1):
        added = new_band(root, "uint8")
        SubElement(added, "ColorInterp").text = colour.title()
        source = add_source(root, added, "ComplexSource", file, Window.whole(data.shape), 1)
        SubElement(source, "ColorTableComponent").text = str(component)
    clear = {index for index, colour in data.colormap(1).items() if colour[3] == 0}
    if data.nodata is not None and np.isfinite(data.nodata):
        clear.add(int(data.nodata))
    if clear:
        mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", {"dataType": "Byte"})
        source = add_source(root, mask, "ComplexSource", file, Window.whole(data.shape), 1)
        shown = [0 if index in clear else 255 for index in range(256)]
        SubElement(source, "LUT").text = stepwise(shown)


def add_band(
    root: Element, data: Any, part: Part, band: int, label: str, *, lengths: bool = True
) -> None:
    """Add one band of a file; where it is complex its amplitude, or with its phase still."""
    kind, nodata = data.dtypes[band - 1], data.nodatavals[band - 1]
    amplitude = lengths and kind in COMPLEX
    if amplitude:
        added = derived_band(root, "mod", label)
        if nodata == 0:  # the one number that no other has the amplitude of
            SubElement(added, "NoDataValue").text = "0"
    elif part.imaginary:
        added = derived_band(root, "complex", label)
    else:
        added = derived_band(root, "mul", label) if part.mask else new_band(root, kind, label)
        nodata = nodata if part.nodata is None else part.nodata
        if nodata is not None and not (part.mask and np.isnan(nodata)):
            SubElement(added, "NoDataValue").text = repr(float(nodata))
        offset = data.offsets[band - 1] if part.offset is None else part.offset
        scale = data.scales[band - 1] if part.scale is None else part.scale
        SubElement(added, "Offset").text = repr(float(offset))
        SubElement(added, "Scale").text = repr(float(scale))
    for file in filter(None, (part.file, part.imaginary)):
        add_source(root, added, "SimpleSource", file, Window.whole(data.shape), band)
    if part.mask and not amplitude:
        _add_mask(root, added, part, data.shape)


def _add_mask(root: Element, band: Element, part: Part, shape: tuple[int, int]) -> None:
    """Multiply a band by 1, and by NaN where its mask says that there is no data."""
    source = add_source(root, band, "ComplexSource", part.mask, Window.whole(shape), 1)
    steps = [f"{n}:1" for low, high in part.masked[:1] for n in (0, low - 1) if n < low]
    steps += [f"{n}:nan" for low, high in part.masked for n in (low, high)]
    SubElement(source, "LUT").text = ",".join(dict.fromkeys(steps))


def add_complex(root: Element, data: Any, file: str, bands: tuple[int, int]) -> None:
    """Add one complex band of two that hold the real and the imaginary part."""
    pair = derived_band(root, "complex")
    for band in bands:
        add_source(root, pair, "SimpleSource", file, Window.whole(data.shape), band)


def add_amplitude(
    root: Element, data: Any, file: str, bands: tuple[int, int], label: str = ""
) -> None:
    """Add the amplitude of two bands that hold the real and the imaginary part."""
    both = head(data.height, data.width, Placement())
    add_complex(both, data, file, bands)
    amplitude = derived_band(root, "mod", label)
    text = tostring(both, encoding="unicode")
    add_source(root, amplitude, "SimpleSource", text, Window.whole(data.shape), 1)


def stepwise(values: Sequence[float]) -> str:
    """Write a look-up table of values for 0, 1, 2 ..."""
    return ",".join(f"{index}:{value!r}" for index, value in enumerate(values))


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

    @property
    def placement(self) -> Placement:
        """The same in the forms of GDAL; CRSError where it knows no such CRS."""
        wkt = rasterio.CRS.from_user_input(self.crs).to_wkt() if self.crs else ""
        points = np.array([(p.col, p.row, p.x, p.y, p.z or 0.0) for p in self.points], np.float64)
        if self.affine is None:
            return Placement(points=points.reshape(-1, 5), points_crs=wkt)
        return Placement(wkt, self.affine.to_gdal(), points.reshape(-1, 5), wkt)


def placed(source: str, georeference: Georeference, label: str) -> str:
    """Write the virtual raster of an image that GDAL opens as ``source``, at its place.

    Raises
    ------
    RasterError
        If it cannot be read, or its CRS is not known.
    """
    try:
        with quiet(), rasterio.open(source) as data:
            root = head(data.height, data.width, georeference.placement)
            for band in range(1, data.count + 1):
                text = f"{label} {band}" if data.count > 1 else label
                added = new_band(root, data.dtypes[band - 1], text)
                by_driver = georeference.nodata_by_driver
                nodata = data.nodatavals[band - 1] if by_driver else georeference.nodata
                if nodata is not None and data.dtypes[band - 1] not in COMPLEX:
                    SubElement(added, "NoDataValue").text = repr(float(nodata))
                SubElement(added, "Offset").text = repr(georeference.offset)
                SubElement(added, "Scale").text = repr(georeference.scale)
                add_source(root, added, "SimpleSource", source, Window.whole(data.shape), band)
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
