"""A pair with a known dense displacement, and its plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from crosslook.data.simulate.scene import make_pair
from crosslook.geo.grid import make_grid
from crosslook.geo.image import open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.scene.plan import ScenePlan, plan_scene
from crosslook.match.transform import identity
from crosslook.types import Array, FloatArray

SIDE = 1024
GRID = make_grid("EPSG:32633", (10.0, 0.0, 3e5, 0.0, -10.0, 5.5e6), SIDE, SIDE)


@dataclass(frozen=True, eq=False)
class Bent:
    """A SAR image that shows at p - d(p) what the optical one shows at p."""

    plan: ScenePlan
    displacement: Array


def displacement(shape: tuple[int, int], along: bool = False) -> Array:
    """Hills of up to 17 px along the columns, and a wander of 4 px; or hills alone."""
    rows, cols = np.indices(shape) + 0.5
    hills = 9 * np.sin(rows / 190 + 1.0) * np.cos(cols / 160) + 8 * np.sin((rows + cols) / 230)
    wander = 4 * np.sin(rows / 300)
    return np.stack([wander * (not along), hills + wander * (not along)], axis=-1)


def sampled(values: Array | FloatArray, place: FloatArray) -> FloatArray:
    """Values (H, W) at rows and columns (2, H, W) counted from pixel centres."""
    return np.asarray(
        cv2.remap(values.astype(np.float32), place[1], place[0], cv2.INTER_LINEAR,
                  borderMode=cv2.BORDER_REFLECT)
    )  # fmt: skip


@cache
def bent(*, sea: bool = False, along: bool = False) -> Bent:
    """The pair; with ``sea`` the right third of the SAR image is noise alone."""
    # Houses and trees lean towards the sensor by a pixel: with them the truth is not the ground's.
    made = make_pair(size=SIDE, seed=11, relief=0.0, looks=float("inf"), objects=0.0)
    moved = displacement((SIDE, SIDE), along)
    # Where the SAR image shows p: the fixed point of p = u + d(p).
    at = np.indices((SIDE, SIDE)).astype(np.float32)
    place = at.copy()
    for _ in range(30):
        place = at + np.stack([sampled(moved[..., k], place) for k in (0, 1)])
    sar = sampled(made.sar, place)
    drawn = np.random.default_rng(3)
    if sea:
        sar[:, 2 * SIDE // 3 :] = float(sar.mean())
    sar = (sar * drawn.gamma(4.0, 0.25, sar.shape)).astype(np.float32)
    images = (
        open_image(RasterArray.of(sar[None], grid=GRID, name="sar"), "sar"),
        open_image(RasterArray.of(made.optical, grid=GRID, name="optical"), "optical"),
    )
    plan = replace(plan_scene(images, identity()), tile_pixels=512)
    return Bent(plan, moved)
