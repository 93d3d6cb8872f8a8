"""SICD and SIDD: which pixels, which of several images, and where they lie."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from crosslook.errors import RasterError
from crosslook.geo.grid import from_lonlat, to_lonlat
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.products.bands import Part
from crosslook.geo.products.virtual import stack
from crosslook.geo.raster import RasterFile
from crosslook.options import ReadingText
from crosslook.types import Window
from tests.helpers.kinds import SIDE, ground, save
from tests.helpers.kinds_nitf import FLAT, pair_of_bands
from tests.helpers.nitf import (
    SICD,
    SIDD,
    Geometry,
    Segment,
    degrees,
    sicd_xml,
    sidd_xml,
    write_nitf,
)

SPOTS = [(30, 30), (30, 160), (96, 96), (150, 60), (160, 165)]


def spots(shape: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    """I and Q of an image that is dark but for five bright squares."""
    rng = np.random.default_rng(1)
    values = rng.uniform(10, 20, (2, *shape)).astype(np.float32)
    for row, col in SPOTS:
        values[:, row - 2 : row + 3, col - 2 : col + 3] = 500
    return values


def sicd(path: Path, at: Geometry, xml: str | None = None) -> Path:
    one = Segment(spots(at.shape), "SICD000", ("I", "Q"), at.corners())
    return write_nitf(path, [one], [(SICD, xml or sicd_xml(at, "RE32F_IM32F"))])


def opened(path: Path | str, **text: float | str) -> ImageFile:
    return open_image(path, "sar", Reading.parse(ReadingText(**text)))  # type: ignore[arg-type]


def off_by(image: ImageFile, lonlat: np.ndarray) -> float:
    """Largest distance in pixels of the bright squares from where they should be."""
    values = np.nan_to_num(image.source.read(None, (1,))[0]).astype(np.float64)
    worst = 0.0
    for row, col in from_lonlat(image.grid, lonlat):
        top, left = max(0, int(row) - 12), max(0, int(col) - 12)
        seen = values[top : top + 25, left : left + 25]
        weight = np.where(seen > seen.max() / 2, 1.0, 0.0)
        rows, cols = np.mgrid[: seen.shape[0], : seen.shape[1]]
        assert 9 <= weight.sum() <= 60
        there = [(weight * at).sum() / weight.sum() + 0.5 for at in (rows, cols)]
        worst = max(worst, abs(top + there[0] - row), abs(left + there[1] - col))
    return worst


def on_ground(at: Geometry, height: float | None = None) -> np.ndarray:
    rows, cols = np.array(SPOTS).T
    return degrees(at.ground(rows, cols, height))


LOOKS = [
    Geometry(slant=True, heading=100.0),
    Geometry(slant=True, heading=257.0, spacing=60.0, graze=55.0, height=1200.0),
    Geometry(slant=True, heading=10.0, spacing=0.5),
    Geometry(slant=True, heading=100.0, lon=179.998),
    Geometry(slant=True, heading=280.0, lat=-86.0),
]


@pytest.mark.parametrize("at", LOOKS, ids=["metres", "wide", "fine", "over 180", "polar"])
def test_its_geometry_places_a_sicd_at_any_height(at: Geometry, tmp_path: Path) -> None:
    pytest.importorskip("sarkit", reason="the extra 'sicd' is not installed")
    path = sicd(tmp_path / "a.nitf", at)
    image = opened(path)
    assert image.header.placed_by == "SICD geometry"
    assert f"at {at.height:g} m above the ellipsoid" in " ".join(image.notes)
    assert off_by(image, on_ground(at)) < 0.4
    higher = opened(path, height=at.height + 400)
    assert off_by(higher, on_ground(at, at.height + 400)) < 0.4


def test_a_sicd_follows_an_elevation_model(tmp_path: Path) -> None:
    pytest.importorskip("sarkit", reason="the extra 'sicd' is not installed")
    from rasterio.transform import from_origin

    at = LOOKS[0]
    level = np.full((300, 300), 900, np.int16)
    model = save(tmp_path / "dem.tif", level, from_origin(14.9, 45.3, 1e-3, 1e-3), crs="EPSG:4326")
    image = opened(sicd(tmp_path / "a.nitf", at), dem=str(model))
    assert off_by(image, on_ground(at, 900.0)) < 0.4
    assert "over dem.tif" in " ".join(image.notes)


@pytest.mark.parametrize("at", LOOKS, ids=["metres", "wide", "fine", "over 180", "polar"])
def test_its_corner_points_place_a_sicd_where_the_extra_is_absent(
    at: Geometry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a metre a pixel: the header's corners, in seconds of arc, would be far off."""
    monkeypatch.setitem(sys.modules, "sarkit.sicd", None)
    monkeypatch.setitem(sys.modules, "sarkit", None)
    path = sicd(tmp_path / "a.nitf", at)
    image = opened(path, height=5.0)
    assert image.header.placed_by == "SICD corner points"
    assert "crosslook[sicd]" in " ".join(image.notes)
    assert "--height does not change that place" in " ".join(image.notes)
    assert off_by(image, on_ground(at)) < 0.5


@pytest.mark.parametrize(
    "damage", ["no orbit", "words", "other size", "no XML", "no text", "no end"]
)
def test_xml_that_says_too_little_is_no_reason_to_stop(damage: str, tmp_path: Path) -> None:
    at = Geometry(slant=True, heading=100.0)
    xml = sicd_xml(at, "RE32F_IM32F", projection=damage != "no orbit")
    if damage == "words":
        xml = xml.replace("<Row>96</Row>", "<Row>ninety-six</Row>")
    if damage == "other size":
        xml = xml.replace("<NumRows>192<", "<NumRows>191<")
    if damage == "no XML":
        xml = xml.replace("<Lat>", "<Lat><")
    if damage == "no end":
        xml = xml.replace("<Lat>", "<Lat></Lon>")
    path = sicd(tmp_path / "a.nitf", at, xml)
    if damage == "no text":
        path.write_bytes(path.read_bytes().replace(b"MONOSTATIC", b"MONO\xd0TATIC"))
    image = opened(path)
    by = "SICD corner points" if damage in ("no orbit", "words") else "control points"
    assert image.header.placed_by == by
    if by == "control points":
        assert "rounded to a second of arc" in image.notes[-1]
    assert off_by(image, on_ground(at)) < 4


def test_amplitudes_come_from_the_table(tmp_path: Path) -> None:
    table = np.sqrt(np.arange(256.0)) * 3
    pixels = np.stack([ground(), ground()[::-1]])
    one = Segment(pixels, "SICD000", ("M", "P"), FLAT.corners())
    xml = sicd_xml(FLAT, "AMP8I_PHS8I", table=table, corners=[(0.0, 0.0)] * 4, projection=False)
    path = write_nitf(tmp_path / "a.nitf", [one], [(SICD, xml.replace("FRFC", "none"))])
    header = RasterFile(path).header
    assert header.bands == 1
    assert header.dtype == "float32"
    assert header.is_magnitude
    with_gcps = RasterFile(path).read(None, (1,))[0]
    seen = np.nanmax(with_gcps)
    assert seen == pytest.approx(table[ground().max()], rel=0.02)


def test_pairs_of_other_images_become_amplitudes_too(tmp_path: Path) -> None:
    """Radar data in NITF that is no SICD: the bands say what they are."""
    one = Segment(pair_of_bands(), "CSI00001", ("I", "Q"))
    path = write_nitf(tmp_path / "a.nitf", [one], [])
    values = RasterFile(path).read(None, (1,))[0]
    expected = np.hypot(*pair_of_bands().astype(np.float64))
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert RasterFile(path).header.is_magnitude


def test_a_sicd_among_assets_is_read_as_by_itself(tmp_path: Path) -> None:
    path = sicd(tmp_path / "a.nitf", FLAT)
    alone, listed = RasterFile(path), RasterFile(stack([Part(str(path))], ["sicd"]))
    assert listed.header.placed_by == alone.header.placed_by
    assert listed.header.is_magnitude
    assert listed.header.bands == 1
    np.testing.assert_array_equal(listed.read(None, (1,)), alone.read(None, (1,)))


def test_a_segment_named_alone_lies_below_the_ones_before(tmp_path: Path) -> None:
    pixels = pair_of_bands()
    first = Segment(pixels[:, :100], "SICD001", ("I", "Q"), FLAT.corners())
    second = Segment(pixels[:, 100:], "SICD002", ("I", "Q"), (), attached=1, below=100)
    path = write_nitf(tmp_path / "a.nitf", [first, second], [(SICD, sicd_xml(FLAT, "RE32F_IM32F"))])
    whole, part = RasterFile(path), RasterFile(f"NITF_IM:1:{path}")
    assert not [note for note in whole.header.notes if "images" in note]
    middle = degrees(FLAT.ground(np.array([145.5]), np.array([95.5])))
    grid = part.header.grid
    np.testing.assert_allclose(to_lonlat(grid, np.array([[46.0, 96.0]])), middle, atol=2e-5)
    assert abs(grid.shape[0] - 92) <= 1


def several(folder: Path) -> Path:
    """Two products in one file, the second half as high and elsewhere."""
    other = Geometry(lon=15.2, shape=(96, SIDE))
    images = [
        Segment(ground()[None], "SIDD001001", ("",), FLAT.corners()),
        Segment(ground()[None, :96], "SIDD002001", ("",), other.corners()),
    ]
    xml = [(SIDD, sidd_xml(FLAT, "MONO8I")), (SIDD, sidd_xml(other, "MONO8I"))]
    return write_nitf(folder / "a.nitf", images, [*xml, (SICD, sicd_xml(FLAT, "RE32F_IM32F"))])


def test_each_image_of_a_sidd_has_its_own_place(tmp_path: Path) -> None:
    path = several(tmp_path)
    for name, lon in ((path, 15.0122), (f"NITF_IM:1:{path}", 15.2)):
        grid = opened(name).grid
        centre = to_lonlat(grid, np.array([[n / 2 for n in grid.shape]]))[0]
        np.testing.assert_allclose(centre, (lon, 45.1438), atol=1e-3)
        assert opened(name).header.placed_by == "SIDD geometry"


def test_files_of_several_images_say_which_one_is_taken(tmp_path: Path) -> None:
    path = several(tmp_path)
    note = f"holds 2 images, the first is taken; name another as GDAL does: NITF_IM:1:{path}"
    assert note in " ".join(opened(path).notes)
    assert "images" not in " ".join(opened(f"NITF_IM:1:{path}").notes)
    pages = save(tmp_path / "pages.tif", ground())
    save(pages, ground()[:64], APPEND_SUBDATASET="YES")
    assert f"GTIFF_DIR:2:{pages}" in " ".join(opened(pages).notes)
    assert opened(save(tmp_path / "one.tif", ground())).notes == ()


def test_a_sidd_is_placed_by_its_plane_and_else_by_its_corners(tmp_path: Path) -> None:
    at = Geometry(heading=215.0, spacing=3.0)
    values = spots()[0].astype(np.uint16)[None]
    xml = sidd_xml(at, "MONO16I")
    for text, by in (
        (xml, "SIDD geometry"),
        (xml.replace("PlaneProjection", "PolynomialProjection"), "SIDD corner points"),
    ):
        one = Segment(values, "SIDD001001", ("",), at.corners())
        image = opened(write_nitf(tmp_path / f"{by}.nitf", [one], [(SIDD, text)]))
        assert image.header.placed_by == by
        assert off_by(image, on_ground(at)) < 0.4


def test_a_grey_table_for_display_leaves_the_numbers(tmp_path: Path) -> None:
    """Nothing but the category tells, where there is no XML; colours of others are followed."""
    table = np.random.default_rng(2).permutation(256)
    for category, kept in (("SAR", True), ("VIS", False)):
        one = Segment(ground()[None], "", ("",), (), (table, table[::-1])[:1], category)
        path = write_nitf(tmp_path / f"{category}.nitf", [one], [])
        values = RasterFile(path).read(None, (1,))[0]
        expected = ground() if kept else table[ground()]
        np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("kept", [0.3, 0.97])
def test_a_file_shorter_than_its_header_says_is_refused(kept: float, tmp_path: Path) -> None:
    """The XML lies last: without it the pixels would be read, and the place be rounded."""
    path = sicd(tmp_path / "a.nitf", FLAT)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(RasterError, match=r"a\.nitf ends before its image does"):
        opened(path)


def test_what_is_brought_along_of_a_sicd_keeps_its_phase_and_its_place(tmp_path: Path) -> None:
    from crosslook.geo.stored import stored_pixels

    one = np.ascontiguousarray(spots(FLAT.shape)[0])
    pixels = np.stack([one, 2 * one])
    whole = Segment(pixels, "SICD000", ("I", "Q"), FLAT.corners())
    path = write_nitf(tmp_path / "a.nitf", [whole], [(SICD, sicd_xml(FLAT, "RE32F_IM32F"))])
    shown, kept = RasterFile(path), stored_pixels(RasterFile(path))
    assert kept.dtype == "complex64"
    assert kept.bands == 1
    assert kept.grid.crs == shown.header.grid.crs
    a, b = kept.grid.boundingbox, shown.header.grid.boundingbox
    np.testing.assert_allclose(a.bbox, b.bbox, atol=30)
    height, width = kept.grid.shape
    numbers, valid = kept.read(Window(height // 4, width // 4, height // 2, width // 2))
    assert valid.any()
    np.testing.assert_allclose(np.angle(numbers[valid]), np.arctan(2), atol=1e-3)
