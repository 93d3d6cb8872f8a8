"""Compiled loops of robust fits: least squares, weighted anew by the distances it leaves."""

from __future__ import annotations

import math

import numpy as np

from crosslook.compiled import compiled
from crosslook.types import Array

SHIFT, SIMILARITY, AFFINE = range(3)
STILL_PX = 1e-4  # a fit that moves no point farther has settled
_FAINT = 1e-12


@compiled
def polished(
    matrix: Array,
    kind: int,
    points: tuple[Array, Array, Array],
    least: int,
    rounds: tuple[float, int],
) -> Array:
    """A matrix (3, 3) after rounds of least squares, each weighted by what the last one left.

    Parameters
    ----------
    matrix : float64 array, shape (3, 3)
        The start.
    kind : int
        Which model is fitted: one of the numbers above.
    points : (float64 array (n, 2), float64 array (n, 2), float64 array (n,))
        Where from, where to, and what each counts for.
    least : int
        Points that the model needs: with fewer of any weight the last matrix stays.
    rounds : (float, int)
        Threshold of the weights, and how many rounds at most.
    """
    source, target, own = points
    threshold, count = rounds
    weight = np.empty(len(source))
    before = np.full(len(source), np.inf)
    for _ in range(count):
        distance = distances(matrix, source, target)
        moved, counted = 0.0, 0
        for n in range(len(source)):
            weight[n] = own[n] * marginal(distance[n], threshold)
            counted += weight[n] > 0.0
            moved = max(moved, abs(distance[n] - before[n]))
        if counted < least or moved < STILL_PX:
            return matrix
        before = distance
        matrix = least_squares(kind, source, target, weight)
    return matrix


@compiled
def marginal(distance: float, threshold: float) -> float:
    """Weight of a residual, as :func:`crosslook.match.robust_fit.magsac_weight` has it."""
    if not distance < threshold:
        return 0.0
    scale = 3.03 / (math.sqrt(2.0) * threshold)
    tail = math.erfc(3.03 / math.sqrt(2.0))
    return max(0.0, (math.erfc(distance * scale) - tail) / (1.0 - tail))


@compiled
def distances(matrix: Array, source: Array, target: Array) -> Array:
    """How far from ``target`` (n, 2) a matrix sends ``source`` (n, 2), shape (n,)."""
    out = np.empty(len(source))
    for n in range(len(source)):
        row, col = source[n, 0], source[n, 1]
        depth = matrix[2, 0] * row + matrix[2, 1] * col + matrix[2, 2]
        down = (matrix[0, 0] * row + matrix[0, 1] * col + matrix[0, 2]) / depth - target[n, 0]
        right = (matrix[1, 0] * row + matrix[1, 1] * col + matrix[1, 2]) / depth - target[n, 1]
        out[n] = math.sqrt(down * down + right * right)
    return out


@compiled
def least_squares(kind: int, source: Array, target: Array, weight: Array) -> Array:
    """The matrix (3, 3) of a model fitted to points (n, 2), (n, 2) of some weights (n,).

    Umeyama (1991) in closed form in the plane; an affine map by its normal equations. All in
    numbers: expressions of arrays take seconds to compile.
    """
    total = a = b = c = d = 0.0
    for n in range(len(weight)):
        total += weight[n]
        a += weight[n] * source[n, 0]
        b += weight[n] * source[n, 1]
        c += weight[n] * target[n, 0]
        d += weight[n] * target[n, 1]
    a, b, c, d = a / total, b / total, c / total, d / total
    own_00 = own_01 = own_11 = 0.0
    cross_00 = cross_01 = cross_10 = cross_11 = 0.0
    for n in range(len(weight)):
        row, col = source[n, 0] - a, source[n, 1] - b
        down, right = weight[n] * (target[n, 0] - c), weight[n] * (target[n, 1] - d)
        own_00 += weight[n] * row * row
        own_01 += weight[n] * row * col
        own_11 += weight[n] * col * col
        cross_00 += down * row
        cross_01 += down * col
        cross_10 += right * row
        cross_11 += right * col
    p, q, r, s = 1.0, 0.0, 0.0, 1.0
    if kind == SIMILARITY:
        power = max(own_00 + own_11, _FAINT)
        p = s = (cross_00 + cross_11) / power
        q = (cross_01 - cross_10) / power
        r = -q
    elif kind == AFFINE:
        area = own_00 * own_11 - own_01 * own_01
        p = q = r = s = 0.0  # all on one line: a singular matrix
        if area > _FAINT * own_00 * own_11:
            p = (cross_00 * own_11 - cross_01 * own_01) / area
            q = (cross_01 * own_00 - cross_00 * own_01) / area
            r = (cross_10 * own_11 - cross_11 * own_01) / area
            s = (cross_11 * own_00 - cross_10 * own_01) / area
    matrix = np.zeros((3, 3))
    matrix[0, 0], matrix[0, 1], matrix[0, 2] = p, q, c - p * a - q * b
    matrix[1, 0], matrix[1, 1], matrix[1, 2] = r, s, d - r * a - s * b
    matrix[2, 2] = 1.0
    return matrix
