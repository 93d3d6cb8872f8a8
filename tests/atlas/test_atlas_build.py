"""An atlas holds what one pass over the whole basemap gives, and is built again from any point."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from crosslook.atlas import build as build_module
from crosslook.atlas.build import BlockJob, build_atlas, make_block
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.errors import (
    CrosslookError,
    GridError,
    InputError,
    OutputError,
    SettingError,
    StoreError,
)
from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import crs_text, to_map
from crosslook.match.channels import local_std
from tests.helpers.stored import stored_in


def whole_image(path: Path) -> GreyImage:
    with rasterio.open(path) as file:
        grey = file.read().mean(axis=0, dtype=np.float32) / np.float32(255)
    return GreyImage(grey, np.ones(grey.shape, np.bool_))


def damage(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.mark.parametrize("number", [0, 1])
def test_no_seam_shows_between_blocks(atlas: Atlas, basemap: Path, number: int) -> None:
    level = atlas.manifest.levels[number]
    image = whole_image(basemap)
    features = open_extractor(level.spec).extract(np.stack([image.values] * 3)[None])
    assert features.stride == level.cell
    cells = features.values.shape[2:]
    stored = atlas.features(number, (0, 0), (cells[0], cells[1]))
    statistics = atlas.manifest.statistics[number]
    weight = local_std(image, cells, level.cell)
    weight = weight / (weight + statistics.local_std)
    wanted = (features.values[0] - statistics.mean[:, None, None]) * weight
    wanted /= statistics.std[:, None, None]
    inner = (slice(8, -8), slice(8, -8))  # the rim of the map is padded otherwise
    np.testing.assert_allclose(stored.values[:, *inner], wanted[:, *inner], atol=0.02)
    assert stored.valid[inner].all()
    assert len(atlas.manifest.blocks) == 9


def test_its_image_is_that_of_the_basemap_at_any_window(atlas: Atlas, basemap: Path) -> None:
    window = atlas.image((400, -30), (300, 700))
    with rasterio.open(basemap) as file:
        wanted = file.read()[:, 400:700, :670]
        x, y = file.xy(400, 0, offset="ul")
    np.testing.assert_array_equal(stored_in(window)[:, :, 30:], wanted)
    valid = window.read().valid
    assert not valid[:, :30].any()
    assert valid[:, 30:].all()
    np.testing.assert_allclose(to_map(window.grid, np.array([[0.0, 30.0]]))[0], (x, y))


def test_an_interrupted_build_goes_on_to_the_same_bytes(
    atlas: Atlas, basemap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    def stops(job: BlockJob, block: tuple[int, int], *rest: Any) -> None:
        calls.append(block)
        if len(calls) == 4:
            raise KeyboardInterrupt
        make_block(job, block, *rest)

    monkeypatch.setattr(build_module, "make_block", stops)
    with pytest.raises(KeyboardInterrupt):
        build_atlas(basemap, tmp_path)
    with pytest.raises(InputError, match="run atlas build again"):
        open_atlas(tmp_path)
    again = build_atlas(basemap, tmp_path)
    assert len(calls) == 3 + 1 + 6, "finished blocks are not made again"
    assert files_of(tmp_path) == files_of(Path(atlas.name))
    assert again.manifest.valid_pixels == 1280**2


def test_other_settings_do_not_mix_into_an_atlas(basemap: Path, atlas: Atlas) -> None:
    before = files_of(Path(atlas.name))
    with pytest.raises(OutputError, match="other basemaps or settings"):
        build_atlas(basemap, atlas.name, cell=16)
    assert files_of(Path(atlas.name)) == before


def test_another_crs_and_resolution(basemap: Path, tmp_path: Path) -> None:
    other = build_atlas(basemap, tmp_path, crs="EPSG:3395", resolution=30.0)
    assert crs_text(other.grid.pixels) == "EPSG:3395"
    assert other.grid.pixels.affine.a == 30.0
    # 12.8 km a side of true ground, whatever the stretch of the projection.
    assert other.area_km2() == pytest.approx(12.8**2, rel=0.02)


def test_two_maps_become_one_and_the_first_wins(tmp_path: Path, small_blocks: None) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 255, (2, 3, 320, 320)).astype(np.uint8)
    for number, left in enumerate((0.0, 160.0)):
        profile = {"driver": "GTiff", "count": 3, "height": 320, "width": 320, "dtype": "uint8"}
        place = Affine(10.0, 0, 500_000 + 10 * left, 0, -10.0, 5_400_000)
        path = tmp_path / "maps" / f"{number}.tif"
        path.parent.mkdir(exist_ok=True)
        with rasterio.open(path, "w", crs="EPSG:32632", transform=place, **profile) as file:
            file.write(pixels[number])
    joined = build_atlas(tmp_path / "maps", tmp_path / "a")
    assert joined.grid.shape == (320, 480)
    image = joined.image((0, 0), (320, 480))
    np.testing.assert_array_equal(stored_in(image)[:, :, :320], pixels[0])
    np.testing.assert_array_equal(stored_in(image)[:, :, 320:], pixels[1][:, :, 160:])


def test_info_says_what_it_holds(atlas: Atlas) -> None:
    text = atlas.describe()
    for words in ("163.", "1280 x 1280 pixels of", "hog:cell=8,blur=1", "map.tif", "9 of 9"):
        assert words in text, words
    on_disk = sum(len(data) for name, data in files_of(Path(atlas.name)).items() if ".npy" in name)
    assert atlas.stored_bytes() == pytest.approx(on_disk, rel=0.01)


def test_what_was_left_out_is_said_and_recorded(basemap: Path, tmp_path: Path) -> None:
    """A folder of a basemap and heights: the atlas holds the basemap's pixels, in every way."""
    folder = tmp_path / "maps"
    folder.mkdir()
    shutil.copy(basemap, folder / "ortho.tif")
    with rasterio.open(basemap) as file:
        profile = {**file.profile, "count": 1, "dtype": "float32", "photometric": "minisblack"}
    with rasterio.open(folder / "dem.tif", "w", **profile) as file:
        file.write(np.add.outer(np.arange(1280.0), np.arange(1280.0)).astype(np.float32)[None])
    built = build_atlas(folder, tmp_path / "a")
    assert stored_in(built.image((0, 0), (1280, 1280))).shape[0] == 3
    text = built.describe()
    assert "ortho.tif (9.993 m)" in text  # on the ground; 10 m of UTM
    assert "left out  dem.tif (heights" in text
    assert "100.0% of the grid" in text
    recorded = json.loads((tmp_path / "a/atlas.json").read_text())
    assert recorded["left_out"][0]["name"] == "dem.tif"
    assert recorded["sources"] == ["ortho.tif"]


def test_a_damaged_or_foreign_atlas_is_refused(atlas: Atlas, tmp_path: Path) -> None:
    copied = tmp_path / "a"
    shutil.copytree(atlas.name, copied)
    manifest = json.loads((copied / "atlas.json").read_text())
    damage(copied / "blocks" / "r00000-c00000" / "level0.npy")
    with pytest.raises(StoreError, match="checksum"):
        open_atlas(copied).features(0, (0, 0), (8, 8))
    (copied / "blocks" / "r00000-c00000" / "image.npy").unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        open_atlas(copied).image((0, 0), (8, 8))
    (copied / "atlas.json").write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(StoreError, match="format 99"):
        open_atlas(copied)
    (copied / "atlas.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        open_atlas(copied)
    with pytest.raises(InputError, match="no atlas"):
        open_atlas(tmp_path)
    with pytest.raises(SettingError, match="built with"):
        atlas.level_number("dinov2")


def test_bad_basemaps_are_one_clear_error(basemap: Path, tmp_path: Path) -> None:
    plain, empty, flat = (tmp_path / f"{n}.tif" for n in ("plain", "empty", "flat"))
    place = Affine(10.0, 0, 500_000, 0, -10.0, 5_400_000)
    profile = {"driver": "GTiff", "count": 1, "height": 200, "width": 200, "dtype": "uint8"}
    known = {"crs": "EPSG:32632", "transform": place}
    for path, fill, extra in [(plain, 7, {}), (empty, 0, {**known, "nodata": 0}), (flat, 9, known)]:
        with rasterio.open(path, "w", **profile, **extra) as file:
            file.write(np.full((1, 200, 200), fill, np.uint8))
    (tmp_path / "none").mkdir()
    cases: list[tuple[Path, type[CrosslookError], str]] = [
        (tmp_path / "absent.tif", InputError, "absent"),
        (tmp_path / "none", InputError, "no basemap"),
        (plain, GridError, "plain"),
        (empty, GridError, "no valid pixel"),
        (flat, InputError, "constant"),
    ]
    for number, (path, kind, words) in enumerate(cases):
        with pytest.raises(kind, match=words):
            build_atlas(path, tmp_path / f"out{number}")
        assert not (tmp_path / f"out{number}" / "atlas.json").exists()
    with pytest.raises(SettingError, match="cell"):
        build_atlas(basemap, tmp_path / "out", cell=1)
    unknown: Any = "spark"
    with pytest.raises(SettingError, match="engine"):
        build_atlas(basemap, tmp_path / "out", engine=unknown)
    with pytest.raises(SettingError, match="do nothing"):
        build_atlas(basemap, tmp_path / "out", workers=3)
