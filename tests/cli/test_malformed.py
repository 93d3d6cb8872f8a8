"""Run files and points that are malformed: one clear error each, none that asks to report it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.errors import CrosslookError
from crosslook.geo.grid import make_grid
from crosslook.match.placement import start_by_points

HEAD = "mapX,mapY,sourceX,sourceY,enable\n"


def said(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(done.exception, CrosslookError), (done.exception, done.output)
    text = str(done.exception)
    assert len(text.splitlines()) == 1
    return text


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
@pytest.mark.parametrize("data", [b"", b"PAR1" + bytes(50) + b"PAR1", bytes(range(256))])
def test_a_table_of_pairs(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert name in said("study", path, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no 'key: value'"),
        (b"- a\n", "no 'key: value'"),
        (b"\xff\xfep\x00", "not YAML"),
        (b"pairs: K\xf6ln\n", "not YAML"),
        (b"pairs: \x00\n", "not YAML"),
        (b"a: " + b"[" * 20_000, "too deeply"),
        (b"a: &a [*a]\n", "not YAML"),
        (b"pairs: " + b"[[[[[[[[[[1]]]]]]]]]]", "not YAML"),
        (b"seed: " + b"9" * 5000, "not YAML"),
        (b"pairs: !!timestamp x\n", "not YAML"),
        (b"pairs: !!python/object/apply:os.getcwd []\n", "not YAML"),
        (b"pairs: " + b"a" * (1 << 21), "no run file"),
        (b"seed: 1\nseed: 2\n", "'seed' is given twice"),
        (b"1: 2\n", "unknown key"),
        (b"pairs: {a: b}\n", "no path"),
        (b"pairs: [a]\n", "no path"),
        (b"pairs: ''\n", "no path"),
        (b"pairs: p\nextractors: 5\n", "must be text"),
        (b"pairs: p\nextractors: [1, null]\n", "must be text"),
        (b"pairs: p\npreset: [1]\n", "preset"),
        (b"pairs: p\nseeds: 1.5\n", "whole numbers"),
        (b"pairs: p\nseeds: 0..999999999999\n", "1 to 10000 whole numbers"),
        (b"pairs: 2020-01-01\n", "2020-01-01 does not exist"),
    ],
)
def test_a_run_file(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(text)
    assert words in said("study", "--config", path, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "columns none"),
        (HEAD.encode(), "no point"),
        (HEAD.encode() + b"1,2\n", "a number is needed"),
        (HEAD.encode() + b"1,2,3,4,1,6,7\n", "more than 5 values"),
        (HEAD.encode() + b"nan,1,1,1,1\n", "a number is needed"),
        (HEAD.encode() + b'"' + b"1" * 200_000 + b'",1,1,1,1\n', "cannot read"),
        (HEAD.encode("utf-16"), "cannot read"),
        (HEAD.replace(",", ";").encode(), "are needed"),
        (HEAD.encode() + b"1,2,3,4,1\n1,2,3,4,1\n", "one place or one line"),
        (b"#CRS: nonsense\n" + HEAD.encode() + b"1,2,3,4,1\n", "CRS that is not known"),
        (b"[1, 2]", "are needed"),
    ],
)
def test_a_file_of_points(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "a.points"
    path.write_bytes(text)
    grid = make_grid("EPSG:32633", (10.0, 0.0, 5e5, 0.0, -10.0, 5e6), 64, 64)
    with pytest.raises(CrosslookError, match=words):
        start_by_points(path, grid, grid)


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    for words in (("register", path, path), ("audit", path), ("study", path)):
        said(*words, "--out", tmp_path / "out")
