"""Product folders, STAC items and images placed by rational polynomials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.rpc import RPC
from rasterio.transform import from_origin

from crosslook.errors import CrosslookError, InputError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.grid import shape_of, to_lonlat
from crosslook.geo.image import Reading, open_image
from crosslook.geo.mosaic import plan_mosaic
from crosslook.geo.products.resolve import product_bands
from crosslook.geo.raster import RasterFile, digest_of
from crosslook.options import ReadingText
from tests.helpers.kinds import CRS, PLACE, SIDE, ground, save

LEVELS = {"B02": 1000, "B03": 2000, "B04": 3000, "B08": 4000, "B8A": 5000}


def band(number: int) -> np.ndarray:
    return ground().astype(np.uint16) + np.uint16(number)


def medians(place: Path | str, **text: Any) -> list[int]:
    """The thousands of each band that is read: which bands they are."""
    image = open_image(place, "optical", Reading.parse(ReadingText(**text)))
    raw = image.source.read(None, image.bands)
    return [int(np.median(one) // 1000) for one in raw]


def sentinel_2(folder: Path, level: str) -> Path:
    inside = folder / f"S2A_MSI{level}_T33.SAFE" / "GRANULE" / "L_T33" / "IMG_DATA"
    for name, number in LEVELS.items():
        coarse = name == "B8A"
        where = inside / ("R20m" if coarse else "R10m") if level == "L2A" else inside
        where.mkdir(parents=True, exist_ok=True)
        ending = f"_{20 if coarse else 10}m" if level == "L2A" else ""
        data = band(number)[::2, ::2] if coarse else band(number)
        place = PLACE @ rasterio.Affine.scale(2) if coarse else PLACE
        save(where / f"T33_20240101T100000_{name}{ending}.tif", data, place)
    if level == "L2A":
        save(inside / "R10m" / "T33_20240101T100000_AOT_10m.tif", band(9000))
    return folder / f"S2A_MSI{level}_T33.SAFE"


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_a_sentinel_2_product_is_one_image_of_its_visible_bands(tmp_path: Path, level: str) -> None:
    place = sentinel_2(tmp_path, level)
    assert medians(place) == [3, 2, 1], "red, green, blue"
    assert open_image(place, "optical").name == place.name
    assert medians(place, bands="B08:B04:B03") == [4, 3, 2]
    assert medians(place, bands="8:4:3") == [4, 3, 2]
    assert medians(place, bands="B04:B8A:B02") == [3, 5, 1], "coarser pixels fill the same ground"
    with pytest.raises(InputError, match=r"no band 'B11'.*--bands"):
        medians(place, bands="B11:B04:B03")
    assert find_basemaps([place]) == [place]
    mosaic = plan_mosaic([place])
    grid, maps = mosaic.grid, mosaic.maps
    assert shape_of(grid) == (SIDE, SIDE)
    assert len(maps) == 1


def test_a_folder_of_bands_is_the_same(tmp_path: Path) -> None:
    place = sentinel_2(tmp_path, "L2A") / "GRANULE" / "L_T33" / "IMG_DATA" / "R10m"
    assert medians(place) == [3, 2, 1]


@pytest.mark.parametrize(
    ("scene", "prefix", "expected"),
    [
        ("LC09_L2SP_191028_20240101_02_T1", "SR_", [4, 3, 2]),
        ("LC08_L1TP_191028_20240101_02_T1", "", [4, 3, 2]),
        ("LE07_L2SP_191028_20040101_02_T1", "SR_", [3, 2, 1]),
    ],
)
def test_a_landsat_product_is_one_image_of_its_visible_bands(
    tmp_path: Path, scene: str, prefix: str, expected: list[int]
) -> None:
    folder = tmp_path / scene
    folder.mkdir()
    for number in (1, 2, 3, 4, 5):
        save(folder / f"{scene}_{prefix}B{number}.TIF", band(number * 1000))
    save(folder / f"{scene}_QA_PIXEL.TIF", band(9000))
    assert medians(folder) == expected


def test_bands_without_the_visible_ones_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("B08", "B11", "B12"):
        save(tmp_path / f"T33_20240101T100000_{name}_10m.tif", band(1000))
    with pytest.raises(InputError, match=r"B08, B11, B12.*--bands"):
        open_image(tmp_path, "optical")
    assert medians(tmp_path, bands="B12:B11:B08") == [1, 1, 1]


def test_single_bands_of_one_place_are_refused_with_the_way_to_choose(tmp_path: Path) -> None:
    for name in ("red", "green", "blue"):
        save(tmp_path / f"{name}.tif", band(1000))
    assert product_bands(tmp_path) is None
    with pytest.raises(InputError, match="--bands"):
        plan_mosaic(find_basemaps([tmp_path]))


def stac(folder: Path, **assets: dict[str, object]) -> dict[str, object]:
    return {"type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": assets}


def test_a_stac_item_names_its_bands(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assets: dict[str, dict[str, object]] = {}
    for name, number in (("blue", 1), ("green", 2), ("red", 3), ("nir", 4)):
        save(tmp_path / f"data/{name}.tif", band(number * 1000))
        assets[f"band_{name}"] = {
            "href": f"./data/{name}.tif",
            "type": "image/tiff; application=geotiff",
            "eo:bands": [{"name": name, "common_name": name}],
        }
    assets["thumbnail"] = {"href": "./t.png", "type": "image/png"}
    item = tmp_path / "item.json"
    item.write_text(json.dumps(stac(tmp_path, **assets)))
    assert medians(item) == [3, 2, 1]
    assert medians(item, bands="band_nir:red:green") == [4, 3, 2]
    many = tmp_path / "items.json"
    items = [stac(tmp_path, **assets), stac(tmp_path, **assets)]
    many.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with pytest.raises(InputError, match="2 items"):
        open_image(many, "optical")
    assert len(find_basemaps([many])) == 2
    grid = plan_mosaic(find_basemaps([many])).grid
    assert shape_of(grid) == (SIDE, SIDE)


@pytest.mark.parametrize("text", ["{}", "no json", '{"type": "Feature", "assets": {}}'])
def test_what_is_no_stac_item_is_one_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "item.json"
    path.write_text(text)
    with pytest.raises(CrosslookError, match=r"item\.json"):
        open_image(path, "optical")


def test_the_content_of_every_part_counts(tmp_path: Path) -> None:
    place = sentinel_2(tmp_path, "L2A")
    before = digest_of(place)
    assert {Path(p).name[-11:] for p in RasterFile(place).parts()} == {
        "B04_10m.tif", "B03_10m.tif", "B02_10m.tif",
    }  # fmt: skip
    changed = next(place.rglob("*B03_10m.tif"))
    save(changed, band(2001))
    assert digest_of(place) != before


def polynomials() -> RPC:
    """Line = -latitude, sample = longitude + 0.5 height, both normalised."""
    line, sample, one = [0.0] * 20, [0.0] * 20, [1.0] + [0.0] * 19
    line[2], sample[1], sample[3] = -1.0, 1.0, 0.5
    return RPC(
        err_bias=None, err_rand=None, height_off=0, height_scale=500, lat_off=45.0,
        lat_scale=0.01, line_off=SIDE / 2, line_scale=SIDE / 2, long_off=15.0,
        long_scale=0.014, samp_off=SIDE / 2, samp_scale=SIDE / 2, line_num_coeff=line,
        line_den_coeff=one, samp_num_coeff=sample, samp_den_coeff=one,
    )  # fmt: skip


def centre_of(path: Path, **text: Any) -> np.ndarray:
    """Longitude and latitude of the pixels with data, on the mean."""
    image = open_image(path, "sar", Reading.parse(ReadingText(**text)))
    assert image.header.placed_by == "rational polynomials"
    centres = np.argwhere(image.read().valid).astype(np.float64) + 0.5
    return np.asarray(to_lonlat(image.grid, centres).mean(axis=0))


def test_rational_polynomials_take_a_height_or_an_elevation_model(tmp_path: Path) -> None:
    """At 250 m everything lies a quarter of the half width further west."""
    path = save(tmp_path / "a.tif", ground(), None, rpcs=polynomials())
    flat = centre_of(path)
    np.testing.assert_allclose(flat, (15.0, 45.0), atol=2e-4)
    high = centre_of(path, height=250.0)
    assert high[0] - flat[0] == pytest.approx(-0.014 / 4, abs=2e-4)
    model = np.full((400, 400), 250, np.int16)
    dem = save(tmp_path / "dem.tif", model, from_origin(14.9, 45.1, 5e-4, 5e-4), crs="EPSG:4326")
    np.testing.assert_allclose(centre_of(path, dem=str(dem)), high, atol=2e-4)


def test_control_points_of_a_curved_image_are_followed(tmp_path: Path) -> None:
    """Thin plates go through the points: one affine map would be off by tens of metres."""
    from rasterio.control import GroundControlPoint

    def curved(row: float, col: float) -> tuple[float, float]:
        x, y = PLACE @ (col, row)
        return x + 3e-3 * (col - 96) ** 2 + 40 * np.sin(row / 60), y + 2e-3 * (row - 96) ** 2

    at = np.linspace(0, SIDE, 9)
    points = [GroundControlPoint(r, c, *curved(r, c)) for r in at for c in at]
    spots = np.full((SIDE, SIDE), 50, np.uint8)
    places = [(40, 40), (40, 150), (100, 96), (150, 50), (160, 160)]
    for row, col in places:
        spots[row - 2 : row + 3, col - 2 : col + 3] = 250
    path = save(tmp_path / "a.tif", spots, None, gcps=points, crs=CRS)
    image = open_image(path, "sar")
    pixels = image.read().values[0]
    for row, col in places:
        x, y = curved(row + 0.5, col + 0.5)
        at_col, at_row = ~image.grid.affine @ (x, y)
        top, left = int(at_row) - 8, int(at_col) - 8
        bright = np.argwhere(pixels[top : top + 17, left : left + 17] > 0.5).mean(axis=0) + 0.5
        assert np.abs(bright + np.array([top - at_row, left - at_col])).max() < 0.6
