"""What an atlas of an area would take: time, memory and storage, from measured unit costs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from crosslook.errors import SettingError
from crosslook.pipeline.unit_costs import UnitCosts


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
        Of that machine: the transforms of all blocks where they are kept.
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
        how = "transforms kept in memory" if self.kept else "every block read for each query"
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
    held = costs.kept_bytes * blocks if kept else costs.kept_bytes * costs.cores
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
        search_memory_gb=(costs.query_memory_bytes + held) / 1e9,
        kept=kept,
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"
