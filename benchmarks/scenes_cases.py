"""Simulated scenes with the truth of every place, and how far answers lie from it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from crosslook._version import __version__
from crosslook.data.simulate.dense import LAND
from crosslook.data.simulate.settings import SimulateOptions
from crosslook.data.simulate.write import write_pairs
from crosslook.match.transform import Transform
from crosslook.types import Array, Window

HERE = Path(__file__).resolve().parent
KINDS: dict[str, dict[str, Any]] = {
    "relief-10": {"uncorrected": True, "relief": 70.0},
    "relief-45": {"uncorrected": True, "relief": 300.0},
    "wander": {"wander": 6.0},
    "both": {"uncorrected": True, "relief": 160.0, "wander": 6.0},
    "seam": {"seam": (6, -5)},
    "houses": {"uncorrected": True, "relief": 160.0, "wander": 6.0, "objects": 1.0},
}
"""What displaces parts of each; in pixels the relief is 10 to 45 between its 5 and 95 %.

Houses and trees are flat but in ``houses``: they are displaced themselves, by 1 to 4 pixels, so
that what tie points in towns and forests should say is not defined to a pixel.
"""
COMMON: dict[str, Any] = {
    "shift": (9.5, -14.25), "sea": 0.08, "clouds": 0.05, "changed": 0.05, "objects": 0.0,
}  # fmt: skip
SEED = 11
_ONE = "sim-0000"
_AT_ONCE = 500_000


@dataclass(frozen=True)
class Scene:
    """A simulated pair on disk."""

    name: str
    folder: Path
    part: Window | None = None
    """Pixels of both images that are taken, of a part."""

    def path(self, kind: str) -> Path:
        """One of its files: ``sar``, ``optical``, ``displacement``, ``ground``, ``heights``."""
        return self.folder / kind / f"{_ONE}.tif"

    @cached_property
    def _grid(self) -> tuple[float, NDArray[np.float32], NDArray[np.uint8]]:
        """Pixels along a cell of the truth, displacements (h, w, 2) and states (h, w)."""
        with (
            rasterio.open(self.path("displacement")) as file,
            rasterio.open(self.path("optical")) as pixels,
        ):
            step = file.res[0] / pixels.res[0]
            moved = np.moveaxis(file.read(), 0, -1)
        with rasterio.open(self.path("ground")) as file:
            return step, moved, file.read(1)

    def land(self, every: int = 2) -> tuple[Array, Array]:
        """Places of land that both images show, (n, 2), and where the SAR image has them."""
        step, moved, state = self._grid
        rows, cols = np.nonzero(state[::every, ::every] == LAND)
        at = np.column_stack([rows, cols]) * every
        places = np.asarray((at + 0.5) * step, np.float64)
        return places, np.asarray(places + moved[tuple(at.T)], np.float64)

    def truth(self, places: Array) -> tuple[Array, NDArray[np.bool_]]:
        """Where the SAR image shows optical places (n, 2), and which of them are land."""
        step, moved, state = self._grid
        at = np.floor(places / step).astype(int)
        at = np.clip(at, 0, np.array(state.shape) - 1)
        return places + moved[tuple(at.T)], state[tuple(at.T)] == LAND


def simulated(folder: Path, kind: str, size: int, width: int | None = None) -> Scene:
    """A scene of a kind, made where it is not there; a call that was stopped is gone on with."""
    name = f"{kind}-{size}" + (f"x{width}" if width else "")
    return made(folder, name, {"size": size, "width": width, **COMMON, **KINDS[kind]})


def made(folder: Path, name: str, options: dict[str, Any]) -> Scene:
    """A scene of some options; one that is finished is taken as it is."""
    options = {"seed": SEED, **options}
    stamp, text = folder / f"{name}.json", json.dumps({"version": __version__, **options})
    if not stamp.exists() or stamp.read_text() != text:
        write_pairs(folder / name, 1, SimulateOptions(**options))
        stamp.write_text(text)
    return Scene(name, folder / name)


@dataclass(frozen=True)
class Run:
    """What a process of ``crosslook register`` gave and took."""

    out: Path
    code: int
    processor: float
    clock: float
    mebibytes: float
    words: str

    @property
    def match(self) -> dict[str, Any]:
        """The content of ``match.json``."""
        values: dict[str, Any] = json.loads((self.out / "match.json").read_text())
        return values

    @property
    def transform(self) -> Transform:
        """SAR pixels to optical pixels."""
        values = self.match["transform"]
        if "field" in json.dumps(values):
            return Transform.from_dict(values, self.out)
        return Transform.from_dict(values)

    def tie_points(self) -> tuple[Array, Array]:
        """Inliers: SAR and optical pixels, (n, 2)."""
        with (self.out / "tie_points.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["inlier"] == "1"]
        sides = [[[float(row[f"{k}_row"]), float(row[f"{k}_col"])] for row in rows]
                 for k in ("sar", "optical")]  # fmt: skip
        sar, optical = (np.array(side).reshape(-1, 2) for side in sides)
        return sar, optical

    def tiles(self) -> list[dict[str, str]]:
        """Lines of ``tiles.csv``; none where the pair was not matched in tiles."""
        path = self.out / "tiles.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))


def command(sar: Path | str, optical: Path | str, out: Path, *options: str) -> list[str]:
    """The command line of a registration."""
    call = [sys.executable, "-m", "crosslook", "register", str(sar), str(optical)]
    return [*call, "--out", str(out), "--force", "--overwrite", *options]


def environment(checkout: Path) -> dict[str, str]:
    """One thread, and the crosslook of a checkout."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    return {
        **os.environ,
        **{f"{name}_NUM_THREADS": "1" for name in names},
        "PYTHONPATH": os.pathsep.join(map(str, (checkout / "src", HERE))),
    }


def register(
    sar: Path | str,
    optical: Path | str,
    out: Path,
    *options: str,
    checkout: Path = HERE.parent,
    goes_on: bool = False,
) -> Run:
    """Register in a process of its own; its processor seconds and peak memory with its workers.

    What is in the way goes first, unless the run goes on with it.
    """
    if not goes_on:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    began = perf_counter()
    log = out / "words.txt"
    with log.open("w") as words:
        process = subprocess.Popen(
            command(sar, optical, out / "match", *options),
            env=environment(checkout), stdout=words, stderr=subprocess.STDOUT, cwd=out,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = used.ru_utime + used.ru_stime
    return Run(
        out / "match", process.returncode, seconds, perf_counter() - began,
        used.ru_maxrss / 1024, log.read_text(),
    )  # fmt: skip


def tie_point_errors(scene: Scene, run: Run) -> Array:
    """How far tie points on land lie from the truth, in SAR pixels."""
    sar, optical = run.tie_points()
    there, land = scene.truth(optical)
    return np.asarray(np.linalg.norm(sar - there, axis=1)[land], np.float64)


def land_errors(scene: Scene, transform: Transform, every: int = 2) -> tuple[Array, Array]:
    """Places of land (n, 2), and how far the map puts each from the truth, in SAR pixels."""
    places, there = scene.land(every)
    error = np.empty(len(places))
    for start in range(0, len(places), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        error[part] = np.linalg.norm(transform.inverse(places[part]) - there[part], axis=1)
    return places, error


def false_tiles(scene: Scene, run: Run, places: Array, errors: Array, most: float = 5.0) -> int:
    """Tiles that are called sure and whose land is off by more than ``most`` pixels, in median."""
    wrong = 0
    for tile in run.tiles():
        if tile["verdict"] != "match":
            continue
        low, sides = (
            np.array([float(tile[key]) for key in keys])
            for keys in (("row", "col"), ("height", "width"))
        )
        high = low + sides
        inside = ((places >= low) & (places < high)).all(axis=1)
        wrong += bool(inside.any()) and float(np.median(errors[inside])) > most
    return wrong


def fractions(errors: Array, within: tuple[float, ...] = (1, 2, 5)) -> str:
    """Fractions of errors up to each distance."""
    return ", ".join(f"{(errors <= t).mean():.3f} within {t:g} px" for t in within)
