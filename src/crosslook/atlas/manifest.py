"""``atlas.json``: what an atlas holds and what proves it whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from crosslook.atlas.levels import Level
from crosslook.errors import StoreError
from crosslook.geo.grid import crs_text, make_grid, mean_metres, shape_of
from crosslook.json_text import json_object
from crosslook.types import Array, FloatArray

FORMAT = 4
"""Raise it whenever the bytes of a block or their meaning change."""

NAME = "atlas.json"
PLAN = "build.json"
"""What is being built, from which files; tells whether a build goes on or is another one."""
Block = tuple[int, int]


@dataclass(frozen=True)
class AtlasGrid:
    """Pixels of an atlas and the blocks that they are stored in.

    Attributes
    ----------
    pixels : GeoBox
        North up.
    block : int
        Side of a block in pixels.
    """

    pixels: GeoBox
    block: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns in pixels."""
        return shape_of(self.pixels)

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return (-(-self.shape[0] // self.block), -(-self.shape[1] // self.block))

    def every_block(self) -> Iterator[tuple[int, int]]:
        """All (row, column) of blocks, also those without data."""
        rows, cols = self.blocks
        return ((row, col) for row in range(rows) for col in range(cols))

    def ground_metres(self, points: Array) -> float:
        """Ground length of a pixel side, the mean over pixel positions (n, 2)."""
        return mean_metres(self.pixels, points)


@dataclass(frozen=True, eq=False)
class LevelStatistics:
    """What calibrates the features of a level, over all valid cells.

    Attributes
    ----------
    mean, std : float32 array, shape (C,)
    local_std : float
        Median of the local standard deviation of the grey values.
    """

    mean: FloatArray
    std: FloatArray
    local_std: float


@dataclass(frozen=True, eq=False)
class Manifest:
    """The content of ``atlas.json``.

    Attributes
    ----------
    grid : AtlasGrid
    levels : tuple of Level
        Coarse to fine.
    keys : tuple of dict
        Of the extractor of each level: name, options, weights revision.
    statistics : tuple of LevelStatistics
    bands : int
        Of the stored image, 1 or 3.
    blocks : dict of (row, column) to dict of file name to SHA-256
        Blocks that hold data.
    valid_pixels : int
    sources : tuple of str
        Names of the basemap files; where they overlap the first one shows.
    source_metres : tuple of float
        Ground length of a pixel of each.
    left_out : tuple of (str, str)
        Names of the files that were given and not used, and why.
    created, version : str
        Date, and the version of crosslook that built it.
    """

    grid: AtlasGrid
    levels: tuple[Level, ...]
    keys: tuple[dict[str, str], ...]
    statistics: tuple[LevelStatistics, ...]
    bands: int
    blocks: dict[Block, dict[str, str]]
    valid_pixels: int
    sources: tuple[str, ...]
    created: str
    version: str
    source_metres: tuple[float, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> str:
        """Text of ``atlas.json``."""
        grid = self.grid
        values: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "created": self.created,
            "crs": crs_text(grid.pixels),
            "affine": list(tuple(grid.pixels.affine)[:6]),
            "shape": grid.shape,
            "block": grid.block,
            "bands": self.bands,
            "valid_pixels": self.valid_pixels,
            "levels": [
                {
                    **asdict(level),
                    "key": key,
                    "mean": statistics.mean.tolist(),
                    "std": statistics.std.tolist(),
                    "local_std": statistics.local_std,
                }
                for level, key, statistics in zip(
                    self.levels, self.keys, self.statistics, strict=True
                )
            ],
            "sources": self.sources,
            "source_metres": self.source_metres,
            "left_out": [{"name": name, "reason": why} for name, why in self.left_out],
            "blocks": {f"{row}-{col}": files for (row, col), files in self.blocks.items()},
        }
        return json.dumps(values, indent=1) + "\n"


def read_manifest(data: bytes, name: str) -> Manifest:
    """Parse ``atlas.json`` of the atlas called ``name``.

    Raises
    ------
    StoreError
        If it is damaged or of another format.
    """
    try:
        values = json_object(data, finite=True)
        written = values["format"]
        if written != FORMAT:
            raise StoreError(
                f"atlas '{name}' has format {written} (crosslook {values.get('version')}); this "
                f"version reads format {FORMAT}. Build it again with atlas build."
            )
        return _parse(values)
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{NAME} of atlas '{name}' is damaged ({error}). Build the atlas again."
        ) from error


def read_plan(data: bytes, name: str) -> dict[str, Any]:
    """Parse ``build.json`` of the atlas called ``name``.

    Raises
    ------
    StoreError
        If it is damaged.
    """
    try:
        plan = json_object(data)
        if not {"format", "files", "grid"} <= plan.keys():
            raise ValueError("keys are missing")
    except (ValueError, AttributeError) as error:
        raise StoreError(
            f"{PLAN} of atlas '{name}' is damaged ({error}), so what its blocks were made of is "
            "not known. Remove the folder and build again, build into another one, or replace "
            "it with --overwrite."
        ) from error
    return dict(plan)


def _parse(values: dict[str, Any]) -> Manifest:
    levels = values["levels"]
    rows, cols = (_whole(side, _MOST_PIXELS) for side in values["shape"])
    pixels = make_grid(values["crs"], tuple(values["affine"]), rows, cols)
    return Manifest(
        grid=AtlasGrid(pixels, _whole(values["block"], _MOST_BLOCK)),
        levels=tuple(Level(one["spec"], _whole(one["cell"], _MOST_BLOCK)) for one in levels),
        keys=tuple(dict(one["key"]) for one in levels),
        statistics=tuple(
            LevelStatistics(
                np.array(one["mean"], np.float32),
                np.array(one["std"], np.float32),
                float(one["local_std"]),
            )
            for one in levels
        ),
        bands=values["bands"],
        blocks={_block(name): dict(files) for name, files in values["blocks"].items()},
        valid_pixels=values["valid_pixels"],
        sources=tuple(values["sources"]),
        created=values["created"],
        version=values["version"],
        source_metres=tuple(values.get("source_metres", ())),
        left_out=tuple((one["name"], one["reason"]) for one in values.get("left_out", ())),
    )


_MOST_PIXELS, _MOST_BLOCK = 10**9, 2**16


def _whole(value: Any, most: int) -> int:
    """A size, which a damaged file may claim to be anything."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"a size is {str(value)[:40]}")
    return value


def _block(text: str) -> Block:
    row, _, col = text.partition("-")
    return int(row), int(col)
