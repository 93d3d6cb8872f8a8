"""The ground that both sensors look at, for any window of a world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosslook.data.simulate.landcover import LandCover, make_landcover
from crosslook.data.simulate.noise import Hash, Metres, fractal_noise, mix, pixel_hash
from crosslook.data.simulate.terrain import Terrain, make_terrain
from crosslook.types import FloatArray, Window


@dataclass(frozen=True)
class World:
    """An endless plane of ground; a seed and a pixel grid of ``gsd`` metres."""

    seed: int
    gsd: float = 10.0
    relief: float = 120.0

    def stream(self, name: str) -> int:
        """A seed of its own for each purpose."""
        return int(mix(self.seed & 0xFFFFFFFF, self.seed >> 32, *name.encode()))


@dataclass(frozen=True)
class Ground:
    """Terrain and land cover of a window; arrays are (H, W).

    ``texture`` is fine detail in about -1..1, common to both sensors, and
    ``grain`` random bits per pixel.
    """

    terrain: Terrain
    cover: LandCover
    texture: FloatArray
    grain: Hash

    @property
    def surface(self) -> FloatArray:
        """Metres of terrain and what stands on it."""
        return self.terrain.height + self.cover.height


def make_ground(world: World, window: Window) -> Ground:
    """Evaluate the ground of a window; equal to that part of any larger one."""
    y = _metres(window.row, window.height, world.gsd)
    x = _metres(window.col, window.width, world.gsd)
    terrain = make_terrain(world.stream("terrain"), y, x, world.relief)
    cover = make_landcover(world.stream("landcover"), y, x, world.gsd, terrain)
    texture = fractal_noise(world.stream("texture"), y, x, 160.0, octaves=3, gain=0.8)
    bits = pixel_hash(world.stream("grain"), window.row, window.col, window.height, window.width)
    return Ground(terrain, cover, texture, bits)


def grow(window: Window, margin: int) -> Window:
    """Widen a window by ``margin`` pixels on every side."""
    return Window(
        window.row - margin,
        window.col - margin,
        window.height + 2 * margin,
        window.width + 2 * margin,
    )


def _metres(start: int, count: int, gsd: float) -> Metres:
    return np.asarray((start + np.arange(count) + 0.5) * gsd, np.float64)
