"""An audit keeps what it has measured, and one bad scene does not lose it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.pairs import open_pairs
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import OutputError, RasterError
from crosslook.match import audit as module
from crosslook.match.audit import AuditRow, audit, measure_scene

PARTIAL = "audit.partial.json"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "pairs", 4, size=128, gsd=60.0, shift=(3.0, -2.0))
    return tmp_path / "pairs"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the scenes that are really measured."""
    names: list[str] = []

    def counts(scene: str, *arguments: Any, **options: Any) -> AuditRow:
        names.append(scene)
        return measure_scene(scene, *arguments, **options)

    monkeypatch.setattr(module, "measure_scene", counts)
    return names


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stop_at(number: int, pairs: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Audit, and stop while scene ``number`` is measured."""
    with monkeypatch.context() as patch:
        counted: Callable[..., AuditRow] = vars(module)["measure_scene"]
        calls: list[str] = []

        def stops(scene: str, *arguments: Any, **options: Any) -> AuditRow:
            calls.append(scene)
            if len(calls) == number:
                raise KeyboardInterrupt
            return counted(scene, *arguments, **options)

        patch.setattr(module, "measure_scene", stops)
        with pytest.raises(KeyboardInterrupt):
            audit(open_pairs(pairs), radius=16, out=out)


def test_a_stopped_audit_goes_on_to_the_same_bytes(
    pairs: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop_at(3, pairs, tmp_path / "out", monkeypatch)
    assert files_of(tmp_path / "out").keys() == {PARTIAL}
    result = audit(open_pairs(pairs), radius=16, out=tmp_path / "out")
    assert measured == ["sim-0000", "sim-0001", "sim-0002", "sim-0003"], "each of them once"
    whole = audit(open_pairs(pairs), radius=16, out=tmp_path / "whole")
    # As text: a number that is not known is not equal to itself.
    assert repr(result) == repr(whole)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    assert PARTIAL not in files_of(tmp_path / "out")


def test_changed_files_and_options_are_measured_again(
    pairs: Path, measured: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop_at(4, pairs, tmp_path / "out", monkeypatch)
    measured.clear()
    with (pairs / "sar" / "sim-0001.tif").open("ab") as file:
        file.write(b"changed")
    audit(open_pairs(pairs), radius=16, out=tmp_path / "out")
    assert measured == ["sim-0001", "sim-0003"]
    stop_at(4, pairs, tmp_path / "out", monkeypatch)
    measured.clear()
    audit(open_pairs(pairs), radius=12, out=tmp_path / "out")
    assert measured == ["sim-0000", "sim-0001", "sim-0002", "sim-0003"]


@pytest.mark.parametrize("content", ["", "{", "[1]", "7", '{"a": 1}'])
def test_a_damaged_partial_file_costs_time_alone(content: str, pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / PARTIAL).write_text(content)
    result = audit(open_pairs(pairs)[:1], radius=16, out=tmp_path / "out")
    assert [row.scene for row in result.rows] == ["sim-0000"]


def test_one_bad_scene_is_named_and_the_others_are_measured_once(
    pairs: Path, measured: list[str], tmp_path: Path
) -> None:
    bad = pairs / "sar" / "sim-0002.tif"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 3])
    call = ["audit", str(pairs), "--radius", "16", "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, call)
    assert said.exit_code == 1
    words = said.output.replace(str(bad), bad.name)
    assert "failed: 1" in words
    assert "failed: sim-0002: sim-0002.tif cannot be" in words
    assert measured == ["sim-0000", "sim-0001", "sim-0003"]
    files = files_of(tmp_path / "out")
    assert files["failed.csv"].startswith(b"scene,reason\nsim-0002,")
    assert files["audit.csv"].count(b"\n") == 4
    bad.write_bytes(whole)
    measured.clear()
    assert CliRunner().invoke(app, call).exit_code == 0
    assert measured == ["sim-0002"], "the next try measures what failed"
    assert not {"failed.csv", PARTIAL} & files_of(tmp_path / "out").keys()
    result = audit(open_pairs(pairs), radius=16, out=tmp_path / "whole")
    assert not result.failed
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_an_audit_of_bad_scenes_alone_is_an_error(pairs: Path, tmp_path: Path) -> None:
    for path in (pairs / "sar").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(RasterError, match="cannot be opened"):
        audit(open_pairs(pairs), radius=16, out=tmp_path / "out")
    assert not files_of(tmp_path / "out")


def test_a_full_disk_is_no_fault_of_a_scene(
    pairs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OutputError("cannot write: no space left")

    monkeypatch.setattr(module, "write_text", full)
    with pytest.raises(OutputError, match="no space"):
        audit(open_pairs(pairs), radius=16, out=tmp_path / "out")
    assert not files_of(tmp_path / "out")
