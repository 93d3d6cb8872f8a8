"""Sets made after their published layouts, with truths in their own forms, go through a trial."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console
from scipy.io import savemat

from crosslook.errors import InputError
from crosslook.trial.answers import read_run_answers
from crosslook.trial.cases import read_tie_points
from crosslook.trial.run import open_trial_pairs, run_trial, strata_of_pairs
from crosslook.trial.settings import TrialSettings
from tests.helpers.trials import SIDE, aligned_set

DOWN, RIGHT = 3, -5  # of the SAR image against the optical one
QUICK: dict[str, Any] = {
    "matchers": "phase-correlation", "reaches": "as-is", "bootstrap": 100, "processes": 1,
}  # fmt: skip


def mmim(folder: Path, count: int = 3) -> Path:
    """``SO1a.png`` (SAR, the fixed image), ``SO1b.png`` and ``SO1.mat``, as published."""
    plain = aligned_set(folder / "plain", [str(n) for n in range(count)])
    for n in range(count):
        sar, optical = (
            cv2.imread(str(plain / kind / f"{n}.png"), 0) for kind in ("sar", "optical")
        )
        sar = np.roll(sar, (DOWN, RIGHT), (0, 1))
        at = folder / "set" / "SAR_Optical" / f"SO{n + 1}"
        at.parent.mkdir(parents=True, exist_ok=True)
        for side, image in (("a", sar), ("b", optical)):
            cv2.imwrite(f"{at}{side}.png", np.repeat(image[..., None], 3, axis=2))
        moving = np.random.default_rng(n).uniform(20, SIDE - 20, (20, 2))  # x, y from 1
        marks = {"LMfix": moving + np.array([RIGHT, DOWN]), "LMmov": moving}
        savemat(f"{at}.mat", {"I_fix": sar, "I_move": optical, "Landmarks": marks, "T": np.eye(3)})
    return folder / "set"


def test_landmarks_of_mmim_are_the_truth(tmp_path: Path) -> None:
    settings = TrialSettings(pairs=mmim(tmp_path), out=tmp_path / "run", wrong=False, **QUICK)
    answers = read_run_answers(run_trial(settings, Console(file=io.StringIO())))
    assert [one.pair for one in answers] == ["SO1", "SO2", "SO3"]
    assert all(abs(one.start_error_px - np.hypot(DOWN, RIGHT)) < 1e-3 for one in answers)
    assert all(one.error_px < 0.7 for one in answers)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        (np.zeros((5, 4)), "no readable"),
        ({"LMfix": np.ones((5, 2)), "LMmov": np.ones((4, 2))}, "shapes"),
        ({"LMfix": np.ones((5, 2, 2)), "LMmov": np.ones((5, 2, 2))}, "shapes"),
        ({"LMfix": np.full((5, 2), np.nan), "LMmov": np.ones((5, 2))}, "not finite"),
    ],
)
def test_landmarks_that_cannot_be_read_are_refused(tmp_path: Path, marks: Any, words: str) -> None:
    savemat(tmp_path / "SO1.mat", {"Landmarks": marks})
    anything: Any = None
    with pytest.raises(InputError, match=words):
        read_tie_points(tmp_path / "SO1.mat", anything, anything)


@pytest.mark.parametrize("at", [0, 150])
def test_a_damaged_file_of_landmarks_is_one_clear_error(tmp_path: Path, at: int) -> None:
    path, anything = tmp_path / "SO1.mat", None
    marks = {"LMfix": np.ones((5, 2)), "LMmov": np.ones((5, 2))}
    savemat(path, {"Landmarks": marks}, do_compression=True)
    whole = bytearray(path.read_bytes())
    whole[at] ^= 255
    path.write_bytes(whole if at else b"")
    with pytest.raises(InputError, match="no readable 'Landmarks'"):
        read_tie_points(path, anything, anything)  # type: ignore[arg-type]


@pytest.mark.parametrize("sides", [("sar", "opt"), ("SAR", "optical")])
def test_folders_of_a_sensor_each_are_one_set(tmp_path: Path, sides: tuple[str, str]) -> None:
    """As 3MOS may lie; how its archive is laid out is not published."""
    for sensor in ("GF3", "RCM"):
        made = aligned_set(
            tmp_path / "made" / sensor, [f"{sensor}_{ground}_0" for ground in ("city", "rural")]
        )
        for kind, name in zip(("sar", "optical"), sides, strict=True):
            into = tmp_path / "set" / sensor / name
            into.parent.mkdir(parents=True, exist_ok=True)
            (made / kind).rename(into)
    settings = TrialSettings(pairs=tmp_path / "set", out=tmp_path / "run")
    pairs = open_trial_pairs(settings)
    assert len(pairs) == 4
    assert {pair.group for pair in pairs} == {"GF3", "RCM"}
    strata = strata_of_pairs(tmp_path / "set", pairs)
    assert strata["RCM/RCM_rural_0"] == {"sensor": "RCM", "ground": "rural"}
