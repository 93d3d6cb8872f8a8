"""An atlas on disk: ``atlas.json``, the blocks under it, and windows of both.

An atlas is a folder: ``build.json`` says what it is made of, ``blocks/`` holds
a folder a block, and ``atlas.json``, written last, proves all of it whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.errors import CrosslookError, InputError, SettingError, StoreError, did_you_mean
from crosslook.geo.block_store import FORMAT, NAME, VALID, Block, BlockStore, pieces, read_block
from crosslook.geo.grid import crs_text, make_grid, mean_metres, shape_of, to_lonlat, window_of
from crosslook.geo.image import ImageFile, as_image
from crosslook.json_text import json_object
from crosslook.match.channels import Channels, contrast_weight
from crosslook.match.files import colours_of, png_of
from crosslook.notebook import card, image
from crosslook.storage import Folder, open_folder
from crosslook.types import Array, FloatArray, Window

PLAN = "build.json"
"""What is being built, from which files; tells whether a build goes on or is another one."""

_MOST_PIXELS, _MOST_BLOCK = 10**9, 2**16
_SOURCES, _LEFT_OUT = 3, 20  # named; of others the number is given
_SHOWN_BLOCKS, _THUMBNAIL = 4, 480


def level_file(number: int) -> str:
    """File of the features of a level, counted from 0."""
    return f"level{number}.npy"


@dataclass(frozen=True)
class Level:
    """One set of features of an atlas.

    Attributes
    ----------
    spec : str
        Of the extractor, options included.
    cell : int
        Pixels of the atlas per cell.
    """

    spec: str
    cell: int


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


class Atlas:
    """A searchable basemap; any number of queries may share one.

    Files of a local atlas are mapped into memory, those of a remote one are
    fetched when they are needed. Every file is compared with its checksum
    when it is first used.

    Attributes
    ----------
    manifest : Manifest
    name : str
        Its folder or address.
    """

    def __init__(self, manifest: Manifest, folder: Folder) -> None:
        self.manifest = manifest
        self.name = str(folder)
        self._blocks = BlockStore(folder, manifest.grid.block, manifest.blocks)
        self.searchers: dict[tuple[int, str], Any] = {}  # cached spectra, by level and device

    @property
    def grid(self) -> AtlasGrid:
        """Pixels and blocks."""
        return self.manifest.grid

    def find_level(self, spec: str) -> int | None:
        """Number of the level whose extractor was given as ``spec``; None where no one was."""
        names = [(level.spec, level.spec.partition(":")[0]) for level in self.manifest.levels]
        return next((number for number, known in enumerate(names) if spec in known), None)

    def level_number(self, spec: str) -> int:
        """Number of the level whose extractor was given as ``spec``.

        Raises
        ------
        SettingError
            If the atlas was built with other extractors.
        """
        number = self.find_level(spec)
        if number is not None:
            return number
        known = [level.spec for level in self.manifest.levels]
        raise SettingError(
            f"atlas '{self.name}' has no features of '{spec}'; it was built with: "
            f"{', '.join(known)}. Choose one of these, or build another atlas."
            + did_you_mean(spec, known)
        )

    def features(self, number: int, corner: tuple[int, int], shape: tuple[int, int]) -> Channels:
        """Calibrated features of a window of cells, which may reach beyond the atlas.

        Parameters
        ----------
        number : int
            Of the level.
        corner, shape : first (row, column) of the window, and its rows and columns, in cells.

        Returns
        -------
        Channels
            Zero and not valid where the atlas holds nothing.
        """
        level = self.manifest.levels[number]
        statistics = self.manifest.statistics[number]
        channels = len(statistics.mean)
        values = np.zeros((channels, *shape), np.float32)
        valid = np.zeros(shape, np.bool_)
        side = self.grid.block // level.cell
        for block, here, there in pieces(corner, shape, side):
            stored = self._blocks.array(block, level_file(number))
            if stored is None:
                continue
            piece = stored[:, *there].astype(np.float32)
            contrast = piece[-1]
            valid[here] = contrast >= 0
            weight = contrast_weight(np.maximum(contrast, 0), statistics.local_std) * valid[here]
            piece = piece[:-1]
            piece -= statistics.mean[:, None, None]
            piece *= weight
            piece *= (1.0 / statistics.std)[:, None, None]
            values[:, *here] = piece
        return Channels(values, valid, float(level.cell))

    def image(self, corner: tuple[int, int], shape: tuple[int, int]) -> ImageFile:
        """Cut a window of pixels, which may reach beyond the atlas."""
        bands, valid = self.pixels(corner, shape)
        return as_image(bands, valid, self.window(corner, shape), Path(self.name).name)

    def window(self, corner: tuple[int, int], shape: tuple[int, int]) -> GeoBox:
        """The grid of a window."""
        return window_of(self.grid.pixels, Window(*corner, *shape))

    def pixels(
        self, corner: tuple[int, int], shape: tuple[int, int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Stored pixels (B, h, w) of a window, and which of them (h, w) hold data."""
        return self._blocks.pixels(corner, shape, self.manifest.bands)

    def area_km2(self) -> float:
        """Ground that holds data, by the pixel size at the centre of every block."""
        side = self.grid.block
        centres = (np.array(list(self.manifest.blocks)) + 0.5) * side
        inside = np.minimum(centres, np.array(self.grid.shape) - 0.5)
        metres = self.grid.ground_metres(inside)
        return self.manifest.valid_pixels * metres**2 / 1e6

    def sample(self) -> Array:
        """Corners and centre of what it holds, pixels (5, 2)."""
        blocks = np.array(list(self.manifest.blocks), np.float64)
        low = blocks.min(axis=0) * self.grid.block
        high = np.minimum((blocks.max(axis=0) + 1) * self.grid.block, self.grid.shape)
        return corners_and_centre(low[0], low[1], high[0], high[1])

    def stored_bytes(self) -> int:
        """Bytes of all arrays; known from their shapes, since none is compressed."""
        manifest, side = self.manifest, self.grid.block
        features = sum(
            2 * (len(statistics.mean) + 1) * (side // level.cell) ** 2
            for level, statistics in zip(manifest.levels, manifest.statistics, strict=True)
        )
        masks = sum(VALID in files for files in manifest.blocks.values())
        return len(manifest.blocks) * (manifest.bands * side**2 + features) + masks * side**2 // 8

    def facts(self) -> dict[str, str]:
        """Area, grid, extractors, size, sources and date of an atlas, in words."""
        manifest, grid, sample = self.manifest, self.grid, self.sample()
        fraction = manifest.valid_pixels / math.prod(grid.shape)
        corners = to_lonlat(grid.pixels, sample)
        (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
        left_out = [f"{name} ({why})" for name, why in manifest.left_out]
        return {
            "area": f"{self.area_km2():,.1f} km2 of data, {fraction:.1%} of the grid",
            "bounds": f"{west:.6f} {south:.6f} {east:.6f} {north:.6f} (west south east north)",
            "grid": f"{grid.shape[0]} x {grid.shape[1]} pixels of "
            f"{grid.ground_metres(sample):.2f} m, {crs_text(grid.pixels)}",
            "blocks": f"{len(manifest.blocks)} of {math.prod(grid.blocks)} hold data, "
            f"{grid.block} pixels a side",
            **{
                f"level {number}": f"{level.spec}, {level.cell} pixels a cell"
                for number, level in enumerate(manifest.levels)
            },
            "size": f"{self.stored_bytes() / 1e6:,.0f} MB",
            "sources": _listed(_sized(manifest)),
            **({"left out": _listed(left_out, _LEFT_OUT)} if left_out else {}),
            "built": f"{manifest.created} by crosslook {manifest.version}",
        }

    def describe(self) -> str:
        """The facts, a line each."""
        return "\n".join(f"{name:10}{value}" for name, value in self.facts().items())

    def _repr_html_(self) -> str:
        """Show the facts in a notebook, and a small atlas itself."""
        shown = ""
        if len(self.manifest.blocks) <= _SHOWN_BLOCKS:  # all their files are read and checked
            with suppress(CrosslookError):
                shown = image(self._thumbnail(), "the basemap")
        return card(f"Atlas {self.name}", self.facts(), shown)

    def _thumbnail(self) -> bytes:
        """PNG of the whole basemap, at most 480 pixels a side."""
        step = max(1, -(-max(self.grid.shape) // _THUMBNAIL))
        return png_of(colours_of(self.image((0, 0), self.grid.shape).read(None, step)))


def open_atlas(place: str | Path) -> Atlas:
    """Open an atlas for reading.

    Parameters
    ----------
    place : path or address
        What was given to :func:`crosslook.atlas.build.build_atlas`.

    Raises
    ------
    InputError
        If there is no finished atlas.
    StoreError
        If it is damaged, or was built by another version of the format.
    """
    folder = open_folder(place)
    if not folder.has(NAME):
        hint = "build one with atlas build"
        if folder.has(PLAN):
            read_plan(folder.read(PLAN), str(place))  # no advice to go on with a damaged one
            hint = "its building was not finished: run atlas build again"
        raise InputError(f"'{place}' holds no atlas; {hint}.")
    return Atlas(read_manifest(folder.read(NAME), str(place)), folder)


def _sized(manifest: Manifest) -> list[str]:
    """Names of the sources with the metres of their pixels, where these are known."""
    if len(manifest.source_metres) != len(manifest.sources):
        return list(manifest.sources)
    pairs = zip(manifest.sources, manifest.source_metres, strict=True)
    return [f"{name} ({metres:.4g} m)" for name, metres in pairs]


def _listed(texts: Sequence[str], most: int = _SOURCES) -> str:
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def corners_and_centre(top: float, left: float, bottom: float, right: float) -> Array:
    """Positions (5, 2) that stand for a box."""
    centre = ((top + bottom) / 2, (left + right) / 2)
    return np.array([(top, left), (top, right), (bottom, left), (bottom, right), centre])


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
        blocks={read_block(name): dict(files) for name, files in values["blocks"].items()},
        valid_pixels=values["valid_pixels"],
        sources=tuple(values["sources"]),
        created=values["created"],
        version=values["version"],
        source_metres=tuple(values.get("source_metres", ())),
        left_out=tuple((one["name"], one["reason"]) for one in values.get("left_out", ())),
    )


def _whole(value: Any, most: int) -> int:
    """A size, which a damaged file may claim to be anything."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"a size is {str(value)[:40]}")
    return value
