"""What is placed by control points or by rational polynomials: by which, and how exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import from_origin

from crosslook.errors import GridError
from crosslook.geo.grid import from_lonlat, is_placed, shape_of, to_lonlat
from crosslook.geo.image import ImageFile, Reading, on_optical_grid, open_image
from crosslook.options import ReadingText
from tests.helpers.kinds import CRS, PLACE, SIDE, ground, save
from tests.helpers.nitf import Segment, write_nitf

SPOTS = [(30, 30), (30, 160), (96, 96), (150, 60), (160, 165)]


def opened(path: Path | str, **text: float | str) -> ImageFile:
    return open_image(path, "sar", Reading.parse(ReadingText(**text)))  # type: ignore[arg-type]


def spots() -> np.ndarray:
    values = np.random.default_rng(1).integers(5, 10, (SIDE, SIDE)).astype(np.uint8)
    for row, col in SPOTS:
        values[row - 2 : row + 3, col - 2 : col + 3] = 250
    return values


def off_by(image: ImageFile, lonlat: np.ndarray) -> float:
    """Largest distance in pixels of the bright squares from where they should be."""
    values = np.nan_to_num(image.source.read(None, (1,))[0])
    worst = 0.0
    for row, col in from_lonlat(image.grid, lonlat):
        top, left = max(0, int(row) - 12), max(0, int(col) - 12)
        weight = (values[top : top + 25, left : left + 25] > 125).astype(np.float64)
        rows, cols = np.mgrid[: weight.shape[0], : weight.shape[1]]
        assert 9 <= weight.sum() <= 60
        there = [(weight * at).sum() / weight.sum() + 0.5 for at in (rows, cols)]
        worst = max(worst, abs(top + there[0] - row), abs(left + there[1] - col))
    return worst


def spot_places(shift: float = 0.0) -> np.ndarray:
    """Longitude and latitude of the squares of an image at PLACE, moved by so many metres."""
    at = np.array([PLACE @ (c + 0.5, r + 0.5) for r, c in SPOTS]) + np.array([shift, 0.0])
    return np.column_stack(Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(*at.T))


def polynomials(height_off: float = 0.0) -> RPC:
    """Of an image that lies at PLACE at this height, and as much further west as it is lower."""
    lon, lat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(
        *(PLACE @ (SIDE / 2, SIDE / 2))
    )
    east, north = (spot_places(1000.0)[0] - spot_places()[0])[0], 0.0
    north = 1000.0 / 111143.0
    line, sample, one = [0.0] * 20, [0.0] * 20, [1.0] + [0.0] * 19
    line[2], sample[1], sample[3] = -1.0, 1.0, -1.0
    # 960 m to each side are the half width of 96 pixels, and so are 960 m of height.
    return RPC(
        err_bias=None, err_rand=None, height_off=height_off, height_scale=960,
        lat_off=lat, lat_scale=north * 0.96, line_off=SIDE / 2 - 0.5, line_scale=SIDE / 2,
        long_off=lon, long_scale=east * 0.96, samp_off=SIDE / 2 - 0.5, samp_scale=SIDE / 2,
        line_num_coeff=line, line_den_coeff=one, samp_num_coeff=sample, samp_den_coeff=one,
    )  # fmt: skip


def lattice(count: int, shift: float = 0.0, height: float = 0.0) -> list[GroundControlPoint]:
    at = np.linspace(0, SIDE, count)
    spots = [(r, c, PLACE @ (c, r)) for r in at for c in at]
    return [GroundControlPoint(r, c, x + shift, y, height) for r, c, (x, y) in spots]


def test_polynomials_are_taken_at_the_height_that_the_file_is_made_for(tmp_path: Path) -> None:
    """At 0 m, as GDAL would take it, everything would lie 800 m further west."""
    path = save(tmp_path / "a.tif", spots(), None, rpcs=polynomials(800.0))
    image = opened(path)
    assert off_by(image, spot_places()) < 0.4
    assert "at 800 m above the ellipsoid, the height that the file is made for" in image.notes[-1]
    other = opened(path, height=700.0)
    assert off_by(other, spot_places(-100.0)) < 0.4
    assert "at 700 m" in other.notes[-1]


@pytest.mark.parametrize("count", [2, 8])
def test_a_height_is_heeded_where_there_are_control_points_too(count: int, tmp_path: Path) -> None:
    """Few points tell less than polynomials; many lie on the ground, unless a height is given."""
    path = save(
        tmp_path / "a.tif", spots(), None, gcps=lattice(count, 50.0), rpcs=polynomials(800.0)
    )
    plain = opened(path)
    by = "control points" if count > 3 else "rational polynomials"
    assert plain.header.placed_by == by
    assert off_by(plain, spot_places(50.0 if count > 3 else 0.0)) < 0.4
    level = np.full((300, 300), 500, np.int16)
    model = save(tmp_path / "dem.tif", level, from_origin(14.9, 45.3, 1e-3, 1e-3), crs="EPSG:4326")
    for text in ({"height": 500.0}, {"dem": str(model)}):
        image = opened(path, **text)
        assert image.header.placed_by == "rational polynomials"
        assert off_by(image, spot_places(-300.0)) < 0.5


def test_a_height_that_nothing_can_use_is_said(tmp_path: Path) -> None:
    points = opened(save(tmp_path / "p.tif", spots(), None, gcps=lattice(4)), height=500.0)
    assert "--height does not change that place" in points.notes[-1]
    both = save(tmp_path / "b.tif", spots(), rpcs=polynomials(800.0))
    assert "rational polynomials are not used" in opened(both, height=500.0).notes[-1]
    assert "polynomials" not in " ".join(opened(both).notes)


def test_polynomials_go_before_the_rounded_corners_of_nitf(tmp_path: Path) -> None:
    """Corners of whole seconds of arc, which make an affine map, some fifteen metres off."""
    import rasterio

    east, west, north, south = 15.0122, 15.0, 45.1438, 45.13
    corners = [(west, north), (east, north), (east, south), (west, south)]
    path = write_nitf(tmp_path / "a.ntf", [Segment(spots()[None], "", ("",), corners)], [])
    with rasterio.open(path) as plain:
        assert not plain.transform.is_identity
    tags = polynomials(800.0).to_gdal()
    rpc = "".join(f'<MDI key="{key}">{value}</MDI>' for key, value in tags.items())
    side = f'<PAMDataset><Metadata domain="RPC">{rpc}</Metadata></PAMDataset>'
    Path(f"{path}.aux.xml").write_text(side)
    image = opened(path)
    assert image.header.placed_by == "rational polynomials"
    assert off_by(image, spot_places()) < 0.4


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_control_points_place_nothing(count: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", spots(), None, gcps=lattice(4)[::15][:count])
    image = opened(path)
    assert not is_placed(image.grid)
    assert image.header.placed_by == "nothing"
    assert f"three or more control points are needed for that, it has {count}" in image.notes[-1]
    np.testing.assert_array_equal(image.source.read(None, (1,))[0], spots())


def test_a_file_cannot_speak_for_the_program(tmp_path: Path) -> None:
    import rasterio

    path = save(tmp_path / "a.tif", spots())
    with rasterio.open(path, "r+") as file:
        file.update_tags(ns="CROSSLOOK", PLACED_BY="magic", NOTE="trust me", PARTS="many")
    image = opened(path)
    assert image.header.placed_by == "affine"
    assert "trust me" not in " ".join(image.notes)


def test_three_control_points_place_an_image(tmp_path: Path) -> None:
    three = [lattice(2)[n] for n in (0, 1, 2)]
    assert off_by(opened(save(tmp_path / "a.tif", spots(), None, gcps=three)), spot_places()) < 0.4


@pytest.mark.parametrize("alike", ["place", "line", "ground"])
def test_control_points_that_span_no_area_are_refused(alike: str, tmp_path: Path) -> None:
    points = {
        "place": [lattice(2)[0]] * 12,
        "line": lattice(4)[::5],
        "ground": [GroundControlPoint(p.row, p.col, 5e5, 5e6) for p in lattice(4)],
    }[alike]
    path = save(tmp_path / "a.tif", spots(), None, gcps=points)
    with pytest.raises(GridError, match=r"a\.tif: its control points do not span an area"):
        opened(path)


def test_points_given_twice_are_taken_once(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", spots(), None, gcps=lattice(5) * 2)
    assert off_by(opened(path), spot_places()) < 0.4


def test_thousands_of_control_points_are_followed_as_a_few_hundred_are(tmp_path: Path) -> None:
    """A map that no polynomial of second order follows: it would be off by two pixels."""

    def bent(row: float, col: float) -> tuple[float, float]:
        x, y = PLACE @ (col, row)
        return x + 40 * np.sin(row / 40), y

    at = np.linspace(0, SIDE, 60)
    points = [GroundControlPoint(r, c, *bent(r, c)) for r in at for c in at]
    image = opened(save(tmp_path / "a.tif", spots(), None, gcps=points))
    assert "400 of 3600" in image.notes[-1]
    expected = np.array([bent(r + 0.5, c + 0.5) for r, c in SPOTS])
    lonlat = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(*expected.T)
    assert off_by(image, np.column_stack(lonlat)) < 0.6


@pytest.mark.parametrize(
    ("name", "tags", "moved"),
    [
        ("s1a-iw-grd-vv-20240101t000000-20240101t000025-052000-064000-001.tiff", {}, True),
        ("s1c-iw-grd-vv-20260101t000000-20260101t000025-002000-004000-001-cog.tiff", {}, True),
        ("cut.tif", {"TIFFTAG_IMAGEDESCRIPTION": "Sentinel-1A IW GRD HR L1"}, True),
        ("cut.tif", {}, False),
    ],
)
def test_sentinel_1_numbers_the_centres_of_pixels(
    name: str, tags: dict[str, str], moved: bool, tmp_path: Path
) -> None:
    import rasterio

    path = save(tmp_path / name, spots(), None, gcps=lattice(5))
    if tags:
        with rasterio.open(path, "r+") as file:
            file.update_tags(**tags)
    there = spot_places()
    if moved:  # what is at 0 is the centre of the first pixel: all lies half a pixel north-west
        at = np.array([PLACE @ (c, r) for r, c in SPOTS])
        to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
        there = np.column_stack(to_degrees.transform(*at.T))
    assert off_by(opened(path), there) < 0.25


@pytest.mark.parametrize("running_on", [False, True])
@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:32760"])
def test_control_points_over_180_degrees(crs: str, running_on: bool, tmp_path: Path) -> None:
    """Degrees that jump from 180 to -180, or run on to 181: the same image on any map."""
    own = "EPSG:32701"
    to_own = Transformer.from_crs("EPSG:4326", own, always_xy=True)
    x, y = to_own.transform(180.0, -17.0)
    place = Affine(10, 0, x - 960, 0, -10, y + 960)
    back = Transformer.from_crs(own, "EPSG:4326", always_xy=True)
    points = []
    for row in np.linspace(0, SIDE, 5):
        for col in np.linspace(0, SIDE, 5):
            lon, lat = back.transform(*(place @ (col, row)))
            points.append(GroundControlPoint(row, col, lon % 360 if running_on else lon, lat))
    sar = opened(save(tmp_path / "a.tif", ground(), None, gcps=points, crs="EPSG:4326"))
    assert sar.read().valid.mean() > 0.99
    centre = to_lonlat(sar.grid, np.array([[n / 2 for n in shape_of(sar.grid)]]))[0]
    assert abs(abs(centre[0]) - 180) < 1e-3
    left, top = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(179.994, -16.995)
    step = 1e-4 if crs == "EPSG:4326" else 10.0
    size = 120  # reaches over 180 degrees
    colours = np.stack([ground()[:size, :size]] * 3)
    optical = save(tmp_path / "o.tif", colours, from_origin(left, top, step, step), crs=crs)
    brought = on_optical_grid(sar, open_image(optical, "optical")).read()
    assert brought.valid.mean() > 0.99
