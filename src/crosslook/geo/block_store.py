"""The arrays of an atlas on disk, block by block, each compared with its checksum."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import product
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.arrays import load_array
from crosslook.errors import InputError, StoreError
from crosslook.storage import Folder

FORMAT = 4
"""Raise it whenever the bytes of a block or their meaning change."""

NAME = "atlas.json"
IMAGE, VALID = "image.npy", "valid.npy"
_REMOTE_FILES = 64  # arrays of a remote atlas that stay in memory
Block = tuple[int, int]


def block_folder(store: Folder, block: Block) -> Folder:
    """Where the files of a block lie."""
    return store.child(f"blocks/r{block[0]:05d}-c{block[1]:05d}")


def read_block(text: str) -> Block:
    """Row and column of a block, as ``atlas.json`` names it."""
    row, _, col = text.partition("-")
    return int(row), int(col)


class BlockStore:
    """Blocks of an atlas; any number of readers may share it, in processes of their own too.

    Files of a local atlas are mapped into memory, those of a remote one are fetched when they
    are needed. Every file is compared with its checksum when it is first used.

    Attributes
    ----------
    folder : Folder
    side : int
        Of a block, in pixels.
    blocks : dict of (row, column) to dict of file name to SHA-256
        Those that hold data.
    """

    def __init__(self, folder: Folder, side: int, blocks: Mapping[Block, dict[str, str]]) -> None:
        self.folder = folder
        self.side = side
        self.blocks = blocks
        self._arrays: OrderedDict[tuple[Block, str], NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """What travels to another process: no array and no lock."""
        return BlockStore, (self.folder, self.side, dict(self.blocks))

    def pixels(
        self, corner: tuple[int, int], shape: tuple[int, int], count: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Stored pixels (count, h, w) of a window, and which of them (h, w) hold data."""
        bands = np.zeros((count, *shape), np.uint8)
        valid = np.zeros(shape, np.bool_)
        side = self.side
        for block, here, there in pieces(corner, shape, side):
            stored = self.array(block, IMAGE)
            if stored is None:
                continue
            bands[:, *here] = stored[:, *there]
            packed = self.array(block, VALID)
            if packed is None:
                valid[here] = True
            else:
                rows = np.unpackbits(packed[there[0]], axis=1, count=side)
                valid[here] = rows[:, there[1]] > 0
        return bands, valid

    def array(self, block: Block, name: str) -> NDArray[Any] | None:
        """A file of a block, checked; None where the block has none."""
        checksum = self.blocks.get(block, {}).get(name)
        if checksum is None:
            return None
        key = (block, name)
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        array = self._read(block, name, checksum)
        with self._lock:
            self._arrays[key] = array
            if not self.folder.is_local:
                while len(self._arrays) > _REMOTE_FILES:
                    self._arrays.popitem(last=False)
        return array

    def _read(self, block: Block, name: str, checksum: str) -> NDArray[Any]:
        folder = block_folder(self.folder, block)
        try:
            data: Any
            if folder.is_local:
                data = np.memmap(folder.path / name, np.uint8, "r")
            else:
                data = np.frombuffer(folder.read(name), np.uint8)
            if hashlib.sha256(data).hexdigest() == checksum:
                if folder.is_local:
                    return load_array(folder.path / name, mmap_mode="r")
                return load_array(io.BytesIO(data.data))
        except (OSError, ValueError, InputError) as error:
            raise StoreError(
                f"file '{name}' of block {block} of atlas '{self.folder}' cannot be read "
                f"({error}). Build the atlas again into a new folder."
            ) from error
        raise StoreError(
            f"file '{name}' of block {block} of atlas '{self.folder}' is damaged: its checksum "
            "differs. Build the atlas again into a new folder."
        )


def pieces(
    corner: tuple[int, int], shape: tuple[int, int], side: int
) -> Iterator[tuple[Block, tuple[slice, slice], tuple[slice, slice]]]:
    """Blocks under a window: which, where in the window, where in the block."""
    spans = [_spans(start, length, side) for start, length in zip(corner, shape, strict=True)]
    for (row, here_rows, there_rows), (col, here_cols, there_cols) in product(*spans):
        yield (row, col), (here_rows, here_cols), (there_rows, there_cols)


def _spans(start: int, length: int, side: int) -> list[tuple[int, slice, slice]]:
    spans = []
    for number in range(start // side, -(-(start + length) // side)):
        first, last = max(start, number * side), min(start + length, (number + 1) * side)
        here = slice(first - start, last - start)
        spans.append((number, here, slice(first - number * side, last - number * side)))
    return spans
