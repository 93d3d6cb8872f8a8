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

SHIFTS = [(2.3, 1.6), (-11.2, 6.1), (0.0, 0.0), (7.75, -9.5), (-3.4, -0.6)]
CORNER = (500_000.0, 5_400_000.0)


def test_planted_shifts_are_recovered_to_a_third_of_a_pixel(tmp_path: Path) -> None:
    """At 60 m a pixel nothing that stands up is laid over into the next one."""
    for number, shift in enumerate(SHIFTS):
        made = make_pair(384, number, shift=shift, gsd=60.0, relief=20.0)
        write_pair(tmp_path, str(number), made, CORNER)
    found = audit(open_pairs(tmp_path))
    off = [
        np.hypot(row.row - shift[0], row.col - shift[1])
        for row, shift in zip(found.rows, SHIFTS, strict=True)
    ]
    assert np.median(off) < 0.3
    assert max(off) < 0.5
    assert found.summary()["trusted"] == len(SHIFTS)
    check_files(found, tmp_path / "out")


def test_layover_is_seen_beside_a_planted_shift(tmp_path: Path) -> None:
    """At 10 m trees and houses lie towards the sensor, in columns: the audit sees that too."""
    shifts = [(2.5, 1.5), (-11.25, 6.75), (7.75, -9.5)]
    for number, shift in enumerate(shifts):
        write_pair(tmp_path, str(number), make_pair(384, 3, shift=shift, relief=20.0), CORNER)
    rows = audit(open_pairs(tmp_path)).rows
    off = np.array([(r.row - s[0], r.col - s[1]) for r, s in zip(rows, shifts, strict=True)])
    assert np.abs(off[:, 0]).max() < 0.4, "no sensor looks along the rows"
    assert (off[:, 1] > 0.5).all()
    assert np.ptp(off, axis=0).max() < 0.3, "differences between shifts are exact"


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
