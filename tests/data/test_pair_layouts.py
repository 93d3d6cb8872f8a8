"""Pairs in layouts of one's own: folders and names that say the sensor, splits, scenes, tables."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from crosslook.data.pairs import open_pairs
from crosslook.errors import LayoutError
from tests.helpers.rasters import write

IMAGE = np.full((1, 8, 8), 9, np.uint8)


def laid_out(folder: Path, *names: str) -> Path:
    for name in names:
        write(folder / name, IMAGE, None)
    return folder


def both(sar: str, optical: str, *scenes: str) -> list[str]:
    return [pattern.format(scene) for pattern in (sar, optical) for scene in scenes]


LAID_OUT = {
    "a suffix": (both("sar/{}_s1.tif", "optical/{}_s2.tif", "t0", "T1"), ["T1", "t0"]),
    "a prefix": (both("s1/S1_{}.tif", "s2/S2_{}.tif", "t0", "t1"), ["t0", "t1"]),
    "an infix": (both("SAR/a_sar_{}.tif", "EO/a_eo_{}.png", "3", "17"), ["a_17", "a_3"]),
    "bands": (both("sar/{}_vv.tif", "optical/{}_rgb.tif", "t0", "t1"), ["t0", "t1"]),
    "satellites": (both("sar/S1A_{}.tif", "opt/S2B_{}.tif", "0901_t0"), ["0901_t0"]),
    "words and numbers": (both("sar/sar{}.tif", "opt/opt{}.tif", "001", "002"), ["001", "002"]),
    "case": (["sar/A.TIF", "optical/A.tif", "sar/b.tif", "optical/B.tif"], ["A", "b"]),
    "words in folders": (both("sar_images/{}.tif", "opt-img/{}.tif", "a", "b"), ["a", "b"]),
    "several of a side": (
        both("s1_north/{}.tif", "s2_north/{}.tif", "a") + both("s1_x/{}.tif", "s2_x/{}.tif", "a"),
        ["north/a", "x/a"],
    ),
    "inside splits": (both("train/sar/{}.tif", "train/optical/{}.tif", "a", "b"),
                      ["train/a", "train/b"]),
    "splits inside": (both("S1/val/{}.tif", "S2/val/{}.tif", "a", "b"), ["val/a", "val/b"]),
    "events": (
        both("pre-event/{}_pre_disaster.tif", "post-event/{}_post_disaster.tif", "b_1", "b_2"),
        ["b_1", "b_2"],
    ),
    "a folder a scene": (both("{}/sar.tif", "{}/optical.tif", "a", "b"), ["a", "b"]),
    "dates in scenes": (["a/S1A_0101.tif", "a/S2B_0103.tif", "b/S1A_0201.tif", "b/S2A_0205.tif"],
                        ["a", "b"]),
    "folders in scenes": (["a/sar/x.tif", "a/optical/y.tif", "b/sar/z.tif", "b/optical/w.tif"],
                          ["a", "b"]),
    "one folder": ([*both("{}_sar.tif", "{}_opt.tif", "a", "b"), "a_mask.tif"], ["a", "b"]),
}  # fmt: skip


@pytest.mark.parametrize("layout", sorted(LAID_OUT))
def test_pairs_are_found(tmp_path: Path, layout: str) -> None:
    names, ids = LAID_OUT[layout]
    pairs = open_pairs(laid_out(tmp_path, *names))
    assert [pair.id for pair in pairs] == ids
    sar = [Path(pair.sar).relative_to(tmp_path).as_posix().lower() for pair in pairs]
    for name in sar:
        assert any(word in name for word in ("sar", "s1", "post-event", "vv"))
        assert not any(word in name for word in ("opt", "s2", "rgb", "pre-event", "eo/"))


def test_names_composed_in_two_ways_are_equal(tmp_path: Path) -> None:
    name = "Köln-ü"
    composed, apart = unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)
    laid_out(tmp_path, f"sar/{composed}.tif", f"optical/{apart}.tif")
    (pair,) = open_pairs(tmp_path)
    assert pair.id == name


@pytest.mark.parametrize(
    "names",
    [
        ["sar/S1A_20200101_t1.tif", "optical/S2B_20200103_t1.tif"],
        [*both("sar/{}_vv.tif", "sar/{}_vh.tif", "t1", "t2"), "optical/t1.tif", "optical/t2.tif"],
        ["sar/london_1.tif", "optical/paris_1.tif"],
        ["train/sar/a.tif", "train/optical/b.tif"],
        ["s1.tif", "s2.tif", "s3.tif"],
        ["a/one.tif", "a/two.tif"],
    ],
)
def test_what_names_do_not_settle_asks_for_a_table(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(LayoutError, match=r"'sar,optical' and '.*,.*'") as caught:
        open_pairs(laid_out(tmp_path, *names))
    assert "\n" not in str(caught.value)


def test_the_first_of_several_polarisations_counts(tmp_path: Path) -> None:
    laid_out(tmp_path, "vh/a.tif", "vv/a.tif", "optical/a.tif", "rgb/a.tif", "labels/a.tif")
    (pair,) = open_pairs(tmp_path)
    assert (Path(pair.sar).parent.name, Path(pair.optical).parent.name) == ("vv", "optical")


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (both("train/sar/{}.tif", "train/optical/{}.tif", "a"), ["a"]),
        (both("{}/sar/x.tif", "{}/optical/x.tif", "train", "test"), ["test", "train"]),
        (both("sar/{}/x.tif", "optical/{}/x.tif", "rome", "oslo"), ["oslo", "rome"]),
        (both("{}/x/sar.tif", "{}/x/opt.tif", "rome", "oslo"), ["oslo", "rome"]),
        (
            both("train/sar/{}.tif", "train/optical/{}.tif", "e_1", "e_2", "f_1", "f_2")
            + both("test/sar/{}.tif", "test/optical/{}.tif", "f_3", "g_1", "g_2"),
            ["f", "g", "g", "e", "e", "f", "f"],
        ),
    ],
)
def test_folders_and_splits_are_groups(tmp_path: Path, names: list[str], groups: list[str]) -> None:
    pairs = open_pairs(laid_out(tmp_path, *names))
    if groups == ["a"]:
        groups = ["train"]
    assert [pair.group for pair in pairs] == groups


def test_a_table_of_groups_wins_over_folders(tmp_path: Path) -> None:
    laid_out(tmp_path, *both("{}/sar/x.tif", "{}/optical/x.tif", "train", "test"))
    (tmp_path / "groups.csv").write_text("scene,group\ntrain/x,north\ntest/x,south\n")
    assert [pair.group for pair in open_pairs(tmp_path)] == ["south", "north"]


def test_what_has_no_partner_can_be_left_out(tmp_path: Path) -> None:
    laid_out(tmp_path, "sar/a.tif", "sar/b.tif", "optical/b.tif", "optical/c.tif")
    with pytest.raises(LayoutError, match=r"2 file\(s\).*--skip-incomplete.*'sar/b.tif,optical/b"):
        open_pairs(tmp_path)
    pairs = open_pairs(tmp_path, skip_incomplete=True)
    assert [pair.id for pair in pairs] == ["b"]
    (note,) = pairs.notes
    assert "left out 2" in note
    assert "a (optical is missing), c (sar is missing)" in note
    (tmp_path / "optical/b.tif").unlink()
    with pytest.raises(LayoutError, match="without a partner"):
        open_pairs(tmp_path, skip_incomplete=True)


def test_rows_that_lack_an_image_can_be_left_out(tmp_path: Path) -> None:
    laid_out(tmp_path, "a.tif", "b.tif")
    table = tmp_path / "pairs.csv"
    table.write_text("sar,optical,id\na.tif,b.tif,one\na.tif,none.tif,two\na.tif,,three\n")
    with pytest.raises(LayoutError, match=r"row 2: .*none\.tif is not a file.*--skip-incomplete"):
        open_pairs(table)
    pairs = open_pairs(table, skip_incomplete=True)
    assert [pair.id for pair in pairs] == ["one"]
    assert "2 of 3 rows" in pairs.notes[0]


def test_a_table_names_products_addresses_and_names_of_gdal(tmp_path: Path) -> None:
    laid_out(tmp_path, *(f"p.SAFE/measurement/s1a-{p}-1.tiff" for p in ("vv", "vh")), "o.tif")
    (tmp_path / "p.SAFE/manifest.safe").write_text("<xfdu/>")
    zipped = f"/vsizip/{tmp_path}/a.zip/o.tif"
    address = "https://example.com/a/o.tif?key=1"
    rows = [("p.SAFE", zipped), (str(tmp_path / "p.SAFE"), address), ("o.tif", 'NETCDF:"/a.nc":v')]
    table = tmp_path / "pairs.csv"
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    table.write_text("\n".join(["id,sar,optical", *(f"{n},{q}" for n, q in enumerate(quoted, 1))]))
    pairs = open_pairs(table)
    assert [pair.optical for pair in pairs] == [zipped, address, 'NETCDF:"/a.nc":v']
    assert [pair.sar for pair in pairs] == [tmp_path / "p.SAFE"] * 2 + [tmp_path / "o.tif"]


@pytest.mark.parametrize("name", ["../out", "/tmp/x", "a/../../b", "a\tb"])
def test_ids_of_a_table_name_no_folder_elsewhere(tmp_path: Path, name: str) -> None:
    laid_out(tmp_path, "a.tif", "b.tif")
    table = tmp_path / "pairs.csv"
    table.write_text(f"sar,optical,id\na.tif,b.tif,{name}\n")
    with pytest.raises(LayoutError, match="no name for a folder"):
        open_pairs(table)


def test_product_folders_are_images_of_a_pair_folder(tmp_path: Path) -> None:
    for scene in ("north", "south"):
        for p in ("vv", "vh"):
            laid_out(tmp_path, f"sar/{scene}.SAFE/measurement/s1a-{p}-1.tiff")
        laid_out(tmp_path, *(f"optical/{scene}/T33_B0{band}.tif" for band in (2, 3, 4)))
    pairs = open_pairs(tmp_path)
    assert [pair.id for pair in pairs] == ["north", "south"]
    assert [Path(pair.sar).name for pair in pairs] == ["north.SAFE", "south.SAFE"]


def test_masks_beside_the_images_are_set_aside(tmp_path: Path) -> None:
    names = both("sar/{}.tif", "optical/{}.tif", "a", "b")
    pairs = open_pairs(laid_out(tmp_path, *names, "sar/a_mask.tif", "optical/b_udm2.tif"))
    assert [pair.id for pair in pairs] == ["a", "b"]
    assert pairs.notes == ("2 file(s) are no images by their names: a_mask, b_udm2",)


def test_stac_items_are_images_of_a_pair_folder(tmp_path: Path) -> None:
    laid_out(tmp_path, "files/vv.tif", "files/red.tif", "sar/b.tif", "optical/b.tif")
    for side, key in (("sar", "vv"), ("optical", "red")):
        asset = {"href": f"../files/{key}.tif", "type": "image/tiff", "roles": ["data"]}
        item = {"type": "Feature", "id": "a", "properties": {}, "assets": {key: asset}}
        (tmp_path / side / "a.json").write_text(json.dumps(item))
        (tmp_path / side / "notes.json").write_text("[1, 2]")
    assert [Path(str(pair.sar)).name for pair in open_pairs(tmp_path)] == ["a.json", "b.tif"]


def test_files_of_bands_are_one_image_where_the_other_side_has_one(tmp_path: Path) -> None:
    polarised = ["sar/s_vv.tif", "sar/s_vh.tif"]
    (pair,) = open_pairs(laid_out(tmp_path / "one", *polarised, "optical/x.tif"))
    assert Path(pair.sar).name == "sar"
    (pair,) = open_pairs(laid_out(tmp_path / "in", *(f"a/{n}" for n in polarised), "a/eo/x.tif"))
    assert (pair.id, Path(pair.sar).name) == ("a", "sar")
    names = [*polarised, "optical/s_vv.tif", "optical/s_vh.tif"]
    assert len(open_pairs(laid_out(tmp_path / "two", *names, "sar/t.tif", "optical/t.tif"))) == 3
