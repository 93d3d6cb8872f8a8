"""What real use does to a query: moved, turned, scaled, noisier, brighter.

Each perturbation cuts the patch out of a wider piece of its scene, so that
no border has to be invented.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crosslook.errors import InputError
from crosslook.types import FloatArray

Apply = Callable[[FloatArray, int, float, np.random.Generator], FloatArray]
Margin = Callable[[int, float], int]


@dataclass(frozen=True)
class Perturbation:
    """One way to disturb query images.

    Attributes
    ----------
    levels : tuple of float
        Strengths, the first one leaves the image as it is.
    cut : callable
        Cuts the disturbed patches out of their context (see :meth:`apply`).
    margin : callable
        ``margin(size, level)``: pixels of context needed on every side.
    """

    levels: tuple[float, ...]
    cut: Apply
    margin: Margin = lambda size, level: 0

    def most_context(self, size: int) -> int:
        """Pixels of context that its strongest level needs; 0 where the patch alone serves."""
        return max(self.margin(size, level) for level in self.levels)

    def apply(
        self, context: FloatArray, size: int, level: float, rng: np.random.Generator
    ) -> FloatArray:
        """Cut disturbed patches out of their context.

        Parameters
        ----------
        context : float32 array, shape (n, 3, size + 2 m, size + 2 m)
            Images in 0..1, the patch in the centre.
        size : int
            Side of the patch in pixels.
        level : float
            Strength.
        rng : numpy Generator
            Draws directions, signs and speckle.

        Returns
        -------
        float32 array, shape (n, 3, size, size)

        Raises
        ------
        InputError
            If the context is too narrow for the level.
        """
        have, need = (context.shape[-1] - size) // 2, self.margin(size, level)
        if have < need:
            raise InputError(
                f"a context of {have} px is too narrow for level {level:g}; {need} px are needed."
            )
        return np.ascontiguousarray(self.cut(context, size, level, rng), np.float32)


def centre(context: FloatArray, size: int) -> FloatArray:
    """Cut the patch (n, 3, size, size) from the centre of its context."""
    start = (context.shape[-1] - size) // 2
    return context[..., start : start + size, start : start + size]


def _offset(context: FloatArray, size: int, level: float, rng: np.random.Generator) -> FloatArray:
    """Move by ``level`` pixels in a random direction, rounded to whole pixels."""
    start = (context.shape[-1] - size) // 2
    angles = rng.uniform(0, 2 * np.pi, len(context))
    rows = start + np.rint(level * np.sin(angles)).astype(int)
    cols = start + np.rint(level * np.cos(angles)).astype(int)
    return np.stack(
        [
            image[:, row : row + size, col : col + size]
            for image, row, col in zip(context, rows, cols, strict=True)
        ]
    )


def _rotation(context: FloatArray, size: int, level: float, rng: np.random.Generator) -> FloatArray:
    """Turn by ``level`` degrees about the centre, to either side."""
    signs = rng.choice([-1.0, 1.0], len(context))
    if level == 0:
        return centre(context, size)
    angles = [math.radians(sign * level) for sign in signs]
    return np.stack(
        [
            _warp(image, size, math.cos(angle), math.sin(angle))
            for image, angle in zip(context, angles, strict=True)
        ]
    )


def _scale(context: FloatArray, size: int, level: float, rng: np.random.Generator) -> FloatArray:
    """Show ``level`` times the ground, or as much less, at the same size."""
    signs = rng.choice([-1.0, 1.0], len(context))
    if level == 1:
        return centre(context, size)
    return np.stack(
        [_warp(image, size, level**sign, 0.0) for image, sign in zip(context, signs, strict=True)]
    )


def _warp(image: FloatArray, size: int, cos: float, sin: float) -> FloatArray:
    import cv2

    centre = image.shape[-1] / 2 - 0.5
    half = size / 2 - 0.5
    # From output (x, y) to context (x, y), both counted from pixel centres.
    matrix = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    matrix[:, 2] = centre - matrix[:, :2] @ [half, half]
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image.transpose(1, 2, 0), matrix, (size, size), flags=how)
    return np.asarray(np.clip(warped, 0.0, 1.0).transpose(2, 0, 1), np.float32)


def _gain(context: FloatArray, size: int, level: float, rng: np.random.Generator) -> FloatArray:
    brighter = centre(context, size) * np.float32(level)
    return np.asarray(np.clip(brighter, 0.0, 1.0), np.float32)


def _gamma(context: FloatArray, size: int, level: float, rng: np.random.Generator) -> FloatArray:
    return np.asarray(centre(context, size) ** np.float32(level), np.float32)


def speckle(tone: str = "linear", low: float = 0.0, high: float = 1.0) -> Perturbation:
    """Further speckle of ``level`` looks on images of one SAR band.

    Parameters
    ----------
    tone : str
        ``root`` where values are square roots of amplitudes, ``linear`` where
        they are amplitudes, ``log`` where they are decibels.
    low, high : float
        What became 0 and 1, in that tone.
    """
    exponent = {"root": 0.25, "linear": 0.5, "log": 0.0}[tone]

    def cut(context: FloatArray, size: int, level: float, rng: np.random.Generator) -> FloatArray:
        image = centre(context, size)
        if math.isinf(level):
            return image
        power = np.maximum(rng.gamma(level, 1 / level, (len(image), 1, size, size)), 1e-12)
        toned = image * (high - low) + low
        noisy = toned * power**exponent if exponent else toned + 10 * np.log10(power)
        return np.clip((noisy - low) / (high - low), 0.0, 1.0).astype(np.float32)

    return Perturbation((math.inf, 16, 8, 4, 2, 1), cut)


def _rotation_margin(size: int, level: float) -> int:
    angle = math.radians(level)
    extent = size * (abs(math.cos(angle)) + abs(math.sin(angle)))
    return math.ceil((extent - size) / 2) + 1


PERTURBATIONS: dict[str, Perturbation] = {
    "offset": Perturbation((0, 2, 4, 8, 16, 32), _offset, lambda size, level: math.ceil(level)),
    "rotation": Perturbation((0, 1, 2.5, 5, 10, 20), _rotation, _rotation_margin),
    "scale": Perturbation(
        (1, 1.02, 1.05, 1.1, 1.2), _scale, lambda size, level: math.ceil(size * (level - 1) / 2) + 1
    ),
    "looks": speckle(),
    "gain": Perturbation((1, 0.7, 1.4, 0.5, 2), _gain),
    "gamma": Perturbation((1, 0.7, 1.4, 0.5, 2), _gamma),
}
"""All perturbations by name; ``looks`` is that of amplitude images."""
