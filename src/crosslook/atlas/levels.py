"""Features of one block of an atlas, without seams to the next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.errors import SettingError
from crosslook.extract.base import Extractor
from crosslook.extract.spec import parse_spec
from crosslook.geo.grey import GreyImage
from crosslook.match.channels import filled_cells, local_std, valid_cells
from crosslook.types import FloatArray

TILE = 512
HALO = 64
"""Side in pixels of what a model sees at once, and of the rim that is thrown away."""

_INVALID = np.float16(-1.0)
_CORNER = (slice(0, 1), slice(0, 1))


@runtime_checkable
class Local(Protocol):
    """An extractor whose cells depend on nearby pixels alone."""

    def reach(self) -> int:
        """Pixels around a cell that its features depend on."""


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


def make_level(spec: str, cell: int | None) -> Level:
    """Complete a level: the cell becomes an option of extractors that have one.

    Raises
    ------
    SettingError
        If the cell is not 2..64, or given twice.
    """
    parsed = parse_spec(spec)
    if "cell" in parsed.options:
        own = int(parsed.options["cell"])
        if cell is not None and cell != own:
            raise SettingError(f"'{spec}' has its own cell, and --cell {cell} differs. Give one.")
        cell = own
    size = 8 if cell is None else cell
    if not 2 <= size <= 64:
        raise SettingError(f"a cell of {size} pixels is not allowed; 2..64 are.")
    if parsed.name in ("hog", "raw") and "cell" not in parsed.options:
        spec = f"{spec}{',' if ':' in spec else ':'}cell={size}"
    if parsed.name == "hog" and "blur" not in parsed.options:
        spec += ",blur=1"
    return Level(spec, size)


def halo_of(extractor: Extractor, cell: int) -> int:
    """Whole cells, in pixels, that a block needs around it."""
    if isinstance(extractor, Local):
        # A cell more than the features need, for the standard deviation around it.
        return math.ceil(max(extractor.reach(), 3 * cell + 8) / cell) * cell
    return math.ceil(HALO / cell) * cell


def block_features(
    image: GreyImage, halo: int, level: Level, extractor: Extractor
) -> NDArray[np.float16]:
    """Extract the features of one block.

    Parameters
    ----------
    image : GreyImage
        The block with ``halo`` pixels around it.
    halo : int
        A multiple of the cell, at least :func:`halo_of`.
    level : Level
    extractor : Extractor

    Returns
    -------
    float16 array, shape (C + 1, h, w)
        The channels as extracted; last the local standard deviation of the grey values,
        -1 where a cell is not valid.
    """
    cell = level.cell
    cells = tuple((length - 2 * halo) // cell for length in image.shape)
    inner = (slice(halo // cell, -(halo // cell) or None),) * 2
    whole = tuple(length // cell for length in image.shape)
    valid = valid_cells(image.known, whole, cell, cell)[inner]
    if image.gaps is not None:
        valid &= filled_cells(image.valid, whole, cell)[inner]
    contrast = local_std(image, whole, cell)[inner]
    parts = [
        (rows, cols, _tile(image, halo, (rows, cols), cell, extractor))
        for rows, cols in _tiles(cells, max(1, TILE // cell))
        if valid[rows, cols].any()
    ]
    if not parts:  # the valid pixels of the block are fewer than a cell
        parts = [(slice(0, 1), slice(0, 1), _tile(image, halo, _CORNER, cell, extractor))]
    out = np.zeros((parts[0][2].shape[0] + 1, *cells), np.float16)
    for rows, cols, values in parts:
        out[:-1, rows, cols] = values
    out[-1] = np.where(valid, contrast, _INVALID)
    out[:-1, ~valid] = 0
    return out


def _tiles(cells: tuple[int, ...], step: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, cells[0], step):
        for col in range(0, cells[1], step):
            yield slice(row, min(row + step, cells[0])), slice(col, min(col + step, cells[1]))


def _tile(
    image: GreyImage, halo: int, part: tuple[slice, slice], cell: int, extractor: Extractor
) -> FloatArray:
    """Features (C, h, w) of some cells, seen with the halo around them."""
    rows, cols = (slice(p.start * cell, p.stop * cell + 2 * halo) for p in part)
    window = image.values[rows, cols]
    images = np.ascontiguousarray(np.broadcast_to(window, (1, 3, *window.shape)))
    features = extractor.extract(images)
    shape = (part[0].stop - part[0].start, part[1].stop - part[1].start)
    if features.stride == cell:
        first = halo // cell
        inner = features.values[0][:, first : first + shape[0], first : first + shape[1]]
        return np.asarray(inner, np.float32)
    # The centre of a cell, counted in cells of the model.
    at = [((np.arange(n) + 0.5) * cell + halo) / features.stride - 0.5 for n in shape]
    grid = np.meshgrid(at[1].astype(np.float32), at[0].astype(np.float32))
    maps = [
        cv2.remap(c, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for c in features.values[0]
    ]
    return np.asarray(np.stack(maps), np.float32)
