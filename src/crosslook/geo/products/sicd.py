"""Where the pixels of SICD and SIDD lie: by the geometry in their XML, or by its corner points.

The header's own corners are rounded to a second of arc, some 20 m, and are not
used. SICD (NGA.STND.0024) is projected by ``sarkit`` onto several heights, and
rational polynomials are fitted to that; SIDD (NGA.STND.0025) lies in a plane.
Rows and columns are whole numbers at the centres of pixels in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from xml.etree.ElementTree import Element, fromstring, tostring

import numpy as np
import pyproj
from numpy.typing import NDArray

from crosslook.geo.products.rpc import fitted
from crosslook.geo.products.vrt import Placement

Array = NDArray[np.float64]
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
    middle = _numbers(root, plane + "ReferencePoint/ECEF/{}", "XYZ")
    start = _numbers(root, plane + "ReferencePoint/Point/{}", ("Row", "Col"))
    spacing = _numbers(root, plane + "SampleSpacing/{}", ("Row", "Col"))
    axes = [
        _numbers(root, f"{plane}ProductPlane/{axis}UnitVector/{{}}", "XYZ")
        for axis in ("Row", "Col")
    ]
    ground = middle + ((pixels - start) * spacing) @ np.stack(axes)
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
    share = pixels / (rows - 1, cols - 1)
    bow = 4 * share[:, 0] * (1 - share[:, 0])
    ground = _between(at, share) + np.outer(bow, _bend(root, at, (rows, cols)))
    where = _points(pixels, ground)
    if "SIDD" in root.tag:
        return Located(where, "SIDD corner points")
    note = "its XML lacks what its geometry is projected by" if _can_project() else _ADVICE
    return Located(where, "SICD corner points", note)


def _bend(root: Element, corners: Array, shape: tuple[int, int]) -> Array:
    """How far the middle row of a SICD lies from where its corners alone would have it."""
    try:
        centre = _numbers(root, "GeoData/SCP/ECF/{}", "XYZ")
        middle = _numbers(root, "ImageData/SCPPixel/{}", ("Row", "Col"))
        first = _numbers(root, "ImageData/{}", ("FirstRow", "FirstCol"))
    except _BROKEN:
        return np.zeros(3)
    share = (middle - first) / (shape[0] - 1, shape[1] - 1)
    bow = 4 * share[0] * (1 - share[0])
    if bow < 0.5:  # too near to a border to tell
        return np.zeros(3)
    out: Array = (centre - _between(corners, share[None])[0]) / bow
    return out


def _between(corners: Array, share: Array) -> Array:
    """Interpolate between four corners, clockwise from the first, at shares (row, column)."""
    down, right = share[:, :1], share[:, 1:]
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
