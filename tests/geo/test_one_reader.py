"""One file of every kind is read once, by one rule, whoever asks."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import rasterio

import tests.helpers.kinds_products  # noqa: F401  adds to KINDS
from crosslook.data.pairs import ScenePair
from crosslook.data.patches import open_scene
from crosslook.errors import SettingError
from crosslook.geo.grid import corners, crs_text, from_lonlat, is_placed, shape_of, to_lonlat
from crosslook.geo.image import Reading, open_image
from crosslook.geo.radiometry import SarRadiometry
from crosslook.geo.raster import RasterFile
from crosslook.match.register import register
from crosslook.types import Window
from tests.helpers import kinds_containers, kinds_nitf  # noqa: F401  (their kinds join KINDS)
from tests.helpers.kinds import KINDS, PLACE, SIDE, Kind, ground, save


@pytest.fixture(params=sorted(KINDS))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    return KINDS[request.param](tmp_path)


def compared(values: np.ndarray, valid: np.ndarray, made: Kind) -> None:
    """The values follow the amplitude and the mask is the one expected, but for a rim."""
    height, width = (min(a, b) for a, b in zip(valid.shape, made.valid.shape, strict=True))
    inner = (slice(3, height - 3), slice(3, width - 3))
    mask, expected = valid[inner], made.valid[: valid.shape[0], : valid.shape[1]][inner]
    assert (mask == expected).mean() > 0.995
    tone = np.sqrt(made.amplitude.astype(np.float64))[: valid.shape[0], : valid.shape[1]][inner]
    both = mask & expected
    seen = values[0][inner][both]
    assert np.isfinite(seen).all()
    assert np.corrcoef(seen, tone[both])[0, 1] > 1 - made.tolerance


def test_its_pixels_and_its_mask_are_right(made: Kind) -> None:
    image = open_image(made.place, "sar")
    read = image.read()
    if image.header.placed_by in ("nothing", "affine"):
        assert read.shape == (SIDE, SIDE)
    compared(read.values, read.valid, made)


def test_study_and_register_read_the_same_pixels_and_the_same_mask(
    made: Kind, tmp_path: Path
) -> None:
    """Both through their own way in: exactly the same."""
    alone = open_image(made.place, "sar")
    optical = tmp_path / ("o.png" if not is_placed(alone.grid) else "o.tif")
    height, width = shape_of(alone.grid)
    rng = np.random.default_rng(0)
    colours = rng.integers(1, 255, (3, height, width)).astype(np.uint8)
    if is_placed(alone.grid):
        save(optical, colours, alone.grid.affine, crs=crs_text(alone.grid))
    else:
        save(optical, colours, None, driver="PNG")
    # A list of pairs names files alone; what opens them takes the names of GDAL too.
    scene = open_scene(ScenePair("p", "p", cast("Path", made.place), optical))
    window = Window(16, 8, height - 30, width - 20)
    studied = scene.read("sar", window)
    registered = alone.read(window)
    np.testing.assert_array_equal(np.isnan(studied).any(axis=0), ~registered.valid)
    clipped = np.clip(registered.values[0], 0, 1)
    np.testing.assert_array_equal(np.nan_to_num(studied[0]), np.where(registered.valid, clipped, 0))
    whole = alone.read()
    part = (slice(16, height - 14), slice(8, width - 12))
    np.testing.assert_array_equal(registered.values, whole.values[:, *part])
    np.testing.assert_array_equal(registered.valid, whole.valid[part])


def test_its_place_is_right(made: Kind) -> None:
    image = open_image(made.place, "sar")
    if not is_placed(image.grid):
        return
    lonlat = to_lonlat(image.grid, corners(image.grid))
    back = from_lonlat(image.grid, lonlat)
    np.testing.assert_allclose(back, corners(image.grid), atol=1e-3)
    centre = to_lonlat(image.grid, np.array([[s / 2 for s in shape_of(image.grid)]]))[0]
    assert abs(centre[0] - 15.01) < 0.03
    assert abs(centre[1] - 45.14) < 0.03


def test_what_was_found_is_said(tmp_path: Path) -> None:
    fill = open_image(KINDS["undeclared_fill"](tmp_path).place, "sar")
    assert "-9999 is taken for no data" in " ".join(fill.notes)
    empty = open_image(KINDS["an_empty_first_band"](tmp_path).place, "sar")
    assert "band 1 is empty; band 2 is used" in " ".join(empty.notes)
    points = open_image(KINDS["control_points"](tmp_path).place, "sar")
    assert "control points" in " ".join(points.notes)
    assert open_image(KINDS["decibels"](tmp_path).place, "sar").notes == ()


def test_an_opened_image_keeps_its_options_and_refuses_others(tmp_path: Path) -> None:
    place = KINDS["decibels"](tmp_path).place
    linear = Reading(sar=SarRadiometry(tone="linear"))
    image = open_image(place, "sar", linear)
    assert open_image(image, "sar") is image, "options left at their defaults ask for nothing"
    assert open_image(image, "sar", linear) is image
    with pytest.raises(SettingError, match="opened as sar and is given as optical"):
        open_image(image, "optical")
    with pytest.raises(SettingError, match="--sar cannot be heeded"):
        open_image(image, "sar", Reading(sar=SarRadiometry(tone="log")))
    with pytest.raises(SettingError, match="--sar cannot be heeded"):
        register(image, place, sar="tone=log")
    frame = open_image(save(tmp_path / "frame.tif", ground(), crs=None), "sar")
    assert frame.header.placed_by == "a map without CRS"
    with pytest.raises(SettingError, match="--crs cannot be heeded"):
        open_image(frame, "sar", Reading(crs="EPSG:32633"))


def test_filled_holes_are_counted(tmp_path: Path) -> None:
    image = open_image(KINDS["sprinkled_nan"](tmp_path).place, "sar")
    assert image.read().filled == int((np.random.default_rng(2).random((SIDE, SIDE)) < 0.01).sum())


def test_scale_and_offset_are_kept_on_the_way_out(tmp_path: Path) -> None:
    made = KINDS["scale_and_offset"](tmp_path)
    optical = save(tmp_path / "o.tif", np.stack([ground()] * 3))
    result = register(made.place, optical)
    result.write(tmp_path / "out", force=True)
    with rasterio.open(tmp_path / "out/aligned.tif") as file:
        assert file.scales == (0.01,)
        assert file.offsets == (-60.0,)
        assert file.dtypes == ("uint16",)
        aligned = file.read(1)
    with rasterio.open(made.place) as file:
        stored = file.read(1)
    inner = (slice(40, 150), slice(40, 150))
    assert np.corrcoef(aligned[inner].ravel(), stored[inner].ravel())[0, 1] > 0.9


def test_parts_of_a_virtual_raster_are_known(tmp_path: Path) -> None:
    made = KINDS["a_virtual_raster"](tmp_path)
    assert {Path(p).name for p in RasterFile(Path(made.place)).parts()} == {"a.vrt", "part.tif"}


def test_rotated_pixels_keep_their_place(tmp_path: Path) -> None:
    made = KINDS["turned"](tmp_path)
    grid = open_image(made.place, "sar").grid
    x, y = PLACE * (0, 0)
    np.testing.assert_allclose((grid.affine.c, grid.affine.f), (x, y))
