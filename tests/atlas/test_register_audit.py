"""The audit finds planted shifts, and what is known of the Sentinel pairs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from crosslook.atlas.audit import Audit, audit
from crosslook.data.pairs import open_pairs
from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_pair
from crosslook.errors import InputError, MatchError

SHIFTS = [(2.3, 1.6), (-11.2, 6.1)]
CORNER = (500_000.0, 5_400_000.0)


def test_planted_shifts_are_recovered(tmp_path: Path) -> None:
    """Against the same scene without a shift: layover displaces what stands up in both."""
    for number, shift in enumerate(SHIFTS):
        write_pair(tmp_path, f"{number}-still", make_pair(320, number), CORNER)
        write_pair(tmp_path, f"{number}-moved", make_pair(320, number, shift=shift), CORNER)
    found = audit(open_pairs(tmp_path))
    rows = {row.scene: row for row in found.rows}
    for number, shift in enumerate(SHIFTS):
        moved, still = rows[f"{number}-moved"], rows[f"{number}-still"]
        apart = np.hypot(moved.row - still.row - shift[0], moved.col - still.col - shift[1])
        by_gradients = np.hypot(
            moved.gradient_row - still.gradient_row - shift[0],
            moved.gradient_col - still.gradient_col - shift[1],
        )
        assert by_gradients < 1.0
        assert apart < 1.2
    assert found.summary()["scenes"] == 4
    check_files(found, tmp_path / "out")


def check_files(found: Audit, out: Path) -> None:
    names = {path.name for path in found.write(out)}
    trusted = [row.scene for row in found.rows if row.trusted]
    assert names == {"audit.csv", "alignment.csv"} | ({"worst.png"} if trusted else set())
    with (out / "alignment.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["scene"] for line in lines] == trusted
    with (out / "audit.csv").open(newline="") as file:
        assert [line["scene"] for line in csv.DictReader(file)] == [r.scene for r in found.rows]


@pytest.mark.sentinel
def test_a_trusted_sentinel_scene_agrees_with_the_published_estimate(sentinel: Path) -> None:
    @dataclass
    class Pair:
        id: str
        sar: Path
        optical: Path

    name = "T11SLT_049.tif"
    (row,) = audit([Pair("049", sentinel / "sar" / name, sentinel / "optical" / name)]).rows
    assert row.trusted
    assert np.hypot(row.row - -1.195, row.col - -4.995) < 1.0


def test_nothing_to_audit_and_scenes_too_small_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pair"):
        audit([])
    write_pair(tmp_path, "tiny", make_pair(64), (500_000.0, 5_400_000.0))
    with pytest.raises(MatchError, match="at least 96"):
        audit(open_pairs(tmp_path))
