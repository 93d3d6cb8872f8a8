"""Nothing but crosslook's own lines reaches the terminal, whatever the files are like."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio

from crosslook.data.simulate.scene import make_pair
from crosslook.data.simulate.write import write_basemap, write_pair


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs as PNGs without georeference and as GeoTIFFs, an SLC, a damaged file."""
    folder = tmp_path_factory.mktemp("files")
    for part in ("sar", "optical"):
        (folder / "png" / part).mkdir(parents=True)
    for number in range(5):
        pair = make_pair(256, number)
        sar = np.clip(np.sqrt(pair.sar) * 400, 1, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "png" / "sar" / f"{number}.png"), sar)
        cv2.imwrite(str(folder / "png" / "optical" / f"{number}.png"), pair.optical[::-1].T)
        write_pair(folder / "tif", str(number), pair.settings, (500_000.0, 5_400_000.0))
    with rasterio.open(folder / "tif" / "sar" / "0.tif") as file:
        profile, power = file.profile, file.read()
    profile.update(dtype="complex64", compress=None)
    with rasterio.open(folder / "slc.tif", "w", **profile) as file:
        file.write(np.sqrt(power).astype(np.complex64))
    whole = (folder / "tif" / "optical" / "0.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def files_and_atlas(files: Path) -> Path:
    """The same folder with an atlas in it, for those who ask one."""
    write_basemap(files / "map.tif", 700, 0)
    build = ["atlas", "build", "map.tif", "--out", "atlas"]
    assert run(build, files).stderr == ""
    return files


def run(call: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crosslook", *call]
    known = {**os.environ, **env}
    return subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True)


STUDY = ["--extractors", "hog:cell=8", "--patch", "64", "--draws", "100"]
IMAGES = ["tif/sar/0.tif", "tif/optical/0.tif"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        ["study", "png", *STUDY, "--structure"],
        ["register", "png/sar/0.png", "png/optical/0.png", "--force"],
        ["register", *IMAGES],
        ["register", "slc.tif", IMAGES[1]],
        ["audit", "png", "--radius", "16"],
        ["locate", "png/sar/0.png", "--gsd", "10", "--atlas", "atlas"],
        ["simulate", "--count", "1", "--size", "64"],
    ],
    ids=lambda call: " ".join(call[:2]),
)
def test_commands_say_nothing_on_the_standard_error(call: list[str], files_and_atlas: Path) -> None:
    out = "-".join(call[:2]).replace("/", "_")
    ended = run([*call, "--out", out], files_and_atlas)
    assert ended.returncode in (0, 3)
    assert ended.stderr == ""
    assert "Warning" not in ended.stdout


def test_a_damaged_file_is_one_line_of_ours(files: Path) -> None:
    ended = run(["register", IMAGES[0], "cut.tif", "--out", "cut"], files)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: cut.tif cannot be")
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.timeout(900)  # Ray runs its workers at the lowest priority
def test_ray_is_quiet_too(files: Path) -> None:
    pytest.importorskip("ray")
    ray = ["--engine", "ray", "--workers", "1", "--no-structure"]
    ended = run(["study", "png", *STUDY, *ray, "--out", "ray"], files)
    assert ended.returncode == 0
    ours = ("hog:cell=8 sar (ray)", "hog:cell=8 optical (ray)")  # how far it is, on a slow machine
    assert not [line for line in ended.stderr.splitlines() if not line.startswith(ours)]


def test_debugging_brings_it_back(files: Path) -> None:
    """Else the tests above would prove nothing."""
    call = ["register", "absent.png", "png/optical/0.png", "--out", "debug"]
    assert "Traceback" not in run(call, files).stderr
    assert "Traceback" in run(call, files, CROSSLOOK_DEBUG="1").stderr
