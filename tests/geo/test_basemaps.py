"""Folders of basemaps as they lie on disk: what lies beside them, below them, hidden, as tiles."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from affine import Affine

from crosslook.errors import CrosslookError, GridError, InputError, SettingError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.grid import crs_text, from_lonlat, pixel_size, shape_of
from crosslook.geo.mosaic import Mosaic, plan_mosaic, read_window
from crosslook.geo.tile_pyramid import Tiling
from tests.helpers.kinds import PLACE, SIDE, ground, save

HALF = math.pi * 6378137


def colours() -> np.ndarray:
    """Red, green and blue that differ."""
    grey = ground()
    return np.stack([grey, np.roll(grey, 7, 0), 255 - grey])


def planned(folder: Path, **options: Any) -> Mosaic:
    return plan_mosaic(find_basemaps([folder]), **options)


def pixels(mosaic: Mosaic) -> tuple[np.ndarray, np.ndarray]:
    return read_window(mosaic.maps, mosaic.grid, (0, 0), shape_of(mosaic.grid))


def heights(dtype: str) -> np.ndarray:
    rows, cols = np.mgrid[:SIDE, :SIDE]
    return np.asarray(300 + 40 * np.sin(rows / 60) + 0.5 * cols).astype(dtype)


def classes() -> np.ndarray:
    return (ground() // 32).astype(np.uint8)


BESIDE: dict[str, np.ndarray] = {
    "dem.tif": heights("float32"),
    "a_height.tif": heights("int16"),
    "a_without_a_word.tif": heights("float32"),
    "a_sixteen.tif": heights("uint16"),
    "T11_udm2.tif": np.stack([classes() > 2, classes() > 3, classes() < 2] * 2).astype(np.uint8),
    "CloudMask.tif": (ground() > 128).astype(np.uint8),
    "a_landuse.tif": classes(),
    "a_probability.tif": cv2.GaussianBlur(ground(), (0, 0), 20),
    "a_cloud_prob.tif": ground(),
    "constant.tif": np.full((SIDE, SIDE), 7, np.uint8),
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_no_imagery_is_named_and_hides_nothing(tmp_path: Path, name: str) -> None:
    save(tmp_path / "z_ortho.tif", colours())
    save(tmp_path / name, BESIDE[name])
    mosaic = planned(tmp_path)
    assert [m.image.name for m in mosaic.maps] == ["z_ortho.tif"]
    assert [left for left, _ in mosaic.left_out] == [name]
    np.testing.assert_array_equal(pixels(mosaic)[0], colours())
    everything = planned(tmp_path, every_file=True)
    assert len(everything.maps) == 2
    assert not everything.left_out


def test_heights_finer_than_the_image_hide_nothing_either(tmp_path: Path) -> None:
    save(tmp_path / "ortho.tif", colours())
    fine = cv2.resize(heights("float32"), None, fx=2, fy=2)
    save(tmp_path / "surface.tif", fine, PLACE @ Affine.scale(0.5))
    mosaic = planned(tmp_path)
    assert pixel_size(mosaic.grid, mosaic.grid.crs.proj) == pytest.approx((10, 10))
    np.testing.assert_array_equal(pixels(mosaic)[0], colours())


def test_images_that_look_unlike_are_all_taken(tmp_path: Path) -> None:
    """Grey beside colour, a flat tile of the sea, floats of three bands: none is left out."""
    save(tmp_path / "a.tif", colours())
    save(tmp_path / "b.tif", ground(), PLACE @ Affine.translation(SIDE, 0))
    sea = np.full((3, SIDE, SIDE), 9, np.uint8)
    save(tmp_path / "c.tif", sea, PLACE @ Affine.translation(2 * SIDE, 0))
    reflectance = (colours() / 255).astype(np.float32)
    save(tmp_path / "d.tif", reflectance, PLACE @ Affine.translation(0, SIDE))
    mosaic = planned(tmp_path)
    assert len(mosaic.maps) == 4
    assert not mosaic.left_out


def test_what_lies_alone_is_taken_whatever_it_is(tmp_path: Path) -> None:
    save(tmp_path / "dem.tif", heights("float32"))
    assert len(planned(tmp_path).maps) == 1
    save(tmp_path / "dem_2.tif", heights("float32"), PLACE @ Affine.translation(SIDE, 0))
    assert len(planned(tmp_path).maps) == 2


def test_the_finest_file_wins_and_lends_its_pixels(tmp_path: Path) -> None:
    """A coarse image that comes first, and is larger: it shows only beyond the fine one."""
    coarse = cv2.resize(ground(), (SIDE // 8, SIDE // 8), interpolation=cv2.INTER_AREA)
    save(tmp_path / "a_overview.tif", np.stack([coarse] * 3), PLACE @ Affine.scale(16))
    save(tmp_path / "ortho.tif", colours())
    mosaic = planned(tmp_path)
    assert [m.image.name for m in mosaic.maps] == ["ortho.tif", "a_overview.tif"]
    assert pixel_size(mosaic.grid, mosaic.grid.crs.proj) == pytest.approx((10, 10))
    bands, valid = pixels(mosaic)
    np.testing.assert_array_equal(bands[:, :SIDE, :SIDE], colours())
    assert valid.all()
    assert valid.shape == (2 * SIDE, 2 * SIDE)


def test_a_small_fine_file_does_not_swell_a_large_map(tmp_path: Path) -> None:
    """A chip of 0.1 m on a map of 10 m would make it 10,000 times as large."""
    save(tmp_path / "a.tif", colours())
    save(tmp_path / "chip.tif", colours(), PLACE @ Affine.scale(0.01))
    mosaic = planned(tmp_path)
    assert [m.image.name for m in mosaic.maps] == ["chip.tif", "a.tif"]
    assert shape_of(mosaic.grid) == (SIDE, SIDE)


def test_browse_images_without_and_with_a_place(tmp_path: Path) -> None:
    save(tmp_path / "ortho.tif", colours())
    save(tmp_path / "shot.png", colours(), None, driver="PNG")
    small = cv2.resize(ground(), (48, 48), interpolation=cv2.INTER_AREA)
    save(tmp_path / "ortho_browse.tif", np.stack([small] * 3), PLACE @ Affine.scale(4))
    mosaic = planned(tmp_path)
    assert [m.image.name for m in mosaic.maps] == ["ortho.tif"]
    reasons = dict(mosaic.left_out)
    assert reasons["shot.png"] == "no georeference"
    assert "browse" in reasons["ortho_browse.tif"]


def test_folders_below_hidden_files_and_geopackages(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    save(tmp_path / "deep/er/a.tif", colours())
    save(tmp_path / "b.gpkg", colours(), PLACE @ Affine.translation(SIDE, 0), driver="GPKG")
    save(tmp_path / "deep/c.jpg", colours(), PLACE @ Affine.translation(0, SIDE), driver="JPEG")
    (tmp_path / "deep/er/._a.tif").write_bytes(b"\0\5\x16\7" + bytes(200))
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash/old.tif").write_bytes(b"no image")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/a.tif").write_bytes(b"no image")
    (tmp_path / "deep/back").symlink_to(tmp_path)
    mosaic = planned(tmp_path)
    assert sorted(m.image.name for m in mosaic.maps) == ["a.tif", "b.gpkg", "c.jpg"]
    assert not mosaic.left_out


def test_products_and_items_lie_in_folders_too(tmp_path: Path) -> None:
    """Each is one image, as for register: bands in files of their own, and a STAC item."""
    (tmp_path / "maps/S2_tile").mkdir(parents=True)
    for number, band in ((2, 2), (3, 1), (4, 0)):
        path = tmp_path / f"maps/S2_tile/T33_B0{number}_10m.tif"
        save(path, colours()[band].astype(np.uint16) * 12 + 1000)
    save(tmp_path / "elsewhere.tif", colours(), PLACE @ Affine.translation(SIDE, 0))
    asset = {"href": "../elsewhere.tif", "type": "image/tiff; application=geotiff"}
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "i", "assets": {"visual": asset}}
    (tmp_path / "maps/item.json").write_text(json.dumps(item))
    (tmp_path / "maps/notes.json").write_text("{}")
    mosaic = planned(tmp_path / "maps")
    assert sorted(m.image.name for m in mosaic.maps) == ["S2_tile", "item.json"]
    bands, valid = pixels(mosaic)
    assert bands.shape == (3, SIDE, 2 * SIDE)
    assert valid.all()


def test_a_geopackage_of_tables_is_left_out(tmp_path: Path) -> None:
    import sqlite3

    save(tmp_path / "a.tif", colours())
    with sqlite3.connect(tmp_path / "roads.gpkg") as base:
        base.execute("create table roads (name text)")
    base.close()
    mosaic = planned(tmp_path)
    assert dict(mosaic.left_out) == {"roads.gpkg": "no raster inside"}


def test_a_damaged_basemap_is_an_error_and_an_empty_folder_too(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no basemap"):
        find_basemaps([tmp_path / "empty"])
    save(tmp_path / "a.tif", colours())
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:300])
    with pytest.raises(CrosslookError, match=r"b\.tif"):
        planned(tmp_path)
    (tmp_path / "b.tif").unlink()
    (tmp_path / "a.tif").unlink()
    save(tmp_path / "plain.png", colours(), None, driver="PNG")
    with pytest.raises(GridError, match="no georeference"):
        planned(tmp_path)


def test_a_world_file_alone_asks_for_the_crs(tmp_path: Path) -> None:
    save(tmp_path / "o.jpg", colours(), None, driver="JPEG")
    (tmp_path / "o.jgw").write_text("10\n0\n0\n-10\n500005\n4999995\n")
    with pytest.raises(GridError, match=r"o\.jpg.*world file.*--crs"):
        planned(tmp_path)
    save(tmp_path / "ortho.tif", colours(), PLACE @ Affine.translation(SIDE, 0))
    assert dict(planned(tmp_path).left_out) == {"o.jpg": "its map or world file says no CRS"}


def pyramid(folder: Path, kind: str, zoom: int = 14, *, south: bool = False) -> np.ndarray:
    """Tiles of 3 x 2 from column 8700 and row 5600 on, one missing; what lies there is returned."""
    rng = np.random.default_rng(3)
    soft = cv2.GaussianBlur(rng.random((512, 768, 3)).astype(np.float32), (0, 0), 3)
    image = cv2.normalize(soft, soft, 1, 255, cv2.NORM_MINMAX).astype(np.uint8)
    for n, (row, col) in enumerate(np.ndindex(2, 3)):
        tile = image[row * 256 : row * 256 + 256, col * 256 : col * 256 + 256]
        if (row, col) == (1, 2):
            continue
        y = 2**zoom - 1 - (5600 + row) if south else 5600 + row
        at = folder / str(zoom) / str(8700 + col) / f"{y}.{kind}"
        at.parent.mkdir(parents=True, exist_ok=True)
        if kind == "png" and n == 0:  # an encoder writes what is grey as grey
            tile[:] = tile[..., :1]
            cv2.imwrite(str(at), tile[..., 0])
        elif kind == "png" and n == 1:
            cv2.imwrite(str(at), np.dstack([tile, np.full(tile.shape[:2], 255, np.uint8)]))
        else:
            best = [cv2.IMWRITE_JPEG_QUALITY, 100, cv2.IMWRITE_WEBP_QUALITY, 101]
            cv2.imwrite(str(at), tile, best)
    return np.asarray(image.transpose(2, 0, 1)[::-1])


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_folder_of_tiles_is_one_raster_of_its_deepest_zoom(tmp_path: Path, kind: str) -> None:
    truth = pyramid(tmp_path, kind)
    (tmp_path / "13/4350").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "13/4350/2800.png"), np.zeros((256, 256), np.uint8))
    mosaic = planned(tmp_path)
    assert len(mosaic.maps) == 1
    assert "zoom 14, XYZ" in mosaic.maps[0].image.name
    assert crs_text(mosaic.grid) == "EPSG:3857"
    bands, valid = pixels(mosaic)
    assert bands.shape == (3, 512, 768)
    assert not valid[258:, 514:].any()
    shown = np.ones((512, 768), bool)
    shown[256:, 512:] = False
    assert valid[shown].mean() > 0.999
    differ = np.abs(bands.astype(int) - truth)[:, shown & valid]
    assert differ.max() <= (0 if kind == "png" else 12)
    pixel = 2 * HALF / 2**14 / 256
    corner = mosaic.grid.affine @ (0, 0)
    expected = (8700 * 256 * pixel - HALF, HALF - 5600 * 256 * pixel)
    np.testing.assert_allclose(corner, expected, atol=1e-3)


def test_palettes_are_colours(tmp_path: Path) -> None:
    at = tmp_path / "3/4/2.png"
    at.parent.mkdir(parents=True)
    profile = {"driver": "PNG", "width": 256, "height": 256, "count": 1, "dtype": "uint8"}
    with rasterio.open(at, "w", **profile) as file:
        file.write(np.tile(np.arange(256, dtype=np.uint8), (256, 1))[None])
        file.write_colormap(1, {n: (n, 255 - n, 7 + n // 2, 255) for n in range(256)})
    bands, valid = pixels(planned(tmp_path))
    assert valid.all()
    np.testing.assert_array_equal(bands[1, 0], 255 - np.arange(256))


@pytest.mark.parametrize("how", ["option", "tilejson", "xml", "xml of xyz"])
def test_rows_from_the_south(tmp_path: Path, how: str) -> None:
    """TMS by the option or by what lies beside; gdal2tiles --xyz writes the same file."""
    south = how != "xml of xyz"
    pyramid(tmp_path, "png", south=south)
    if how == "tilejson":
        (tmp_path / "metadata.json").write_text('{"scheme": "tms"}')
    if how.startswith("xml"):
        lats = [math.degrees(math.atan(math.sinh(math.pi * (1 - r / 2**13)))) for r in (5602, 5600)]
        (tmp_path / "tilemapresource.xml").write_text(
            f'<TileMap><BoundingBox minx="11.1" miny="{lats[0]}" maxx="11.2" maxy="{lats[1]}"/>'
        )
    tiling = Tiling("tms") if how == "option" else Tiling()
    mosaic = plan_mosaic(find_basemaps([tmp_path], tiling))
    north = mosaic.grid.affine @ (0, 0)
    assert north[1] == pytest.approx(HALF - 5600 * 2 * HALF / 2**14)
    assert ("TMS" if south else "XYZ") in mosaic.maps[0].image.name


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def box() -> tuple[float, float, float, float]:
    """West, south, east, north of the tiles of :func:`pyramid`, a little inside."""
    lons = [360 * c / 2**14 - 180 for c in (8700.1, 8702.9)]
    lats = [math.degrees(math.atan(math.sinh(math.pi * (1 - r / 2**13)))) for r in (5601.9, 5600.1)]
    return lons[0], lats[0], lons[1], lats[1]


@pytest.mark.parametrize("row", ["y", "-y"])
def test_an_address_of_tiles(tmp_path: Path, server: str, row: str) -> None:
    """The same pixels as of the folder; a tile that is missing is no data."""
    truth = pyramid(tmp_path, "jpg", south=row == "-y")
    address = f"{server}/{{z}}/{{x}}/{{{row}}}.jpg"
    tiling = Tiling(bbox=box(), resolution=9.6)
    mosaic = plan_mosaic(find_basemaps([address], tiling), resolution=None)
    bands, valid = pixels(mosaic)
    assert bands.shape == (3, 512, 768)
    shown = np.ones((512, 768), bool)
    shown[256:, 512:] = False
    assert not valid[258:, 514:].any()
    assert valid[shown].mean() > 0.999
    assert np.abs(bands.astype(int) - truth)[:, shown & valid].max() <= 12
    centre = np.array([[(box()[0] + box()[2]) / 2, (box()[1] + box()[3]) / 2]])
    np.testing.assert_allclose(from_lonlat(mosaic.grid, centre), [[256, 384]], atol=3)


def test_an_address_that_gives_nothing_says_what_to_do(tmp_path: Path, server: str) -> None:
    address = f"{server}/{{z}}/{{x}}/{{y}}.png"
    with pytest.raises(SettingError, match=r"--bbox.*--resolution"):
        find_basemaps([address])
    with pytest.raises(SettingError, match="tiles of zoom"):
        find_basemaps([address], Tiling(bbox=(0, 0, 90, 60), resolution=1.0))
    near = Tiling(bbox=box(), resolution=9.6)
    with pytest.raises(InputError, match=r"none of the requested tiles.*GeoTIFF"):
        find_basemaps([address], near)
    with pytest.raises(InputError, match=r"gives no map tiles.*GeoTIFF"):
        find_basemaps(["http://127.0.0.1:9/{z}/{x}/{y}.png"], near)
