"""By how much SAR images are moved before they are registered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crosslook.match.transform import Transform, identity, similarity


@dataclass(frozen=True)
class Reach:
    """A kind of warp, and the options of ``register`` that follow it.

    Attributes
    ----------
    rotation : float
        Largest rotation to either side, degrees.
    scale : tuple of float
        Lowest and highest factor.
    shift : float
        Largest shift as a fraction of the longer side; shifts are even over the disc.
    options : dict
        Of ``register``.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> Transform:
        """A seeded similarity about the centre of an image (rows, columns)."""
        if not self.shift:
            return identity()
        most = self.shift * max(shape)
        length, angle = most * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        rotation = rng.uniform(-self.rotation, self.rotation)
        scale = float(np.exp(rng.uniform(*np.log(self.scale))))
        shift = (length * np.sin(angle), length * np.cos(angle))
        return similarity(shift, rotation, scale, (shape[0] / 2, shape[1] / 2))

    @property
    def room(self) -> float:
        """Fraction of the side that a moved square reaches beyond its place, at most."""
        turned = np.sin(np.radians(min(self.rotation, 45.0)))
        return float(self.shift + (max(self.scale) * (1 + turned) - 1) / 2)


REACHES: dict[str, Reach] = {
    "as-is": Reach(options={"near_only": True}),
    "near": Reach(2.0, (0.98, 1.02), 0.045, {"near_only": True}),
    "wide": Reach(90.0, (0.7, 1.4), 0.1, {"rotation": 90.0, "scale": "0.7:1.4"}),
}
"""Warps by name: none; what a rough georeference leaves; what only a search follows."""
