"""How a scene is cut: the grid that is matched, its nodes, its tiles, and what they will cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from crosslook.geo.grid import rim
from crosslook.geo.image import ImageFile
from crosslook.match.transform import Transform
from crosslook.types import Array, Window

SPACING = 24
"""Pixels of the matched grid between nodes; whole cells of both kinds of features."""

TILE_PIXELS = 1800
REACH = 60.0
"""Pixels of the matched grid within which the first stage searches, where nothing narrows it."""

_SNAP = 8  # nodes: the window begins and ends at multiples of so many
_CELL = 6
_MARGIN = 8  # pixels read beyond what is needed, for interpolation
_BYTES, _BASE_BYTES = 150, 450 << 20  # that a pixel of a tile takes while it is matched
_SECONDS = 0.5e-6  # that a pixel of a tile takes on one core, reading included


@dataclass(frozen=True, eq=False)
class ScenePlan:
    """What is matched where. A node is a place where a template is tried.

    Node (i, j) lies at pixel ``(i + .5, j + .5) * spacing`` of the matched grid, whose pixels are
    ``factor`` optical pixels wide and begin at the corner of ``window``.

    Attributes
    ----------
    sar, optical : ImageFile
    base : Transform
        SAR to optical pixels by one map, from which displacements count.
    start : Transform
        The same with what is known of relief.
    factor, sar_factor : int
        By how much either image is reduced: to the pixels of the coarser one.
    window : Window
        Optical pixels that both images may cover.
    spacing : int
        Pixels of the matched grid between nodes.
    reach : float
        Pixels of the matched grid within which the first stage searches.
    tile_pixels : int
        Pixels of the matched grid along a side of a tile, about.
    """

    sar: ImageFile
    optical: ImageFile
    base: Transform
    start: Transform
    factor: int
    sar_factor: int
    window: Window
    spacing: int
    reach: float = REACH
    tile_pixels: int = TILE_PIXELS

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of nodes."""
        step = self.spacing * self.factor
        return max(1, self.window.height // step), max(1, self.window.width // step)

    @property
    def step(self) -> int:
        """Optical pixels between nodes."""
        return self.spacing * self.factor

    @property
    def side(self) -> int:
        """Nodes along a side of a tile: so many that the last one is as large as the others."""
        longest = max(self.shape)
        most = max(8, round(self.tile_pixels / self.spacing))
        return max(8, -(-longest // max(1, round(longest / most))))

    @property
    def tiles(self) -> list[Window]:
        """The tiles, in nodes, row by row."""
        return list(Window.whole(self.shape).tiles(self.side))

    def positions(self, nodes: Window) -> Array:
        """Optical positions (h, w, 2) of nodes, which may lie beyond the window."""
        axes = [
            first + (np.arange(low, low + count) + 0.5) * self.step
            for first, low, count in zip(self.window.corner, nodes.corner, nodes.shape, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def pixels(self, nodes: Window) -> Window:
        """Optical pixels of the cells around nodes."""
        return Window(
            self.window.row + nodes.row * self.step,
            self.window.col + nodes.col * self.step,
            nodes.height * self.step,
            nodes.width * self.step,
        )

    @property
    def tile_bytes(self) -> int:
        """Memory that one process takes for its tiles, about."""
        side = min(self.side * self.spacing, max(self.shape) * self.spacing) + 400
        bands = len(self.optical.bands) * self.factor
        return _BASE_BYTES + side * side * (_BYTES + 4 * bands)

    def seconds(self, workers: int = 1) -> float:
        """Time that the tiles take, about: as measured on one core of 2026."""
        rows, cols = self.shape
        return rows * cols * self.spacing**2 * _SECONDS / max(1, workers)

    def words(self, workers: int = 1) -> str:
        """What will be done, in one sentence, for who asks before."""
        rows, cols = (n * self.spacing for n in self.shape)
        finer = "" if self.factor == 1 else f" of {self.factor} optical pixels"
        count, busy = len(self.tiles), min(workers, len(self.tiles))
        minutes = max(1, round(self.seconds(busy) / 60))
        return (
            f"{rows:,} x {cols:,} pixels{finer}, in {count:,} tile{'s' * (count != 1)}; "
            f"{self.shape[0] * self.shape[1]:,} places for tie points, every {self.step} optical "
            f"pixels; about {self.tile_bytes / 2**30:.1f} GiB for each of {busy} "
            f"process{'es' * (busy != 1)}, about {minutes} min for the tiles"
        )

    def to_dict(self) -> dict[str, Any]:
        """All that changes a tile, besides the pixels of both images; for its key."""
        return {
            "base": self.base.to_dict(),
            "start": self.start.to_dict(),
            "factor": [self.factor, self.sar_factor],
            "window": [*self.window.corner, *self.window.shape],
            "spacing": self.spacing,
            "reach": self.reach,
            "side": self.side,
        }


def plan_scene(
    images: tuple[ImageFile, ImageFile],
    start: Transform,
    spacing: float | None = None,
    reach: float = REACH,
) -> ScenePlan:
    """Plan the matching of a pair at the resolution of the coarser image.

    Parameters
    ----------
    images : (ImageFile, ImageFile)
        SAR and optical.
    start : Transform
        SAR to optical pixels, good to ``reach`` over the whole scene.
    spacing : float, optional
        Optical pixels between tie points; 24 pixels of the matched grid by default.
    reach : float
        Pixels of the matched grid.
    """
    sar, optical = images
    base = start.without_field
    factor, sar_factor = factors_of(images, base)
    cells = SPACING if spacing is None else max(_CELL, round(spacing / factor / _CELL) * _CELL)
    ring = base(rim(sar.grid))
    window = _on_lattice(Window.around(ring.min(axis=0), ring.max(axis=0)), _SNAP * cells * factor)
    window = window.clip(optical.shape)
    return ScenePlan(sar, optical, base, start, factor, sar_factor, window, cells, reach)


def _on_lattice(window: Window, step: int) -> Window:
    """The window and what is around it, up to whole steps of the optical image.

    So that dates whose footprints lie a few pixels apart have the same tiles.
    """
    row, col = (low // step * step for low in window.corner)
    bottom, right = (-(-high // step) * step for high in (window.bottom, window.right))
    return Window(row, col, bottom - row, right - col)


def factors_of(images: tuple[ImageFile, ImageFile], base: Transform) -> tuple[int, int]:
    """By how much the optical and the SAR image are reduced, to the pixels of the coarser one."""
    scale = base.local_scale(np.array(images[0].shape, np.float64) / 2)
    factor = max(1, round(scale))
    return factor, max(1, round(factor / scale))


def halo_of(template: float, spacing: int) -> int:
    """Nodes beside a tile that its own ones are smoothed with, as far as a template is wide."""
    return math.ceil(template / spacing)
