"""A small writer of NITF 2.1 and of the XML of SICD and SIDD, after the public specifications.

MIL-STD-2500C gives the fields of the headers, NGA.STND.0024 (SICD) and
NGA.STND.0025 (SIDD) what stands in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pyproj import Transformer

_TO_ECEF = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)
_FROM_ECEF = Transformer.from_crs("EPSG:4978", "EPSG:4979", always_xy=True)
_SECURITY = "U" + " " * 166
_DAY = "20240101000000"
_PIXELS = {"float32": ("R", 32), "int16": ("SI", 16), "uint8": ("INT", 8), "uint16": ("INT", 16)}
Corners = Sequence[tuple[float, float]]
"""Longitude and latitude, clockwise from the first pixel."""
SICD, SIDD = "urn:SICD:1.3.0", "urn:SIDD:2.0.0"


@dataclass
class Segment:
    """One image segment: pixels (bands, h, w), and where its corners are by the header."""

    pixels: np.ndarray
    name: str = ""
    subcategories: Sequence[str] = ("",)
    corners: Corners = ()
    tables: Sequence[np.ndarray] = ()  # look-up tables of 256 bytes each
    category: str = "SAR"
    attached: int = 0  # display level of the segment that this one continues
    below: int = 0  # rows down from it


def write_nitf(path: Path, segments: Sequence[Segment], xml: Sequence[tuple[str, str]]) -> Path:
    """Write image segments and documents, each a pair of namespace and text."""
    images = [
        (_image_header(number, s), np.moveaxis(_big_endian(s.pixels), 0, -1).tobytes())
        for number, s in enumerate(segments, 1)
    ]
    documents = [(_xml_header(space, text), text.encode()) for space, text in xml]
    lengths = f"{len(images):03d}" + "".join(f"{len(h):06d}{len(d):010d}" for h, d in images)
    lengths += "000" * 3 + f"{len(documents):03d}"
    lengths += "".join(f"{len(h):04d}{len(d):09d}" for h, d in documents) + "000" + "00000" * 2
    head = "NITF02.1003BF01" + _text("test", 10) + _DAY + _text("", 80) + _SECURITY
    head += "00000" + "00000" + "0" + "\0\0\0" + _text("", 24) + _text("", 18)
    length = len(head) + 12 + 6 + len(lengths)
    parts = [part for pair in (*images, *documents) for part in pair]
    head += f"{length + sum(map(len, parts)):012d}{length:06d}" + lengths
    path.write_bytes(head.encode("latin-1") + b"".join(parts))
    return path


def _text(value: str, width: int) -> str:
    return value[:width].ljust(width)


def _big_endian(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(pixels.dtype.newbyteorder(">"))


def _image_header(number: int, segment: Segment) -> bytes:
    count, rows, cols = segment.pixels.shape
    kind, bits = _PIXELS[segment.pixels.dtype.name]
    shown = "NODISPLY" if count > 1 else "MONO"
    head = "IM" + _text(segment.name, 10) + _DAY + _text("", 17) + _text("", 80) + _SECURITY
    head += "0" + _text("test", 42) + f"{rows:08d}{cols:08d}" + _text(kind, 3) + _text(shown, 8)
    head += _text(segment.category, 8) + f"{bits:02d}R"
    head += ("G" + "".join(_rounded(*c) for c in segment.corners)) if segment.corners else " "
    head += f"0NC{count}"
    raw = head.encode("latin-1")
    for band in range(count):
        used = "LU" if segment.tables else ("M " if count == 1 else "  ")
        raw += (used + _text(segment.subcategories[band], 6) + "N   ").encode()
        raw += str(len(segment.tables)).encode()
        if segment.tables:
            raw += b"00256" + b"".join(t.astype(np.uint8).tobytes() for t in segment.tables)
    across, down = (f"{n if n <= 8192 else 0:04d}" for n in (cols, rows))
    raw += f"0{'P' if count > 1 else 'B'}00010001{across}{down}{bits:02d}".encode()
    raw += f"{number:03d}{segment.attached:03d}{segment.below:05d}00000".encode()
    return raw + b"1.0 " + b"00000" * 2


def _rounded(lon: float, lat: float) -> str:
    """A corner as IGEOLO has it, rounded to a second of arc: ddmmssXdddmmssY."""
    out = ""
    for value, width, signs in ((lat, 2, "NS"), (lon, 3, "EW")):
        seconds = round(abs(value) * 3600)
        out += f"{seconds // 3600:0{width}d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
        out += signs[int(value < 0)]
    return out


def _xml_header(space: str, text: str) -> bytes:
    standard = "SICD" if "SICD" in space else "SIDD"
    inside = _text("00000XML", 13) + _text("2024-01-01T00:00:00Z", 20) + _text("", 40)
    inside += _text(f"{standard} Volume 1 Design & Implementation Description Document", 60)
    inside += _text("1.3", 10) + _text("2021-11-30T00:00:00Z", 20) + _text(space, 120)
    inside += " " * (125 + 25 + 20 + 120 + 200)
    return ("DE" + _text("XML_DATA_CONTENT", 25) + "01" + _SECURITY + "0773" + inside).encode()


@dataclass
class Geometry:
    """An image in a plane through its centre, seen from a straight orbit.

    Attributes
    ----------
    lon, lat, height : float
        Of the centre, in degrees and metres above the ellipsoid.
    shape : tuple of int
    spacing : float
        Metres.
    heading : float
        Degrees from north in which rows run; they run away from the sensor.
    graze : float
        Degrees above the horizon at which the sensor is seen.
    slant : bool
        Whether the plane holds the line of sight; else it is the ground.
    """

    lon: float = 15.0122
    lat: float = 45.1438
    height: float = 300.0
    shape: tuple[int, int] = (192, 192)
    spacing: float = 10.0
    heading: float = 180.0
    graze: float = 35.0
    slant: bool = False
    centre: np.ndarray = field(init=False)
    row: np.ndarray = field(init=False)
    col: np.ndarray = field(init=False)
    position: np.ndarray = field(init=False)
    velocity: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        lon, lat, turn, up = np.radians([self.lon, self.lat, self.heading, self.graze])
        east = np.array([-np.sin(lon), np.cos(lon), 0.0])
        north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
        top = np.cross(east, north)
        away = np.cos(turn) * north + np.sin(turn) * east
        along = np.cross(top, away) * -1
        self.centre = np.array(_TO_ECEF.transform(self.lon, self.lat, self.height))
        sight = -np.cos(up) * away + np.sin(up) * top
        self.row = -sight if self.slant else away
        self.col = along if not self.slant else np.cross(self.row, np.cross(along, self.row))
        # Rows away from the sensor, columns to the right where rows run south: a pass that looks
        # left flies against the columns.
        self.col = -self.col
        self.position = self.centre + 800e3 * sight
        self.velocity = 7500.0 * self.col

    def plane(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Points of the plane (n, 3) in Earth-fixed metres, at pixel numbers (n,)."""
        down, right = (
            (n - s // 2) * self.spacing for n, s in zip((rows, cols), self.shape, strict=True)
        )
        return self.centre + np.outer(down, self.row) + np.outer(right, self.col)

    def corners(self) -> list[tuple[float, float]]:
        """Longitude and latitude of the centres of the corner pixels, clockwise from the first."""
        last_row, last_col = (n - 1 for n in self.shape)
        at = np.array([(0, 0), (0, last_col), (last_row, last_col), (last_row, 0)])
        return [(float(a), float(b)) for a, b in degrees(self.ground(at[:, 0], at[:, 1]))]

    def ground(self, rows: np.ndarray, cols: np.ndarray, height: float | None = None) -> np.ndarray:
        """Where pixels lie at a height, (n, 3) in Earth-fixed metres.

        The point of equal range and equal Doppler of a straight orbit, by Newton's steps.
        """
        level = self.height if height is None else height
        plane = self.plane(rows, cols)
        reach = np.linalg.norm(plane - self.position, axis=1)
        doppler = (plane - self.position) @ self.velocity / reach
        point = self.plane(rows, cols)
        for _ in range(20):
            away = point - self.position
            distance = np.linalg.norm(away, axis=1)
            lon, lat, above = _FROM_ECEF.transform(*point.T)
            up = np.stack(
                [
                    np.cos(np.radians(lat)) * np.cos(np.radians(lon)),
                    np.cos(np.radians(lat)) * np.sin(np.radians(lon)),
                    np.sin(np.radians(lat)),
                ],
                axis=1,
            )
            wrong = np.stack(
                [distance - reach, away @ self.velocity / distance - doppler, above - level], axis=1
            )
            slopes = np.stack(
                [
                    away / distance[:, None],
                    self.velocity / distance[:, None]
                    - (away @ self.velocity / distance**3)[:, None] * away,
                    up,
                ],
                axis=1,
            )
            point = point - np.linalg.solve(slopes, wrong[:, :, None])[:, :, 0]
        return point


def _tag(name: str, *inside: object, **named: object) -> str:
    """One element of XML with what is inside of it, and its attributes."""
    attributes = "".join(f' {key}="{value}"' for key, value in named.items())
    return f"<{name}{attributes}>{''.join(str(part) for part in inside)}</{name}>"


def degrees(points: np.ndarray) -> np.ndarray:
    """Longitude and latitude (n, 2) of Earth-fixed points (n, 3)."""
    lon, lat, _ = _FROM_ECEF.transform(*points.T)
    return np.column_stack([lon, lat])


def _vector(name: str, values: np.ndarray) -> str:
    return _tag(name, *(_tag(k, float(v)) for k, v in zip("XYZ", values, strict=True)))


def _pair(name: str, row: float, col: float) -> str:
    return _tag(name, _tag("Row", row), _tag("Col", col))


def _geo_data(at: Geometry, corners: Corners | None) -> str:
    names = ("1:FRFC", "2:FRLC", "3:LRLC", "4:LRFC")
    points = [
        _tag("ICP", _tag("Lat", float(lat)), _tag("Lon", float(lon)), index=name)
        for name, (lon, lat) in zip(names, corners or at.corners(), strict=True)
    ]
    place = _tag("LLH", _tag("Lat", at.lat), _tag("Lon", at.lon), _tag("HAE", at.height))
    centre = _tag("SCP", _vector("ECF", at.centre), place)
    return _tag("GeoData", _tag("EarthModel", "WGS_84"), centre, _tag("ImageCorners", *points))


def _coefficients(*values: float) -> str:
    return "".join(_tag("Coef", float(v), exponent1=k) for k, v in enumerate(values))


def sicd_xml(
    at: Geometry,
    pixel_type: str,
    *,
    table: np.ndarray | None = None,
    corners: Corners | None = None,
    projection: bool = True,
) -> str:
    """The metadata by which a SICD image is read and placed; ``projection`` gives the orbit."""
    (rows, cols), size = at.shape, ("NumRows", "NumCols")
    whole = "".join(_tag(name, n) for name, n in zip(size, at.shape, strict=True))
    amplitudes = [
        _tag("Amplitude", float(v), index=k) for k, v in enumerate([] if table is None else table)
    ]
    image = _tag(
        "ImageData",
        _tag("PixelType", pixel_type),
        _tag("AmpTable", *amplitudes, size=256) if amplitudes else "",
        whole,
        _tag("FirstRow", 0),
        _tag("FirstCol", 0),
        _tag("FullImage", whole),
        _pair("SCPPixel", rows // 2, cols // 2),
    )
    head = _tag("CollectionInfo", _tag("CollectType", "MONOSTATIC")) + image
    head += _geo_data(at, corners)
    return _tag("SICD", head + (_orbit(at) if projection else ""), xmlns=SICD)


def _orbit(at: Geometry) -> str:
    """The grid of the image and the straight line that the sensor flies."""
    never = _tag("Coef", 0.0, exponent1=0, exponent2=0)
    grid = _tag(
        "Grid",
        _tag("ImagePlane", "SLANT" if at.slant else "GROUND"),
        _tag("Type", "PLANE"),
        _tag("TimeCOAPoly", never, order1=0, order2=0),
        _tag("Row", _vector("UVectECF", at.row), _tag("SS", at.spacing)),
        _tag("Col", _vector("UVectECF", at.col), _tag("SS", at.spacing)),
    )
    flown = [
        _tag(axis, _coefficients(p, v), order1=1)
        for axis, p, v in zip("XYZ", at.position, at.velocity, strict=True)
    ]
    looks_left = np.cross(at.position, at.velocity) @ (at.centre - at.position) > 0
    middle = _tag(
        "SCPCOA",
        _tag("SCPTime", 0.0),
        _vector("ARPPos", at.position),
        _vector("ARPVel", at.velocity),
        _tag("SideOfTrack", "L" if looks_left else "R"),
        _tag("GrazeAng", at.graze),
    )
    made = _tag("ImageFormation", _tag("ImageFormAlgo", "OTHER"))
    return grid + _tag("Position", _tag("ARPPoly", *flown)) + middle + made


def sidd_xml(at: Geometry, pixel_type: str, corners: Corners | None = None) -> str:
    """The metadata by which a SIDD image in a plane is read and placed."""
    rows, cols = at.shape
    point = _vector("ECEF", at.centre) + _pair("Point", rows // 2, cols // 2)
    axes = _vector("RowUnitVector", at.row) + _vector("ColUnitVector", at.col)
    plane = _tag(
        "PlaneProjection",
        _tag("ReferencePoint", point),
        _pair("SampleSpacing", at.spacing, at.spacing),
        _tag("ProductPlane", axes),
    )
    measured = _tag("Measurement", plane, _pair("PixelFootprint", rows, cols))
    shown = _tag("Display", _tag("PixelType", pixel_type))
    return _tag("SIDD", shown, _geo_data(at, corners), measured, xmlns=SIDD)
