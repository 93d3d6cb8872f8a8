"""Zarr stores: which arrays are bands, where they lie, and what is said where that fails."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from crosslook.errors import CrosslookError, InputError, MissingExtraError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.grid import crs_text
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.mosaic import fingerprint
from crosslook.geo.products import zarr_store
from crosslook.geo.products.resolve import product_bands, resolve
from crosslook.geo.radiometry import OpticalRadiometry, SarRadiometry
from crosslook.geo.raster import digest_of
from tests.geo.test_addresses import serve
from tests.helpers.kinds import CRS, KINDS, PLACE, SIDE, ground
from tests.helpers.kinds_containers import add_array, archived, hierarchy


def optical(place: Path | str, *bands: str) -> ImageFile:
    return open_image(place, "optical", Reading(optical=OpticalRadiometry(bands=bands)))


def sar(place: Path | str, *bands: str) -> ImageFile:
    return open_image(place, "sar", Reading(sar=SarRadiometry(bands=bands)))


@pytest.mark.parametrize("kind", ["eopf_sentinel_2", "eopf_sentinel_2_in_version_3"])
def test_sentinel_2_has_its_visible_bands_in_front(tmp_path: Path, kind: str) -> None:
    place = KINDS[kind](tmp_path).place
    assert list(product_bands(place) or ()) == ["B04", "B03", "B02", "B05", "B08"]
    image = optical(place)
    assert image.header.labels == ("b04", "b03", "b02")
    assert image.header.scales == (1e-4,) * 3
    assert image.header.offsets == (-0.1,) * 3
    assert image.header.dtype == "uint16"
    assert tuple(image.grid.affine) == tuple(PLACE)
    assert crs_text(image.grid) == CRS
    assert optical(place, "b05").grid.shape == (SIDE // 2, SIDE // 2)


def test_a_group_or_an_array_of_a_store_can_be_named(tmp_path: Path) -> None:
    place = Path(KINDS["eopf_sentinel_2"](tmp_path).place)
    inner = "measurements/reflectance/r20m"
    assert list(product_bands(place / inner) or ()) == ["B02", "B05"]
    assert list(product_bands(f'ZARR:"{place}":/{inner}') or ()) == ["B02", "B05"]
    for name in (str(place / inner / "b05"), f'ZARR:"{place}":/{inner}/b05'):
        image = optical(name)
        assert image.grid.shape == (SIDE // 2, SIDE // 2)
        assert crs_text(image.grid) == CRS
        assert image.header.labels == ("b05",)
    assert find_basemaps([place]) == [place]


@pytest.mark.parametrize("kind", ["eopf_sentinel_1", "eopf_sentinel_1_placed_by_its_axes"])
def test_control_points_of_sentinel_1_are_at_the_centres_of_pixels(
    tmp_path: Path, kind: str
) -> None:
    place = KINDS[kind](tmp_path).place
    assert list(product_bands(place) or ()) == ["vv", "vh"]
    assert sar(place).header.placed_by == "control points"
    with rasterio.open(resolve(place, ("vh",)).name) as file:
        points, crs = file.gcps
        assert file.nodata == 0
    assert crs.to_epsg() == 4326
    found = sorted((point.row, point.col) for point in points)
    at = [0.5, 60.5, 125.5, SIDE - 0.5]
    np.testing.assert_allclose(found, [(row, col) for row in at for col in at], atol=1e-6)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    ("on_array", "on_group"),
    [
        ({"proj:epsg": 32633, "proj:transform": [10, 0, 5e5, 0, -10, 5e6, 0, 0, 1]}, {}),
        ({}, {"proj:code": CRS, "spatial:transform": [10, 0, 5e5, 0, -10, 5e6]}),
        (
            {"spatial:transform": [10, 0, 500005, 0, -10, 4999995], "spatial:registration": "node"},
            {"proj:wkt2": rasterio.CRS.from_epsg(32633).to_wkt()},
        ),
        (
            {"spatial:transform": [10, 0, 5e5, 0, -10, 5e6]},
            {"stac_discovery": {"properties": {"proj:code": CRS}}},
        ),
        (
            {"grid_mapping": "map"},
            {},
        ),
    ],
)
def test_a_place_is_found_however_it_is_written(
    tmp_path: Path, version: int, on_array: dict[str, Any], on_group: dict[str, Any]
) -> None:
    root = hierarchy(tmp_path / "a.zarr", version, on_group)
    mapped = {
        "spatial_ref": rasterio.CRS.from_epsg(32633).to_wkt(),
        "GeoTransform": "5e5 10 0 5e6 0 -10",
    }
    add_array(root, "map", np.array(0), (), attributes=mapped)
    add_array(root, "hh", ground(), ("y", "x"), attributes=on_array)
    image = sar(tmp_path / "a.zarr")
    assert tuple(image.grid.affine) == tuple(PLACE)
    assert crs_text(image.grid) == CRS


def test_degrees_need_no_crs(tmp_path: Path) -> None:
    root = hierarchy(tmp_path / "a.zarr", 2)
    add_array(root, "lat", 45 - 0.001 * np.arange(SIDE), ("lat",))
    add_array(root, "lon", 15 + 0.001 * np.arange(SIDE), ("lon",))
    add_array(root, "hh", ground(), ("lat", "lon"))
    image = sar(tmp_path / "a.zarr")
    assert crs_text(image.grid) == "EPSG:4326"
    assert image.grid.affine.almost_equals(Affine(0.001, 0, 14.9995, 0, -0.001, 45.0005), 1e-9)


def test_a_fill_value_of_version_3_is_data_and_of_version_2_is_none(tmp_path: Path) -> None:
    values = ground()
    values[80:120, 80:120] = 0
    covered = {}
    for version in (2, 3):
        root = hierarchy(tmp_path / f"{version}.zarr", version)
        add_array(root, "hh", values, ("y", "x"), fill_value=0)
        image = sar(tmp_path / f"{version}.zarr")
        covered[version] = image.header.nodata, float(image.read().valid.mean())
    assert covered[3] == (None, 1.0)
    assert covered[2][0] == 0
    assert covered[2][1] == pytest.approx(1 - 1600 / SIDE**2)


def test_nodata_as_xarray_writes_it(tmp_path: Path) -> None:
    root = hierarchy(tmp_path / "a.zarr", 3)
    add_array(
        root, "hh", ground().astype("f8"), ("y", "x"), attributes={"_FillValue": "AAAAAACI08A="}
    )
    assert sar(tmp_path / "a.zarr").header.nodata == -20000.0


def test_several_images_of_no_known_bands_are_named(tmp_path: Path) -> None:
    root = hierarchy(tmp_path / "a.zarr", 2)
    for name in ("coherence", "intensity"):
        add_array(root, name, ground(), ("y", "x"))
    with pytest.raises(InputError, match="coherence, intensity"):
        sar(tmp_path / "a.zarr")
    assert sar(tmp_path / "a.zarr", "intensity").header.labels == ("intensity",)


def test_bands_along_a_third_axis(tmp_path: Path) -> None:
    root = hierarchy(tmp_path / "a.zarr", 2)
    add_array(root, "image", np.stack([ground()] * 3), ("band", "y", "x"))
    assert optical(tmp_path / "a.zarr").bands == (1, 2, 3)


def test_shards_need_the_zarr_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = KINDS["a_sharded_array"](tmp_path).place
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r"sharding.*crosslook\[zarr\]"):
        sar(place)


def test_an_archive_of_shards_is_read(tmp_path: Path) -> None:
    place = Path(KINDS["a_sharded_array"](tmp_path).place)
    packed = archived(place, tmp_path / "a.zarr.zip", "image.zarr/")
    np.testing.assert_array_equal(sar(packed).read().values, sar(place).read().values)


def test_a_copy_is_made_strip_by_strip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_store, "_TILE", 64)
    monkeypatch.setattr(zarr_store, "_STRIP_BYTES", 1)
    image = sar(KINDS["a_sharded_array"](tmp_path).place)
    np.testing.assert_array_equal(image.source.read(None, (1,))[0], ground())


def test_a_store_is_known_by_its_own_files(tmp_path: Path) -> None:
    """No copy, whose time is that of the run, is part of what is compared between runs."""
    place = KINDS["a_sharded_array"](tmp_path).place
    before = fingerprint([place]), digest_of(place)
    assert [entry[0] for entry in before[0]] == ["image.zarr"]
    shutil.copytree(place, tmp_path / "again.zarr")
    assert digest_of(tmp_path / "again.zarr") == before[1]
    root = hierarchy(tmp_path / "other.zarr", 3)
    add_array(root, "vv", ground()[::-1], ("y", "x"))
    assert digest_of(tmp_path / "other.zarr") != before[1]


def _no_json(path: Path) -> None:
    (path / ".zmetadata").write_text("{")


def _other_json(path: Path) -> None:
    (path / ".zmetadata").write_text('{"metadata": [1]}')


def _odd_shape(path: Path) -> None:
    text = json.loads((path / ".zmetadata").read_text())
    text["metadata"]["measurements/reflectance/r10m/b02/.zarray"]["shape"] = ["a", None]
    (path / ".zmetadata").write_text(json.dumps(text))


def _odd_place(path: Path) -> None:
    text = json.loads((path / ".zmetadata").read_text())
    text["metadata"]["measurements/reflectance/r10m/b04/.zattrs"] |= {"proj:epsg": "nowhere"}
    (path / ".zmetadata").write_text(json.dumps(text))


def _odd_scale(path: Path) -> None:
    text = json.loads((path / ".zmetadata").read_text())
    text["metadata"]["measurements/reflectance/r10m/b04/.zattrs"] |= {"scale_factor": "much"}
    (path / ".zmetadata").write_text(json.dumps(text))


def _no_images(path: Path) -> None:
    shutil.rmtree(path)
    hierarchy(path, 2).create_group("measurements")


def _no_array(path: Path) -> None:
    shutil.rmtree(path / "measurements/reflectance/r10m/b04")


@pytest.mark.parametrize(
    "damage",
    [_no_json, _other_json, _odd_shape, _odd_place, _odd_scale, _no_images, _no_array],
)
def test_damage_is_one_error(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    place = Path(KINDS["eopf_sentinel_2"](tmp_path).place)
    damage(place)
    with pytest.raises(CrosslookError) as error:
        optical(place)
    assert "\n" not in str(error.value)


def test_nothing_outside_of_a_store_is_opened(tmp_path: Path) -> None:
    inside = Path(KINDS["eopf_sentinel_2"](tmp_path).place)
    text = json.loads((inside / ".zmetadata").read_text())
    found = text["metadata"].pop("measurements/reflectance/r10m/b08/.zarray")
    text["metadata"]["../other.zarr/b11/.zarray"] = found
    (inside / ".zmetadata").write_text(json.dumps(text))
    assert "B11" not in (product_bands(inside) or {})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a store, and the address of the server that shows it."""
    folder = tmp_path_factory.mktemp("stores")
    KINDS["eopf_sentinel_2"](folder)
    KINDS["eopf_sentinel_1"](folder)
    KINDS["geozarr"](folder)
    (folder / "three").mkdir()
    KINDS["eopf_sentinel_2_in_version_3"](folder / "three")
    spawn = multiprocessing.get_context("spawn")
    port, tell = spawn.Pipe(duplex=False)
    process = spawn.Process(target=serve, args=(str(folder), tell), daemon=True)
    process.start()
    assert port.poll(60), "the server did not start"
    yield folder, f"http://127.0.0.1:{port.recv()}"
    process.kill()
    process.join()


def test_a_store_at_an_address(server: tuple[Path, str]) -> None:
    folder, address = server
    here = optical(folder / "S2B.zarr")
    inner = "measurements/reflectance/r10m"
    for name in (
        f"{address}/S2B.zarr",
        f"/vsicurl/{address}/S2B.zarr",
        f"{address}/three/S2B.zarr",  # by the zarr package where GDAL reads no version 3
    ):
        there = optical(name)
        assert there.name == "S2B.zarr"
        np.testing.assert_array_equal(there.read().values, here.read().values)
        assert there.grid == here.grid
    one = optical(f'ZARR:"/vsicurl/{address}/S2B.zarr":/{inner}/b08')
    assert crs_text(one.grid) == CRS
    assert optical(f"{address}/S2B.zarr/{inner}/b08").grid == one.grid
    assert sar(f"{address}/S1A_IW_GRDH.zarr").header.placed_by == "control points"


def test_what_an_address_cannot_do_is_said(server: tuple[Path, str]) -> None:
    _, address = server
    with pytest.raises(InputError, match="consolidated metadata"):
        sar(f"{address}/image.zarr")
    with pytest.raises(InputError, match="signed address") as error:
        sar(f"{address}/S2B.zarr?sig=c0ffee")
    assert "c0ffee" not in str(error.value)
    with pytest.raises(InputError, match="archive of a Zarr store"):
        sar(f"{address}/S2B.zarr.zip")
    with pytest.raises(CrosslookError, match=r"nothing\.zarr"):
        sar(f"{address}/nothing.zarr")


def test_a_store_in_an_object_store(tmp_path: Path, s3: str) -> None:
    """In a process of its own: rasterio may hold the interpreter while GDAL waits for an answer."""
    import fsspec

    here = Path(KINDS["eopf_sentinel_2"](tmp_path).place)
    fsspec.filesystem("s3").put(str(here), "features/S2B.zarr", recursive=True)
    code = (
        "import sys; from crosslook.geo.image import open_image; "
        "print(*(open_image(p, 'optical').read().values.sum() for p in sys.argv[1:]))"
    )
    places = [str(here), "s3://features/S2B.zarr", 'ZARR:"/vsis3/features/S2B.zarr"']
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *places], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.split())) == 1
    assert len(done.stdout.split()) == 3
