"""Pairs from folders, tables and each public layout, written in miniature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from crosslook.data.layouts import LAYOUTS
from crosslook.data.pairs import open_pairs
from crosslook.data.tables import read_alignment
from crosslook.errors import InputError, LayoutError, SettingError
from tests.helpers.rasters import write

IMAGE = np.full((1, 8, 8), 9, np.uint8)
_ROI = "ROIs1158_spring"

MINIATURES = {
    "sen1-2": [
        f"{_ROI}/{s}_{n}/{_ROI}_{s}_{n}_p{p}.png"
        for s in ("s1", "s2")
        for n in (0, 7)
        for p in (1, 9)
    ],
    "sen12ms": [f"{_ROI}/{s}_1/{_ROI}_{s}_1_p{p}.tif" for s in ("s1", "s2") for p in (30, 31)],
    "sen12ms-cr": [f"{_ROI}/{s}_1/{_ROI}_{s}_1_p30.tif" for s in ("s1", "s2", "s2_cloudy")],
    "qxs-saropt": [f"{s}_256_oc_0.2/{n}.png" for s in ("sar", "opt") for n in (1, 2)],
    "osdataset": [f"{s}{n}.png" for s in ("sar", "opt") for n in (1, 2, 33)],
    "optical-sar-dataset": [f"dataset/{s}/00{n}.png" for s in ("sar", "opt") for n in (1, 2)],
    "spacenet6": [
        f"AOI_11_Rotterdam/{k}/SN6_Train_AOI_11_Rotterdam_{k}_20190804111224_20190804111453"
        f"_tile_{n}.tif"
        for k in ("PS-RGB", "SAR-Intensity")
        for n in (1, 42)
    ],
    "spacenet9": [
        f"train/{case}_{kind}_train_0{n}.tif"
        for case, n in (("02", 1), ("02", 2), ("03", 1))
        for kind in ("sar", "optical")
    ],
    "mmim": [f"SAR_Optical/SO{n}{side}.png" for n in (1, 12) for side in "ab"],
    "bright": [
        f"{when}-event/{event}_0000000{n}_{when}_disaster.tif"
        for when in ("pre", "post")
        for event, n in (("bata-explosion", 0), ("bata-explosion", 7), ("hawaii-wildfire", 1))
    ],
    "srif": [f"Optical-SAR/pair{n}_{side}.jpg" for n in (1, 100) for side in (1, 2)],
    "sar2opt": [f"{split}{side}/{split}1.jpg" for split in ("train", "test") for side in "AB"],
    "folders": [f"{s}/x{n}.tif" for s in ("SAR", "Optical") for n in (1, 2)],
    "names": [f"x{n}_{s}.tif" for s in ("SAR", "opt") for n in (1, 2)],
}
EXPECTED = {
    "sen1-2": (4, f"{_ROI}_0_p1", f"{_ROI}_0"),
    "sen12ms": (2, f"{_ROI}_1_p30", f"{_ROI}_1"),
    "sen12ms-cr": (1, f"{_ROI}_1_p30", f"{_ROI}_1"),
    "qxs-saropt": (2, "1", "1"),
    "osdataset": (3, "1", "1"),
    "optical-sar-dataset": (2, "001", "001"),
    "spacenet6": (
        2,
        "SN6_Train_AOI_11_Rotterdam_20190804111224_20190804111453_tile_1",
        "SN6_Train_AOI_11_Rotterdam_20190804111224_20190804111453",
    ),
    "spacenet9": (3, "02_train_01", "02"),
    "mmim": (2, "SO1", "SO1"),
    "bright": (3, "bata-explosion_00000000", "bata-explosion"),
    "srif": (2, "pair1", "pair1"),
    "sar2opt": (2, "test/test1", "test"),
    "folders": (2, "x1", "x1"),
    "names": (2, "x1", "x1"),
}


_MORE = {"sar": ("a.png", "post-event", "_2.jpg"), "optical": ("b.png", "pre-event", "_1.jpg")}
"""How newer sets say which image is which."""

TIES = "sar_row,sar_col,optical_row,optical_col\n1.5,2.5,3.5,4.5\n"
TABLES = {
    "spacenet9": [f"train/{one}.csv" for one in ("02_tiepoints_train_01", "03_tiepoints_train_01")],
    "mmim": ["SAR_Optical/SO1.mat", "SAR_Optical/SO12.mat"],
    "srif": ["Optical-SAR/tiepoints_1.csv", "Optical-SAR/tiepoints_100.csv"],
}


def miniature(folder: Path, names: list[str]) -> Path:
    for name in names:
        write(folder / name, IMAGE, None)
    tables = next((TABLES[key] for key in TABLES if names == MINIATURES[key]), [])
    for table in tables:
        (folder / table).write_text(TIES)
    return folder


def test_every_layout_has_a_miniature() -> None:
    assert {layout.name for layout in LAYOUTS} == set(MINIATURES)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("layout", sorted(MINIATURES))
def test_a_public_set_is_recognised_and_named(tmp_path: Path, layout: str, named: bool) -> None:
    miniature(tmp_path, MINIATURES[layout])
    pairs = open_pairs(tmp_path, layout if named else "auto")
    count, first, group = EXPECTED[layout]
    assert (len(pairs), pairs[0].id, pairs[0].group) == (count, first, group)
    for pair in pairs:
        assert pair.sar != pair.optical
        assert Path(pair.sar).is_file()
        assert Path(pair.optical).is_file()
        sar, optical = (str(p).lower() for p in (pair.sar, pair.optical))
        assert any(
            word in sar for word in ("/s1_", "/sar", "_sar", "traina", "testa", *_MORE["sar"])
        )
        words = ("/s2_", "/opt", "_opt", "ps-rgb", "trainb", "testb", *_MORE["optical"])
        assert any(word in optical for word in words)
        assert "cloudy" not in optical


@pytest.mark.parametrize("layout", sorted(TABLES))
def test_tables_of_tie_points_come_with_their_pairs(tmp_path: Path, layout: str) -> None:
    miniature(tmp_path, MINIATURES[layout])
    found = [str(pair.tie_points) for pair in open_pairs(tmp_path) if pair.tie_points is not None]
    assert sorted(found) == sorted(str(tmp_path / name) for name in TABLES[layout])


def test_srif_is_refused_unless_its_truth_was_repaired(tmp_path: Path) -> None:
    miniature(tmp_path, MINIATURES["srif"])
    (tmp_path / TABLES["srif"][0]).unlink()
    assert [pair.id for pair in open_pairs(tmp_path)] == ["pair100"]
    (tmp_path / TABLES["srif"][1]).unlink()
    with pytest.raises(LayoutError, match="published truth"):
        open_pairs(tmp_path)


@pytest.mark.parametrize("layout", sorted(MINIATURES))
def test_a_missing_partner_is_named(tmp_path: Path, layout: str) -> None:
    miniature(tmp_path, MINIATURES[layout])
    pair = open_pairs(tmp_path, layout)[-1]
    Path(pair.optical).unlink()
    with pytest.raises(LayoutError) as caught:
        open_pairs(tmp_path, layout)
    assert pair.id in str(caught.value)


@pytest.mark.parametrize(("sar", "optical"), [("s1", "s2"), ("VV", "RGB"), ("radar", "EO")])
def test_synonyms(tmp_path: Path, sar: str, optical: str) -> None:
    pairs = open_pairs(miniature(tmp_path, [f"{sar}/a.tif", f"{optical}/a.png"]))
    assert [(Path(p.sar).parent.name, Path(p.optical).parent.name) for p in pairs] == [
        (sar, optical)
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "known layout"),
        (["notes/a.tif"], "known layout"),
        (["sar/a.tif", "optical/b.tif"], "without a partner"),
        (["sar/a.tif", "sar/a.png", "optical/a.tif"], "both have the key 'a'"),
    ],
)
def test_folders_without_pairs_are_refused(tmp_path: Path, names: list[str], words: str) -> None:
    with pytest.raises(LayoutError, match=words):
        open_pairs(miniature(tmp_path, names))


def test_two_empty_folders_are_refused(tmp_path: Path) -> None:
    for name in ("sar", "optical"):
        (tmp_path / name).mkdir()
    with pytest.raises(LayoutError, match="no pairs"):
        open_pairs(tmp_path)


def test_an_unknown_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="Did you mean 'sen12ms'"):
        open_pairs(tmp_path, "sen12m")


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="does not exist"):
        open_pairs(tmp_path / "nothing")


def test_groups_come_from_a_table_beside_the_images(tmp_path: Path) -> None:
    miniature(tmp_path, MINIATURES["folders"])
    (tmp_path / "scenes.csv").write_text("scene,tile,date\nx1,T11,2020\n")
    assert [pair.group for pair in open_pairs(tmp_path)] == ["T11", "x2"]
    (tmp_path / "groups.csv").write_text("scene,group\nx1,north\nx2,south\n")
    assert [pair.group for pair in open_pairs(tmp_path)] == ["north", "south"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_pairs(tmp_path: Path, suffix: str) -> None:
    miniature(tmp_path, ["a/s.tif", "a/o.tif", "b/s.tif", "b/o.tif"])
    columns = {
        "sar": ["a/s.tif", str(tmp_path / "b/s.tif")],
        "optical": ["a/o.tif", "b/o.tif"],
        "id": ["one", "two"],
        "group": ["g", "h"],
        "note": ["left", "alone"],
    }
    path = tmp_path / f"pairs{suffix}"
    if suffix == ".csv":
        rows = zip(*columns.values(), strict=True)
        path.write_text("\n".join(",".join(row) for row in [tuple(columns), *rows]))
    else:
        parquet.write_table(pa.table(columns), path)
    pairs = open_pairs(path)
    assert [(p.id, p.group) for p in pairs] == [("one", "g"), ("two", "h")]
    assert [p.sar for p in pairs] == [tmp_path / "a/s.tif", tmp_path / "b/s.tif"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sar,opt\na/s.tif,a/o.tif", "optical are missing"),
        ("sar,optical\na/s.tif,a/none.tif", "row 1.*none.tif"),
        ("sar,optical\na/s.tif,../o.tif", "leaves the folder"),
        ("sar,optical\na/s.tif,", "path is empty"),
        ("sar,optical\na/s.tif,a/o.tif\na/s.tif,a/o.tif", "more than one row"),
        ("sar,optical\n", "no pairs"),
        ("", "not a CSV"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, words: str) -> None:
    miniature(tmp_path, ["a/s.tif", "a/o.tif"])
    table = tmp_path / "pairs.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=words):
        open_pairs(table)


def test_an_alignment_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shifts.csv"
    path.write_text("scene,row,col,peak\na,1.5,-2,0.1\nb,0,3,0.2\n")
    assert read_alignment(path) == {"a": (1.5, -2.0), "b": (0.0, 3.0)}
    for bad, words in (("scene,row\na,1", "col"), ("scene,row,col\na,x,1", "'a'")):
        path.write_text(bad)
        with pytest.raises(InputError, match=words):
            read_alignment(path)
