"""Which rotations, scales, anisotropic scalings and flips of a SAR image a search tries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crosslook.match.transform import Transform
from crosslook.types import Array


class Pose(NamedTuple):
    """Rotation in degrees, scale, and whether it is flipped."""

    rotation: float = 0.0
    scale: float = 1.0
    is_flipped: bool = False


@dataclass(frozen=True)
class PoseRange:
    """What a search tries beyond its start.

    Attributes
    ----------
    rotation : float
        Degrees to either side.
    scale : (lowest, highest)
        Factors.
    flip : bool
        Mirrored images too.
    shift : float or None
        Optical pixels; None for the whole of the optical image.
    rotation_step, scale_step : float
        Degrees, and relative.
    aspect : (lowest, highest)
        Factors of height over width of the SAR image, before it is turned.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    shift: float | None = None
    rotation_step: float = 4.0
    scale_step: float = 0.0905
    aspect: tuple[float, float] = (1.0, 1.0)

    def aspects(self) -> list[float]:
        """Height over width of every anisotropic scaling."""
        return [float(v) for v in _factors(self.aspect, self.scale_step)]

    @property
    def count(self) -> int:
        """How many poses are tried."""
        return len(self.aspects()) * len(self.poses())

    def poses(self) -> list[Pose]:
        """Rotation, scale and flip of every pose."""
        scales = _factors(self.scale, self.scale_step)
        rotations = _rotations(self.rotation, self.rotation_step)
        flips = (False, True) if self.flip else (False,)
        return [Pose(float(r), float(s), f) for f in flips for r in rotations for s in scales]


def _factors(ends: tuple[float, float], step: float) -> Array:
    """Factors at even ratios from the lowest to the highest."""
    low, high = np.log(ends)
    count = int(np.ceil((high - low) / np.log1p(step) - 1e-9))
    logs = np.linspace(low, high, count + 1) if count else np.array([(low + high) / 2])
    return np.asarray(np.exp(logs), np.float64)


def _rotations(limit: float, step: float) -> Array:
    count = int(np.ceil(2 * limit / step - 1e-9))
    if limit >= 180.0:
        return np.asarray(np.arange(count) * (360.0 / count) - 180.0, np.float64)
    return np.asarray(np.linspace(-limit, limit, count + 1), np.float64) if count else np.zeros(1)


def scale_height(start: Transform, aspect: float, shape: tuple[int, int]) -> Transform:
    """A start whose SAR image is higher by ``aspect`` against its width, of the same area."""
    if aspect == 1.0:
        return start
    high = np.sqrt(aspect)
    centre = np.array(shape, np.float64) / 2
    matrix = np.diag([high, 1.0 / high, 1.0])
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre
    return start @ Transform(matrix, "affine")
