"""A batch that was stopped goes on after the pairs that are done, to the same files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from crosslook.cli import app
from crosslook.data.simulate.write import write_pairs
from crosslook.match import batch, matchers
from crosslook.match.batch_so_far import PARTIAL
from tests.helpers.batches import files_of, kill_after_first, saved

COUNT = 4
NEAR = ("--near-only", "--model", "similarity", "--device", "cpu")
ALL = [f"sim-000{n}" for n in range(COUNT)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, COUNT, size=192, gsd=10.0, shift=(2.0, 1.0), relief=0.0)
    return folder


@pytest.fixture
def pairs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "pairs")
    return tmp_path / "pairs"


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pairs that are really matched."""
    names: list[str] = []
    counted: Callable[..., Any] = vars(batch)["register_with"]

    def counts(sar: Path, *arguments: Any) -> Any:
        names.append(Path(str(sar)).stem)
        return counted(sar, *arguments)

    monkeypatch.setattr(batch, "register_with", counts)
    return names


def call(pairs: Path, out: Path, *more: str) -> list[str]:
    return ["register", str(pairs), "--out", str(out), *NEAR, *more]


def run(pairs: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(app, call(pairs, out, *more))


def stop_after(count: int, pairs: Path, out: Path, *more: str) -> None:
    """Register, and stop as the pair after so many begins."""
    begun: Callable[..., Any] = vars(batch)["register_with"]
    names: list[Path] = []

    def stops(sar: Path, *arguments: Any) -> Any:
        names.append(sar)
        if len(names) > count:
            raise KeyboardInterrupt
        return begun(sar, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "register_with", stops)
        assert run(pairs, out, *more).exit_code not in (0, 3)


def test_a_batch_that_was_killed_goes_on_to_the_same_bytes(pairs: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole" / "out"
    kill_after_first(call(pairs, out), out)
    assert not (out / "matches.csv").exists()
    first = (out / ALL[0] / "match.json").stat()
    again = run(pairs, out)
    assert (out / ALL[0] / "match.json").stat().st_mtime_ns == first.st_mtime_ns
    fresh = run(pairs, whole)
    assert again.exit_code == fresh.exit_code == 0, again.output
    assert again.output.replace(str(out), "OUT") == fresh.output.replace(str(whole), "OUT")
    assert files_of(out) == files_of(whole)
    assert not (out / PARTIAL).exists()


def test_what_is_done_is_matched_once(pairs: Path, tmp_path: Path, matched: list[str]) -> None:
    stop_after(2, pairs, tmp_path / "out")
    assert matched == ALL[:2]
    assert run(pairs, tmp_path / "out").exit_code == 0
    assert matched == ALL
    run(pairs, tmp_path / "out")
    assert matched == [*ALL, *ALL], "a run that ended is over: the next one is anew"


def test_a_matcher_that_loads_a_model_is_opened_once(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    opens: Callable[..., Any] = vars(matchers)["_opened"]

    def counts(settings: Any) -> Any:
        opened.append(settings.matcher)
        return opens(settings)

    monkeypatch.setattr(matchers, "_opened", counts)
    assert run(pairs, tmp_path / "out").exit_code == 0
    assert opened == ["template"]


def test_changed_files_options_and_results_are_matched_again(
    pairs: Path, tmp_path: Path, matched: list[str]
) -> None:
    out = tmp_path / "out"
    stop_after(3, pairs, out)
    kept = {name: shutil.copytree(out, tmp_path / name) for name in ("seed", "anew", "mask")}
    with (pairs / "sar" / "sim-0001.tif").open("ab") as file:
        file.write(b"changed")
    (out / ALL[2] / "aligned.tif").unlink()
    matched.clear()
    run(pairs, out)
    assert matched == ALL[1:]
    matched.clear()
    run(pairs, kept["seed"], "--seed", "5")
    assert matched == ALL
    matched.clear()
    run(pairs, kept["anew"], "--overwrite")
    assert matched == ALL


def test_failures_are_tried_again_and_only_they(
    pairs: Path, tmp_path: Path, matched: list[str]
) -> None:
    bad, out = pairs / "sar" / f"{ALL[1]}.tif", tmp_path / "out"
    whole = bad.read_bytes()
    bad.write_bytes(b"no image")
    assert run(pairs, out).exit_code == 1
    assert (out / PARTIAL).is_dir()
    bad.write_bytes(whole)
    matched.clear()
    assert run(pairs, out).exit_code == 0
    assert matched == [ALL[1]]
    fresh = tmp_path / "whole" / "out"
    assert run(pairs, fresh).exit_code == 0
    assert files_of(out) == files_of(fresh)


@pytest.mark.parametrize("content", ["", "{", "[1]", "7", '{"files": {}}'])
def test_a_damaged_file_costs_time_alone(
    content: str, pairs: Path, tmp_path: Path, matched: list[str]
) -> None:
    stop_after(1, pairs, tmp_path)
    for path in saved(tmp_path):
        path.write_text(content)
    (tmp_path / PARTIAL / "mine.txt").write_text("kept")
    matched.clear()
    assert run(pairs, tmp_path).exit_code == 0
    assert matched == ALL
    assert [path.name for path in (tmp_path / PARTIAL).iterdir()] == ["mine.txt"]


def test_a_stack_goes_on_too(pairs: Path, tmp_path: Path, matched: list[str]) -> None:
    dates = [pairs / f"{name}.tif" for name in "abc"]
    for date in dates:
        shutil.copy(pairs / "sar" / "sim-0000.tif", date)
    (pairs / "b.tif").write_bytes(b"no image")
    given = ["register", *map(str, dates), str(pairs / "optical" / "sim-0000.tif"), "--stack"]
    given += [*NEAR, "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, given).exit_code == 1
    assert matched == ["a", "b", "c"]
    shutil.copy(dates[0], dates[1])
    assert CliRunner().invoke(app, given).exit_code == 0
    assert matched == ["a", "b", "c", "b"]
    assert not (tmp_path / "out" / PARTIAL).exists()
