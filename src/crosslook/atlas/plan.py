"""What an atlas of an area takes: time, memory and storage, from unit costs measured here.

A small atlas of random ground is built and searched, each in a process of its
own, so that its peak of memory is its own. The costs of one block times the
blocks of the area are the plan.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from math import radians, sin
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from crosslook.atlas.build import BLOCK, build_atlas, make_level
from crosslook.atlas.locate import locate
from crosslook.atlas.search import searcher
from crosslook.atlas.settings import BuildSettings, LevelOptions, LocateCall
from crosslook.atlas.store import open_atlas
from crosslook.atomic import check_writable, write_text
from crosslook.errors import CrosslookError, InputError, SettingError, did_you_mean
from crosslook.geo.raster import RasterArray
from crosslook.json_text import json_object
from crosslook.match.ncc import correlation_device
from crosslook.options import ModelOptions

SIDE = 2 * BLOCK
"""Side in pixels of the basemap that is built: four blocks."""

_CHIP = 256
_QUERIES = 3
_GSD = 10.0
_OLD_NAMES = {"kept_bytes": "cached_bytes", "keep_limit_bytes": "cache_limit_bytes"}

# Total areas in square kilometres, rounded (CIA World Factbook).
AREAS_KM2 = {
    "land": 148_940_000, "land-without-antarctica": 134_740_000,
    "algeria": 2_381_740, "angola": 1_246_700, "argentina": 2_780_400, "australia": 7_741_220,
    "austria": 83_871, "belgium": 30_528, "bolivia": 1_098_581, "brazil": 8_515_770,
    "canada": 9_984_670, "chile": 756_102, "china": 9_596_960, "colombia": 1_138_910,
    "czechia": 78_867, "egypt": 1_001_450, "ethiopia": 1_104_300, "finland": 338_145,
    "france": 551_500, "germany": 357_022, "greece": 131_957, "india": 3_287_263,
    "indonesia": 1_904_569, "iran": 1_648_195, "italy": 301_340, "japan": 377_915,
    "kazakhstan": 2_724_900, "kenya": 580_367, "madagascar": 587_041, "mexico": 1_964_375,
    "mongolia": 1_564_116, "netherlands": 41_543, "new-zealand": 268_838, "nigeria": 923_768,
    "norway": 323_802, "peru": 1_285_216, "philippines": 300_000, "poland": 312_685,
    "portugal": 92_090, "romania": 238_391, "russia": 17_098_242, "saudi-arabia": 2_149_690,
    "south-africa": 1_219_090, "spain": 505_370, "sweden": 450_295, "switzerland": 41_277,
    "tanzania": 947_300, "thailand": 513_120, "turkey": 783_562, "ukraine": 603_550,
    "united-kingdom": 243_610, "united-states": 9_833_517,
}  # fmt: skip

_EARTH_RADIUS_KM = 6371.0072  # of the sphere with the area of the ellipsoid


def area_km2(text: str) -> float:
    """Square kilometres of a name in :data:`AREAS_KM2`, or of a number.

    Raises
    ------
    SettingError
        If it is neither, or not above 0.
    """
    name = text.strip().lower().replace(" ", "-").replace("_", "-")
    if name in AREAS_KM2:
        return float(AREAS_KM2[name])
    try:
        number = float(name)
    except ValueError:
        raise SettingError(
            f"'{text}' is no area that is known; give square kilometres, --bbox, or one of: "
            f"{', '.join(sorted(AREAS_KM2))}." + did_you_mean(name, list(AREAS_KM2))
        ) from None
    if not 0 < number < 6e8:
        raise SettingError(
            f"the area is {text} km2; a number above 0, at most all Earth, is needed."
        )
    return number


def box_km2(bbox: tuple[float, float, float, float]) -> float:
    """Square kilometres of a box (west, south, east, north) in degrees, on the sphere.

    Raises
    ------
    SettingError
        If the box has no area or is not on Earth.
    """
    west, south, east, north = bbox
    if not (west < east <= west + 360 and -90 <= south < north <= 90):
        raise SettingError(
            f"the box {west:g} {south:g} {east:g} {north:g} has no area on Earth. "
            "Give --bbox WEST SOUTH EAST NORTH in degrees."
        )
    bands = sin(radians(north)) - sin(radians(south))
    return _EARTH_RADIUS_KM**2 * radians(east - west) * bands


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
        Peak of a process that answers, without cached spectra.
    cached_bytes, cache_limit_bytes : float
        Spectra of one block, and how much of them is cached at most.
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
    cached_bytes: float
    cache_limit_bytes: float

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
        values = {_OLD_NAMES.get(name, name): value for name, value in values.items()}
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


@dataclass(frozen=True)
class AtlasPlan:
    """What building and asking an atlas takes.

    Attributes
    ----------
    area_km2, gsd : float
        Ground covered, and metres per pixel.
    megapixels : float
    blocks : int
        Of the atlas, those at the rim counted whole.
    machines, workers : int
        Machines, and workers on each.
    build_hours : float
        All blocks, spread evenly over all workers.
    storage_gb : float
        Of the atlas, 1e9 bytes; the basemap itself is not counted.
    build_memory_gb : float
        Of one machine while it builds, all its workers.
    search_seconds : float
        One query without a prior on one machine, over the whole atlas.
    search_memory_gb : float
        Of that machine: the spectra of all blocks where they are cached.
    cached : bool
        Whether they are; else a query reads and transforms every block.
    """

    area_km2: float
    gsd: float
    megapixels: float
    blocks: int
    machines: int
    workers: int
    build_hours: float
    storage_gb: float
    build_memory_gb: float
    search_seconds: float
    search_memory_gb: float
    cached: bool

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    def describe(self, costs: UnitCosts) -> str:
        """A line for each figure, with what it rests on."""
        how = "spectra cached in memory" if self.cached else "every block read for each query"
        each = "a machine" if self.machines > 1 else "this machine"
        lines = {
            "area": f"{self.area_km2:,.0f} km2 at {self.gsd:g} m: {self.megapixels:,.0f} Mpx, "
            f"{self.blocks:,} blocks of {costs.block} px",
            "build": f"{_duration(self.build_hours * 3600)} on {self.machines} machine(s) with "
            f"{self.workers} worker(s) each, {self.build_memory_gb:.1f} GB of memory a machine",
            "storage": f"{self.storage_gb:,.1f} GB beside the basemap",
            "query": f"{_duration(self.search_seconds)} without a prior on {each}, "
            f"{self.search_memory_gb:.1f} GB ({how}); a prior searches its own blocks alone",
            "measured": f"{costs.extractor} and {costs.fine}: {costs.block_seconds:.2f} s and "
            f"{costs.block_bytes / 1e6:.1f} MB a block, {costs.cores} cores",
        }
        return "\n".join(f"{name:10}{text}" for name, text in lines.items())


def plan_atlas(
    area_km2: float, gsd: float, costs: UnitCosts, machines: int = 1, workers: int = 1
) -> AtlasPlan:
    """Multiply unit costs by an area.

    The area counts as a square, so the blocks at its rim are those of a
    square. An area of another shape has more rim: up to
    ``perimeter / block side`` further blocks. Blocks do not depend on each
    other, so workers share them evenly; reading the basemap is part of the
    cost of a block, at the speed of the disk where it was measured.

    Parameters
    ----------
    area_km2 : float
    gsd : float
        Metres per pixel.
    costs : UnitCosts
        Measured on a machine like those that will do the work.
    machines, workers : int
        Machines, and workers on each.

    Raises
    ------
    SettingError
        If a number is not above 0.
    """
    numbers = {"the area": area_km2, "--gsd": gsd, "--machines": machines, "--workers": workers}
    for name, value in numbers.items():
        if not value > 0:
            raise SettingError(f"{name} is {value:g}; a number above 0 is needed.")
    side = math.sqrt(area_km2) * 1000 / gsd
    # A hair beyond a whole block is rounding, not another block.
    blocks = math.ceil(side / costs.block - 1e-6) ** 2
    rounds = math.ceil(blocks / (machines * workers))
    cached = blocks * costs.cached_bytes <= costs.cache_limit_bytes
    each = costs.search_seconds if cached else costs.search_seconds + costs.transform_seconds
    resident = costs.cached_bytes * (blocks if cached else costs.cores)
    return AtlasPlan(
        area_km2=area_km2,
        gsd=gsd,
        megapixels=side**2 / 1e6,
        blocks=blocks,
        machines=machines,
        workers=workers,
        build_hours=rounds * costs.block_seconds / 3600,
        storage_gb=(blocks * costs.block_bytes + costs.manifest_bytes * blocks) / 1e9,
        build_memory_gb=workers * costs.build_memory_bytes / 1e9,
        search_seconds=costs.query_seconds + blocks * each,
        search_memory_gb=(costs.query_memory_bytes + resident) / 1e9,
        cached=cached,
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def costs_for(path: Path | None, options: LevelOptions) -> UnitCosts:
    """Read the costs in a file, or measure them and write them there.

    Raises
    ------
    InputError
        If the file holds costs of other levels or cannot be read.
    """
    if path is None or not path.exists():
        if path is not None:
            check_writable(path.parent)
        costs = measure_costs(options)
        if path is not None:
            costs.write(path)
        return costs
    stored = read_costs(path)
    levels = make_level(options.extractor, options.cell), make_level(options.fine, None)
    specs = tuple(level.spec for level in levels)
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
    search = searcher(atlas, 0, correlation_device(settings.device))
    started = perf_counter()
    search.precompute()
    precomputed = perf_counter() - started
    seconds = []
    for number in range(_QUERIES + 1):
        window = (300 + 400 * number, 500), (_CHIP, _CHIP)
        bands, valid = atlas.pixels(*window)
        chip = RasterArray.of(bands[:1], valid, atlas.window(*window))
        # A large atlas is searched in its first level.
        seconds.append(locate(chip, atlas, settings).timings)
    later = seconds[1:]  # the first one pays for what is made once
    searched = float(np.median([one["search"] for one in later]))
    total = float(np.median([one["total"] for one in later]))
    cached = search.blocks.block_bytes
    return {
        "transform_seconds": precomputed / blocks,
        "search_seconds": searched / blocks,
        "query_seconds": total - searched,
        "query_memory_bytes": max(0, peak_memory_bytes() - cached * blocks),
        "cached_bytes": cached,
        "cache_limit_bytes": search.blocks.cache_bytes,
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
        "crosslook.atlas.plan",
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


if __name__ == "__main__":
    stage_name, at, text = sys.argv[1:]
    print(json.dumps(_STAGES[stage_name](Path(at), LevelOptions(**json.loads(text)))))
