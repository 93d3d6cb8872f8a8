"""One transform that all score maps agree on, before any peak is trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosslook.match.thin_plate import Array
from crosslook.match.tie_points import ScoreMaps
from crosslook.match.transform import Transform, similarity


@dataclass(frozen=True)
class VoteRange:
    """Rotations and scales tried around the current transform.

    Attributes
    ----------
    rotation, rotation_step : float
        Degrees; ``-rotation..rotation``.
    scale, scale_step : float
        Relative; ``1 - scale..1 + scale``.
    """

    rotation: float = 3.0
    rotation_step: float = 0.5
    scale: float = 0.03
    scale_step: float = 0.01


def vote(maps: ScoreMaps, ranges: VoteRange, size: tuple[int, int]) -> Transform:
    """Return the similarity under which the score maps add up highest.

    Every template says by its whole map how well each offset fits it. For each
    rotation and scale of the range the maps are displaced as those ask and
    summed; the highest sum over all shifts wins. Weak peaks that no single
    template would give away add up, which a fit to the best peaks loses
    (generalised Hough transform, Ballard 1981, with soft votes).

    Parameters
    ----------
    maps : ScoreMaps
    ranges : VoteRange
    size : (rows, columns) of the optical image; its centre is the pivot.

    Returns
    -------
    Transform
        Moves the warped SAR image onto the optical one; to the nearest cell.
    """
    centre = np.array(size, np.float64) / 2
    arms = maps.centres - centre
    reach, stride = maps.reach, maps.stride
    # A map votes by how far it rises above its own mean, in its own deviations.
    level = maps.scores - maps.scores.mean(axis=(1, 2), keepdims=True)
    best, found = -np.inf, similarity((0.0, 0.0))
    for rotation in _steps(ranges.rotation, ranges.rotation_step):
        for growth in _steps(ranges.scale, ranges.scale_step):
            turn = similarity((0.0, 0.0), rotation, 1.0 + growth)
            total = _displaced_sum(level, (turn(arms) - arms) / stride)
            row, col = np.unravel_index(int(total.argmax()), total.shape)
            if total[row, col] > best:
                best = float(total[row, col])
                shift = ((row - reach) * stride, (col - reach) * stride)
                found = similarity(shift, rotation, 1.0 + growth, (centre[0], centre[1]))
    return found


def _displaced_sum(level: Array, displacement: Array) -> Array:
    """``sum_k level[k][s + displacement[k]]`` for all cells s; 0 beyond a map."""
    cells = np.round(displacement).astype(int)
    pad = int(np.abs(cells).max(initial=0))
    side = level.shape[1]
    padded = np.pad(level, ((0, 0), (pad, pad), (pad, pad)))
    total = np.zeros(level.shape[1:])
    for one, (down, right) in zip(padded, cells + pad, strict=True):
        total += one[down : down + side, right : right + side]
    return total


def _steps(limit: float, step: float) -> Array:
    count = int(limit / step + 1e-9) if step > 0 else 0
    return np.asarray(np.arange(-count, count + 1) * step, np.float64)
