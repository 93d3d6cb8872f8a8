"""An atlas opened for reading: windows of its image and of its features."""

from __future__ import annotations

import hashlib
import io
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.atlas.blocks import IMAGE, VALID, block_folder, level_file
from crosslook.atlas.manifest import (
    NAME,
    PLAN,
    AtlasGrid,
    Block,
    Manifest,
    read_manifest,
    read_plan,
)
from crosslook.errors import CrosslookError, InputError, SettingError, StoreError, did_you_mean
from crosslook.geo.grid import crs_text, window_of
from crosslook.geo.image import ImageFile, as_image
from crosslook.match.channels import Channels, contrast_weight
from crosslook.notebook import card, image
from crosslook.storage import Folder, open_folder
from crosslook.types import Window

_SOURCES, _LEFT_OUT = 3, 20  # named; of others the number is given
_SHOWN_BLOCKS, _THUMBNAIL = 4, 480
_REMOTE_FILES = 64  # arrays of a remote atlas that are held in memory


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
        self._folder = folder
        self._arrays: OrderedDict[tuple[Block, str], NDArray[Any]] = OrderedDict()
        self._lock = Lock()
        self.searchers: dict[tuple[int, str], Any] = {}  # kept spectra, by level and device

    @property
    def grid(self) -> AtlasGrid:
        """Pixels and blocks."""
        return self.manifest.grid

    def find_level(self, spec: str) -> int | None:
        """Number of the level whose extractor was given as ``spec``; None where no one was."""
        for number, level in enumerate(self.manifest.levels):
            if spec in (level.spec, level.spec.partition(":")[0]):
                return number
        return None

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
        for block, here, there in _pieces(corner, shape, side):
            stored = self._array(block, level_file(number))
            if stored is None:
                continue
            part = stored[:, *there]
            contrast = np.maximum(part[-1], 0).astype(np.float32)
            valid[here] = part[-1] >= 0
            piece = part[:-1].astype(np.float32)
            piece -= statistics.mean[:, None, None]
            piece *= contrast_weight(contrast, statistics.local_std)
            piece *= (1.0 / statistics.std)[:, None, None]
            values[:, *here] = piece
        values *= valid
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
        bands = np.zeros((self.manifest.bands, *shape), np.uint8)
        valid = np.zeros(shape, np.bool_)
        side = self.grid.block
        for block, here, there in _pieces(corner, shape, side):
            stored = self._array(block, IMAGE)
            if stored is None:
                continue
            bands[:, *here] = stored[:, *there]
            packed = self._array(block, VALID)
            if packed is None:
                valid[here] = True
            else:
                rows = np.unpackbits(packed[there[0]], axis=1, count=side)
                valid[here] = rows[:, there[1]] > 0
        return bands, valid

    def area_km2(self) -> float:
        """Ground that holds data, by the pixel size at the centre of every block."""
        side = self.grid.block
        centres = (np.array(list(self.manifest.blocks)) + 0.5) * side
        inside = np.minimum(centres, np.array(self.grid.shape) - 0.5)
        metres = self.grid.ground_metres(inside)
        return self.manifest.valid_pixels * metres**2 / 1e6

    def facts(self) -> dict[str, str]:
        """What the manifest says of the atlas, in words."""
        manifest, side = self.manifest, self.grid.block
        share = manifest.valid_pixels / math.prod(self.grid.shape)
        left_out = [f"{name} ({why})" for name, why in manifest.left_out]
        return {
            "area": f"{self.area_km2():,.1f} km2 of data, {share:.1%} of the grid",
            "blocks": f"{len(manifest.blocks)} of {int(np.prod(self.grid.blocks))} hold data, "
            f"{side} pixels a side",
            **{
                f"level {number}": f"{level.spec}, {level.cell} pixels a cell"
                for number, level in enumerate(manifest.levels)
            },
            "sources": _listed(_sized(manifest)),
            **({"left out": _listed(left_out, _LEFT_OUT)} if left_out else {}),
            "built": f"{manifest.created} by crosslook {manifest.version}",
        }

    def _repr_html_(self) -> str:
        """Show the facts in a notebook, and a small atlas itself."""
        rows, cols = self.grid.shape
        facts = {"grid": f"{rows} x {cols} pixels, {crs_text(self.grid.pixels)}", **self.facts()}
        shown = ""
        if len(self.manifest.blocks) <= _SHOWN_BLOCKS:  # all their files are read and checked
            with suppress(CrosslookError):
                shown = image(self._thumbnail(), "the basemap")
        return card(f"Atlas {self.name}", facts, shown)

    def _thumbnail(self) -> bytes:
        """PNG of the whole basemap, at most 480 pixels a side."""
        import cv2

        whole = self.image((0, 0), self.grid.shape)
        step = max(1, -(-max(self.grid.shape) // _THUMBNAIL))
        small = whole.read(None, step).values
        bands = small[:3] if len(small) >= 3 else small[[0, 0, 0]]
        pixels = (np.clip(np.nan_to_num(bands), 0, 1) * 255).round().astype(np.uint8)
        return bytes(cv2.imencode(".png", pixels[::-1].transpose(1, 2, 0))[1])

    def _array(self, block: Block, name: str) -> NDArray[Any] | None:
        """A file of a block, checked; None where the block has none."""
        wanted = self.manifest.blocks.get(block, {}).get(name)
        if wanted is None:
            return None
        key = (block, name)
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        array = self._read(block, name, wanted)
        with self._lock:
            self._arrays[key] = array
            if not self._folder.is_local:
                while len(self._arrays) > _REMOTE_FILES:
                    self._arrays.popitem(last=False)
        return array

    def _read(self, block: Block, name: str, wanted: str) -> NDArray[Any]:
        folder = block_folder(self._folder, block)
        try:
            data: Any
            if folder.is_local:
                data = np.memmap(folder.path / name, np.uint8, "r")
            else:
                data = np.frombuffer(folder.read(name), np.uint8)
            if hashlib.sha256(data).hexdigest() == wanted:
                if folder.is_local:
                    return np.asarray(
                        np.load(folder.path / name, mmap_mode="r", allow_pickle=False)
                    )
                return np.asarray(np.load(io.BytesIO(data.data), allow_pickle=False))
        except (OSError, ValueError, InputError) as error:
            raise StoreError(
                f"file '{name}' of block {block} of atlas '{self.name}' cannot be read ({error}). "
                "Build the atlas again into a new folder."
            ) from error
        raise StoreError(
            f"file '{name}' of block {block} of atlas '{self.name}' is damaged: its checksum "
            "differs. Build the atlas again into a new folder."
        )


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


def _pieces(
    corner: tuple[int, int], shape: tuple[int, int], side: int
) -> Iterator[tuple[Block, tuple[slice, slice], tuple[slice, slice]]]:
    """Blocks under a window: which, where in the window, where in the block."""
    spans = [_spans(start, length, side) for start, length in zip(corner, shape, strict=True)]
    for row, here_rows, there_rows in spans[0]:
        for col, here_cols, there_cols in spans[1]:
            yield (row, col), (here_rows, here_cols), (there_rows, there_cols)


def _spans(start: int, length: int, side: int) -> list[tuple[int, slice, slice]]:
    spans = []
    for number in range(start // side, -(-(start + length) // side)):
        first, last = max(start, number * side), min(start + length, (number + 1) * side)
        here = slice(first - start, last - start)
        spans.append((number, here, slice(first - number * side, last - number * side)))
    return spans
