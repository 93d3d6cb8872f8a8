"""Folders and archives of products: which image is taken, what is said of the rest."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from crosslook.errors import CrosslookError, InputError
from crosslook.geo.basemaps import find_basemaps
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.products.listing import is_no_imagery
from crosslook.geo.products.resolve import images_below, is_image, product_bands
from crosslook.geo.raster import RasterFile, digest_of
from crosslook.options import ReadingText
from tests.geo.test_products import medians, sentinel_2
from tests.helpers import kinds_products as made
from tests.helpers.kinds import KINDS, SIDE, ground, save


def radar(place: Path | str, bands: str = "") -> ImageFile:
    text = ReadingText(sar=f"bands={bands}") if bands else ReadingText()
    return open_image(place, "sar", Reading.parse(text))


def labels(place: Path | str, bands: str = "") -> tuple[str, ...]:
    return radar(place, bands).header.labels


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_a_zipped_product_of_sentinel_2_is_read_where_it_lies(tmp_path: Path, level: str) -> None:
    folder = sentinel_2(tmp_path, level)
    archive = made.zipped(folder, tmp_path / f"{folder.stem}.zip")
    there = open_image(archive, "optical").read()
    here = open_image(folder, "optical").read()
    np.testing.assert_array_equal(there.values, here.values)
    assert medians(archive, bands="B04:B8A:B02") == [3, 5, 1]
    assert find_basemaps([archive]) == [archive]
    assert len(digest_of(archive)) == 64
    flat = tmp_path / "flat.zip"
    with zipfile.ZipFile(flat, "w") as file:
        for path in folder.rglob("*.tif"):
            file.write(path, path.relative_to(folder))
    assert medians(flat) == [3, 2, 1], "no folder of the product at the top"


def test_an_archive_of_one_image_is_that_image(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", ground())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.write(path, "delivery/a.tif")
        file.writestr("delivery/readme.txt", "text")
    np.testing.assert_array_equal(
        radar(tmp_path / "a.zip").read().values, radar(path).read().values
    )


def archive_with(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def test_what_an_archive_holds_is_not_trusted(tmp_path: Path) -> None:
    """Neither names that lead out of it, nor other formats under the ending of an image."""
    other = save(tmp_path / "other.tif", ground())
    virtual = f"<VRTDataset><!-- {other} --></VRTDataset>".encode()
    place = archive_with(tmp_path / "a.zip", **{"a.tif": virtual})
    with pytest.raises(InputError, match="neither TIFF nor JPEG 2000"):
        radar(place)
    place = archive_with(tmp_path / "b.zip", **{"../a.tif": other.read_bytes(), "x.vrt": virtual})
    assert product_bands(place) is None
    with pytest.raises(CrosslookError, match=r"b\.zip"):
        radar(place)
    for name, data in {"c": b"no archive", "d": b"PK\x03\x04" + bytes(99), "e": b""}.items():
        broken = tmp_path / f"{name}.zip"
        broken.write_bytes(data)
        with pytest.raises(CrosslookError, match=rf"{name}\.zip"):
            radar(broken)
    whole = archive_with(tmp_path / "f.zip", **{"a.tif": other.read_bytes()}).read_bytes()
    (tmp_path / "g.zip").write_bytes(whole.replace(b"II*\0", b"II*\1"))
    with pytest.raises(CrosslookError, match=r"g\.zip"):
        radar(tmp_path / "g.zip")


def test_bursts_of_an_slc_are_not_taken_for_an_image(tmp_path: Path) -> None:
    inside = tmp_path / "S1A_IW_SLC__1SDV.SAFE"
    (inside / "measurement").mkdir(parents=True)
    for swath in ("iw1", "iw2"):
        for name in ("vv", "vh"):
            file = f"s1a-{swath}-slc-{name}-20240101t000000-20240101t000025-052000-064000-001.tiff"
            save(inside / "measurement" / file, ground().astype(np.uint16))
    with pytest.raises(InputError, match=r"iw1_vv.*bursts.*GRD.*--sar bands=iw1_vh"):
        radar(inside)
    assert [Path(p).name[:14] for p in RasterFile(inside, ("iw2_vv",)).parts()] == [
        "s1a-iw2-slc-vv"
    ]


def test_several_bursts_of_opera_are_several_images(tmp_path: Path) -> None:
    one, _ = made.opera(tmp_path)
    for path in list(one.glob("*.tif")):
        shutil.copy(path, path.with_name(path.name.replace("147170-IW1", "147171-IW2")))
    with pytest.raises(InputError, match=r"t069-147170-iw1_vv.*each burst.*--sar bands="):
        radar(one)
    valid = radar(one, "t069-147171-iw2_vv").read().valid
    assert not valid[105, 70]
    assert valid[60, 20]


def test_what_is_no_imagery_is_named(tmp_path: Path) -> None:
    place, _ = made.opera(tmp_path)
    assert "left out: " in " ".join(radar(place).notes)
    assert "BROWSE" in " ".join(radar(place).notes)
    for name, left in (("umbra", "SIDD"), ("capella", "SLC"), ("biomass", "phase")):
        (tmp_path / name).mkdir()
        notes = " ".join(radar(KINDS[name](tmp_path / name).place).notes)
        assert left in notes


def test_bands_of_snap_go_by_polarisation_and_by_name(tmp_path: Path) -> None:
    power = made.linear()
    place = made.snap(
        tmp_path, Sigma0_VV=power, Sigma0_VH=power * 0.5, Gamma0_VV=power * 2,
        Gamma0_VH=power, Gamma0_VV_db=10 * np.log10(power),
    )  # fmt: skip
    assert labels(place) == ("gamma0_vv", "gamma0_vh")
    assert radar(place, "vh").read().values.shape[0] == 1
    assert radar(place, "Sigma0_VH").bands == (1,)
    assert radar(place, "gamma0_vv_db").scale == "decibel"
    with pytest.raises(InputError, match=r"no band 'hh'; it has Gamma0_VV.*--sar bands="):
        radar(place, "hh")


def test_an_optical_product_of_snap_is_its_visible_bands(tmp_path: Path) -> None:
    bands = {f"B{n}": ground().astype(np.uint16) + np.uint16(1000 * n) for n in (2, 3, 4, 8)}
    assert medians(made.snap(tmp_path, **bands)) == [4, 3, 2]
    assert medians(tmp_path / "a.dim", bands="B08:B04:B03") == [8, 4, 3]


def test_a_dim_without_its_data_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CrosslookError, match=r"cannot open .*a\.dim"):
        radar(tmp_path / "a.dim")
    (tmp_path / "a.dim").write_text("<Dimap_Document/>")
    with pytest.raises(InputError, match=r"a\.data beside it; that folder is missing"):
        radar(tmp_path / "a.dim")
    (tmp_path / "a.data").mkdir()
    with pytest.raises(InputError, match=r"a\.data.*holds no \.img"):
        radar(tmp_path / "a.dim")


def test_amplitudes_are_known_where_the_product_says_so(tmp_path: Path) -> None:
    assert radar(KINDS["biomass"](tmp_path).place).scale == "amplitude"
    (tmp_path / "s").mkdir()
    place = made.snap(tmp_path / "s", Amplitude_VV=ground().astype(np.float32))
    assert radar(place).scale == "amplitude"
    (tmp_path / "o").mkdir()
    assert radar(made.opera(tmp_path / "o")[0]).scale == "power"


def test_polarisations_of_a_folder_are_one_image_only_where_nothing_else_is(tmp_path: Path) -> None:
    """As ASF's RTC has it."""
    name = "S1A_IW_20240101T000000_DVP_RTC30_G_gpuned_1234"
    for ending in ("VV", "VH", "inc_map", "ls_map", "dem"):
        save(tmp_path / f"{name}_{ending}.tif", made.linear())
    assert list(product_bands(tmp_path) or ()) == ["vv", "vh"]
    assert "inc_map" in " ".join(radar(tmp_path).notes)
    save(tmp_path / "ground_truth.tif", ground())
    assert product_bands(tmp_path) is None


def test_a_folder_that_is_no_product_says_what_it_holds(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif", "c.png"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match=r"3 images: a\.tif, b\.tif, c\.png\. Name one"):
        radar(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        radar(tmp_path / "empty")


def ceos(folder: Path, name: str) -> Path:
    folder.mkdir()
    for start in ("IMG-HH-", "IMG-HV-", "VOL-", "LED-", "TRL-"):
        (folder / f"{start}{name}").write_bytes(bytes(720))
    return folder


@pytest.mark.skipif(
    tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) >= (3, 13), reason="GDAL can"
)
@pytest.mark.parametrize("file", ["", "IMG-HH-", "VOL-"])
def test_what_gdal_cannot_read_of_ceos_is_said(tmp_path: Path, file: str) -> None:
    name = "ALOS2500000000-240101-UBSR1.5RUD"
    folder = ceos(tmp_path / "alos", name)
    with pytest.raises(InputError, match=r"ALOS-2.*GDAL.*GeoTIFF.*SNAP"):
        radar(folder / f"{file}{name}" if file else folder)
    assert is_image(folder), "so that it is not passed over without a word"


def test_phase_history_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "2024_UMBRA-05_CPHD.cphd").write_bytes(b"CPHD/1.0.1")
    (tmp_path / "2024_UMBRA-05_METADATA.json").write_text("{}")
    for place in (tmp_path, tmp_path / "2024_UMBRA-05_CPHD.cphd"):
        with pytest.raises(InputError, match=r"phase history.*GEC"):
            radar(place)


def test_entries_of_products_stand_for_their_folders(tmp_path: Path) -> None:
    for name, entry in (
        ("a_cloud_optimised_product_of_sentinel_1", "manifest.safe"),
        ("radarsat_2", "product.xml"),
    ):
        (tmp_path / name).mkdir()
        folder = Path(KINDS[name](tmp_path / name).place)
        assert labels(folder / entry) == labels(folder)


def test_images_of_a_folder_are_what_register_takes(tmp_path: Path) -> None:
    save(tmp_path / "a.tif", ground())
    save(tmp_path / "b.png", ground(), None, driver="PNG")
    save(tmp_path / "._a.tif", ground())
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "readme.txt").write_text("text")
    (tmp_path / "settings.json").write_text('{"type": "Feature"}')
    (tmp_path / "broken.json").write_text("{")
    item = '{"type": "Feature", "assets": {"a": {"href": "a.tif", "type": "image/tiff"}}}'
    (tmp_path / "item.json").write_text(item)
    (tmp_path / "a.json").write_text(item)
    (tmp_path / "many.json").write_text(f'{{"type": "FeatureCollection", "features": [{item}]}}')
    (tmp_path / "store.zarr").mkdir()
    made.snap(tmp_path, Sigma0_VV=made.linear())
    product = sentinel_2(tmp_path, "L2A")
    made.zipped(product, tmp_path / "zipped.zip")
    archive_with(tmp_path / "texts.zip", **{"a.txt": b"text"})
    (tmp_path / "below").mkdir()
    save(tmp_path / "below" / "c.tif", ground())
    (tmp_path / ".hidden").mkdir()
    save(tmp_path / ".hidden" / "d.tif", ground())
    names = [Path(p).name for p in images_below(tmp_path)]
    assert names == [
        product.name, "a.dim", "a.tif", "b.png", "item.json", "many.json#0.json", "store.zarr",
        "zipped.zip",
    ]  # fmt: skip
    deep = {Path(p).name for p in images_below(tmp_path, deep=True)}
    assert deep == {*names, "c.tif"}
    assert all(is_image(place) for place in images_below(tmp_path, deep=True))
    assert is_image("https://host/a.tif")
    assert not is_image(tmp_path / "readme.txt")
    assert not is_image(tmp_path / "nothing.tif")
    assert not is_image(tmp_path / "below")
    readable = [p for p in images_below(tmp_path) if not str(p).endswith(".zarr")]
    for place in readable:
        assert radar(place).shape == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x_mask.tif", True), ("scene_udm2.tif", True), ("a-preview.tif", True),
        ("S1_inc_map.tif", True), ("browse.png", True), ("T33_SCL_20m.jp2", True),
        ("unmasked.tif", False), ("scene_VV.tif", False), ("masking_tape.tif", False),
        ("damask_1.tif", False),
    ],
)  # fmt: skip
def test_names_tell_what_is_no_imagery(name: str, expected: bool) -> None:
    assert is_no_imagery(name) is expected


def test_parts_of_a_product_count_with_its_mask(tmp_path: Path) -> None:
    place, _ = made.opera(tmp_path)
    parts: Any = {Path(p).name.rpartition("_")[2] for p in RasterFile(place).parts()}
    assert parts == {"VV.tif", "VH.tif", "mask.tif"}
