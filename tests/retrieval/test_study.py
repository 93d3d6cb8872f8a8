"""The study from end to end, as a user runs it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.pairs import write_pairs

COMMAND = [sys.executable, "-m", "crosslook"]


def study(pairs: Path, out: Path, *extra: str) -> list[str]:
    options = [
        "--patch",
        "32",
        "--extractors",
        "raw,hog:cell=8",
        "--draws",
        "100",
        "--no-structure",
    ]
    return [*COMMAND, "study", str(pairs), "--out", str(out), *options, *extra]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    done = subprocess.run(study(pairs, out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "recall at 1" in done.stdout
    assert str(out / "report.html") in done.stdout.replace("\n", "")
    return out


def test_rows_carry_interval_gallery_and_chance(run: Path) -> None:
    rows = pq.read_table(run / "results.parquet").to_pandas()
    assert set(rows["extractor"]) == {"raw", "hog:cell=8"}
    recall = rows[
        (rows["measure"] == "retrieval") & (rows["metric"] == "recall") & (rows["k"] == 1)
    ]
    assert {"none", "standardize"} <= set(recall["calibration"])
    assert (recall["ci_low"] <= recall["value"]).all()
    assert (recall["value"] <= recall["ci_high"]).all()
    assert (recall["n_gallery"] == 3 * 16).all()
    assert recall["chance"].to_numpy() == pytest.approx(1 / 48)
    assert set(rows["split"]) == {"held-out"}


def test_calibrated_hog_finds_partners(run: Path) -> None:
    rows = pq.read_table(run / "results.parquet").to_pandas()
    best = rows[
        (rows["extractor"] == "hog:cell=8")
        & (rows["metric"] == "recall")
        & (rows["k"] == 1)
        & (rows["calibration"] == "standardize")
        & (rows["scoring"] == "csls")
    ]
    assert (best["value"] > 0.5).all()


def test_run_json_tells_how_to_get_it_again(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    for key in (
        "settings",
        "versions",
        "hardware",
        "timings",
        "fingerprint",
        "radiometry",
        "dropped",
    ):
        assert key in record
    assert record["settings"]["seed"] == 0


@pytest.mark.slow
def test_a_run_killed_at_ten_moments_gives_the_same_bytes(
    pairs: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    moments = random.Random(7)
    kills = 0
    while kills < 10:
        process = subprocess.Popen(
            study(pairs, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(moments.uniform(0.2, 3.0))
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    done = subprocess.run(study(pairs, out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "results.parquet").read_bytes() == (run / "results.parquet").read_bytes()
    assert not [p for p in out.rglob(".*") if p.is_file()], "a temporary file was left"


@pytest.mark.slow
def test_a_changed_setting_changes_rows_and_features(
    pairs: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "other"
    store = run / "features"
    before = {p.name for p in store.iterdir()}
    done = subprocess.run(
        study(pairs, out, "--store", str(store), "--sar", "tone=log"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    added = {p.name for p in store.iterdir()} - before
    assert len(added) == 2, "the SAR features of both extractors, and only those"
    assert (out / "results.parquet").read_bytes() != (run / "results.parquet").read_bytes()


@pytest.mark.slow
def test_a_run_file_gives_the_same_rows(pairs: Path, run: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        f"pairs: {pairs}\nextractors: [raw, 'hog:cell=8']\npatch: 32\ndraws: 100\n"
        "structure: false\n"
    )
    out = tmp_path / "run"
    command = [*COMMAND, "study", "--config", str(config), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "results.parquet").read_bytes() == (run / "results.parquet").read_bytes()
