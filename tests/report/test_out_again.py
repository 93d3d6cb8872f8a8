"""What leaves a run: descriptors as GeoParquet, and tables of several runs."""

from __future__ import annotations

import json
import shutil
import struct
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.console import Console

from crosslook.cli import app
from crosslook.errors import InputError
from crosslook.report.compare import (
    leaderboard,
    print_comparison,
    print_leaderboard,
    run_names,
    write_leaderboard,
)
from crosslook.report.export import cell_name, export_run, grid_cell
from crosslook.retrieval.run_folder import read_patches, read_rows, write_run
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import run_study
from tests.helpers.pairs import write_pairs

pytestmark = pytest.mark.slow

QUICK: dict[str, Any] = {
    "patch": 32, "draws": 100, "structure": False, "calibrations": "none,standardize",
}  # fmt: skip


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_pairs(tmp_path_factory.mktemp("sets") / "one", scenes=5)
    lines = [f"scene{i},2020-11-0{i + 1},04.12.2020" for i in range(4)]
    (folder / "scenes.csv").write_text("\n".join(["scene,sar_date,optical_date", *lines]))
    return folder


@pytest.fixture(scope="module")
def run(pairs: Path) -> Path:
    out = pairs.parent / "run"
    return run_study(StudySettings(pairs=pairs, out=out, extractors=("raw", "hog:cell=8"), **QUICK))


def test_cells_are_those_of_published_embeddings() -> None:
    """Places and cells as they stand in public Major TOM tables."""
    for lat, lon, name in (
        (-82.731987, -178.492844, "922D_249L"),
        (48.279371, 13.549185, "537U_100R"),
        (51.241452, 10.821706, "570U_75R"),
        (35.344865, 56.18416, "393U_510R"),
        (27.080163, 119.446303, "301U_1184R"),
    ):
        assert cell_name(*grid_cell(lat, lon)) == name


def test_descriptors_leave_as_geoparquet(run: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(run), "--to", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    paths = sorted((tmp_path / "out").glob("*.parquet"))
    assert [p.name for p in paths] == [
        "hog-cell=8-optical.parquet", "hog-cell=8-sar.parquet", "raw-optical.parquet",
        "raw-sar.parquet",
    ]  # fmt: skip
    table = pq.read_table(paths[1])
    assert table.column_names[:13] == [
        "unique_id", "embedding", "timestamp", "product_id", "grid_cell", "grid_row_u",
        "grid_col_r", "geometry", "centre_lat", "centre_lon", "utm_footprint", "utm_crs",
        "pixel_bbox",
    ]  # fmt: skip
    geo = json.loads(table.schema.metadata[b"geo"])
    assert geo["primary_column"] == "geometry"
    assert geo["columns"]["geometry"]["encoding"] == "WKB"
    lines = table.to_pylist()
    patches = read_patches(run)
    assert [line["patch_id"] for line in lines] == [patch.id for patch in patches]
    assert len({line["unique_id"] for line in lines}) == len(lines)
    first = lines[0]
    assert first["timestamp"] == "20201101T000000"
    assert lines[-1]["timestamp"] is None  # the last scene stands in no table
    assert first["utm_crs"] == "EPSG:32633"
    assert first["pixel_bbox"] == [0, 0, 32, 32]
    assert len(first["embedding"]) == 9 * 4 * 4
    order, kind, rings, points = struct.unpack("<BIII", first["geometry"][:13])
    assert (order, kind, rings, points) == (1, 3, 1, 5)
    corners = np.frombuffer(first["geometry"][13:], "<f8").reshape(5, 2)
    np.testing.assert_array_equal(corners[0], corners[4])
    # The patch is 320 m wide: 32 px of 10 m, at the origin of the pairs (500,000 E, 5,000,000 N).
    assert np.ptp(corners[:, 1]) * 111_200 == pytest.approx(320, rel=0.01)
    assert first["centre_lon"] == pytest.approx(15.0, abs=0.01)
    assert first["utm_footprint"].startswith("POLYGON ((500320.0 5000000.0, 500320.0 4999680.0")


def test_embeddings_are_the_features_of_the_store(run: Path, tmp_path: Path) -> None:
    from crosslook.extract.registry import open_extractor
    from crosslook.retrieval.study import open_patches

    export_run(run, tmp_path)
    settings = json.loads((run / "run.json").read_text())["settings"]
    patches = open_patches(StudySettings(**settings))
    at = [3, 70]
    expected = open_extractor("raw").extract(patches.read("optical", at)).values.reshape(2, -1)
    table = pq.read_table(tmp_path / "raw-optical.parquet")
    exported = np.array([table["embedding"][i].as_py() for i in at], np.float32)
    np.testing.assert_array_equal(exported, expected)


def test_a_run_without_features_says_what_to_do(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.rmtree(copy / "features")
    with pytest.raises(InputError, match="run the study again"):
        export_run(copy, tmp_path / "out")


def test_a_leaderboard_joins_extractors_and_data_sets(
    run: Path, pairs: Path, tmp_path: Path
) -> None:
    more = run_study(
        StudySettings(pairs=pairs, out=tmp_path / "more", extractors=("hog:cell=16",), **QUICK)
    )
    other = write_pairs(tmp_path / "two", scenes=4)
    there = run_study(
        StudySettings(pairs=other, out=tmp_path / "there", extractors=("raw",), **QUICK)
    )
    entries = leaderboard([run, more, there])
    assert {(e.dataset, e.name) for e in entries} == {
        ("one", "raw"), ("one", "hog:cell=8"), ("one", "hog:cell=16"), ("two", "raw"),
    }  # fmt: skip
    csv, tex, html = write_leaderboard(entries, tmp_path / "board")
    assert len(csv.read_text().splitlines()) == 5
    best = max((e for e in entries if e.name == "hog:cell=8"), key=lambda e: e.line.row.value)
    shown = f"{best.line.row.value:.3f} ({best.line.row.ci_low:.3f} to"
    assert shown in tex.read_text()
    assert shown in html.read_text()
    chosen = [r for r in read_rows(run) if r.calibration == "chosen" and r.k == 1
              and r.extractor == "hog:cell=8" and r.direction == "sar->optical"]  # fmt: skip
    assert best.line.row.value == chosen[0].value
    assert "one (gallery" in tex.read_text()
    assert tex.read_text().count(r"\\") >= 5


def test_runs_of_one_name_are_named_apart() -> None:
    runs = [Path("/a/north/run"), Path("/a/south/run"), Path("/a/other")]
    assert list(run_names(runs).values()) == ["north/run", "south/run", "other"]
    same = Path("/a/run")
    assert run_names([same, same]) == {same: "run"}


def test_tables_are_printed_and_written_only_where_told(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = Path(shutil.copytree(run, tmp_path / "copy" / run.name))
    text = StringIO()
    console = Console(file=text, width=200)
    print_leaderboard(leaderboard([run, copy]), console)
    print_comparison([run, copy], console=console)
    said = text.getvalue()
    assert "one (gallery" in said
    assert f"copy/{run.name}: raw" in said
    assert f"{run.parent.name}/{run.name}: raw" in said
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_the_package_lists_its_public_names() -> None:
    import crosslook

    assert {"register", "MatchResult", "Transform", "Atlas", "study"} <= set(dir(crosslook))
    for name in dir(crosslook):
        assert getattr(crosslook, name) is not None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "another seed"),
        ({"patch": 64}, "another patch"),
        ({"calibration_fraction": 0.4}, "another calibration_fraction"),
        ({"split": "transductive"}, "fitted on what it measured"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    run: Path, pairs: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    settings = {**QUICK, "extractors": "raw", **change}
    other = run_study(StudySettings(pairs=pairs, out=tmp_path / "other", **settings))
    with pytest.raises(InputError, match=words):
        leaderboard([run, other])


def test_a_run_that_was_not_finished_is_refused(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    record = json.loads((copy / "run.json").read_text())
    write_run(copy, {**record, "complete": False})
    with pytest.raises(InputError, match="was not finished"):
        leaderboard([run, copy])
