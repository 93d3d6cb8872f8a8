"""One synthetic pair with its exact truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.geometry import centres, truth_matrix, wander_at
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
        return Window(*self.origin, *self.shape)

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
    at = part or Window.whole(settings.shape)
    place = at.shifted(*settings.origin)
    if is_straight(settings):
        image = render_backscatter(settings, place)
    else:
        image = _resampled(settings, at)
    return add_speckle(image, settings, place)


def is_straight(settings: SceneOptions) -> bool:
    """Whether the SAR image lies on the grid of the world, pixel by pixel."""
    return not settings.wander and np.array_equal(truth_matrix(settings), np.eye(3))


def seen_window(settings: SceneOptions, part: Window) -> Window:
    """The optical pixels that a part of the SAR image is resampled from."""
    sides = np.array([(r, c) for r in (part.row, part.bottom) for c in (part.col, part.right)])
    if settings.wander:
        sway = wander_at(settings, np.arange(part.row, part.bottom + 1, dtype=np.float64))
        low, high = sides.min(axis=0) - sway.max(axis=0), sides.max(axis=0) - sway.min(axis=0)
        sides = np.array([(r, c) for r in (low[0], high[0]) for c in (low[1], high[1])])
    matrix = truth_matrix(settings)
    corners = sides @ matrix[:2, :2].T + matrix[:2, 2]
    return Window.around(corners.min(axis=0), corners.max(axis=0)).pad(2)


def _resampled(settings: SceneSettings, part: Window) -> FloatArray:
    from scipy.ndimage import affine_transform, map_coordinates

    seen, matrix = seen_window(settings, part), truth_matrix(settings)
    larger = render_backscatter(settings, seen.shifted(*settings.origin))
    if settings.wander:
        rows, cols = centres(part)
        sway = wander_at(settings, rows)
        down, right = (rows - sway[:, 0])[:, None], cols[None, :] - sway[:, [1]]
        at = (
            m[0] * down + m[1] * right + m[2] - corner - 0.5
            for m, corner in zip(matrix[:2], seen.corner, strict=True)
        )
        return np.asarray(map_coordinates(larger, list(at), order=1, mode="nearest"), np.float32)
    # scipy counts from pixel centres: index + 0.5 is the position.
    first = np.array([part.row + 0.5, part.col + 0.5])
    offset = matrix[:2, :2] @ first + matrix[:2, 2] - seen.corner - 0.5
    warped = affine_transform(larger, matrix[:2, :2], offset, part.shape, order=1)
    return np.asarray(warped, np.float32)
