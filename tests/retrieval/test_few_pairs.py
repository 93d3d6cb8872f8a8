"""Small sets: too few pairs to fit a calibration on, and limits by scene and by patch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from crosslook.report.study import study
from crosslook.report.tables import headlines
from crosslook.retrieval.run_folder import read_patches, read_rows
from crosslook.retrieval.settings import StudySettings
from crosslook.retrieval.study import draw_pairs, run_study
from tests.helpers.pairs import write_pairs

FAST = {"patch": 64, "extractors": ("hog:cell=8",), "draws": 100, "structure": False}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"), 6)


def test_too_few_pairs_to_fit_lead_to_the_uncalibrated_result(pairs: Path, tmp_path: Path) -> None:
    run = study(pairs, tmp_path / "run", **FAST)  # two scenes of four patches fit it
    record = json.loads((run / "run.json").read_text())
    [note] = [n for n in record["notes"] if "to fit calibrations on" in n]
    assert "only 8 pairs of 2 scenes" in note
    assert "--calibration-fraction" in note
    [lead] = headlines(read_rows(run), record)
    assert lead.setup.is_plain
    assert lead.row.value == lead.plain.value  # type: ignore[union-attr]
    assert not lead.optimistic


def test_enough_pairs_are_fitted_without_a_word(pairs: Path, tmp_path: Path) -> None:
    settings = StudySettings(pairs=pairs, out=tmp_path / "run", calibration_fraction=0.5, **FAST)
    run = run_study(settings, Console(quiet=True))
    record = json.loads((run / "run.json").read_text())
    assert not any("to fit calibrations on" in note for note in record["notes"])
    assert record["splits"][0]["chosen"]


def test_limits_by_scene_and_by_patch(pairs: Path, tmp_path: Path) -> None:
    scenes = StudySettings(pairs=pairs, out=tmp_path, limit_scenes=4, **FAST)
    assert len(draw_pairs(scenes)) == 4
    assert draw_pairs(scenes)[0].id == draw_pairs(scenes)[0].id  # by the seed
    both = StudySettings(pairs=pairs, out=tmp_path / "b", limit_scenes=4, limit=12, **FAST)
    run = run_study(both, Console(quiet=True))
    patches = read_patches(run)
    assert len(patches) == 12
    assert len({patch.scene for patch in patches}) == 4
    help_of = StudySettings.model_fields
    assert "Patches (not scenes)" in str(help_of["limit"].description)
    assert "Scenes at most" in str(help_of["limit_scenes"].description)
