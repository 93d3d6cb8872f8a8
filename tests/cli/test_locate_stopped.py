"""Queries of which some are done go on after these, to the same files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rasterio
from click.testing import CliRunner, Result
from rasterio.windows import Window

from crosslook.atlas import locate as locating
from crosslook.atlas.build import build_atlas
from crosslook.cli import app
from crosslook.data.simulate.write import write_pairs
from crosslook.match.batch_so_far import PARTIAL
from tests.helpers.batches import files_of, kill_after_first, saved

CORNERS = {"a": (40, 60), "b": (150, 30), "c": (90, 170)}
ALL = [f"{name}.tif" for name in CORNERS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas, and cuts of a SAR image of its ground."""
    folder = tmp_path_factory.mktemp("queries")
    write_pairs(folder, 1, size=384, gsd=10.0, shift=(2.0, 1.0), relief=0.0)
    build_atlas(folder / "optical" / "sim-0000.tif", folder / "atlas")
    with rasterio.open(folder / "sar" / "sim-0000.tif") as file:
        for name, (row, col) in CORNERS.items():
            window = Window(col, row, 192, 192)
            profile = file.profile | {"height": 192, "width": 192, "tiled": False}
            profile["transform"] = file.window_transform(window)
            profile.pop("blockysize", None)
            with rasterio.open(folder / f"{name}.tif", "w", **profile) as out:
                out.write(file.read(window=window))
    return folder


@pytest.fixture
def ground(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "ground")
    return tmp_path / "ground"


@pytest.fixture
def located(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the queries that are really looked for."""
    names: list[str] = []
    counted: Callable[..., Any] = vars(locating)["_prepare_one"]

    def counts(query: str, job: Any) -> Any:
        names.append(Path(query).name)
        return counted(query, job)

    monkeypatch.setattr(locating, "_prepare_one", counts)
    return names


def call(ground: Path, out: Path, *more: str) -> list[str]:
    queries = [str(ground / name) for name in ALL]
    atlas = ("--atlas", str(ground / "atlas"))
    return ["locate", *queries, *atlas, "--out", str(out), "--device", "cpu", *more]


def run(ground: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(app, call(ground, out, *more))


def stop_after(count: int, ground: Path, out: Path, *more: str) -> None:
    """Locate, and stop as the query after so many is matched."""
    begun: Callable[..., Any] = vars(locating)["_matched"]
    begins: list[None] = []

    def stops(*arguments: Any) -> Any:
        begins.append(None)
        if len(begins) > count:
            raise KeyboardInterrupt
        return begun(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locating, "_matched", stops)
        assert run(ground, out, *more).exit_code not in (0, 3)


def test_queries_that_were_killed_go_on_to_the_same_bytes(
    ground: Path, tmp_path: Path, located: list[str]
) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole" / "out"
    kill_after_first(call(ground, out), out)
    assert not (out / "matches.csv").exists()
    count = len(list(saved(out)))
    first = (out / "a" / "match.json").stat()
    again = run(ground, out)
    assert located == ALL[count:]
    assert (out / "a" / "match.json").stat().st_mtime_ns == first.st_mtime_ns
    fresh = run(ground, whole)
    assert again.exit_code == fresh.exit_code == 0, again.output
    assert again.output.replace(str(out), "OUT") == fresh.output.replace(str(whole), "OUT")
    assert files_of(out) == files_of(whole)
    assert not (out / PARTIAL).exists()


def test_what_changes_a_result_is_looked_for_again(
    ground: Path, tmp_path: Path, located: list[str]
) -> None:
    out = tmp_path / "out"
    stop_after(2, ground, out)
    names = ("seed", "anew", "fine", "atlas", "query", "result")
    kept = {name: shutil.copytree(out, tmp_path / name) for name in names}

    def again(name: str, *more: str) -> list[str]:
        located.clear()
        stop_after(0, ground, kept[name], *more)
        return list(located)

    assert again("seed", "--seed", "5") == ALL
    assert again("anew", "--overwrite") == ALL
    assert again("fine", "--fine", "hog:cell=6") == ALL
    (kept["result"] / "b" / "aligned.tif").unlink()
    assert again("result") == ALL[1:]
    with (ground / ALL[0]).open("ab") as file:
        file.write(b"changed")
    assert again("query") == [ALL[0], ALL[2]]
    manifest = ground / "atlas" / "atlas.json"
    manifest.write_text(manifest.read_text().replace('"version": "', '"version": "9.'))
    assert again("atlas") == ALL


def test_failures_are_tried_again_and_only_they(
    ground: Path, tmp_path: Path, located: list[str]
) -> None:
    bad, out = ground / ALL[1], tmp_path / "out"
    whole = bad.read_bytes()
    bad.write_bytes(b"no image")
    assert run(ground, out).exit_code == 1
    assert (out / PARTIAL).is_dir()
    bad.write_bytes(whole)
    located.clear()
    assert run(ground, out).exit_code == 0
    assert located == [ALL[1]]


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_the_last_query_is_still_one_of_many(
    workers: tuple[str, ...], ground: Path, tmp_path: Path
) -> None:
    """A pixel size is given for others: where an image says its own, that is used."""
    out, whole = tmp_path / "out", tmp_path / "whole" / "out"
    given = ("--gsd", "17")
    stop_after(2, ground, out, *given)
    assert run(ground, out, *given, *workers).exit_code == 0
    assert run(ground, whole, *given).exit_code == 0
    assert files_of(out) == files_of(whole)


def test_all_are_done_and_nothing_is_looked_for(
    ground: Path, tmp_path: Path, located: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # as all are saved, and the page is not written
        patch.setattr("crosslook.match.batch_page.write_batch_page", stops)
        assert run(ground, tmp_path).exit_code != 0
    located.clear()
    assert run(ground, tmp_path, "--workers", "2").exit_code == 0
    assert located == []
    assert not (tmp_path / PARTIAL).exists()
