"""A study of few scenes says what its figures are worth; limits count what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.simulate.write import write_pairs
from crosslook.report.tables import headlines
from crosslook.retrieval.run_folder import read_patches, read_rows, read_run


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, 8, size=128, relief=0.0)
    return folder


def studied(pairs: Path, out: Path, *more: str) -> str:
    call = ["study", str(pairs), "--out", str(out), "--extractors", "hog:cell=8", "--patch", "64"]
    done = CliRunner().invoke(app, [*call, "--no-structure", "--draws", "100", *more])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_few_calibration_pairs_are_said_and_do_not_lead(pairs: Path, tmp_path: Path) -> None:
    said = studied(pairs, tmp_path / "run")  # a fifth of 8 scenes: 2, of 4 patches each
    assert "calibrations are fitted on 8 pair(s); fewer than 10 may make it worse" in said
    record = read_run(tmp_path / "run")
    assert any("fewer than 10" in note for note in record["notes"])
    (line,) = headlines(read_rows(tmp_path / "run"), record)
    assert (line.setup.calibration, line.setup.scoring) == ("none", "cosine")
    assert line.plain is not None
    assert line.row.value == line.plain.value
    enough = studied(pairs, tmp_path / "other", "--calibration-fraction", "0.5")
    assert "fewer than 10" not in enough


def test_limits_count_patches_or_scenes(pairs: Path, tmp_path: Path) -> None:
    def counted(*more: str) -> tuple[int, int]:
        studied(pairs, tmp_path / more[0], "--split", "transductive", *more)
        patches = read_patches(tmp_path / more[0])
        return len(patches), len({patch.scene for patch in patches})

    assert counted("--limit-scenes", "4") == (16, 4)
    assert counted("--limit", "4") == (4, 4)
