"""One synthetic pair with its exact truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.optical import render_optical
from crosslook.data.simulate.sar import (
    Displacement,
    add_speckle,
    render_backscatter,
    terrain_displacement,
)
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import FloatArray, Window


class SceneSettings(SceneOptions):
    """The options of a scene, its place in the world, and how a file names them."""

    @property
    def window(self) -> Window:
        """The optical grid as a window of the world."""
        return Window(*self.origin, self.size, self.size)

    def as_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        return {k: "inf" if v == math.inf else v for k, v in self.model_dump().items()}


@dataclass(frozen=True, eq=False)
class SimulatedPair:
    """Two images of the same ground.

    Attributes
    ----------
    optical : uint8 array, shape (3, H, W)
        Red, green, blue.
    sar : float32 array, shape (H, W)
        Linear intensity (power, not amplitude), one band.
    truth : float64 array, shape (3, 3)
        Takes SAR pixel positions (row, column, 1) to optical ones; positions
        are continuous, pixel centres at +0.5.
    settings : SceneSettings

    Notes
    -----
    Over hills that are left displaced ``truth`` is that of the ground at
    height 0; :attr:`displacement` has the rest.
    """

    optical: NDArray[np.uint8]
    sar: FloatArray
    truth: NDArray[np.float64]
    settings: SceneSettings

    @property
    def displacement(self) -> Displacement:
        """By how much hills are displaced in the SAR image, per optical pixel; 0 if corrected."""
        given = self.settings
        displaced = terrain_displacement(given, given.window)
        if given.uncorrected:
            return displaced
        none = np.zeros_like(displaced.columns)
        return replace(displaced, columns=none, layover=np.zeros(none.shape, np.bool_))


def make_pair(size: int = 1024, seed: int = 0, **options: Any) -> SimulatedPair:
    """Make one pair in memory.

    Parameters
    ----------
    size, seed, **options
        The fields of :class:`SceneSettings`.

    Raises
    ------
    SettingError
        For a name or value that is not allowed.
    """
    settings = SceneSettings(size=size, seed=seed, **options)
    optical = render_optical(settings, settings.window)
    return SimulatedPair(optical, render_sar(settings), truth_matrix(settings), settings)


def truth_matrix(settings: SceneSettings) -> NDArray[np.float64]:
    """The map from SAR to optical pixels, acting on (row, column, 1).

    ``p_optical = centre + scale * R(rotation) (p_sar - centre) + shift`` with
    ``R = [[cos, -sin], [sin, cos]]`` on (row, column).
    """
    angle = math.radians(settings.rotation)
    cos, sin = settings.scale * math.cos(angle), settings.scale * math.sin(angle)
    centre = np.full(2, settings.size / 2)
    matrix = np.eye(3)
    matrix[:2, :2] = [[cos, -sin], [sin, cos]]
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre + np.asarray(settings.shift, np.float64)
    return matrix


def render_sar(settings: SceneSettings, part: Window | None = None) -> FloatArray:
    """Render the SAR image, or a part of it, on its own grid; float32 (h, w), linear intensity.

    The noise-free image is resampled (bilinear) and speckle is added
    afterwards, so that it is as rough as the number of looks says.

    Parameters
    ----------
    settings : SceneSettings
    part : Window, optional
        Pixels of the SAR image, all of them by default.
    """
    at = part or Window.whole((settings.size, settings.size))
    matrix, place = truth_matrix(settings), at.shifted(*settings.origin)
    if np.array_equal(matrix, np.eye(3)):
        image = render_backscatter(settings, place)
    else:
        image = _resampled(settings, matrix, at)
    return add_speckle(image, settings, place)


def seen_window(matrix: NDArray[np.float64], part: Window) -> Window:
    """The optical pixels that a part of the SAR image is resampled from."""
    sides = [(row, col, 1) for row in (part.row, part.bottom) for col in (part.col, part.right)]
    corners = (np.array(sides) @ matrix.T)[:, :2]
    return Window.around(corners.min(axis=0), corners.max(axis=0)).pad(2)


def _resampled(settings: SceneSettings, matrix: NDArray[np.float64], part: Window) -> FloatArray:
    from scipy.ndimage import affine_transform

    seen = seen_window(matrix, part)
    larger = render_backscatter(settings, seen.shifted(*settings.origin))
    # scipy counts from pixel centres: index + 0.5 is the position.
    first = np.array([part.row + 0.5, part.col + 0.5])
    offset = matrix[:2, :2] @ first + matrix[:2, 2] - seen.corner - 0.5
    warped = affine_transform(larger, matrix[:2, :2], offset, part.shape, order=1)
    return np.asarray(warped, np.float32)
