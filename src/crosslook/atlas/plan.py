"""What an atlas of an area would take: time, memory and storage, from measured unit costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from math import radians, sin
from typing import Any

from crosslook.atlas.unit_costs import UnitCosts
from crosslook.errors import SettingError, did_you_mean

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
        Of that machine: the spectra of all blocks where they are kept.
    kept : bool
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
    kept: bool

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)

    def describe(self, costs: UnitCosts) -> str:
        """A line for each figure, with what it rests on."""
        how = "spectra kept in memory" if self.kept else "every block read for each query"
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


def check_numbers(area_km2: float, gsd: float, machines: int, workers: int) -> None:
    """Refuse what cannot be planned, before anything is measured.

    Raises
    ------
    SettingError
        If a number is not above 0.
    """
    for name, value in (
        ("the area", area_km2),
        ("--gsd", gsd),
        ("--machines", machines),
        ("--workers", workers),
    ):
        if not value > 0:
            raise SettingError(f"{name} is {value:g}; a number above 0 is needed.")


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
    check_numbers(area_km2, gsd, machines, workers)
    side = math.sqrt(area_km2) * 1000 / gsd
    # A hair beyond a whole block is rounding, not another block.
    blocks = math.ceil(side / costs.block - 1e-6) ** 2
    rounds = math.ceil(blocks / (machines * workers))
    kept = blocks * costs.kept_bytes <= costs.keep_limit_bytes
    each = costs.search_seconds if kept else costs.search_seconds + costs.transform_seconds
    resident = costs.kept_bytes * blocks if kept else costs.kept_bytes * costs.cores
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
        kept=kept,
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"
