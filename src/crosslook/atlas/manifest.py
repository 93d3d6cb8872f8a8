"""``atlas.json``: what an atlas holds and what proves it whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crosslook.atlas.levels import Level
from crosslook.errors import StoreError
from crosslook.geo.basemaps import AtlasGrid
from crosslook.geo.position import Georeference
from crosslook.types import FloatArray

FORMAT = 2
"""Raise it whenever the bytes of a block or their meaning change."""

NAME = "atlas.json"
Block = tuple[int, int]


@dataclass(frozen=True, eq=False)
class LevelStatistics:
    """What calibrates the features of a level, over all valid cells.

    Attributes
    ----------
    mean, deviation : float32 array, shape (C,)
    spread : float
        Median of the local spread of the grey values.
    """

    mean: FloatArray
    deviation: FloatArray
    spread: float


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
        Names of the basemap files.
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

    def to_json(self) -> str:
        """Text of ``atlas.json``."""
        grid = self.grid
        values: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "created": self.created,
            "crs": grid.reference.crs,
            "affine": grid.reference.affine,
            "shape": grid.shape,
            "block": grid.block,
            "bands": self.bands,
            "valid_pixels": self.valid_pixels,
            "levels": [
                {
                    **asdict(level),
                    "key": key,
                    "mean": statistics.mean.tolist(),
                    "deviation": statistics.deviation.tolist(),
                    "spread": statistics.spread,
                }
                for level, key, statistics in zip(
                    self.levels, self.keys, self.statistics, strict=True
                )
            ],
            "sources": self.sources,
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
        values = json.loads(data)
        found = values["format"]
        if found != FORMAT:
            raise StoreError(
                f"atlas '{name}' has format {found} (crosslook {values.get('version')}); this "
                f"version reads format {FORMAT}. Build it again with atlas build."
            )
        return _parse(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{NAME} of atlas '{name}' is damaged ({error}). Build the atlas again."
        ) from error


def _parse(values: dict[str, Any]) -> Manifest:
    levels = values["levels"]
    a, b, c, d, e, f = values["affine"]
    rows, cols = values["shape"]
    reference = Georeference(values["crs"], (a, b, c, d, e, f))
    return Manifest(
        grid=AtlasGrid(reference, (rows, cols), values["block"]),
        levels=tuple(Level(one["spec"], one["cell"]) for one in levels),
        keys=tuple(dict(one["key"]) for one in levels),
        statistics=tuple(
            LevelStatistics(
                np.array(one["mean"], np.float32),
                np.array(one["deviation"], np.float32),
                float(one["spread"]),
            )
            for one in levels
        ),
        bands=values["bands"],
        blocks={_block(name): dict(files) for name, files in values["blocks"].items()},
        valid_pixels=values["valid_pixels"],
        sources=tuple(values["sources"]),
        created=values["created"],
        version=values["version"],
    )


def _block(text: str) -> Block:
    row, _, col = text.partition("-")
    return int(row), int(col)
