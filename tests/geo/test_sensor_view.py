"""What the annotation of Sentinel-1 says of incidence and range, whole and damaged."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from pyproj import Geod
from rasterio.control import GroundControlPoint

from crosslook.errors import InputError
from crosslook.geo.grid import from_lonlat, make_grid, to_lonlat
from crosslook.geo.image import open_image
from crosslook.geo.products.annotation import annotation_of
from crosslook.geo.sensor_view import sensor_view, view_of_grid, view_problem
from crosslook.types import Array

_EARTH = Geod(ellps="WGS84")
STEM = "s1a-iw-grd-vv-20260101t050000-20260101t050025-062585-07d7a8-001"
SIZE = (160, 200)


def angle_at(across: Array) -> Array:
    """Of the swath of IW, from near to far as a fraction: 30.8 to 46 degrees, ever slower."""
    return np.asarray(30.8 + 17.4 * across - 2.2 * across**2)


def grid_of(azimuth: float = 81.0, start: tuple[float, float] = (12.0, 47.0)) -> Array:
    """21 x 10 points of a swath of 250 by 170 km, whose lines are great circles."""
    rows = []
    for line in np.linspace(0.0, 1.0, 10):
        lon, lat, _ = _EARTH.fwd(*start, azimuth + 90.0, 170e3 * line)
        for pixel in np.linspace(0.0, 1.0, 21):
            there = _EARTH.fwd(lon, lat, azimuth, 250e3 * pixel)[:2]
            rows.append([line * (SIZE[0] - 1), pixel * (SIZE[1] - 1), *there, angle_at(pixel)])
    return np.array(rows)


def xml_of(grid: Array) -> str:
    points = "".join(
        f"<geolocationGridPoint><azimuthTime>2026-01-01T05:00:00</azimuthTime><line>{r:.0f}</line>"
        f"<pixel>{c:.0f}</pixel><latitude>{lat:.12e}</latitude><longitude>{lon:.12e}</longitude>"
        f"<height>1.0e-04</height><incidenceAngle>{angle:.12e}</incidenceAngle>"
        "</geolocationGridPoint>"
        for r, c, lon, lat, angle in grid.tolist()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><product><geolocationGrid>'
        f'<geolocationGridPointList count="{len(grid)}">{points}</geolocationGridPointList>'
        "</geolocationGrid></product>"
    )


def product(folder: Path, text: str | bytes) -> Path:
    """A SAFE folder of one measurement and its annotation."""
    safe = folder / "S1A_IW_GRDH_1SDV_20260101T050000.SAFE"
    for name in ("measurement", "annotation"):
        (safe / name).mkdir(parents=True)
    data = text if isinstance(text, bytes) else text.encode()
    (safe / "annotation" / f"{STEM}.xml").write_bytes(data)
    corners = [r for r in grid_of().tolist() if r[0] in (0, 159) and r[1] in (0, 199)]
    points = [GroundControlPoint(r, c, lon, lat, 0.0) for r, c, lon, lat, _ in corners]
    with rasterio.open(
        safe / "measurement" / f"{STEM}.tiff", "w", driver="GTiff", count=1, dtype="uint16",
        height=SIZE[0], width=SIZE[1], gcps=points, crs="EPSG:4326",
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(0).integers(50, 900, SIZE).astype(np.uint16), 1)
    return safe


def zipped(safe: Path) -> Path:
    path = safe.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in safe.rglob("*.*"):
            if file.is_file():
                archive.write(file, file.relative_to(safe.parent))
    return path


def beside(safe: Path) -> Path:
    """The measurement taken out of the folder, its annotation with it."""
    for file in (*safe.rglob("*.tiff"), *safe.rglob("*.xml")):
        file.rename(safe.parent / file.name)
    return safe.parent / f"{STEM}.tiff"


WAYS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda safe: safe,
    "archive": zipped,
    "measurement": lambda safe: safe / "measurement" / f"{STEM}.tiff",
    "beside": beside,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_annotation_is_found_whatever_of_the_product_is_given(tmp_path: Path, way: str) -> None:
    place = WAYS[way](product(tmp_path, xml_of(grid_of())))
    image = open_image(place, "sar")
    view = sensor_view(image)
    assert view is not None
    assert view.by == f"the annotation {STEM}.xml"
    assert len(view.incidence) == 210
    assert not view_problem(image)


def test_other_images_have_no_view_and_no_problem(tmp_path: Path) -> None:
    safe = product(tmp_path, xml_of(grid_of()))
    other = tmp_path / "scene.tif"
    (safe / "measurement" / f"{STEM}.tiff").rename(other)
    image = open_image(other, "sar")
    assert sensor_view(image) is None
    assert not view_problem(image)
    assert annotation_of(str(tmp_path / "nowhere" / f"{STEM}.tiff")) is None


@pytest.mark.parametrize("azimuth", [81.0, 281.0])
@pytest.mark.parametrize("start", [(12.0, 47.0), (178.6, -16.0)])
def test_incidence_and_range_are_those_of_the_swath(
    azimuth: float, start: tuple[float, float]
) -> None:
    if azimuth > 180:
        start = (start[0] + 2.5, start[1]) if start[0] < 100 else (-178.9, start[1])
    view = view_of_grid("a grid", grid_of(azimuth, start))
    assert view is not None
    zone = "EPSG:32633" if start[0] < 100 else "EPSG:32760"
    grid = make_grid(zone, (10.0, 0.0, 5e5, 0.0, -10.0, 8e6), 100, 100)
    across, along = np.meshgrid(np.linspace(0.07, 0.93, 7), np.linspace(0.1, 0.9, 5))
    places, far = [], []
    for right, down in zip(across.ravel(), along.ravel(), strict=True):
        lon, lat, _ = _EARTH.fwd(*start, azimuth + 90.0, 170e3 * down)
        at = _EARTH.fwd(lon, lat, azimuth, 250e3 * right)[:2]
        places.append(at)
        far.append(_EARTH.fwd(lon, lat, azimuth, 250e3 * right + 100.0)[:2])
    points = from_lonlat(grid, np.array(places))
    tangent = np.tan(np.radians(angle_at(across.ravel())))
    expected = (from_lonlat(grid, np.array(far)) - points) / 100.0 / tangent[:, None]
    off = np.linalg.norm(view.per_metre(grid, points) - expected, axis=1)
    assert off.max() < 2e-3 * np.linalg.norm(expected, axis=1).max()


def test_beyond_the_swath_nothing_grows_without_limit() -> None:
    view = view_of_grid("a grid", grid_of())
    assert view is not None
    grid = make_grid("EPSG:32633", (1e3, 0.0, -4e5, 0.0, -1e3, 6.2e6), 2000, 2000)
    points = np.array([[0.0, 0.0], [1999.0, 0.0], [0.0, 1999.0], [1999.0, 1999.0]])
    assert np.isfinite(to_lonlat(grid, points)).all()
    size = np.linalg.norm(view.per_metre(grid, points), axis=1) * 1e3
    assert (size < 1.1 / np.tan(np.radians(30.8))).all()
    assert (size > 0.9 / np.tan(np.radians(46.0))).all()


def _bomb() -> str:
    lol = '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    return xml_of(grid_of()).replace("<product>", f"<!DOCTYPE product [{lol}]><product>&b;")


def _file() -> str:
    entity = '<!DOCTYPE product [<!ENTITY f SYSTEM "file:///etc/hostname">]><product>&f;'
    return xml_of(grid_of()).replace("<product>", entity)


DAMAGED: dict[str, tuple[str | bytes, str]] = {
    "cut": (xml_of(grid_of())[:-4000], "is no readable XML"),
    "empty": ("", "is no readable XML"),
    "binary": (b"\xff\xfe\x00\x00rubbish", "is no readable XML"),
    "words": (xml_of(grid_of()).replace("4.6", "four", 1), "is no readable XML"),
    "no points": (xml_of(grid_of()[:0]), "has 0 points"),
    "impossible": (xml_of(grid_of() * [1, 1, 1, 1, 3.0]), "points of its grid"),
    "unknown": (xml_of(grid_of() * [1, 1, 1, 1, np.nan]), "has 0 points"),
    "bomb": (_bomb(), "document type"),
    "file": (_file(), "document type"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_annotation_is_said_once_and_costs_nothing_else(
    tmp_path: Path, kind: str
) -> None:
    text, words = DAMAGED[kind]
    safe = product(tmp_path, text)
    with pytest.raises(InputError, match=words):
        annotation_of(str(safe / "measurement" / f"{STEM}.tiff"))
    image = open_image(safe, "sar")
    assert image.read().valid.any()
    assert sensor_view(image) is None
    assert words in view_problem(image)
    assert "are not taken from it" in view_problem(image)
