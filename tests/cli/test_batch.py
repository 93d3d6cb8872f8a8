"""Batches on the command line: a bad pair does not lose the others; Ctrl-C says what next."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.data.simulate.write import write_pairs
from crosslook.errors import SettingError, TooSmallError


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pairs 6 rows off: one SAR image is constant, one no image at all."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, 4, size=384, relief=20.0, gsd=60.0, shift=(6.0, -3.0))
    with rasterio.open(folder / "sar" / "sim-0001.tif", "r+") as file:
        file.write(np.full((1, 384, 384), 2.0, np.float32))
    (folder / "sar" / "sim-0002.tif").write_bytes(b"no image")
    return folder


def heed_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_pairs_are_registered_and_the_bad_ones_named(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["register", str(pairs), "--out", str(out)])
    assert done.exit_code == 1
    rows = table(out / "matches.csv")
    assert [row["name"] for row in rows] == [f"sim-000{n}" for n in range(4)]
    assert [row["verdict"] for row in rows] == ["match", "", "", "match"]
    assert "constant" in rows[1]["error"]
    assert "cannot be opened" in rows[2]["error"]
    assert sorted(p.name for p in out.iterdir()) == [
        "index.html", "matches.csv", "matches.partial", "sim-0000", "sim-0003",
    ]  # fmt: skip
    assert "2 match, 2 failed of 4; see " in done.output
    assert "[1/4] sim-0000: match: confidence " in done.output
    assert "[2/4] sim-0001: failed: " in done.output
    first = rows[0]
    assert float(first["shift_row_px"]) == pytest.approx(6.0, abs=1.5)
    assert float(first["shift_col_px"]) == pytest.approx(-3.0, abs=1.5)
    assert abs(float(first["rotation_degrees"])) < 0.5
    assert float(first["scale"]) == pytest.approx(1.0, abs=0.01)
    assert int(first["inliers"]) <= int(first["tie_points"])
    assert float(first["row"]) == pytest.approx(192, abs=10)
    assert "2 of 4 images failed:\n  sim-0001: " in done.output
    one = tmp_path / "one"
    files = [str(pairs / kind / "sim-0000.tif") for kind in ("sar", "optical")]
    alone = CliRunner().invoke(app, ["register", *files, "--out", str(one)])
    assert alone.exit_code == 0, alone.output
    for name in ("aligned.tif", "tie_points.csv"):
        assert (one / name).read_bytes() == (out / "sim-0000" / name).read_bytes()


def test_an_audit_goes_on_past_a_bad_pair(pairs: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(pairs), "--out", str(tmp_path)])
    assert done.exit_code == 1
    rows = table(tmp_path / "audit.csv")
    assert [row["scene"] for row in rows] == ["sim-0000", "sim-0003"]
    assert [float(row["row"]) for row in rows] == pytest.approx([6.0, 6.0], abs=0.5)
    assert "failed: sim-0001: " in done.output
    assert "failed: sim-0002: " in done.output


@pytest.fixture
def some_small(tmp_path: Path) -> Path:
    """Two pairs, a third without an optical image, a fourth of 48 pixels."""
    folder = tmp_path / "pairs"
    write_pairs(folder, 4, size=256, relief=0.0, gsd=10.0)
    (folder / "optical" / "sim-0002.tif").unlink()
    for kind in ("sar", "optical"):
        path = folder / kind / "sim-0003.tif"
        with rasterio.open(path) as file:
            pixels, profile = file.read()[:, :48, :48], file.profile
        profile |= {"width": 48, "height": 48, "tiled": False, "blockysize": 1}
        with rasterio.open(path, "w", **profile) as file:
            file.write(pixels)
    return folder


_SHORT_STUDY = [
    "--split",
    "transductive",
    "--extractors",
    "raw",
    "--patch",
    "64",
    "--draws",
    "100",
    "--no-structure",
]


def test_a_forgotten_partner_is_a_failed_row(some_small: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["register", str(some_small), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    rows = {row["name"]: row for row in table(tmp_path / "out" / "matches.csv")}
    assert rows["sim-0002"]["error"] == "the optical image is missing"
    assert [rows[f"sim-000{n}"]["verdict"] for n in (0, 1)] == ["match", "match"]
    assert "left out" not in done.output
    page = (tmp_path / "out" / "index.html").read_text()
    assert "the optical image is missing" in page
    assert page.count("data:image/webp") == 4  # two pairs, before and after
    assert 'href="sim-0000/swipe.html"' in page
    listed = tmp_path / "pairs.csv"
    lines = [f"{some_small}/sar/sim-000{n}.tif,{some_small}/optical/sim-000{n}.tif" for n in (0, 2)]
    listed.write_text("\n".join(["sar,optical", *lines]) + "\n")
    again = CliRunner().invoke(app, ["register", str(listed), "--out", str(tmp_path / "again")])
    assert again.exit_code == 1
    (lost,) = [row for row in table(tmp_path / "again" / "matches.csv") if row["error"]]
    assert lost["name"] == "row-2"
    assert "sim-0002.tif is not a file" in lost["error"]


@pytest.mark.parametrize("command", ["study", "audit", "register"])
def test_what_is_incomplete_can_be_left_out(some_small: Path, tmp_path: Path, command: str) -> None:
    call = [command, str(some_small), "--out", str(tmp_path / "out")]
    call += _SHORT_STUDY if command == "study" else []
    refused = CliRunner().invoke(app, call)
    if command != "register":  # there it is a failed row
        assert "--skip-incomplete" in str(refused.exception)
    done = CliRunner().invoke(app, [*call, "--skip-incomplete"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "left out 1 file(s) without a partner" in said
    assert "sim-0002 (optical is missing)" in said
    assert "left out 1" in said.replace("left out 1 file(s)", "")
    assert "sim-0003" in said


def test_nothing_is_left_where_all_are_too_small(some_small: Path, tmp_path: Path) -> None:
    for n in (0, 1):
        for kind in ("sar", "optical"):
            (some_small / kind / f"sim-000{n}.tif").unlink()
    call = ["register", str(some_small), "--out", str(tmp_path / "out"), "--skip-incomplete"]
    refused = CliRunner().invoke(app, call)
    assert isinstance(refused.exception, TooSmallError)


def test_what_is_no_pair_of_images_is_refused(tmp_path: Path) -> None:
    for images, words in (
        (["a", "b", "c", "--layout", "x"], "3 images"),
        (["a", "b", "--layout", "x"], "--layout"),
        (["a", "b", "--skip-incomplete"], "--skip-incomplete"),
    ):
        done = CliRunner().invoke(app, ["register", *images, "--out", str(tmp_path / "out")])
        assert isinstance(done.exception, SettingError)
        assert words in str(done.exception)


def test_ctrl_c_says_that_the_work_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "pairs"
    call = ["-m", "crosslook", "simulate", "--out", str(out), "--count", "500", "--size", "256"]
    running = subprocess.Popen(
        [sys.executable, *call],
        stderr=subprocess.PIPE,
        text=True,
        # Where tests run in the background of a shell, Ctrl-C is ignored otherwise.
        preexec_fn=heed_ctrl_c,
    )
    limit = time.monotonic() + 60
    while not (out / "sar" / "sim-0001.tif").exists() and time.monotonic() < limit:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.strip().endswith("Start the same command again: it goes on where it was.")
    assert "Traceback" not in said
