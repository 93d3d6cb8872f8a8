"""A query whose georeference lies elsewhere: said before and after, and no rotation from there."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from pyproj import Transformer
from rasterio.transform import from_origin

from crosslook.atlas.build import build_atlas
from crosslook.atlas.locate import locate, locate_all
from crosslook.cli import app
from crosslook.data.simulate.scene import make_pair
from crosslook.errors import SettingError
from crosslook.geo.grid import make_grid
from crosslook.geo.raster import RasterArray

SIDE, CHIP, CORNER = 768, 300, (200, 260)
PLACE = Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(15.2, 60)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """An atlas at 60 degrees north, and the SAR image of a part of it."""
    pair, folder = make_pair(SIDE, 5, relief=0.0), tmp_path_factory.mktemp("far")
    grid = from_origin(*PLACE, 10, 10)
    shape = {"count": 3, "height": SIDE, "width": SIDE, "dtype": "uint8"}
    with rasterio.open(
        folder / "map.tif", "w", driver="GTiff", crs="EPSG:32633", transform=grid, **shape
    ) as file:
        file.write(pair.optical)
    build_atlas(folder / "map.tif", folder / "atlas")
    return folder / "atlas", pair.sar[CORNER[0] : CORNER[0] + CHIP, CORNER[1] : CORNER[1] + CHIP]


def query(sar: np.ndarray, crs: str, x: float, y: float) -> RasterArray:
    grid = make_grid(crs, from_origin(x, y, 10, 10), CHIP, CHIP)
    return RasterArray.of(sar, grid=grid, name="query")


def test_no_orientation_is_taken_from_far_away(
    made: tuple[Path, np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    """In zone 20 at its edge grid north is 2.6 degrees from north, as of 4 zones away far more."""
    atlas, sar = made
    # South of the equator and five zones beyond its own: a convergence of some 15 degrees.
    far = query(sar, "EPSG:32720", 3_700_000.0, 6_500_000.0)
    with caplog.at_level(logging.WARNING, "crosslook"):
        result = locate(far, atlas)
    assert "km from the atlas" in caplog.text
    assert [one.kind for one in result.warnings] == ["far away"]
    assert "km from the atlas" in result.notes[0]
    assert result.verdict == "match"
    assert result.transform is not None
    assert result.movement is None
    centre = result.transform(np.array([[CHIP / 2, CHIP / 2]]))[0]
    assert result.window is not None
    found = centre + np.array([result.window.row, result.window.col])
    assert np.hypot(*(found - np.array(CORNER) - CHIP / 2)) < 3


def test_what_lies_on_the_atlas_or_a_little_beside_it(made: tuple[Path, np.ndarray]) -> None:
    atlas, sar = made
    assert locate(query(sar, "EPSG:32633", PLACE[0] + 900, PLACE[1] - 400), atlas).warnings == ()
    beside = locate(query(sar, "EPSG:32633", PLACE[0] + 40_000, PLACE[1]), atlas)
    assert [one.kind for one in beside.warnings] == ["beside"]
    assert "32.3 km beside the atlas" in beside.notes[0]
    assert beside.movement is not None


def test_the_command_line_says_so(made: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    atlas, sar = made
    path = tmp_path / "query.tif"
    with rasterio.open(
        path, "w", driver="GTiff", crs="EPSG:32720", count=1, height=CHIP, width=CHIP,
        dtype="float32", transform=from_origin(600_000.0, 6_500_000.0, 10, 10),
    ) as file:  # fmt: skip
        file.write(sar[None] if sar.ndim == 2 else sar)
    done = CliRunner().invoke(
        app, ["locate", str(path), "--atlas", str(atlas), "--out", str(tmp_path / "out")]
    )
    assert done.output.count("km from the atlas") >= 1
    assert "note: 'query.tif' says that it lies at " in done.output


def test_gsd_is_used_where_it_is_needed(made: tuple[Path, np.ndarray]) -> None:
    """In a mixed batch; alone, an image that tells its pixel size takes none."""
    atlas, sar = made
    placed = query(sar, "EPSG:32633", PLACE[0] + 900, PLACE[1] - 400)
    both = list(locate_all([placed, RasterArray.of(sar, name="plain")], atlas, gsd=10.0))
    assert [getattr(one, "verdict", "") for one in both] == ["match", "match"]
    with pytest.raises(SettingError, match="leave --gsd out"):
        locate(placed, atlas, gsd=10.0)
