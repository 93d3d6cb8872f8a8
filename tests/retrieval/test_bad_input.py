"""Every kind of bad input: one clear message, a non-zero exit, nothing written."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from crosslook.cli import app
from crosslook.errors import CrosslookError
from tests.helpers.pairs import SIZE, east_of, write_pairs, write_raster

SAR = Path("sar/scene1.tif")


def refused(pairs: Path, out: Path, *extra: str) -> str:
    """Run the study in this process; return the message it is refused with."""
    command = [
        "study",
        str(pairs),
        "--out",
        str(out),
        "--patch",
        "32",
        "--draws",
        "100",
        "--no-structure",
    ]
    if "--extractors" not in extra:
        command += ["--extractors", "raw"]
    result = CliRunner().invoke(app, [*command, *extra])
    assert isinstance(result.exception, CrosslookError), result.output
    assert result.exception.exit_code != 0
    left = [p for p in out.rglob("*") if p.is_file()] if out.is_dir() else []
    assert not [p for p in left if p.suffix != ".npz" and p.name != "key.json"], left
    return str(result.exception)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs", scenes=4)


def empty(pairs: Path) -> None:
    shutil.rmtree(pairs)
    pairs.mkdir()


def without_partner(pairs: Path) -> None:
    (pairs / SAR).unlink()


def truncated(pairs: Path) -> None:
    path = pairs / SAR
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def all_nodata(pairs: Path) -> None:
    write_raster(pairs / SAR, np.zeros((1, SIZE, SIZE), np.uint8), east=east_of(1), nodata=0)


def all_nan(pairs: Path) -> None:
    write_raster(pairs / SAR, np.full((1, SIZE, SIZE), np.nan, np.float32), east=east_of(1))


def elsewhere(pairs: Path) -> None:
    write_raster(pairs / SAR, np.full((1, SIZE, SIZE), 9, np.uint8), crs="EPSG:32701")


def one_scene(pairs: Path) -> None:
    for scene in (1, 2, 3):
        for kind in ("sar", "optical"):
            (pairs / kind / f"scene{scene}.tif").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (empty, ["pairs"]),
        (without_partner, ["scene1"]),
        (truncated, ["scene1.tif"]),
        (all_nodata, ["scene1.tif"]),
        (all_nan, ["scene1.tif"]),
        (elsewhere, ["32633", "32701"]),
        (one_scene, ["scene", "transductive"]),
    ],
)
def test_bad_pairs(
    pairs: Path, tmp_path: Path, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(pairs)
    message = refused(pairs, tmp_path / "run")
    for word in words:
        assert word in message
    assert "\n" not in message.strip() or len(message.splitlines()) < 8


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--patch", "512"], ["512", "128"]),
        (["--extractors", "hogg"], ["hogg", "Did you mean 'hog'"]),
        (["--extractors", "hog:cel=8"], ["Did you mean 'cell'"]),
        (["--extractors", "hog:cell=0"], ["cell=0", "2..256"]),
        (["--layout", "sen12"], ["sen12"]),
        (["--calibrations", "standardise"], ["standardise"]),
        (["--pooling", "grid:99"], ["grid"]),
        (["--pooling", "flat"], ["flat"]),
        (["--pooling", "vector"], ["'raw' at 32 px", "global embedding"]),
        (["--pooling", "dense:2"], ["'raw' at 32 px", "2 x 2 cells", "from 1 to 1"]),
        (["--pooling", "dense:1", "--robustness"], ["--robustness", "dense:1"]),
        (["--fusion", "raw:pool=dense:9+raw:grid=1"], ["'raw' at 32 px", "dense:9"]),
        (["--fusion", "raw:pool=dence:1+raw"], ["dence:1", "dense:R"]),
        (["--sar", "scal=linear"], ["scale"]),
        (["--dtype", "float8"], ["float8"]),
        (["--patch", "3"], ["patch"]),
        (["--weights", "dinov2"], ["NAME=FOLDER"]),
        (["--weights", "dinov9=/tmp"], ["dinov9"]),
        (["--workers", "3"], ["--engine ray"]),
        (["--fusion", "raw+hogg"], ["hogg"]),
        (["--two-stage", "hog"], ["COARSE+FINE"]),
    ],
)
def test_bad_settings(pairs: Path, tmp_path: Path, extra: list[str], words: list[str]) -> None:
    message = refused(pairs, tmp_path / "run", *extra)
    for word in words:
        assert word in message


def test_float_nan_in_part_of_a_scene_drops_patches_and_counts_them(
    pairs: Path, tmp_path: Path
) -> None:
    sar = np.random.default_rng(0).gamma(4, 1, (1, SIZE, SIZE)).astype(np.float32)
    sar[:, :32] = np.nan
    write_raster(pairs / SAR, sar, east=east_of(1))
    out = tmp_path / "run"
    command = ["study", str(pairs), "--out", str(out), "--patch", "32", "--extractors", "raw"]
    result = CliRunner().invoke(app, [*command, "--draws", "100", "--no-structure"])
    assert result.exit_code == 0, result.output
    assert "4 patches dropped" in result.output


def test_an_unknown_key_of_a_run_file_is_refused_with_a_suggestion(
    pairs: Path, tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("extractor: raw\n")
    message = refused(pairs, tmp_path / "run", "--config", str(config))
    assert "Did you mean 'extractors'" in message


def test_an_output_that_is_a_file(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.write_text("mine")
    command = ["study", str(pairs), "--out", str(out), "--patch", "32", "--extractors", "raw"]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, CrosslookError)
    assert out.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount")
def test_a_full_disk(pairs: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.decode().strip()}")
    try:
        message = refused(pairs, disk / "run", "--extractors", "hog:cell=2")
        assert "free some space" in message
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_folder(pairs: Path) -> None:
    message = refused(pairs, Path("/proc/crosslook-run"))
    assert "/proc/crosslook-run" in message


def test_what_cannot_work_is_refused_before_a_pair_is_opened(tmp_path: Path) -> None:
    """The pairs are not there: whatever is told first was checked without them."""
    nowhere = tmp_path / "absent"
    assert "global embedding" in refused(nowhere, tmp_path / "run", "--pooling", "vector")
    assert "/proc/crosslook-run" in refused(nowhere, Path("/proc/crosslook-run"))
