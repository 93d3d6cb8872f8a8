"""Radar images in NITF: complex pairs, amplitude and phase, and the products SICD and SIDD.

How GDAL gives their pixels changes with its version. What they are is known from
the subcategories of the bands (I and Q, M and P) and from the XML of the product.
A large SICD is cut into several image segments, which are one image here.

They lie where the geometry in their XML says, or else its corner points. The
header's own corners are rounded to a second of arc, some 20 m, and are not
used. SICD (NGA.STND.0024) is projected by ``sarkit`` onto several heights, and
rational polynomials (RPC) are fitted to that, which GDAL can follow. SIDD
(NGA.STND.0025) lies in a plane. Rows and columns are whole numbers at the
centres of pixels in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, tostring

import numpy as np
import pyproj
import rasterio
from rasterio.enums import ColorInterp

from crosslook.geo.products.bands import Part
from crosslook.geo.products.vrt import (
    COMPLEX,
    Placement,
    add_amplitude,
    add_band,
    add_colours,
    add_complex,
    add_source,
    add_tags,
    head,
    new_band,
    placement_of,
    quiet,
    stepwise,
)
from crosslook.types import Array, Window


def fitted(lonlat: Array, heights: Array, pixels: Array) -> tuple[dict[str, str], float]:
    """Fit rational polynomials of third order from ground to pixels.

    Parameters
    ----------
    lonlat : float array (n, 2)
        Degrees; longitudes run on over 180.
    heights : float array (n,)
        Metres above the ellipsoid.
    pixels : float array (n, 2)
        Row and column, whole numbers at the centres of pixels.

    Returns
    -------
    rpc : dict of str to str
        As GDAL's metadata has them.
    residual : float
        The largest one, in pixels.
    """
    ground = np.column_stack([lonlat, heights])
    low, high = ground.min(axis=0), ground.max(axis=0)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-9)
    terms = _terms((ground - centre) / half)
    seen = pixels.min(axis=0), pixels.max(axis=0)
    origin, reach = (seen[0] + seen[1]) / 2, np.maximum((seen[1] - seen[0]) / 2, 1e-9)
    rpc = {
        "LINE_OFF": origin[0], "SAMP_OFF": origin[1], "LONG_OFF": centre[0], "LAT_OFF": centre[1],
        "HEIGHT_OFF": centre[2], "LINE_SCALE": reach[0], "SAMP_SCALE": reach[1],
        "LONG_SCALE": half[0], "LAT_SCALE": half[1], "HEIGHT_SCALE": half[2],
    }  # fmt: skip
    written = {key: repr(float(value)) for key, value in rpc.items()}
    worst = 0.0
    for axis, name in enumerate(("LINE", "SAMP")):
        target = (pixels[:, axis] - origin[axis]) / reach[axis]
        above, below = _quotient(terms, target)
        residuals = np.abs((terms @ above) / (terms @ below) - target)
        worst = max(worst, float(residuals.max() * reach[axis]))
        for part, numbers in (("NUM", above), ("DEN", below)):
            written[f"{name}_{part}_COEFF"] = " ".join(repr(float(n)) for n in numbers)
    return written, worst


def _quotient(terms: Array, target: Array) -> tuple[Array, Array]:
    """Numerator and denominator (the latter begins with 1) by least squares of least norm."""
    both = np.column_stack([terms, -target[:, None] * terms[:, 1:]])
    numbers = np.asarray(np.linalg.lstsq(both, target, rcond=1e-10)[0], np.float64)
    above, below = numbers[:20], np.concatenate([[1.0], numbers[20:]])
    if (terms @ below).min() > 0.5:
        return above, below
    # A pole lies near: do without a denominator.
    plain = np.asarray(np.linalg.lstsq(terms, target, rcond=1e-10)[0], np.float64)
    return plain, np.concatenate([[1.0], np.zeros(19)])


def _terms(at: Array) -> Array:
    """The twenty terms of RPC00B, in its order; longitude L, latitude P, height H."""
    x, y, z = at.T
    one = np.ones_like(x)
    return np.column_stack([
        one, x, y, z, x * y, x * z, y * z, x * x, y * y, z * z, x * y * z, x**3, x * y * y,
        x * z * z, x * x * y, y**3, y * z * z, x * x * z, y * y * z, z**3,
    ])  # fmt: skip


_NODES = 12  # of the lattice of points, along a side
_HEIGHTS = (-1500.0, -750.0, 0.0, 750.0, 1500.0)  # about the centre's; polynomials hold beyond
_EXACT_PX = 0.1
_WGS84 = pyproj.CRS.from_epsg(4326).to_wkt()
_TO_DEGREES = pyproj.Transformer.from_crs(4978, 4979, always_xy=True)
_TO_METRES = pyproj.Transformer.from_crs(4979, 4978, always_xy=True)
_CORNERS = ("FRFC", "FRLC", "LRLC", "LRFC")
_ADVICE = (
    "its whole geometry, which --height and --dem need, is read where the extra is installed: "
    "pip install 'crosslook[sicd]'"
)
_WHOLE = re.compile(r"^\d{1,9}$")
_BROKEN = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)


@dataclass(frozen=True)
class Located:
    """Where an image lies, by what, and what a user should know of that."""

    placement: Placement
    by: str
    note: str = ""

    def below(self, rows: int) -> Located:
        """The same, of a part that begins so many rows down."""
        points, rpc = self.placement.points - np.array([0, rows, 0, 0, 0.0]), self.placement.rpc
        if rpc:
            rpc = {**rpc, "LINE_OFF": repr(float(rpc["LINE_OFF"]) - rows)}
        return replace(self, placement=replace(self.placement, points=points, rpc=rpc))


def size_of(root: Element) -> tuple[int, int]:
    """Rows and columns by the XML; zeros where it says nothing."""
    for path in ("ImageData/Num{}s", "Measurement/PixelFootprint/{}"):
        rows, cols = (_text(root, path.format(side)) for side in ("Row", "Col"))
        if _WHOLE.match(rows) and _WHOLE.match(cols):
            return int(rows), int(cols)
    return 0, 0


def located(root: Element) -> Located | None:
    """Where the image of a SICD or SIDD document lies; None where it does not say."""
    for way in (_by_projection if "SICD" in root.tag else _by_plane, _by_corners):
        try:
            found = way(root)
        except _BROKEN:  # what the document lacks, or says in words
            continue
        if found is not None:
            return found
    return None


def _by_projection(root: Element) -> Located | None:
    """By its geometry, where the package that projects it is installed."""
    return _projected(tostring(root)) if _can_project() else None


def _can_project() -> bool:
    try:
        import sarkit.sicd  # noqa: F401
    except ImportError:
        return False
    return True


@lru_cache(maxsize=16)
def _projected(text: bytes) -> Located | None:
    """Project a SICD onto several heights, and fit polynomials to that."""
    import lxml.etree as lxml
    from sarkit.sicd import image_to_constant_hae_surface

    root = fromstring(text)
    parser = lxml.XMLParser(resolve_entities=False, no_network=True)
    tree = lxml.ElementTree(lxml.fromstring(text, parser))
    pixels = _lattice(*size_of(root))
    offset = _numbers(root, "ImageData/{}", ("FirstRow", "FirstCol"))
    centre = _numbers(root, "ImageData/SCPPixel/{}", ("Row", "Col"))
    spacing = _numbers(root, "Grid/{}/SS", ("Row", "Col"))
    (level,) = _numbers(root, "GeoData/SCP/LLH/{}", ("HAE",))
    metres = (pixels + offset - centre) * spacing
    layers = []
    for height in _HEIGHTS:
        ground, _, whole = image_to_constant_hae_surface(tree, metres, level + height)
        if not whole or not np.isfinite(ground).all():
            return None
        layers.append(np.column_stack(_TO_DEGREES.transform(*np.asarray(ground).T)))
    points = np.concatenate(layers)
    points[:, 0] = _running_on(points[:, 0])
    rpc, residual = fitted(points[:, :2], points[:, 2], np.tile(pixels, (len(_HEIGHTS), 1)))
    note = "" if residual <= _EXACT_PX else f"its geometry is followed to {residual:.1f} pixels"
    return Located(Placement(rpc=rpc), "SICD geometry", note)


def _by_plane(root: Element) -> Located:
    """A SIDD image in a plane that touches the ground at its reference point."""
    plane = "Measurement/PlaneProjection/"
    pixels = _lattice(*size_of(root))
    origin = _numbers(root, plane + "ReferencePoint/ECEF/{}", "XYZ")
    start = _numbers(root, plane + "ReferencePoint/Point/{}", ("Row", "Col"))
    spacing = _numbers(root, plane + "SampleSpacing/{}", ("Row", "Col"))
    vectors = (f"{plane}ProductPlane/{axis}UnitVector/{{}}" for axis in ("Row", "Col"))
    axes = [_numbers(root, vector, "XYZ") for vector in vectors]
    ground = origin + ((pixels - start) * spacing) @ np.stack(axes)
    return Located(_points(pixels, ground), "SIDD geometry")


def _by_corners(root: Element) -> Located | None:
    """Between the corner points; along the range, which rows follow, through the centre point."""
    corners = dict(_corner_points(root))
    rows, cols = size_of(root)
    if set(corners) != set(_CORNERS):
        return None
    level = float(_text(root, "GeoData/SCP/LLH/HAE") or 0.0)
    at = np.array([_TO_METRES.transform(*corners[name], level) for name in _CORNERS])
    pixels = _lattice(rows, cols)
    fraction = pixels / (rows - 1, cols - 1)
    bow = 4 * fraction[:, 0] * (1 - fraction[:, 0])
    ground = _between(at, fraction) + np.outer(bow, _bend(root, at, (rows, cols)))
    where = _points(pixels, ground)
    if "SIDD" in root.tag:
        return Located(where, "SIDD corner points")
    note = "its XML lacks what its geometry is projected by" if _can_project() else _ADVICE
    return Located(where, "SICD corner points", note)


def _bend(root: Element, corners: Array, shape: tuple[int, int]) -> Array:
    """How far the central row of a SICD lies from where its corners alone would have it."""
    try:
        centre = _numbers(root, "GeoData/SCP/ECF/{}", "XYZ")
        central = _numbers(root, "ImageData/SCPPixel/{}", ("Row", "Col"))
        first = _numbers(root, "ImageData/{}", ("FirstRow", "FirstCol"))
    except _BROKEN:
        return np.zeros(3)
    fraction = (central - first) / (shape[0] - 1, shape[1] - 1)
    bow = 4 * fraction[0] * (1 - fraction[0])
    if bow < 0.5:  # too near to a border to tell
        return np.zeros(3)
    out: Array = (centre - _between(corners, fraction[None])[0]) / bow
    return out


def _between(corners: Array, fraction: Array) -> Array:
    """Interpolate between four corners, clockwise from the first, at fractions (row, column)."""
    down, right = fraction[:, :1], fraction[:, 1:]
    top = corners[0] * (1 - right) + corners[1] * right
    bottom = corners[3] * (1 - right) + corners[2] * right
    out: Array = top * (1 - down) + bottom * down
    return out


def _corner_points(root: Element) -> Iterator[tuple[str, tuple[float, float]]]:
    for point in root.findall("{*}GeoData/{*}ImageCorners/{*}ICP"):
        lat, lon = _text(point, "Lat"), _text(point, "Lon")
        if lat and lon:
            yield str(point.get("index", "")).rpartition(":")[2], (float(lon), float(lat))


def _points(pixels: Array, ground: Array) -> Placement:
    """Control points of GDAL, which counts from the corner of a pixel."""
    lon, lat, height = _TO_DEGREES.transform(*ground.T)
    points = np.column_stack([pixels[:, ::-1] + 0.5, _running_on(np.asarray(lon)), lat, height])
    if not np.isfinite(points).all():
        raise ValueError("no place on Earth")
    return Placement(points=points, points_crs=_WGS84)


def _running_on(lon: Array) -> Array:
    """Longitudes that do not jump at 180 degrees."""
    out: Array = (lon - lon[0] + 180.0) % 360.0 - 180.0 + lon[0]
    return out


def _lattice(rows: int, cols: int) -> Array:
    """Numbers of pixels all over an image, its corners among them, (n, 2)."""
    if rows < 2 or cols < 2:
        raise ValueError("no image")
    sides = (np.linspace(0, rows - 1, _NODES), np.linspace(0, cols - 1, _NODES))
    return np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)


def _text(root: Element, path: str) -> str:
    """The text at a path of tags in whatever version of the standard's name space."""
    return (root.findtext("/".join(f"{{*}}{tag}" for tag in path.split("/"))) or "").strip()


def _numbers(root: Element, path: str, names: tuple[str, ...] | str) -> Array:
    """Finite numbers at a path, one for each name put into it; ValueError where one lacks."""
    out = np.array([float(_text(root, path.format(name))) for name in names])
    if not np.isfinite(out).all():
        raise ValueError(path)
    return out


_IMAGE = re.compile(r"^NITF_IM:\d+:")
_PRODUCT = re.compile(r"^(SICD|SIDD\d{3})", re.IGNORECASE)


@dataclass(frozen=True)
class _Segment:
    name: str
    product: str
    shape: tuple[int, int]


def keeps_numbers(data: Any) -> bool:
    """Whether a palette is only for display: a grey one of a radar image.

    GDAL takes the low byte alone of grey look-up tables of 16 bits.
    """
    tags = data.tags()
    grey = str(tags.get("NITF_IREP", "")) == "MONO"
    return grey and str(tags.get("NITF_ICAT", "")).startswith("SAR")


def nitf_raster(data: Any, *, lengths: bool = True) -> str | None:
    """Write the virtual raster of an open radar image in NITF; None for anything else.

    With ``lengths`` its amplitude, else its numbers with their phase.
    """
    if data.driver != "NITF":
        return None
    layout = tuple(data.tags(band).get("NITF_ISUBCAT", "").strip() for band in (1, 2)[: data.count])
    document = _document(data)
    pairs = layout in (("I", "Q"), ("M", "P")) or data.dtypes[0] in COMPLEX
    if document is None and not pairs:
        return None
    parts, above = _parts(data)
    height = sum(part.shape[0] for part in parts)
    where = _located(document, data, above, height)
    remarks = _remarks(where, document, pairs=pairs) | {"PARTS": str(len(parts))}
    root = head(height, data.width, where.placement, remarks)
    if not lengths:
        add_tags(root, "", data.tags())
    table = _amplitudes(document)
    if len(parts) == 1:
        _add_bands(root, data, data.name, layout, table, lengths)
    else:
        text = _mosaic(data, parts)
        with quiet(), rasterio.open(text) as whole:
            _add_bands(root, whole, text, layout, table, lengths)
    return tostring(root, encoding="unicode")


def _remarks(where: Located, document: Element | None, *, pairs: bool) -> dict[str, str]:
    lengths = pairs or (document is not None and "SICD" in document.tag)
    out = {"PLACED_BY": where.by, "NOTE": where.note, "MAGNITUDE": "YES" if lengths else ""}
    return {key: value for key, value in out.items() if value}


def _located(document: Element | None, data: Any, above: int, height: int) -> Located:
    """By the XML where it is of these pixels, else as GDAL says."""
    rounded = data.tags().get("NITF_ICORDS") == "G"
    note = "the corners in its header are rounded to a second of arc, some 15 m"
    own = Located(placement_of(data), "", note if rounded else "")
    if document is None:
        return own
    rows, cols = size_of(document)
    if cols != data.width or rows < above + height:
        return own
    found = located(document)
    return own if found is None else found.below(above)


def _add_bands(
    root: Element, data: Any, file: str, layout: Sequence[str], table: list[float], lengths: bool
) -> None:
    """Add one band of amplitudes, or the bands as they are where they are detected already."""
    if layout == ("I", "Q") and not lengths:
        add_complex(root, data, file, (1, 2))
    elif layout == ("I", "Q"):
        add_amplitude(root, data, file, (1, 2))
    elif layout == ("M", "P") and lengths:
        amplitude = new_band(root, "float32" if table else data.dtypes[0])
        kind = "ComplexSource" if table else "SimpleSource"
        source = add_source(root, amplitude, kind, file, Window.whole(data.shape), 1)
        if table:
            SubElement(source, "LUT").text = stepwise(table)
    elif data.colorinterp[0] is ColorInterp.palette and lengths and not keeps_numbers(data):
        add_colours(root, data, file)
    else:
        for band in range(1, data.count + 1):
            add_band(root, data, Part(file), band, "", lengths=lengths)


def _amplitudes(document: Element | None) -> list[float]:
    """Amplitude of each of the 256 numbers, where the XML has a table of them."""
    found = [] if document is None else document.findall("{*}ImageData/{*}AmpTable/{*}Amplitude")
    try:
        table = {int(e.get("index", "")): float(e.text or "") for e in found}
    except ValueError:
        return []
    return [table[n] for n in range(256)] if set(table) == set(range(256)) else []


def _document(data: Any) -> Element | None:
    """The XML of the product that an open image belongs to; None where it has none."""
    found: dict[str, list[Element]] = {"SICD": [], "SIDD": []}
    for text in _texts(data):
        with suppress(ParseError):
            for root in fromstring(text).iterfind(".//xml_content/*"):
                found.get(root.tag.rpartition("}")[2], []).append(root)
    name = data.tags().get("NITF_IID1", "").upper()
    if name.startswith("SIDD") and name[4:7].isdecimal():
        number = int(name[4:7])  # products are counted as their documents lie
        return found["SIDD"][number - 1] if 0 < number <= len(found["SIDD"]) else None
    only = len(found["SICD"]) == 1 and not found["SIDD"]
    return next(iter(found["SICD"]), None) if only or name.startswith("SICD") else None


def _texts(data: Any) -> list[str]:
    """What GDAL gives of the XML in an open file."""
    try:
        texts = data.tags(ns="xml:DES") if "xml:DES" in data.tag_namespaces() else {}
        return [str(text) for text in texts.values()]
    except UnicodeError:
        return []
    finally:
        # What GDAL has against a document would be raised by whatever is called next.
        rasterio.open(data.name).close()


def _parts(data: Any) -> tuple[list[_Segment], int]:
    """Segments of the image that is open, and how many rows of it lie above them.

    A bare file name means the whole first image, the name of a segment
    for that one alone.
    """
    named = _IMAGE.match(data.name)
    own = _segment(data.name, data)
    if not (named or data.subdatasets) or not own.product:
        return [own], 0
    with rasterio.open(_IMAGE.sub("", data.name)) as bare:
        names = list(bare.subdatasets)
    same = []
    for name in names:
        with rasterio.open(name) as image:
            segment = _segment(name, image)
        if segment.product == own.product and image.width == data.width:
            same.append(segment)
    if not named:
        return same, 0
    before = names.index(data.name) if data.name in names else 0
    return [own], sum(s.shape[0] for s in same if names.index(s.name) < before)


def _segment(name: str, data: Any) -> _Segment:
    product = _PRODUCT.match(data.tags().get("NITF_IID1", ""))
    return _Segment(name, product[1].upper() if product else "", data.shape)


def _mosaic(data: Any, parts: Sequence[_Segment]) -> str:
    """Write the virtual raster of the segments of one image, one below the other."""
    root = head(sum(part.shape[0] for part in parts), data.width, Placement())
    for band, kind in enumerate(data.dtypes, 1):
        added, top = new_band(root, kind), 0
        for part in parts:
            own = Window.whole(part.shape)
            add_source(root, added, "SimpleSource", part.name, own, band, own.shifted(top, 0))
            top += own.height
    return tostring(root, encoding="unicode")
