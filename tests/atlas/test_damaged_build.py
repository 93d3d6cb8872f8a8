"""What a build left half or damaged: one clear error with the next step, from every command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from crosslook.atlas.build import build_atlas
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.cli import app
from crosslook.errors import StoreError

DAMAGES: dict[str, Callable[[str], str | bytes]] = {
    "empty": lambda text: "",
    "truncated": lambda text: text[: len(text) // 2],
    "no JSON": lambda text: "hello",
    "not UTF-8": lambda text: b"\xff\xfe{}",
    "a list": lambda text: "[1, 2]",
    "a number": lambda text: "7",
    "wrong keys": lambda text: '{"a": 1}',
    "wrong values": lambda text: json.dumps(dict.fromkeys(json.loads(text), "x")),
}


def damage(path: Path, how: str) -> None:
    changed = DAMAGES[how](path.read_text())
    path.write_bytes(changed if isinstance(changed, bytes) else changed.encode())


@pytest.fixture
def unfinished(atlas: Atlas, tmp_path: Path) -> Path:
    folder = tmp_path / "a"
    shutil.copytree(atlas.name, folder)
    (folder / "atlas.json").unlink()
    return folder


# A plan of wrong values is that of another atlas: it cannot be told from one.
@pytest.mark.parametrize("how", [name for name in DAMAGES if name != "wrong values"])
def test_a_damaged_plan(how: str, unfinished: Path, basemap: Path) -> None:
    damage(unfinished / "build.json", how)
    wanted = r"build\.json of atlas .* is damaged .* Remove the folder and build again"
    with pytest.raises(StoreError, match=wanted):
        build_atlas(basemap, unfinished)
    for command in (
        ["atlas", "info", str(unfinished)],
        ["locate", str(basemap), "--atlas", str(unfinished), "--out", str(unfinished / "out")],
    ):
        ended = CliRunner().invoke(app, command)
        assert isinstance(ended.exception, StoreError)
        assert "is damaged" in str(ended.exception)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_block(how: str, unfinished: Path, basemap: Path, atlas: Atlas) -> None:
    done = unfinished / "blocks" / "r00001-c00002" / "block.json"
    damage(done, how)
    with pytest.raises(StoreError, match=r"r00001-c00002/block\.json is damaged .* Remove that"):
        build_atlas(basemap, unfinished)
    done.unlink()  # the advice is good
    assert build_atlas(basemap, unfinished).manifest.to_json() == atlas.manifest.to_json()


@pytest.mark.parametrize("lost", ["level1.npy", "statistics", "range"])
def test_a_block_that_lacks_a_part_is_damaged(lost: str, unfinished: Path, basemap: Path) -> None:
    path = unfinished / "blocks" / "r00000-c00000" / "block.json"
    done = json.loads(path.read_text())
    (done["files"] if lost in done["files"] else done).pop(lost)
    path.write_text(json.dumps(done))
    with pytest.raises(StoreError, match="damaged"):
        build_atlas(basemap, unfinished)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_manifest(how: str, atlas: Atlas, tmp_path: Path) -> None:
    (tmp_path / "atlas.json").write_bytes((Path(atlas.name) / "atlas.json").read_bytes())
    damage(tmp_path / "atlas.json", how)
    with pytest.raises(StoreError, match=r"is damaged|has format"):
        open_atlas(tmp_path)


BUILD = """
import sys
import crosslook.atlas.build as build
build.BLOCK = 512
build.build_atlas(sys.argv[1], sys.argv[2], cell=int(sys.argv[3]))
"""


def build_at_once(basemap: Path, out: Path, cells: list[int]) -> list[str]:
    """Start builders of one folder together; what each said, empty where it went well."""

    def run(cell: int) -> str:
        call = [sys.executable, "-c", BUILD, str(basemap), str(out), str(cell)]
        return subprocess.run(call, capture_output=True, text=True).stderr

    with ThreadPoolExecutor(len(cells)) as pool:
        return list(pool.map(run, cells))


@pytest.mark.slow
def test_two_builders_of_one_atlas_give_the_bytes_of_one(
    basemap: Path, atlas: Atlas, tmp_path: Path
) -> None:
    assert build_at_once(basemap, tmp_path / "a", [8, 8]) == ["", ""]
    names = {path.relative_to(atlas.name) for path in Path(atlas.name).rglob("*")}
    assert {path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*")} == names
    for name in names:
        if (Path(atlas.name) / name).is_file():
            assert (tmp_path / "a" / name).read_bytes() == (Path(atlas.name) / name).read_bytes()


@pytest.mark.slow
def test_two_builders_of_different_atlases_do_not_mix(basemap: Path, tmp_path: Path) -> None:
    said = sorted(build_at_once(basemap, tmp_path / "a", [8, 16]))
    assert said[0] == ""
    assert "other basemaps or settings" in said[1]
    cell = open_atlas(tmp_path / "a").manifest.levels[0].cell
    assert json.loads((tmp_path / "a" / "build.json").read_text())["cells"][0] == cell
