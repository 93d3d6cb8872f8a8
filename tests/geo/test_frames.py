"""Maps that are not on Earth: world files, local site grids, other bodies."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint

from crosslook.errors import GridError, SettingError
from crosslook.geo.grid import (
    crs_text,
    has_map,
    is_placed,
    is_unnamed,
    make_grid,
    plain_grid,
    shares_frame,
)
from crosslook.geo.image import Reading, on_optical_grid, open_image
from crosslook.geo.mosaic import plan_mosaic
from crosslook.match.apply import apply_match
from crosslook.match.register import register
from crosslook.match.starts import start_of
from crosslook.match.transform import identity
from tests.helpers.kinds import ground, save
from tests.helpers.textured import textured_pair

SITE = 'LOCAL_CS["Arbitrary site grid",UNIT["metre",1]]'
MOON = "IAU_2015:30110"
PLACE = Affine(10, 0, 3000, 0, -10, 9000)


def textured(side: int) -> np.ndarray:
    """Smooth structure, 1..255."""
    rng = np.random.default_rng(3)
    soft = cv2.GaussianBlur(rng.random((side, side)).astype(np.float32), (0, 0), 4)
    whole: np.ndarray = (1 + 254 * (soft - soft.min()) / np.ptp(soft)).astype(np.uint8)
    return whole


def world_file(path: Path, values: np.ndarray, place: Affine, suffix: str) -> Path:
    """A plain image and the six numbers of its map; x and y of the first pixel's centre."""
    assert cv2.imwrite(str(path), values)
    x, y = place * (0.5, 0.5)
    numbers = (place.a, place.d, place.b, place.e, x, y)
    path.with_suffix(suffix).write_text("\n".join(map(str, numbers)) + "\n")
    return path


@pytest.mark.parametrize("name", ["a.png .pgw", "a.png .wld", "a.jpg .jgw", "a.tif .tfw"])
def test_a_world_file_gives_a_map_without_a_crs(name: str, tmp_path: Path) -> None:
    file, suffix = name.split()
    path = world_file(tmp_path / file, textured(64), PLACE, suffix)
    image = open_image(path, "optical")
    assert image.grid.affine.almost_equals(PLACE)
    assert is_unnamed(image.grid)
    assert has_map(image.grid)
    assert not is_placed(image.grid)
    assert "--crs" in " ".join(image.notes)

    told = open_image(path, "optical", Reading(crs="EPSG:32611"))
    assert is_placed(told.grid)
    assert crs_text(told.grid) == "EPSG:32611"
    assert "EPSG:32611" in " ".join(told.notes)


def test_a_prj_file_beside_it_names_the_crs(tmp_path: Path) -> None:
    path = world_file(tmp_path / "a.png", textured(64), PLACE, ".pgw")
    path.with_suffix(".prj").write_text(rasterio.CRS.from_epsg(32611).to_wkt(), "utf-8")
    assert crs_text(open_image(path, "sar").grid) == "EPSG:32611"
    path.with_suffix(".prj").write_text("no CRS", "utf-8")
    assert is_unnamed(open_image(path, "sar").grid)


def test_crs_is_for_images_without_one_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", textured(64), PLACE)
    image = open_image(path, "sar", Reading(crs="EPSG:32611"))
    assert crs_text(image.grid) == "EPSG:32633"
    assert "--crs is not used" in " ".join(image.notes)


def test_metres_are_no_degrees(tmp_path: Path) -> None:
    path = world_file(tmp_path / "a.png", textured(64), PLACE, ".pgw")
    with pytest.raises(GridError, match="no latitude"):
        open_image(path, "sar", Reading(crs="EPSG:4326"))


@pytest.mark.parametrize("text", ["EPSG:1", "+proj=utm +zone=11 +nadgrids=a.gsb", "+init=a:b"])
def test_a_crs_that_is_none_or_names_files_is_refused(text: str, tmp_path: Path) -> None:
    path = world_file(tmp_path / "a.png", textured(64), PLACE, ".pgw")
    with pytest.raises(SettingError, match="EPSG:32611"):
        register(path, path, crs=text)


def test_which_frames_are_shared() -> None:
    site, moon, unnamed, earth = (
        make_grid(crs, PLACE, 8, 8) for crs in (SITE, MOON, None, "EPSG:32633")
    )
    assert not is_placed(site)
    assert not is_placed(moon)
    assert is_placed(earth)
    assert shares_frame(site, site)
    assert shares_frame(moon, moon)
    assert shares_frame(earth, make_grid("EPSG:4326", PLACE, 8, 8))
    for one in (site, moon, plain_grid(8, 8)):
        assert not shares_frame(one, earth)
    assert not shares_frame(site, moon)
    assert not has_map(unnamed)  # without a frame an affine map says nothing


@pytest.mark.parametrize("crs", [SITE, MOON, None])
def test_two_images_of_one_frame_are_brought_together(crs: str | None, tmp_path: Path) -> None:
    big = textured(128)
    half = cv2.resize(big[20:84, 10:106], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    there = PLACE * Affine.translation(10, 20) * Affine.scale(2)
    if crs is None:
        sar = world_file(tmp_path / "s.png", half, there, ".pgw")
        optical = world_file(tmp_path / "o.png", big, PLACE, ".pgw")
    else:
        sar = save(tmp_path / "s.tif", half, there, crs=crs)
        optical = save(tmp_path / "o.tif", big, PLACE, crs=crs)
    images = open_image(sar, "sar"), open_image(optical, "optical")
    start = start_of(*images, None)
    assert np.allclose(start(np.array([[0.0, 0.0], [32, 48]])), [[20, 10], [84, 106]])

    brought = on_optical_grid(*images).read()
    inside = np.zeros((128, 128), bool)
    inside[24:80, 14:102] = True
    assert brought.valid[inside].all()
    assert not brought.valid[:16].any()
    assert np.corrcoef(brought.values[0][inside], np.sqrt(big[inside]))[0, 1] > 0.9


def test_what_lies_in_two_frames_is_refused_with_both_named(tmp_path: Path) -> None:
    plain = tmp_path / "p.png"
    assert cv2.imwrite(str(plain), textured(64))
    files = {
        "world": world_file(tmp_path / "w.png", textured(64), PLACE, ".pgw"),
        "site": save(tmp_path / "l.tif", textured(64), PLACE, crs=SITE),
        "moon": save(tmp_path / "m.tif", textured(64), PLACE, crs=MOON),
        "earth": save(tmp_path / "e.tif", textured(64), PLACE),
        "plain": plain,
    }
    for first, second, said in (
        ("world", "earth", "--crs"),
        ("earth", "world", "--crs"),
        ("world", "site", "Arbitrary site grid"),
        ("site", "earth", "Arbitrary site grid.*EPSG:32633"),
        ("moon", "earth", "EPSG:32633"),
        ("earth", "plain", "has none"),
    ):
        images = open_image(files[first], "sar"), open_image(files[second], "optical")
        with pytest.raises(GridError, match=said):
            start_of(*images, None)
    for first, second in (("plain", "world"), ("site", "plain"), ("plain", "plain")):
        images = open_image(files[first], "sar"), open_image(files[second], "optical")
        assert np.allclose(start_of(*images, None)(np.array([[3.0, 5.0]])), [[3, 5]])


def test_a_match_in_a_frame_is_written_in_it_and_applied(tmp_path: Path) -> None:
    """Place on the map, no longitude; aligned image, points and a second file follow."""
    seen, ground = (one.stored[0] for one in textured_pair(identity(), side=320))
    place = PLACE * Affine.translation(16, 12)
    whole = np.clip(seen[10:298, 14:302], 0, 255).astype(np.uint8)
    sar = world_file(tmp_path / "s.png", whole, place, ".pgw")
    optical = world_file(tmp_path / "o.png", ground, PLACE, ".pgw")
    result = register(sar, optical, out=tmp_path / "out")
    assert result.verdict == "match"
    stored = json.loads((tmp_path / "out" / "match.json").read_text())
    assert "lonlat" not in stored["centre"]
    assert np.allclose(stored["centre"]["map"], PLACE * (158, 154), atol=15)
    with rasterio.open(tmp_path / "out" / "aligned.tif") as file:
        assert file.crs is None
        assert file.transform.a == 10
    first = (tmp_path / "out" / "tie_points.points").read_text().splitlines()[0]
    assert first.startswith("mapX")
    (done,) = apply_match(tmp_path / "out" / "match.json", [sar], out=tmp_path / "more")
    assert isinstance(done, Path)
    with rasterio.open(done) as file:
        assert file.crs is None
        assert np.allclose(file.transform * (144, 144), PLACE * (158, 154), atol=25)
    again = register(sar, optical, points=tmp_path / "out" / "tie_points.points")
    assert again.verdict == "match"


def test_a_place_that_does_not_do_is_said_where_the_start_is_missed(tmp_path: Path) -> None:
    point = GroundControlPoint(0, 0, PLACE.c, PLACE.f)
    lacks = save(tmp_path / "lacks.tif", ground(), None, gcps=[point])
    has = save(tmp_path / "has.tif", ground())
    images = open_image(lacks, "sar"), open_image(has, "optical")
    with pytest.raises(GridError, match=r"has none \(it lies nowhere; three or more .* it has 1\)"):
        start_of(*images, None)


def test_what_needs_a_place_on_earth_names_the_local_frame(tmp_path: Path) -> None:
    path = save(tmp_path / "site.tif", textured(160), PLACE, crs=SITE)
    with pytest.raises(GridError, match=r"lies in the local frame 'Arbitrary site grid'.*register"):
        plan_mosaic([path])
