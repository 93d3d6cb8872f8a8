"""Compiled loops of robust fits: least squares, weighted anew by the distances it leaves."""

from __future__ import annotations

import math

import numpy as np

from crosslook.compiled import compiled
from crosslook.types import Array

SHIFT, SIMILARITY, AFFINE, HOMOGRAPHY = range(4)
_STILL_PX = 1e-4  # a fit that moves no point farther has settled
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
        if counted < least or moved < _STILL_PX:
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
    """The matrix (3, 3) of a model fitted to points (n, 2), (n, 2) of some weights (n,)."""
    if kind == HOMOGRAPHY:
        return _homography(source, target, weight)
    total = weight.sum()
    centre, there = np.zeros(2), np.zeros(2)
    for n in range(len(weight)):
        for k in range(2):
            centre[k] += weight[n] / total * source[n, k]
            there[k] += weight[n] / total * target[n, k]
    matrix = np.eye(3)
    if kind != SHIFT:
        matrix[:2, :2] = _linear(kind, source - centre, target - there, weight)
    for k in range(2):
        matrix[k, 2] = there[k] - matrix[k, 0] * centre[0] - matrix[k, 1] * centre[1]
    return matrix


@compiled
def _linear(kind: int, source: Array, target: Array, weight: Array) -> Array:
    """What turns, scales and, of an affine map, shears; of centred points."""
    own, cross = np.zeros((2, 2)), np.zeros((2, 2))
    for n in range(len(weight)):
        for i in range(2):
            for j in range(2):
                own[i, j] += weight[n] * source[n, i] * source[n, j]
                cross[i, j] += weight[n] * target[n, i] * source[n, j]
    out = np.empty((2, 2))
    if kind == SIMILARITY:
        # Umeyama 1991, in closed form in the plane.
        power = max(own[0, 0] + own[1, 1], 1e-12)
        along, turned = cross[0, 0] + cross[1, 1], cross[0, 1] - cross[1, 0]
        out[0, 0] = out[1, 1] = along / power
        out[0, 1], out[1, 0] = turned / power, -turned / power
        return out
    area = own[0, 0] * own[1, 1] - own[0, 1] * own[1, 0]
    if area <= _FAINT * own[0, 0] * own[1, 1]:  # all on one line: a singular matrix
        return np.zeros((2, 2))
    for i in range(2):
        out[i, 0] = (cross[i, 0] * own[1, 1] - cross[i, 1] * own[1, 0]) / area
        out[i, 1] = (cross[i, 1] * own[0, 0] - cross[i, 0] * own[0, 1]) / area
    return out


@compiled
def _homography(source: Array, target: Array, weight: Array) -> Array:
    """Direct linear transform in centred coordinates (Hartley 1997), by normal equations."""
    count = len(weight)
    centre = np.array([source[:, 0].mean(), source[:, 1].mean()])
    scale = math.sqrt(((source - source.mean()) ** 2).mean())
    if not scale > 0.0:
        scale = 1.0
    normal = np.zeros((9, 9))
    row = np.empty(9)
    for n in range(count):
        down, right = (source[n, 0] - centre[0]) / scale, (source[n, 1] - centre[1]) / scale
        for k in range(2):
            to = (target[n, k] - centre[k]) / scale
            row[:] = 0.0
            row[3 * k], row[3 * k + 1], row[3 * k + 2] = down, right, 1.0
            row[6], row[7], row[8] = -to * down, -to * right, -to
            for i in range(9):
                part = weight[n] * row[i]
                for j in range(i + 1):
                    normal[i, j] += part * row[j]
    solution = np.ascontiguousarray(np.linalg.eigh(normal)[1][:, 0]).reshape(3, 3)
    frame = np.diag(np.array([1.0 / scale, 1.0 / scale, 1.0]))
    back = np.diag(np.array([scale, scale, 1.0]))
    frame[0, 2], frame[1, 2] = -centre[0] / scale, -centre[1] / scale
    back[0, 2], back[1, 2] = centre[0], centre[1]
    matrix: Array = back @ solution @ frame
    matrix /= matrix[2, 2]
    return matrix
