"""Scenes that are killed, and what becomes of a full disk, a damaged file and a gap."""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio

from scenes_cases import HERE, Run, Scene, command, environment, land_errors, register, simulated

FULL = 2_000_000
"""Bytes that a file may have on the disk that is full."""


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of all files of a match; times, which differ, are left out."""
    found = {str(p.relative_to(folder)): p.read_bytes()
             for p in sorted(folder.rglob("*")) if p.is_file()}  # fmt: skip
    match = json.loads(found["match.json"])
    match.pop("timings_s", None)
    return found | {"match.json": json.dumps(match).encode()}


def killed(given: argparse.Namespace) -> None:
    """Kill a registration at random moments, start it again each time, and compare the bytes."""
    scene = simulated(given.folder, "both", given.size)
    whole = register(scene.path("sar"), scene.path("optical"), given.folder / "runs/undisturbed")
    out = given.folder / "runs/killed"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    call = command(scene.path("sar"), scene.path("optical"), out / "match")
    moments, done, began = random.Random(0), 0, time.monotonic()
    for _ in range(given.times):
        process = subprocess.Popen(
            call, env=environment(HERE.parent), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=out,
        )  # fmt: skip
        try:
            process.wait(moments.uniform(0.1, 0.9) * whole.clock)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            done += 1
    last = register(scene.path("sar"), scene.path("optical"), out, goes_on=True)
    one, other = files_of(whole.out), files_of(last.out)
    differing = sorted(k for k in one.keys() | other.keys() if one.get(k) != other.get(k))
    print(
        f"{scene.name}: killed {done} times, then {last.clock:.0f} s to the end (undisturbed "
        f"{whole.clock:.0f} s, all {time.monotonic() - began:.0f} s); {len(one)} files, differing: "
        f"{differing or 'none'}",
        flush=True,
    )


def broken(given: argparse.Namespace) -> None:
    """A full disk, a basemap one of whose files is damaged, and one with a gap."""
    from scenes import cut

    scene = simulated(given.folder, "both", given.size)
    _full_disk(given, scene)
    side = -(-given.size // 3)
    for name, breaks in (("damaged", _damage), ("gap", Path.unlink)):
        tiles = given.folder / f"{scene.name}-{name}"
        shutil.rmtree(tiles, ignore_errors=True)
        cut(scene.path("optical"), tiles, side)
        chosen = tiles / f"tile-{side}-{side}.tif"
        breaks(chosen)
        run = register(scene.path("sar"), tiles, given.folder / "runs" / f"{scene.name}-{name}")
        _print_rest(name, scene, run, side)


def _print_rest(name: str, scene: Scene, run: Run, side: int) -> None:
    """What was said, and how the rest of the scene is matched."""
    said = [line for line in run.words.splitlines() if "tile-" in line or "note" in line]
    print(f"{name}: code {run.code}, says {said}", flush=True)
    if not (run.out / "match.json").exists():
        print(f"  {run.words.strip()[-600:]}", flush=True)
        return
    places, errors = land_errors(scene, run.transform)
    outside = ((places < side) | (places >= 2 * side)).any(axis=1)
    rest = errors[outside]
    print(f"  the rest: land {(rest <= 1.5).mean():.3f} within 1.5 px", flush=True)


def _damage(path: Path) -> None:
    """The blocks at the end of a file are lost, its header is whole."""
    with path.open("r+b") as file:
        size = path.stat().st_size
        file.seek(size // 4)
        file.write(np.random.default_rng(0).bytes(size // 2))
    with rasterio.open(path):
        pass


def _full_disk(given: argparse.Namespace, scene: Scene) -> None:
    out = given.folder / "runs" / f"{scene.name}-full"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, FULL))

    setup: Callable[[], None] = limit
    done = subprocess.run(
        command(scene.path("sar"), scene.path("optical"), out / "match"), check=False,
        env=environment(HERE.parent), capture_output=True, text=True, cwd=out, preexec_fn=setup,
    )  # fmt: skip
    print(f"full disk: code {done.returncode}, {done.stderr.strip()[-300:]}", flush=True)
    left = [p.name for p in out.rglob(".*") if p.is_file()]
    print(f"  left behind: {left or 'nothing'}", flush=True)
