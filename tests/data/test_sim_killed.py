"""A simulation that was killed is run again, and ends with the bytes of an undisturbed one."""

from __future__ import annotations

import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crosslook.data.simulate import write as write_module
from crosslook.data.simulate.write import write_basemap, write_pairs
from crosslook.errors import OutputError
from crosslook.report import study as demo

DYING = """
import os, signal, sys
import rasterio
real, left = rasterio.open, int(sys.argv[1])
def dies(path, mode="r", **options):
    global left
    left -= mode == "w"
    if left == 0:
        open(path, "wb").write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path, mode, **options)
rasterio.open = dies
"""


def run_dying(code: str, at: int, *arguments: object) -> None:
    """Run code in a process that is killed in the middle of the file number ``at``."""
    call = [sys.executable, "-c", DYING + code, str(at), *map(str, arguments)]
    assert subprocess.run(call, check=False).returncode == -signal.SIGKILL


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


PAIRS = "from crosslook.data.simulate.write import write_pairs\n"


def test_half_a_file_of_a_killed_call_does_not_stop_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pairs(tmp_path / "whole", 3, size=32)
    run_dying(PAIRS + "write_pairs(sys.argv[2], 3, size=32)", 4, tmp_path / "killed")
    assert len(list((tmp_path / "killed" / "sar").glob(".*"))) == 1
    made: list[str] = []
    real = write_module.write_pair

    def counts(folder: Path, name: str, *rest: Any) -> None:
        made.append(name)
        real(folder, name, *rest)

    monkeypatch.setattr(write_module, "write_pair", counts)
    write_pairs(tmp_path / "killed", 3, size=32)
    assert made == ["sim-0001", "sim-0002"], "what is whole is not made again"
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_an_earlier_call_of_other_settings_does_not_mix_in(tmp_path: Path) -> None:
    write_pairs(tmp_path / "whole", 3, size=32)
    write_pairs(tmp_path / "killed", 4, size=32, seed=9)
    run_dying(PAIRS + "write_pairs(sys.argv[2], 3, size=32)", 4, tmp_path / "killed")
    write_pairs(tmp_path / "killed", 3, size=32)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_random_moments(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crosslook", "simulate", "--size", "128", "--count", "6"]
    begun = time.monotonic()
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    lasts = time.monotonic() - begun
    moments = random.Random(0)
    for _ in range(3):
        killed = subprocess.Popen([*command, "--out", str(tmp_path / "killed")],
                                  stdout=subprocess.DEVNULL)  # fmt: skip
        time.sleep(moments.uniform(0.3, 1.0) * lasts)
        killed.kill()
        killed.wait()
    subprocess.run([*command, "--out", str(tmp_path / "killed")], check=True, capture_output=True)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_a_killed_basemap(tmp_path: Path) -> None:
    write_basemap(tmp_path / "whole" / "map.tif", 300, block=256)
    (tmp_path / "killed" / "below").mkdir(parents=True)
    code = "from crosslook.data.simulate.write import write_basemap\n"
    run_dying(code + "write_basemap(sys.argv[2], 300, block=256)", 1, tmp_path / "killed/map.tif")
    assert len(list((tmp_path / "killed").glob(".*"))) == 1
    write_basemap(tmp_path / "killed" / "map.tif", 300, block=256)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_a_killed_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import crosslook.report.study as demo\n"
        "from pathlib import Path\n"
        "demo.SCENES, demo.SCENE_SIZE = 3, 32\n"
        "demo.run_demo(Path(sys.argv[2]))"
    )
    run_dying(code, 4, tmp_path / "killed")
    monkeypatch.setattr(demo, "SCENES", 3)
    monkeypatch.setattr(demo, "SCENE_SIZE", 32)
    studied: list[object] = []
    monkeypatch.setattr(demo, "study_and_report", studied.append)
    for name in ("killed", "whole"):
        demo.run_demo(tmp_path / name)
    assert len(studied) == 2
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("write", "left"),
    [
        (lambda out: write_pairs(out, 1, size=256), ["truth.json"]),
        (lambda out: write_basemap(out / "map.tif", 512, block=256), []),
    ],
    ids=["pairs", "basemap"],
)
def test_a_disk_that_fills_up_leaves_no_half_image(
    write: Callable[[Path], object], left: list[str], tmp_path: Path
) -> None:
    """A limit on the size of files acts as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OutputError, match="free some space"):
            write(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == left
