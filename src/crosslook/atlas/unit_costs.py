"""Unit costs of an atlas, measured on this machine: what one block takes.

Each stage runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from crosslook.atlas.build import BLOCK, build_atlas
from crosslook.atlas.levels import make_level
from crosslook.atlas.locate import locate
from crosslook.atlas.search import searcher
from crosslook.atlas.settings import BuildSettings, LevelOptions, LocateCall
from crosslook.atlas.store import open_atlas
from crosslook.atomic import check_writable, write_text
from crosslook.errors import CrosslookError, InputError
from crosslook.json_text import json_object
from crosslook.options import ModelOptions


def peak_memory_bytes() -> int:
    """Largest resident set of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory from before exec
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        raise CrosslookError(
            "peaks of memory cannot be read on this system; measure the costs on Linux or macOS "
            "and give them with --costs."
        ) from None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


SIDE = 2 * BLOCK
"""Side in pixels of the basemap that is built: four blocks."""

_CHIP = 256
_QUERIES = 3
_GSD = 10.0


@dataclass(frozen=True)
class UnitCosts:
    """What one block, and one query, take.

    Attributes
    ----------
    extractor, fine : str
        Specs of the two levels.
    block : int
        Side of a block in pixels.
    cores : int
        Of the machine where this was measured.
    block_seconds, block_bytes : float
        Of one block: time of one worker, and bytes on disk.
    manifest_bytes : float
        Of one block in ``atlas.json``.
    build_memory_bytes : float
        Peak of one worker.
    transform_seconds, search_seconds : float
        Of one block: reading and transforming it; correlating one template.
    query_seconds : float
        Of one query, apart from the search: verification and matching.
    query_memory_bytes : float
        Peak of a process that answers, without kept spectra.
    kept_bytes, keep_limit_bytes : float
        Spectra of one block, and how much of them is kept at most.
    """

    extractor: str
    fine: str
    block: int
    cores: int
    block_seconds: float
    block_bytes: float
    manifest_bytes: float
    build_memory_bytes: float
    transform_seconds: float
    search_seconds: float
    query_seconds: float
    query_memory_bytes: float
    kept_bytes: float
    keep_limit_bytes: float

    def write(self, path: Path) -> None:
        """Write the costs as JSON, whole."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")


def read_costs(path: Path) -> UnitCosts:
    """Read costs that :meth:`UnitCosts.write` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged or of another version.
    """
    try:
        values = json_object(path.read_text(encoding="utf-8"))
        names = {field.name for field in fields(UnitCosts)}
        if set(values) != names:
            raise ValueError("its keys are not those of this version")
        numbers = [v for k, v in values.items() if k not in ("extractor", "fine")]
        if not all(isinstance(v, int | float) and v >= 0 for v in numbers):
            raise ValueError("a cost is not a number of at least 0")
        return UnitCosts(**values)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the unit costs in {path} cannot be read ({error}). Measure them again: "
            "remove the file and run plan."
        ) from error


def costs_for(path: Path | None, options: LevelOptions) -> UnitCosts:
    """Read the costs in a file, or measure them and write them there.

    Raises
    ------
    InputError
        If the file holds costs of other levels or cannot be read.
    """
    wanted = (make_level(options.extractor, options.cell), make_level(options.fine, None))
    if path is None or not path.exists():
        if path is not None:
            check_writable(path.parent)
        costs = measure_costs(options)
        if path is not None:
            costs.write(path)
        return costs
    stored = read_costs(path)
    specs = tuple(level.spec for level in wanted)
    if (stored.extractor, stored.fine) != specs:
        raise InputError(
            f"{path} holds costs of '{stored.extractor}' and '{stored.fine}', not of "
            f"'{specs[0]}' and '{specs[1]}'. Name another file to measure these."
        )
    return stored


def measure_costs(options: LevelOptions | None = None, side: int = SIDE) -> UnitCosts:
    """Build a small atlas of random ground here and ask it.

    Parameters
    ----------
    options : LevelOptions, optional
        As for :func:`crosslook.atlas.build.build_atlas`.
    side : int
        Side of its basemap in pixels, whole blocks.

    Raises
    ------
    SettingError, WeightsError
        If a level cannot be made.
    CrosslookError
        If a stage fails.
    """
    options = options or LevelOptions()
    coarse, second = make_level(options.extractor, options.cell), make_level(options.fine, None)
    with TemporaryDirectory() as folder:
        place = Path(folder)
        write_noise(place / "map.tif", side)
        built = run_stage("build", place, options)
        queried = run_stage("ask", place, options)
    return UnitCosts(
        extractor=coarse.spec,
        fine=second.spec,
        block=BLOCK,
        cores=os.cpu_count() or 1,
        **built,
        **queried,
    )


def write_noise(path: Path, side: int) -> None:
    """Write a colour basemap of smooth noise, which costs what any ground does."""
    import cv2
    import rasterio
    from rasterio.transform import from_origin

    rng = np.random.default_rng(0)
    profile: dict[str, Any] = {
        "driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8",
        "crs": "EPSG:32632", "transform": from_origin(300_000.0, 5_500_000.0, _GSD, _GSD),
        "tiled": True, "blockxsize": 512, "blockysize": 512,
    }  # fmt: skip
    step = 1024
    with rasterio.open(path, "w", **profile) as file:
        for row in range(0, side, step):
            for col in range(0, side, step):
                shape = (min(step, side - row), min(step, side - col), 3)
                soft = cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), 3.0)
                values = np.clip((soft - 0.5) * 1200 + 128, 1, 255).astype(np.uint8)
                window = rasterio.windows.Window(col, row, shape[1], shape[0])
                file.write(values.transpose(2, 0, 1), window=window)


def _build(place: Path, options: LevelOptions) -> dict[str, float]:
    started = perf_counter()
    settings = BuildSettings(**options.model_dump())
    atlas = build_atlas(place / "map.tif", place / "atlas", settings)
    seconds = perf_counter() - started
    blocks = len(atlas.manifest.blocks)
    stored = sum(p.stat().st_size for p in (place / "atlas" / "blocks").rglob("*") if p.is_file())
    return {
        "block_seconds": seconds / blocks,
        "block_bytes": stored / blocks,
        "manifest_bytes": (place / "atlas" / "atlas.json").stat().st_size / blocks,
        "build_memory_bytes": peak_memory_bytes(),
    }


def _ask(place: Path, options: LevelOptions) -> dict[str, float]:
    atlas = open_atlas(place / "atlas")
    blocks = len(atlas.manifest.blocks)
    first = atlas.manifest.levels[0].spec
    settings = LocateCall(
        coarse=first, **options.model_dump(include=set(ModelOptions.model_fields))
    )
    search = searcher(atlas, 0, settings.device)
    started = perf_counter()
    search.warm()
    warm = perf_counter() - started
    seconds = []
    for number in range(_QUERIES + 1):
        chip = atlas.image((300 + 400 * number, 500), (_CHIP, _CHIP))
        # A large atlas is searched in its first level.
        seconds.append(locate(chip, atlas, settings).timings)
    later = seconds[1:]  # the first one pays for what is made once
    searched = float(np.median([one["search"] for one in later]))
    total = float(np.median([one["total"] for one in later]))
    kept = search.ready.block_bytes
    return {
        "transform_seconds": warm / blocks,
        "search_seconds": searched / blocks,
        "query_seconds": total - searched,
        "query_memory_bytes": max(0, peak_memory_bytes() - kept * blocks),
        "kept_bytes": kept,
        "keep_limit_bytes": search.backend.keep_bytes,
    }


_STAGES = {"build": _build, "ask": _ask}


def run_stage(stage: str, place: Path, options: LevelOptions) -> dict[str, float]:
    """Run one stage in a process of its own: ``build`` or ``ask`` an atlas in a folder.

    Raises
    ------
    CrosslookError
        If it fails; with the last line that it wrote.
    """
    call = [
        sys.executable,
        "-m",
        "crosslook.atlas.unit_costs",
        stage,
        str(place),
        options.model_dump_json(include=set(LevelOptions.model_fields)),
    ]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise CrosslookError(f"measuring the cost of '{stage}' failed: {reason}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    stage_name, at, text = sys.argv[1:]
    print(json.dumps(_STAGES[stage_name](Path(at), LevelOptions(**json.loads(text)))))
