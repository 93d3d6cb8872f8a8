"""Radar images in NITF, and what else is placed by points: kinds of files beside `kinds`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rasterio.control import GroundControlPoint

from tests.helpers.kinds import CRS, PLACE, SIDE, Kind, everywhere, ground, kind, save
from tests.helpers.nitf import SICD, SIDD, Geometry, Segment, sicd_xml, sidd_xml, write_nitf

FLAT = Geometry()
"""Rows run south and columns east in the plane of the ground, as the other kinds lie."""


def pair_of_bands(dtype: str = "float32") -> np.ndarray:
    phase = np.random.default_rng(4).random((SIDE, SIDE)) * 2j * np.pi
    values = ground() * 10.0 * np.exp(phase)
    return np.round([values.real, values.imag]).astype(dtype)


def _sicd(folder: Path, pixels: np.ndarray, kind_of_pixels: str, bands: str = "IQ") -> Kind:
    one = Segment(pixels, "SICD000", tuple(bands), FLAT.corners())
    place = write_nitf(folder / "a.nitf", [one], [(SICD, sicd_xml(FLAT, kind_of_pixels))])
    return Kind(place, ground(), everywhere(), 0.02)


@kind
def sicd_of_floats(folder: Path) -> Kind:
    return _sicd(folder, pair_of_bands(), "RE32F_IM32F")


@kind
def sicd_of_whole_numbers(folder: Path) -> Kind:
    return _sicd(folder, pair_of_bands("int16"), "RE16I_IM16I")


@kind
def sicd_of_amplitude_and_phase(folder: Path) -> Kind:
    phase = np.random.default_rng(4).integers(0, 256, (SIDE, SIDE))
    return _sicd(folder, np.stack([ground(), phase]).astype(np.uint8), "AMP8I_PHS8I", "MP")


@kind
def sicd_of_two_segments(folder: Path) -> Kind:
    """Large images are cut; the second part is attached to the first."""
    pixels = pair_of_bands()
    first = Segment(pixels[:, :100], "SICD001", ("I", "Q"), FLAT.corners())
    second = Segment(pixels[:, 100:], "SICD002", ("I", "Q"), (), attached=1, below=100)
    xml = [(SICD, sicd_xml(FLAT, "RE32F_IM32F"))]
    place = write_nitf(folder / "a.nitf", [first, second], xml)
    return Kind(place, ground(), everywhere(), 0.02)


@kind
def sidd_of_grey(folder: Path) -> Kind:
    one = Segment(ground()[None], "SIDD001001", ("",), FLAT.corners())
    place = write_nitf(folder / "a.nitf", [one], [(SIDD, sidd_xml(FLAT, "MONO8I"))])
    return Kind(place, ground(), everywhere(), 0.02)


@kind
def sidd_of_sixteen_bits(folder: Path) -> Kind:
    one = Segment(ground()[None].astype(np.uint16) * 40, "SIDD001001", ("",), FLAT.corners())
    place = write_nitf(folder / "a.nitf", [one], [(SIDD, sidd_xml(FLAT, "MONO16I"))])
    return Kind(place, ground(), everywhere(), 0.02)


@kind
def sidd_with_a_grey_table_of_sixteen_bits(folder: Path) -> Kind:
    """GDAL's colours are the low bytes of the table, which look like noise."""
    table = (np.arange(256) ** 2).astype(np.int64)
    one = Segment(ground()[None], "SIDD001001", ("",), FLAT.corners(), (table >> 8, table & 255))
    place = write_nitf(folder / "a.nitf", [one], [(SIDD, sidd_xml(FLAT, "MONO8LU"))])
    return Kind(place, ground(), everywhere(), 0.02)


@kind
def real_and_imaginary_bands(folder: Path) -> Kind:
    """Named so, as SNAP names them, in a file of any format."""
    names = ["i_VV", "q_VV"]
    path = save(folder / "a.tif", pair_of_bands(), descriptions=names)
    return Kind(path, ground(), everywhere())


@kind
def many_control_points(folder: Path) -> Kind:
    """More than a thousand, in another order than that of a lattice."""
    at = np.linspace(0, SIDE, 40)
    points = [GroundControlPoint(r, c, *(PLACE * (c, r))) for r in at for c in at]
    np.random.default_rng(6).shuffle(points)
    return Kind(save(folder / "a.tif", ground(), None, gcps=points), ground(), everywhere(), 0.02)


@kind
def control_points_in_other_degrees(folder: Path) -> Kind:
    """Degrees of ED50, which lie some hundred metres from those of WGS84."""
    from pyproj import Transformer

    degrees = Transformer.from_crs(CRS, "EPSG:4230", always_xy=True)
    at = np.linspace(0, SIDE, 4)
    points = [
        GroundControlPoint(r, c, *degrees.transform(*(PLACE * (c, r)))) for r in at for c in at
    ]
    path = save(folder / "a.tif", ground(), None, gcps=points, crs="EPSG:4230")
    return Kind(path, ground(), everywhere(), 0.02)
