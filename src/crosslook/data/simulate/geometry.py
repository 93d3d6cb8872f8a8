"""Where a SAR image shows the ground: the map of the whole scene, and what displaces parts of it.

Positions are (row, column) of the scene's own grid, continuous, pixel centres
at +0.5. A place ``g`` of the ground is seen in the optical image at ``g``, or
east of a seam at ``g + seam``. In the SAR image it is seen at
``q = q0 + wander(q.row)``, where the matrix of the scene takes ``q0`` to ``g``,
displaced towards the sensor by the relief where that is not corrected.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from crosslook.data.simulate.noise import fractal_noise, lattice_noise, stream
from crosslook.data.simulate.settings import SceneOptions
from crosslook.types import Array, FloatArray, Mask, Window

_SWAYS = 4
"""Waves of the wander along a scene; its second octave is half as long."""
_SHORTEST_SWAY = 512.0
_BEYOND = 256  # rows before and after a scene for which its wander is known
_STEPS = 40  # at most: each brings a position nearer by the slope of the wander, below a half
_MEANDER, _MEANDER_ROWS = 0.1, 700.0  # of the seam, in widths, and over how many rows


def truth_matrix(settings: SceneOptions) -> NDArray[np.float64]:
    """The map from SAR to optical pixels, acting on (row, column, 1), of flat ground at height 0.

    ``p_optical = centre + scale * R(rotation) (p_sar - centre) + shift`` with
    ``R = [[cos, -sin], [sin, cos]]`` on (row, column).
    """
    angle = math.radians(settings.rotation)
    cos, sin = settings.scale * math.cos(angle), settings.scale * math.sin(angle)
    centre = np.array(settings.shape, np.float64) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = [[cos, -sin], [sin, cos]]
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre + np.asarray(settings.shift, np.float64)
    return matrix


def wander_at(settings: SceneOptions, rows: Array) -> Array:
    """How far the SAR image has swayed at rows (n,) of it: rows and columns, (n, 2).

    Smooth noise of the time at which a row was taken, half as much along the
    track as across it. Over the scene its mean is 0 and its largest length
    ``wander``.
    """
    at, sway = _sway(settings.size, settings.seed, settings.wander)
    return np.column_stack([np.interp(rows, at, part) for part in sway])


@lru_cache(maxsize=8)
def _sway(rows: int, seed: int, wander: float) -> tuple[Array, Array]:
    """Rows and both parts of the wander there."""
    at = np.arange(-_BEYOND, rows + _BEYOND, dtype=np.float64)
    wave = max(rows / _SWAYS, _SHORTEST_SWAY)
    parts = np.stack(
        [
            weight * fractal_noise(stream(seed, name), at, np.zeros(1), wave, octaves=2)[:, 0]
            for name, weight in (("wander along", 0.5), ("wander across", 1.0))
        ]
    ).astype(np.float64)
    inside = parts[:, _BEYOND:-_BEYOND]
    parts -= inside.mean(axis=1, keepdims=True)
    largest = float(np.hypot(*inside).max())
    return at, parts * (wander / largest if largest else 0.0)


def to_sar(settings: SceneOptions, ground: Array, columns: FloatArray) -> Array:
    """Where the SAR image shows places of the ground, (n, 2).

    Parameters
    ----------
    settings : SceneOptions
    ground : float64 array, shape (n, 2)
        Positions on the scene's grid.
    columns : float32 array, shape (n,)
        By how many columns the relief displaces each towards lower ones.
    """
    seen = np.array(ground, np.float64)
    seen[:, 1] -= columns
    back = np.linalg.inv(truth_matrix(settings))
    still = seen @ back[:2, :2].T + back[:2, 2]
    if not settings.wander:
        return np.asarray(still)
    at = still
    for _ in range(_STEPS):
        after = still + wander_at(settings, at[:, 0])
        moved = float(np.abs(after - at).max(initial=0.0))
        at = after
        if moved < 1e-6:
            break
    return np.asarray(at)


def beyond_seam(settings: SceneOptions, rows: Array, cols: Array) -> Mask:
    """Which pixels (h, w) of the optical image at rows (h,), columns (w,) lie east of its seam."""
    width = settings.shape[1]
    if not any(settings.seam):
        return np.zeros((len(rows), len(cols)), np.bool_)
    noise = lattice_noise(stream(settings.seed, "seam"), rows, np.zeros(1), _MEANDER_ROWS)
    line = width * (0.5 + _MEANDER * noise.astype(np.float64))
    return np.asarray(cols[None, :] >= line)


def centres(window: Window, step: int = 1, first: int = 0) -> tuple[Array, Array]:
    """Rows and columns of the centres of every ``step``-th pixel of a window, from ``first`` on."""
    sides = ((window.row, window.bottom), (window.col, window.right))
    rows, cols = (np.arange(low + first, high, step, dtype=np.float64) + 0.5 for low, high in sides)
    return rows, cols
