"""A stack of dates on one optical image, beside the same dates one by one."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np
import rasterio

from history import record
from scenes_cases import HERE, Scene, command, environment, simulated

DATES = 3
ANSWERED = (0, 3)  # a match, or none


def stack(given: argparse.Namespace) -> None:
    """Processor seconds of dates together and one by one; their answers are the same."""
    scene = simulated(given.folder, "both", given.size)
    dates = [_dated(scene, number) for number in range(DATES)]
    optical, runs = scene.path("optical"), given.folder / "runs"
    alone = sum(
        _seconds(command(one, optical, runs / f"{scene.name}-alone-{k}", "--spacing", "24"))
        for k, one in enumerate(dates)
    )
    images = [*map(str, dates[1:]), str(optical)]
    out = runs / f"{scene.name}-stack"
    together = _seconds(
        [*command(dates[0], images[0], out, "--spacing", "24", "--stack"), *images[1:]]
    )
    same = all(
        (out / one.stem / "tie_points.csv").read_bytes()
        == (runs / f"{scene.name}-alone-{k}" / "tie_points.csv").read_bytes()
        for k, one in enumerate(dates)
    )
    print(
        f"{scene.name}, {DATES} dates: {together:.0f} s of the processor together, {alone:.0f} s "
        f"one by one, ratio {together / alone:.2f}; tie points equal: {same}",
        flush=True,
    )
    record(f"scenes stack {scene.name}", {"ratio": together / alone, "together_s": together})


def _dated(scene: Scene, number: int) -> Path:
    """The SAR image under other speckle."""
    path = scene.folder / f"date-{number}.tif"
    if not path.exists():
        with rasterio.open(scene.path("sar")) as file:
            pixels, profile = file.read(), file.profile
        noise = np.random.default_rng(number).gamma(8.0, 1 / 8, pixels.shape)
        with rasterio.open(path, "w", **profile) as file:
            file.write((pixels * noise).astype(pixels.dtype))
    return path


def _seconds(call: list[str]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run(
        call, check=False, env=environment(HERE.parent), capture_output=True, text=True
    )
    after = getrusage(RUSAGE_CHILDREN)
    if done.returncode not in ANSWERED:
        raise SystemExit(f"code {done.returncode}: {done.stderr.strip()[-600:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
