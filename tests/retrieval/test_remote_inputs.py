"""Scenes, tables and basemaps in a real S3 server give the bytes that local ones give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import crosslook
from crosslook.errors import CrosslookError, InputError, LayoutError, RasterError
from crosslook.storage import as_path
from tests.helpers.pairs import texture, write_pairs, write_raster

WANTED = {"extractors": ["hog:cell=16"], "patch": 64, "structure": False, "draws": 100}


def upload(folder: Path, place: str) -> str:
    """Put every file of a folder under an address."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        target = as_path(f"{place}/{path.relative_to(folder).as_posix()}")
        target.write_bytes(path.read_bytes())
    return place


@pytest.fixture(scope="module")
def sides(s3: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    pytest.importorskip("upath", reason="universal_pathlib is not installed")
    local = write_pairs(tmp_path_factory.mktemp("inputs") / "set")
    (local / "table.csv").write_text(
        "sar,optical,id\n"
        + "".join(f"sar/scene{n}.tif,optical/scene{n}.tif,s{n}\n" for n in range(5))
    )
    return local, upload(local, s3.replace("/set", "/inputs/set"))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["", "/table.csv"])
def test_a_study_of_remote_pairs_gives_the_same_rows(
    sides: tuple[Path, str], tmp_path: Path, source: str
) -> None:
    local, remote = sides
    for name, place in (("local", str(local)), ("remote", remote)):
        crosslook.study(place + source, tmp_path / name, **WANTED)
    rows = [(tmp_path / name / "results.parquet").read_bytes() for name in ("local", "remote")]
    assert rows[0] == rows[1]
    assert remote in (tmp_path / "remote" / "run.json").read_text()


def test_a_remote_basemap_gives_the_same_atlas_and_finds_a_remote_query(
    s3: str, tmp_path: Path
) -> None:
    pytest.importorskip("upath", reason="universal_pathlib is not installed")
    optical = np.stack([texture(7, 512) * 200 + 20] * 3).astype(np.uint8)
    write_raster(tmp_path / "maps" / "one.tif", optical)
    write_raster(tmp_path / "query.tif", optical[:1, 100:300, 60:260])
    place = upload(tmp_path / "maps", s3.replace("/set", "/maps"))
    as_path(f"{place}-query/query.tif").write_bytes((tmp_path / "query.tif").read_bytes())
    here = crosslook.build_atlas(tmp_path / "maps", tmp_path / "here")
    there = crosslook.build_atlas(place, tmp_path / "there")
    assert here.manifest.blocks == there.manifest.blocks, "the checksums are the same"
    results = [
        crosslook.locate(query, there)
        for query in (tmp_path / "query.tif", f"{place}-query/query.tif")
    ]
    assert results[0].transform is not None
    assert results[1].transform is not None
    np.testing.assert_array_equal(results[0].transform.matrix, results[1].transform.matrix)


def test_what_is_not_there_is_one_clear_error(
    s3: str, sides: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3.replace("/set", "")
    cases: list[tuple[str, type[CrosslookError], str]] = [
        (f"{bucket}/nothing", LayoutError, "does not exist"),
        ("s3://no-such-bucket/x", LayoutError, "does not exist"),
    ]
    for place, kind, words in cases:
        with pytest.raises(kind, match=words):
            crosslook.open_pairs(place)
    with pytest.raises(InputError, match="no basemap"):
        crosslook.build_atlas(f"{bucket}/nothing", tmp_path / "atlas")
    table = f"{bucket}/inputs/lost.csv"
    as_path(table).write_text("sar,optical\nsar/gone.tif,optical/gone.tif\n")
    with pytest.raises(LayoutError, match=r"row 1: .*gone\.tif is not a file"):
        crosslook.open_pairs(table)
    cut = as_path(f"{bucket}/cut/one.tif")
    cut.write_bytes((sides[0] / "sar" / "scene0.tif").read_bytes()[:900])
    with pytest.raises(RasterError):
        crosslook.build_atlas(f"{bucket}/cut", tmp_path / "atlas")
    assert not (tmp_path / "atlas" / "atlas.json").exists()


def test_a_store_out_of_reach_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("upath", reason="universal_pathlib is not installed")
    import fsspec

    fsspec.filesystem("s3").clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(InputError, match="cannot reach s3://far/away"):
        crosslook.open_pairs("s3://far/away")
    fsspec.filesystem("s3").clear_instance_cache()
