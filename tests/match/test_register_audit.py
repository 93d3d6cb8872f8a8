"""The audit finds planted shifts, and what is known of the Sentinel pairs."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.pairs import ScenePair, open_pairs
from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_pair
from crosslook.errors import InputError, MatchError
from crosslook.match.audit import Audit, audit
from crosslook.match.register import register

SHIFTS = [(2.3, 1.6), (-11.2, 6.1), (0.0, 0.0), (7.75, -9.5), (-3.4, -0.6)]
CORNER = (500_000.0, 5_400_000.0)


def test_planted_shifts_are_recovered_to_a_third_of_a_pixel(tmp_path: Path) -> None:
    """At 60 m a pixel nothing that stands up is laid over into the next one."""
    for number, shift in enumerate(SHIFTS):
        made = make_pair(384, number, shift=shift, gsd=60.0, relief=20.0)
        write_pair(tmp_path, str(number), made.settings, CORNER)
    result = audit(open_pairs(tmp_path))
    off = [
        np.hypot(row.row - shift[0], row.col - shift[1])
        for row, shift in zip(result.rows, SHIFTS, strict=True)
    ]
    assert np.median(off) < 0.3
    assert max(off) < 0.5
    assert result.summary()["trusted"] == len(SHIFTS)
    check_files(result, tmp_path / "out")


def test_layover_is_seen_beside_a_planted_shift(tmp_path: Path) -> None:
    """At 10 m trees and houses lie towards the sensor, in columns: the audit sees that too."""
    shifts = [(2.5, 1.5), (-11.25, 6.75), (7.75, -9.5)]
    for number, shift in enumerate(shifts):
        made = make_pair(384, 3, shift=shift, relief=20.0)
        write_pair(tmp_path, str(number), made.settings, CORNER)
    rows = audit(open_pairs(tmp_path)).rows
    off = np.array([(r.row - s[0], r.col - s[1]) for r, s in zip(rows, shifts, strict=True)])
    assert np.abs(off[:, 0]).max() < 0.4, "no sensor looks along the rows"
    assert (off[:, 1] > 0.5).all()
    assert np.ptp(off, axis=0).max() < 0.3, "differences between shifts are exact"


def test_planted_parallax_is_called_relief_and_its_direction_is_found(tmp_path: Path) -> None:
    """Hills move along the range by up to 8 px either way; flat ground does not."""
    low, high = _write_flat_and_hilly(tmp_path)
    audited = audit(open_pairs(tmp_path))
    rows = {row.scene: row for row in audited.rows}
    assert rows["flat"].relief_px < 2.0
    assert np.isnan(rows["flat"].relief_degrees)
    assert rows["hilly"].relief_px == pytest.approx(high - low, rel=0.3)
    assert rows["hilly"].relief_degrees == pytest.approx(20.0, abs=6.0)
    hilly = sum(row.trusted and row.relief_px > 6.0 for row in audited.rows)
    assert audited.summary()["relief_over_6_px"] == hilly
    audited.write(tmp_path / "out")
    with (tmp_path / "out" / "audit.csv").open(newline="") as file:
        written = {line["scene"]: line for line in csv.DictReader(file)}
    assert written["flat"]["relief_degrees"] == ""
    assert float(written["hilly"]["relief_px"]) == pytest.approx(rows["hilly"].relief_px, abs=1e-3)


@pytest.mark.slow
def test_a_hilly_match_says_so_and_relief_follows_the_ground(tmp_path: Path) -> None:
    low, high = _write_flat_and_hilly(tmp_path)
    images = {
        name: [str(tmp_path / sensor / f"{name}.tif") for sensor in ("sar", "optical")]
        for name in ("flat", "hilly")
    }
    said = {
        name: CliRunner().invoke(
            app,
            ["register", *pair, "--out", str(tmp_path / "out" / name), "--model", "similarity"],
        )
        for name, pair in images.items()
    }
    assert [ended.exit_code for ended in said.values()] == [0, 0]
    assert "relief" not in said["flat"].output
    assert "--model relief follows it" in said["hilly"].output
    rigid, bent = (register(*images["hilly"], model=model) for model in ("similarity", "tps"))
    assert rigid.evidence.relief == pytest.approx(high - low, rel=0.3)
    assert bent.evidence.relief < rigid.evidence.relief / 2
    assert rigid.hint in said["hilly"].output
    best = rigid.explanation.terms[0]
    assert f"\n{best.sign}: {best.sentence}\n" in said["hilly"].output
    written = json.loads((tmp_path / "out" / "hilly" / "match.json").read_text())
    assert written["explanation"]["terms"][0] == pytest.approx(asdict(best))
    assert not bent.hint
    followed = register(*images["hilly"])
    assert followed.transform is not None
    assert followed.transform.model == "relief"
    assert not followed.hint


def _write_flat_and_hilly(folder: Path) -> tuple[float, float]:
    """Two pairs, one displaced along a line by a height; its 10 % and 90 % quantiles, pixels."""
    made = make_pair(512, 5, gsd=60.0, relief=20.0)
    rows, cols = np.indices(made.sar.shape, np.float32)
    height = 8.0 * np.sin(rows / 512 * 2 * np.pi) * np.sin(cols / 512 * 2 * np.pi)
    angle = np.radians(20.0)
    source = (cols + np.cos(angle) * height, rows + np.sin(angle) * height)
    x, y = (axis.astype(np.float32) for axis in source)
    bent = cv2.remap(made.sar.astype(np.float32), x, y, cv2.INTER_CUBIC)
    write_pair(folder, "flat", made.settings, CORNER)
    write_pair(folder, "hilly", made.settings, CORNER)
    with rasterio.open(folder / "sar" / "hilly.tif", "r+") as file:
        file.write(bent.astype(made.sar.dtype), 1)
    low, high = np.quantile(height, [0.1, 0.9])
    return float(low), float(high)


def check_files(result: Audit, out: Path) -> None:
    names = {path.name for path in result.write(out)}
    trusted = [row.scene for row in result.rows if row.trusted]
    assert names == {"audit.csv", "alignment.csv"} | ({"worst.png"} if trusted else set())
    with (out / "alignment.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["scene"] for line in lines] == trusted
    with (out / "audit.csv").open(newline="") as file:
        assert [line["scene"] for line in csv.DictReader(file)] == [r.scene for r in result.rows]


@pytest.mark.slow
@pytest.mark.sentinel
def test_a_trusted_sentinel_scene_agrees_with_the_published_estimate(sentinel: Path) -> None:
    name = "T11SLT_049.tif"
    (row,) = audit(
        [ScenePair("049", "T11SLT", sentinel / "sar" / name, sentinel / "optical" / name)]
    ).rows
    assert row.trusted
    assert np.hypot(row.row - -1.195, row.col - -4.995) < 1.0


@pytest.mark.slow
@pytest.mark.sentinel
def test_relief_on_real_scenes_lies_along_the_range_of_the_radar(sentinel: Path) -> None:
    """A descending pass at 34 degrees north heads 193 degrees: its range is 13 degrees off."""
    names = ("T11SMT_171.tif", "T11SLT_076.tif")
    hills, plain = audit(
        [
            ScenePair(name, name, sentinel / "sar" / name, sentinel / "optical" / name)
            for name in names
        ]
    ).rows
    assert hills.trusted
    assert hills.relief_px > 10.0
    assert hills.relief_degrees == pytest.approx(13.0, abs=8.0)
    assert plain.relief_px < 4.0


def test_nothing_to_audit_and_scenes_too_small_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pair"):
        audit([])
    write_pair(tmp_path, "tiny", make_pair(64).settings, (500_000.0, 5_400_000.0))
    with pytest.raises(MatchError, match="at least 96"):
        audit(open_pairs(tmp_path))
