"""Tiles against a plain mean over the whole atlas: every zoom, gaps, odd sizes."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from crosslook.errors import NotFoundError, StoreError
from crosslook.explore.tiles import SIDE, Tiles

BLOCK, ROWS, COLS = 512, 1900, 2300
MISSING = (1, 2)


def atlas() -> Any:
    """A smooth image (JPEG keeps it) of 4 x 5 blocks, one of which is not there."""
    rows, cols = np.mgrid[:2048, :2560].astype(np.float32)
    image = np.stack([rows / 10, cols / 11, (rows + cols) / 20]).astype(np.uint8)
    valid = np.zeros((2048, 2560), np.bool_)
    valid[:ROWS, :COLS] = True
    top, left = (BLOCK * n for n in MISSING)
    valid[top : top + BLOCK, left : left + BLOCK] = False
    image *= valid
    blocks = {(r, c): {"image": f"{r}{c}"} for r in range(4) for c in range(5) if (r, c) != MISSING}

    def pixels(corner: tuple[int, int], shape: tuple[int, int]) -> tuple[Any, Any]:
        ends = [at + length for at, length in zip(corner, shape, strict=True)]
        grown = [(0, max(0, end - size)) for end, size in zip(ends, valid.shape, strict=True)]
        at = slice(corner[0], ends[0]), slice(corner[1], ends[1])
        return np.pad(image, ((0, 0), *grown))[:, *at], np.pad(valid, grown)[at]

    return SimpleNamespace(
        name="fake", pixels=pixels, image=image, valid=valid,
        manifest=SimpleNamespace(created="today", blocks=blocks, bands=3),
        grid=SimpleNamespace(shape=(ROWS, COLS), block=BLOCK),
    )  # fmt: skip


def decoded(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3) and whether there is anything (h, w)."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image.shape == (1, 1, 4):
        image = np.zeros((SIDE, SIDE, 4), np.uint8)
    there = image[:, :, 3] > 0 if image.shape[2] == 4 else np.ones(image.shape[:2], np.bool_)
    return image[:, :, 2::-1].astype(float), there


@pytest.mark.parametrize("again", [False, True])
def test_every_tile_is_the_mean_of_its_pixels(tmp_path: Path, again: bool) -> None:
    source = atlas()
    if again:  # from the small copies that an earlier server kept
        Tiles(source, tmp_path).warm(lambda: False)
    tiles = Tiles(source, tmp_path)
    assert tiles.zooms == 4
    for zoom in range(tiles.zooms + 1):
        factor = 2 ** (tiles.zooms - zoom)
        side = SIDE * factor
        for row in range(-(-ROWS // side)):
            for col in range(-(-COLS // side)):
                colours, there = decoded(tiles.tile(zoom, row, col)[1])
                pixels, valid = source.pixels((row * side, col * side), (side, side))
                shape = (SIDE, factor, SIDE, factor)
                cover = valid.reshape(shape).sum(axis=(1, 3))
                means = (pixels * valid).astype(float).reshape(3, *shape).sum(axis=(2, 4))
                means = (means / np.maximum(cover, 1)).transpose(1, 2, 0)
                whole = cover == factor * factor
                assert there[whole].all()
                assert not there[cover == 0].any()
                assert np.abs(colours - means)[whole].max(initial=0) < 8


def test_tiles_beyond_the_atlas_are_not_there(tmp_path: Path) -> None:
    tiles = Tiles(atlas(), tmp_path)
    for zoom, row, col in ((5, 0, 0), (-1, 0, 0), (4, 8, 0), (4, 0, 9), (0, 0, 1)):
        with pytest.raises(NotFoundError, match="there is no tile"):
            tiles.tile(zoom, row, col)


def test_a_tile_shows_what_has_been_read_and_is_not_kept_before_it_is_whole(
    tmp_path: Path,
) -> None:
    source = atlas()
    let, slow = threading.Event(), source.pixels

    def pixels(corner: tuple[int, int], shape: tuple[int, int]) -> Any:
        if corner != (0, 0):  # the first block is read at once, the others when they may
            assert let.wait(20)
        return slow(corner, shape)

    source.pixels = pixels
    tiles = Tiles(source, tmp_path)
    assert tiles.ready == 1.0  # nothing is read ahead yet: a tile makes what it needs
    thread = tiles.warm_in_background(lambda: False)
    begun = time.monotonic()
    part = tiles.tile(0, 0, 0)
    assert time.monotonic() - begun < 5
    assert not part.whole
    assert len(part.data) > 0
    assert tiles.ready < 1
    let.set()
    thread.join(20)
    assert tiles.ready == 1.0
    whole = tiles.tile(0, 0, 0)
    assert whole.whole
    assert decoded(whole.data)[1].sum() > decoded(part.data)[1].sum()
    assert tiles.tile(0, 0, 0) is whole


def test_blocks_are_read_once_however_many_ask(tmp_path: Path) -> None:
    source = atlas()
    read, plain = [], source.pixels

    def pixels(corner: tuple[int, int], shape: tuple[int, int]) -> Any:
        read.append(corner)
        return plain(corner, shape)

    source.pixels = pixels
    tiles = Tiles(source, tmp_path)
    thread = tiles.warm_in_background(lambda: False)
    while not tiles.tile(0, 0, 0).whole:
        pass
    thread.join(20)
    assert len(read) == len(set(read)) == len(source.manifest.blocks)


def test_a_damaged_block_is_told_by_the_tile_that_needs_it(tmp_path: Path) -> None:
    source = atlas()

    def damaged(corner: tuple[int, int], shape: tuple[int, int]) -> tuple[Any, Any]:
        raise StoreError("damaged")

    source.pixels = damaged
    tiles = Tiles(source, tmp_path)
    tiles.warm_in_background(lambda: False).join(20)
    assert tiles.ready == 1.0  # nobody waits for what will never come
    with pytest.raises(StoreError):
        tiles.tile(0, 0, 0)
