"""Tiles of an atlas, straight from its blocks.

A tile shows the pixels that are matched, on the grid of the atlas itself: no
warp, no other radiometry. Below a factor of eight tiles are reduced from the
blocks; from there on from a small copy of each block that is made once and kept.
The first time every block must be read and compared with its checksum for that,
which takes seconds: it is done ahead, and a tile asked for meanwhile shows what
there is.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.arrays import load_array
from crosslook.atlas.store import Atlas
from crosslook.atomic import atomic_path
from crosslook.errors import CrosslookError, NotFoundError
from crosslook.explore.images import encoded, jpeg_of, png_of
from crosslook.geo.block_store import Block
from crosslook.geo.grid import from_lonlat, to_lonlat
from crosslook.types import Mask

SIDE = 256
_SMALL = 8  # pixels along a side of a block that become one of its small copy
_KEPT_TILES, _KEPT_BLOCKS = 600, 400
_NODES = 17
_COVERED = 0.5
_READERS = 2  # threads that read ahead: checksums and means of squares let go of the interpreter
_PATIENCE_S = 0.02  # that a tile waits for blocks that are being read

Pixels = tuple[NDArray[np.uint8], Mask]


class Tile(NamedTuple):
    """A tile as it is sent.

    Attributes
    ----------
    media : str
        PNG where a part holds nothing, else JPEG.
    data : bytes
    whole : bool
        Whether all blocks under it have been read.
    """

    media: str
    data: bytes
    whole: bool


class Tiles:
    """The tiles of one atlas.

    Parameters
    ----------
    atlas : Atlas
    folder : Path
        Where small copies of blocks are kept; they may be removed at any time.
    """

    def __init__(self, atlas: Atlas, folder: Path) -> None:
        self.atlas = atlas
        text = atlas.name + atlas.manifest.created + repr(sorted(atlas.manifest.blocks.items()))
        self.version = hashlib.sha256(text.encode()).hexdigest()[:12]
        self._folder = folder / self.version
        self._small: OrderedDict[Block, Pixels] = OrderedDict()
        self._tiles: OrderedDict[tuple[int, int, int], Tile] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Block, threading.Lock] = {}
        self._waiting: set[Block] = set()  # blocks that are still to be read ahead
        self._progress = threading.Condition()

    @property
    def zooms(self) -> int:
        """The zoom at which a pixel is a pixel.

        At 0 one tile holds all, or, in an atlas so large that a block would
        be less than a pixel, a block is one.
        """
        longest = max(self.atlas.grid.shape)
        least = int(np.log2(self.atlas.grid.block))
        return min(least, max(0, int(np.ceil(np.log2(longest / SIDE)))))

    @property
    def ready(self) -> float:
        """The fraction of blocks that tiles of all zooms can be made of at once."""
        blocks = len(self.atlas.manifest.blocks)
        return 1.0 - len(self._waiting) / max(1, blocks)

    def warm_in_background(self, stop: Callable[[], bool]) -> threading.Thread:
        """Start to read all blocks ahead; tiles show what there is until that is done.

        Parameters
        ----------
        stop : callable
            Asked before each block; the rest is left out where it returns true.
        """
        self._waiting = set(self.atlas.manifest.blocks)
        thread = threading.Thread(target=self.warm, args=(stop,), daemon=True)
        thread.start()
        return thread

    def warm(self, stop: Callable[[], bool]) -> None:
        """Make the small copies of all blocks, until all are there or ``stop`` says so."""

        def read(block: Block) -> None:
            if not stop():
                with suppress(CrosslookError):  # said where someone looks at it
                    self._small_of(block)
            with self._progress:
                self._waiting.discard(block)
                self._progress.notify_all()

        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(read, self.atlas.manifest.blocks))

    def tile(self, zoom: int, row: int, col: int) -> Tile:
        """Make a tile, or take it from memory; one that is not whole yet is not kept.

        Raises
        ------
        InputError
            If there is no such tile.
        StoreError
            If a block is damaged.
        """
        factor = 2 ** max(0, self.zooms - zoom)
        rows, cols = (-(-length // (SIDE * factor)) for length in self.atlas.grid.shape)
        if not (0 <= zoom <= self.zooms and 0 <= row < rows and 0 <= col < cols):
            raise NotFoundError(f"there is no tile {zoom}/{row}/{col}; zooms are 0..{self.zooms}.")
        key = (zoom, row, col)
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        made = self._make(factor, row, col)
        if not made.whole:
            return made
        with self._lock:
            self._tiles[key] = made
            while len(self._tiles) > _KEPT_TILES:
                self._tiles.popitem(last=False)
        return made

    def _make(self, factor: int, row: int, col: int) -> Tile:
        corner, side = (row * SIDE * factor, col * SIDE * factor), SIDE * factor
        whole = True
        if factor < _SMALL:
            bands, valid = reduced(*self.atlas.pixels(corner, (side, side)), factor)
        else:
            missing = self._not_yet(corner, side)
            bands, valid = self._from_small(corner, side, factor, missing)
            whole = not missing
        colours = np.ascontiguousarray(bands[[0, 1, 2] if len(bands) > 2 else [0, 0, 0]])
        image = colours.transpose(1, 2, 0)
        if valid.all():
            return Tile("image/jpeg", jpeg_of(image), whole)
        if not valid.any():
            return Tile("image/png", _NOTHING, whole)
        return Tile("image/png", png_of(image, valid), whole)

    def _not_yet(self, corner: tuple[int, int], side: int) -> set[Block]:
        """Blocks under a window that are still to be read ahead, after a short wait for them."""
        block = self.atlas.grid.block
        rows, cols = (range(at // block, -(-(at + side) // block)) for at in corner)
        ends = time.monotonic() + _PATIENCE_S
        with self._progress:
            while missing := {b for b in self._waiting if b[0] in rows and b[1] in cols}:
                left = ends - time.monotonic()
                if left <= 0:
                    break
                self._progress.wait(left)
        return missing

    def _from_small(
        self, corner: tuple[int, int], side: int, factor: int, missing: set[Block]
    ) -> Pixels:
        """A tile from the small copies of the blocks under it, each reduced before they are joined.

        Tile and block are powers of two, so one holds the other whole. Blocks
        that are ``missing`` are left out.
        """
        block = self.atlas.grid.block
        cells = block // factor
        first = [at // block for at in corner]
        count = max(1, side // block)
        bands = np.zeros((self.atlas.manifest.bands, count * cells, count * cells), np.uint8)
        valid = np.zeros(bands.shape[1:], np.bool_)
        for row in range(first[0], first[0] + count):
            for col in range(first[1], first[1] + count):
                if (row, col) not in self.atlas.manifest.blocks or (row, col) in missing:
                    continue
                top, left = (row - first[0]) * cells, (col - first[1]) * cells
                at = slice(top, top + cells), slice(left, left + cells)
                bands[:, *at], valid[at] = reduced(*self._small_of((row, col)), factor // _SMALL)
        top, left = (a // factor - f * cells for a, f in zip(corner, first, strict=True))
        part = slice(top, top + SIDE), slice(left, left + SIDE)
        return bands[:, *part], valid[part]

    def _small_of(self, block: Block) -> Pixels:
        """A block at an eighth, from memory, from the folder, or made; one thread makes it."""
        with self._lock:
            making = self._making.setdefault(block, threading.Lock())
        with making:
            with self._lock:
                if block in self._small:
                    self._small.move_to_end(block)
                    return self._small[block]
            small = self._stored_or_made(block)
            with self._lock:
                self._small[block] = small
                while len(self._small) > _KEPT_BLOCKS:
                    self._small.popitem(last=False)
        return small

    def _stored_or_made(self, block: Block) -> Pixels:
        """A block at an eighth from the folder of small copies, else from its pixels."""
        path = self._folder / f"{block[0]}-{block[1]}.npy"
        side = self.atlas.grid.block
        bands = self.atlas.manifest.bands
        stored: NDArray[np.uint8] | None = None
        with suppress(OSError, ValueError):
            stored = load_array(path)
        if stored is None or stored.shape != (bands + 1, side // _SMALL, side // _SMALL):
            corner = (block[0] * side, block[1] * side)
            made = reduced(*self.atlas.pixels(corner, (side, side)), _SMALL)
            stored = np.concatenate([made[0], made[1][None].astype(np.uint8)])
            with atomic_path(path) as temporary:
                np.save(temporary, stored)
        return stored[:bands], stored[bands] > 0


def reduced(bands: NDArray[np.uint8], valid: Mask, factor: int) -> Pixels:
    """Mean of squares of ``factor`` pixels, over those that hold data; half must."""
    if factor == 1:
        return bands, valid
    size = (bands.shape[2] // factor, bands.shape[1] // factor)
    if valid.all():
        small = [cv2.resize(band, size, interpolation=cv2.INTER_AREA) for band in bands]
        return np.stack(small), np.ones(size[::-1], np.bool_)
    cover = cv2.resize(valid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    means = [
        cv2.resize(band.astype(np.float32) * valid, size, interpolation=cv2.INTER_AREA)
        / np.maximum(cover, 1e-6)
        for band in bands
    ]
    return np.clip(np.rint(np.stack(means)), 0, 255).astype(np.uint8), cover >= _COVERED


def describe_atlas(atlas: Atlas) -> dict[str, Any]:
    """What the page needs to draw an atlas: size, blocks, places on Earth."""
    manifest, grid = atlas.manifest, atlas.grid
    height, width = grid.shape
    centre = np.array([[height / 2, width / 2]])
    return {
        "shape": [height, width],
        "block": grid.block,
        "blocks": sorted([list(block) for block in manifest.blocks]),
        "block_grid": list(grid.blocks),
        "crs": str(grid.pixels.crs),
        "gsd": float(grid.ground_metres(centre)),
        "area_km2": float(atlas.area_km2()),
        "valid": manifest.valid_pixels / (height * width),
        "bands": manifest.bands,
        "levels": [{"spec": level.spec, "cell": level.cell} for level in manifest.levels],
        "sources": list(manifest.sources),
        "created": manifest.created,
        "built_by": manifest.version,
        "facts": atlas.facts(),
        "lattice": lattice(atlas),
    }


def lattice(atlas: Atlas) -> dict[str, Any]:
    """Longitude and latitude on a lattice of pixels, for reading coordinates off the map."""
    height, width = atlas.grid.shape
    rows, cols = np.linspace(0, height, _NODES), np.linspace(0, width, _NODES)
    at = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    lonlat = to_lonlat(atlas.grid.pixels, at)
    return {"nodes": _NODES, "lonlat": np.round(lonlat, 8).reshape(_NODES, _NODES, 2).tolist()}


def pixel_at(atlas: Atlas, lon: float, lat: float) -> dict[str, Any]:
    """The pixel of a place, and whether the atlas holds it."""
    row, col = (float(v) for v in from_lonlat(atlas.grid.pixels, np.array([[lon, lat]]))[0])
    if not np.isfinite([row, col]).all():
        return {"row": None, "col": None, "inside": False}
    height, width = atlas.grid.shape
    return {"row": row, "col": col, "inside": bool(0 <= row < height and 0 <= col < width)}


_NOTHING = encoded(".png", np.zeros((1, 1, 4), np.uint8), cv2.IMWRITE_PNG_COMPRESSION, 9)
