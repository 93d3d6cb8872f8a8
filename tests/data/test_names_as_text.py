"""Names of scenes are text, in every table that says something of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from crosslook.data.pairs import open_pairs
from crosslook.data.tables import (
    acquisition_dates,
    check_zeros,
    days_between,
    read_alignment,
    read_text_table,
)
from crosslook.errors import InputError
from crosslook.match.audit import audit
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import open_patches
from tests.helpers.kinds import ground, save

NAMES = ("0000", "0001", "0010", "1e5", "NA", "true", "2024-01-01", "007.50")


def pairs_in(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    for side in ("sar", "optical"):
        (folder / side).mkdir(parents=True)
        for name in names:
            (folder / side / f"{name}.png").write_bytes(b"")
    return folder


def test_groups_of_names_that_look_like_numbers_or_nothing(tmp_path: Path) -> None:
    pairs_in(tmp_path)
    lines = [f"{name},0{number}" for number, name in enumerate(NAMES)]
    (tmp_path / "groups.csv").write_text("\ufeffscene , region\n" + "\n".join(lines))
    groups = {pair.id: pair.group for pair in open_pairs(tmp_path)}
    assert groups == {name: f"0{number}" for number, name in enumerate(NAMES)}


def test_groups_beside_a_table_and_in_any_layout(tmp_path: Path) -> None:
    pairs_in(tmp_path)
    (tmp_path / "groups.csv").write_text("scene,group\n0000,north\n0001,south\n")
    table = tmp_path / "pairs.csv"
    table.write_text("id,sar,optical\n0000,sar/0000.png,optical/0000.png\n")
    assert open_pairs(table)[0].group == "north"
    for name in ("sar1.png", "opt1.png"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"")
    (tmp_path / "set" / "groups.csv").write_text("scene,group\n1,west\n")
    assert open_pairs(tmp_path / "set")[0].group == "west"


def test_dates_and_shifts_keep_names(tmp_path: Path) -> None:
    pairs_in(tmp_path)
    lines = [f"{name},2024-01-01,20240104" for name in NAMES]
    (tmp_path / "scenes.csv").write_text("scene,sar_date,optical_date\n" + "\n".join(lines))
    open_pairs(tmp_path)
    assert days_between(tmp_path) == dict.fromkeys(NAMES, 3.0)
    assert set(acquisition_dates(tmp_path)) == set(NAMES)
    shifts = tmp_path / "alignment.csv"
    shifts.write_text("scene,row,col\n" + "\n".join(f"{name},1,2" for name in NAMES))
    assert read_alignment(shifts) == dict.fromkeys(NAMES, (1.0, 2.0))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_ids_of_a_table_are_as_written(tmp_path: Path, kind: str) -> None:
    pairs_in(tmp_path)
    sides = [[f"{side}/{name}.png" for name in NAMES[:3]] for side in ("sar", "optical")]
    ids: list[object] = ["007", "010", "1e3"] if kind == "csv" else [7, 10, 1000]
    table = tmp_path / f"pairs.{kind}"
    if kind == "csv":
        rows = zip(ids, *sides, ["01", "01", "02"], strict=True)
        table.write_text("id,sar,optical,group\n" + "\n".join(",".join(map(str, r)) for r in rows))
        expected = {"007": "01", "010": "01", "1e3": "02"}
    else:
        # pandas writes whole numbers beside an empty cell as floats
        columns = {"id": ids, "sar": sides[0], "optical": sides[1], "group": [1.0, 1.0, None]}
        parquet.write_table(pa.table(columns), table)
        expected = {"7": "1", "10": "1", "1000": "1000"}
    assert {pair.id: pair.group for pair in open_pairs(table)} == expected


@pytest.mark.parametrize("name", ["groups.csv", "scenes.csv"])
@pytest.mark.parametrize("kind", ["folder", "table"])
def test_a_table_that_names_no_scene_is_refused_with_one_of_each(
    tmp_path: Path, name: str, kind: str
) -> None:
    source = pairs_in(tmp_path)
    (tmp_path / name).write_text("scene,group\n0000.png,a\n0001.png,b\n")
    if kind == "table":
        source = tmp_path / "pairs.csv"
        source.write_text("sar,optical\nsar/0000.png,optical/0000.png\n")
    with pytest.raises(InputError, match=r"'0000.png', the pairs have '0000'"):
        open_pairs(source)


def test_groups_without_their_columns_are_refused(tmp_path: Path) -> None:
    pairs_in(tmp_path)
    (tmp_path / "groups.csv").write_text("name,area\n0000,a\n")
    with pytest.raises(InputError, match="columns name, area; 'scene' and one of group"):
        open_pairs(tmp_path)
    (tmp_path / "groups.csv").write_text("scene,group\n0000,a,b\n")
    with pytest.raises(InputError, match="row 1 has 3 cells"):
        open_pairs(tmp_path)


def test_study_takes_the_alignment_that_audit_wrote(tmp_path: Path) -> None:
    for side in ("sar", "optical"):
        (tmp_path / "p" / side).mkdir(parents=True)
        for number in range(2):
            moved = np.roll(ground(), number + (side == "sar"), axis=0)
            save(tmp_path / "p" / side / f"{number:04d}.tif", moved)
    audit(open_pairs(tmp_path / "p"), out=tmp_path / "a")
    written = tmp_path / "a" / "alignment.csv"
    assert "0000,-1" in written.read_text()
    settings = StudySettings(pairs=tmp_path / "p", alignment=written, patch=128, out=tmp_path / "r")
    assert open_patches(settings).scenes["0000"].shift[0] == pytest.approx(-1.0, abs=0.3)
    written.write_text("scene,row,col\nx0000,1,0\n")
    with pytest.raises(InputError, match="'x0000' against '0000'"):
        open_patches(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scene,group\n0000,a\n1,a\n", "names '1', the pairs have '0001': its zeros were lost"),
        ("scene,group\n0000,a\n0001,b\n0000,b\n", "'0000' in two groups, 'a' and 'b'"),
        ("scene,group\n", "names no scene"),
    ],
)
def test_groups_that_would_part_neighbours_are_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    pairs_in(tmp_path)
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        open_pairs(tmp_path)


def test_zeros_lost_of_an_alignment() -> None:
    with pytest.raises(InputError, match="its zeros were lost"):
        check_zeros("the alignment", ["0000", "1"], NAMES)


def test_pairs_without_a_group_are_said(tmp_path: Path) -> None:
    pairs_in(tmp_path)
    lines = [f"{name},a" for name in NAMES[1:]]
    (tmp_path / "groups.csv").write_text("scene,group\n" + "\n".join(lines))
    (note,) = open_pairs(tmp_path).notes
    assert f"none for 1 of {len(NAMES)} pairs, as {NAMES[0]};" in note


def test_groups_in_another_encoding_say_which_is_read(tmp_path: Path) -> None:
    pairs_in(tmp_path)
    (tmp_path / "groups.csv").write_text("scene,group\n0000,a\n", encoding="utf-16")
    with pytest.raises(InputError, match="save it as CSV in UTF-8"):
        open_pairs(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_table_in_another_encoding_says_which_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes("sar,optical\nZ\u00fcrich.tif,b.tif\n".encode(encoding))
    with pytest.raises(InputError, match="not in UTF-8; save it as CSV in UTF-8"):
        read_text_table(path)
