"""Compiled loops of mutual information: grey levels, and how often two of them meet."""

from __future__ import annotations

from math import ceil, floor, log

import numpy as np
from numpy.typing import NDArray

from crosslook.compiled import compiled
from crosslook.types import Array, FloatArray

_PIXEL = 1 << 40  # one that was counted; below it fit the fractions of 16 million of them
_FRACTION = 1 << 16
_SLACK = 1e-3  # pixels; what rounding may take off
_ROW = 33  # 32 levels and one for what is invalid


@compiled
def spread_levels(values: FloatArray, low: float, scale: float, table: FloatArray) -> FloatArray:
    """Read ``table`` at ``(values - low) * scale`` between its entries; float32, (H, W)."""
    out = np.empty(values.shape, np.float32)
    last = np.float32(len(table) - 1)
    first, step = np.float32(low), np.float32(scale)
    for row in range(values.shape[0]):
        line, found = values[row], out[row]
        for col in range(len(line)):
            at = min(max((line[col] - first) * step, np.float32(0.0)), last)
            index = min(np.int32(at), np.int32(len(table) - 2))
            left = table[index]
            found[col] = left + (at - np.float32(index)) * (table[index + 1] - left)
    return out


@compiled
def _inside(source: Array, row: int, size: tuple[int, int], cols: int) -> tuple[int, int]:
    """First and last but one column of a row that a map brings into an image of ``size``.

    Each bound is linear in the column, also under perspective.
    """
    begin, end = 0.0, float(cols)
    flat, slope = source[2, 0] * row + source[2, 2], source[2, 1]
    for axis in range(2):
        start, step = source[axis, 0] * row + source[axis, 2], source[axis, 1]
        for side in range(3):
            if side == 0:  # not before the first pixel
                value, change = start + _SLACK * flat, step + _SLACK * slope
            elif side == 1:  # nor after the last
                last = size[axis] - 1 + _SLACK
                value, change = last * flat - start, last * slope - step
            else:  # nor beyond the horizon
                value, change = flat - _SLACK, slope
            if change > 1e-12:
                begin = max(begin, -value / change)
            elif change < -1e-12:
                end = min(end, 1.0 - value / change)
            elif value < 0.0:
                end = 0.0
    begin = min(begin, float(cols))
    return ceil(begin), min(max(floor(end), 0), cols)


@compiled
def source_matrix(matrix: Array, every: int) -> Array:
    """From every so-many-th fixed pixel to moving ones, for :func:`joint_histogram`.

    ``matrix`` (3, 3) maps moving positions to fixed ones, pixel centres at 0.5.
    """
    out = np.empty((3, 3))
    for i in range(3):
        for j in range(3):  # the adjugate: a factor changes no homogeneous map
            a, b, c, d = (j + 1) % 3, (j + 2) % 3, (i + 1) % 3, (i + 2) % 3
            out[i, j] = matrix[a, c] * matrix[b, d] - matrix[a, d] * matrix[b, c]
    depth = out[2, 2]
    for i in range(3):  # in numbers: expressions of arrays take seconds to compile
        for j in range(3):
            out[i, j] /= depth
        out[i, 2] += 0.5 * (out[i, 0] + out[i, 1])
    for j in range(3):
        out[0, j] -= 0.5 * out[2, j]
        out[1, j] -= 0.5 * out[2, j]
    for i in range(3):
        out[i, 0] *= every
        out[i, 1] *= every
    return out


@compiled
def _unpacked(packed: NDArray[np.int64]) -> Array:
    """The joint histogram (32, 32) from what was counted in one addition a pixel."""
    counts = np.zeros((34, 32))
    for index in range(1, 33):
        for other in range(32):
            value = packed[index * _ROW + other]
            upper = (value & (_PIXEL - 1)) / _FRACTION
            counts[index, other] += (value >> 40) - upper
            counts[index + 1, other] += upper
    counts[32] += counts[33]
    return counts[1:33]


@compiled
def joint_histogram(
    moving: FloatArray, width: int, fixed: NDArray[np.uint8], source: Array
) -> Array:
    """How often two levels meet under a map, a moving one shared by the two around it.

    The moving image is read between its pixels, so that no warped image is made in between.
    What can be done for eight pixels at once is; the counts come last.

    Parameters
    ----------
    moving : float32 array, shape ((H + 2) * width,)
        Levels 0..31, very low where invalid; the last two rows and the last column are.
    width : int
        W + 1.
    fixed : uint8 array, shape (H', W')
        Levels 0..31, or 32 where invalid.
    source : float64 array, shape (3, 3)
        From (row, column, 1) of ``fixed`` to those of ``moving``, whole at the centres of pixels.

    Returns
    -------
    float64 array, shape (32, 32)
        Moving levels by fixed ones.
    """
    packed = np.zeros(34 * _ROW, np.int64)  # pixels and the sum of fractions in one addition
    wide, below, zero = np.int32(width), np.uint64(width), np.float32(0.0)  # no less, by rounding
    size = len(moving) // width - 2, width - 1
    at, fraction = np.empty(fixed.shape[1], np.int32), np.empty(fixed.shape[1], np.int32)
    down, right = np.empty(fixed.shape[1], np.float32), np.empty(fixed.shape[1], np.float32)
    step_down, step_right = np.float32(source[0, 1]), np.float32(source[1, 1])
    step_deep = np.float32(source[2, 1])
    for row in range(fixed.shape[0]):
        begin, end = _inside(source, row, size, fixed.shape[1])
        top = np.float32(source[0, 0] * row + source[0, 1] * begin + source[0, 2])
        left = np.float32(source[1, 0] * row + source[1, 1] * begin + source[1, 2])
        depth = np.float32(source[2, 0] * row + source[2, 1] * begin + source[2, 2])
        count = max(end - begin, 0)
        for col in range(count):
            along = np.float32(np.int32(col))
            part = np.float32(1.0) / (depth + step_deep * along)
            y, x = (top + step_down * along) * part, (left + step_right * along) * part
            i, j = np.int32(y), np.int32(x)
            down[col], right[col] = max(y - np.float32(i), zero), max(x - np.float32(j), zero)
            at[col] = i * wide + j
        for col in range(count):
            first = np.uint64(np.uint32(at[col]))
            under = first + below
            one, other = moving[first], moving[under]
            one += right[col] * (moving[first + np.uint64(1)] - one)
            other += right[col] * (moving[under + np.uint64(1)] - other)
            down[col] = one + down[col] * (other - one)
        line = fixed[row, begin:]
        for col in range(count):  # levels below 0 go into a row of their own
            level = max(down[col] + np.float32(1.0), np.float32(0.0))
            low = np.int32(level)
            at[col] = low * np.int32(_ROW) + np.int32(line[col])
            fraction[col] = np.int32((level - np.float32(low)) * np.float32(_FRACTION))
        for col in range(count):
            packed[np.uint64(np.uint32(at[col]))] += _PIXEL + np.int64(fraction[col])
    return _unpacked(packed)


@compiled
def smoothed_information(counts: Array) -> float:
    """Mutual information in nats of a joint histogram, after a cubic B-spline along both axes."""
    rows, cols = counts.shape
    soft = np.empty((rows, cols))
    for i in range(rows):
        above, below = max(i - 1, 0), min(i + 1, rows - 1)
        for j in range(cols):
            soft[i, j] = (counts[above, j] + 4.0 * counts[i, j] + counts[below, j]) / 6.0
    own, theirs, mixed = np.zeros(rows), np.zeros(cols), 0.0
    for i in range(rows):
        for j in range(cols):
            before, after = soft[i, max(j - 1, 0)], soft[i, min(j + 1, cols - 1)]
            value = (before + 4.0 * soft[i, j] + after) / 6.0
            own[i] += value
            theirs[j] += value
            if value > 0.0:
                mixed += value * log(value)
    for value in np.concatenate((own, theirs)):
        if value > 0.0:
            mixed -= value * log(value)
    total = own.sum()
    return mixed / total + log(total) if total > 0.0 else 0.0


@compiled
def information_under(
    moving: FloatArray, width: int, fixed: NDArray[np.uint8], matrix: Array, every: int
) -> tuple[float, float]:
    """Mutual information under a map of :func:`source_matrix`, and the pixels in common."""
    counts = joint_histogram(moving, width, fixed, source_matrix(matrix, every))
    return smoothed_information(counts), counts.sum()


@compiled
def information_at(
    fixed: NDArray[np.uint8], moving: NDArray[np.uint8], places: NDArray[np.int64], levels: int
) -> Array:
    """Mutual information of two level maps at places, times the cells in common, (n,).

    Levels are 0..``levels - 1``, and ``levels`` where invalid. A place (row, column) is where
    in ``fixed`` the first cell of ``moving`` lies.
    """
    height, width = fixed.shape
    out, row_size = np.zeros(len(places)), levels + 1
    size = min(height, moving.shape[0]) * min(width, moving.shape[1])
    logs = np.zeros(size + 1)
    for n in range(1, size + 1):
        logs[n] = n * log(n)
    for index in range(len(places)):
        down, right = places[index]
        counts = np.zeros(row_size * row_size, np.int32)
        begin, end = max(0, -right), min(moving.shape[1], width - right)
        for row in range(max(0, -down), min(moving.shape[0], height - down)):
            theirs, ours = fixed[row + down, begin + right : end + right], moving[row, begin:end]
            for col in range(len(ours)):
                at = np.uint32(ours[col]) * np.uint32(row_size) + np.uint32(theirs[col])
                counts[np.uint64(at)] += 1
        other, total, nats = np.zeros(levels, np.int32), 0, 0.0
        for one in range(levels):
            own = 0
            for two in range(levels):
                number = counts[one * row_size + two]
                nats += logs[number]
                own += number
                other[two] += number
            nats -= logs[own]
            total += own
        for number in other:
            nats -= logs[number]
        out[index] = nats + logs[total]
    return out
