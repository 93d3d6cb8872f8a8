"""Compiled loops of the correlation of templates: products under small shifts, and peaks.

To be imported where one of them is about to run.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from crosslook import threads
from crosslook.compiled import compiled
from crosslook.types import Array, FloatArray

_LANES = 32  # columns of a row of products are a multiple of it, so that no loop has a remainder
_PIECES, _WORTH_THREADS = 8, 200_000_000  # of the shifts, and products that are worth a thread


def boxed_products(
    image: FloatArray, search: FloatArray, corners: NDArray[np.int64], side: int
) -> FloatArray:
    """Products of an image with a wider one under every shift, summed over channels and boxes.

    Parameters
    ----------
    image : float32 array, shape (C, h, w)
    search : float32 array, shape (C, h + 2 reach, w + 2 reach)
    corners : int64 array, shape (n, 2)
        Upper left cells of the boxes.
    side : int
        Cells of a box along a side.

    Returns
    -------
    float32 array, shape (n, 2 reach + 1, 2 reach + 1)
    """
    span = search.shape[2] - image.shape[2] + 1
    sums = np.zeros((len(corners), span, span), np.float32)
    if len(corners) == 0:
        return sums
    # Only what lies under a box is multiplied.
    low, high = corners.min(axis=0), corners.max(axis=0) + side
    width = -(-int(high[1] - low[1]) // _LANES) * _LANES
    image = _columns(image[:, low[0] : high[0]], int(low[1]), width)
    search = _columns(search[:, low[0] : high[0] + span - 1], int(low[1]), width + span - 1)
    order = np.lexsort((corners[:, 1], corners[:, 0]))
    tops, first = np.unique(corners[order, 0] - low[0], return_index=True)
    lefts = corners[order, 1] - low[1]
    # Rows of boxes that a row of the image may lie in at once.
    live = int((np.searchsorted(tops, tops + side, "right") - np.arange(len(tops))).max())
    boxes = tops, np.append(first, len(lefts)), lefts, order
    few = span**2 * image.size < _WORTH_THREADS
    starts = np.linspace(0, span, 2 if few else min(span, _PIECES) + 1).astype(np.int64)

    def summed(downs: tuple[int, int]) -> None:
        _sum_boxes(image, search, boxes, (side, live, *downs), sums)

    threads.run(summed, list(pairwise(starts.tolist())))
    return sums


def _columns(values: FloatArray, first: int, width: int) -> FloatArray:
    """Columns from ``first`` on, zero beyond the last."""
    part = values[:, :, first : first + width]
    wide = np.zeros((*part.shape[:2], width), np.float32)
    wide[:, :, : part.shape[2]] = part
    return wide


@compiled
def _sum_boxes(
    image: FloatArray,
    search: FloatArray,
    boxes: tuple[NDArray[np.int64], ...],
    sizes: tuple[int, int, int, int],
    sums: FloatArray,
) -> None:
    """Fill ``sums`` from one shift down to another; ``sizes``: side, live, both of these."""
    side, live, low, high = sizes
    tops, first, lefts, order = boxes
    height, width = image.shape[1], image.shape[2]
    span = sums.shape[1]
    before = np.zeros((live, span * width), np.float32)
    running = np.zeros(width + 1, np.float64)
    for down in range(low, high):
        # Of every column, and shift along it, the sum of all rows so far.
        total = np.zeros(span * width, np.float32)
        opened, closed = 0, 0
        for row in range(height + 1):
            while closed < opened and tops[closed] + side == row:
                start = before[closed % live]
                for right in range(span):
                    at = right * width
                    for col in range(width):
                        running[col + 1] = running[col] + (total[at + col] - start[at + col])
                    for box in range(first[closed], first[closed + 1]):
                        left = lefts[box]
                        sums[order[box], down, right] = running[left + side] - running[left]
                closed += 1
            if row == height:
                break
            if opened < len(tops) and tops[opened] == row:
                before[opened % live] = total
                opened += 1
            if closed < opened:
                add_products(image, search, row, down, total)


@compiled
def add_products(
    image: FloatArray, search: FloatArray, row: int, down: int, total: FloatArray
) -> None:
    """Add the products of one row, summed over the channels, under every shift along it."""
    channels, width = image.shape[0], image.shape[2]
    span = search.shape[2] - width + 1
    channel = 0
    while channel < channels:
        # Three at once, since the sums need not be loaded and stored as often then.
        three = channel + 3 <= channels
        a = image[channel, row]
        other = search[channel, row + down]
        if three:
            b, c = image[channel + 1, row], image[channel + 2, row]
            second, third = search[channel + 1, row + down], search[channel + 2, row + down]
        for right in range(span):
            t = total[right * width : (right + 1) * width]
            x = other[right : right + width]
            if three:
                y, z = second[right : right + width], third[right : right + width]
                for col in range(width):
                    t[col] += a[col] * x[col] + b[col] * y[col] + c[col] * z[col]
            else:
                for col in range(width):
                    t[col] += a[col] * x[col]
        channel += 3 if three else 1


@compiled
def divide_by_energy(
    products: FloatArray,
    under: FloatArray,
    own: FloatArray,
    corners: NDArray[np.int64],
    faint: float,
) -> None:
    """Products (n, s, s) over the root of both energies, in place; 0 where that is faint.

    ``under`` has the energy under a template for each of its places, ``own`` (n,) that of
    each template.
    """
    count, span = products.shape[0], products.shape[1]
    most = np.float32(0.0)
    for one in range(count):
        row, col = corners[one]
        highest = np.float32(0.0)
        for down in range(span):
            for energy in under[row + down, col : col + span]:
                highest = max(highest, energy)
        most = max(most, highest * own[one])
    floor = np.float32(faint * max(np.sqrt(most), 1e-30))
    for one in range(count):
        row, col = corners[one]
        mine = max(own[one], np.float32(0.0))
        for down in range(span):
            energies = under[row + down, col : col + span]
            line = products[one, down]
            for right in range(span):
                root = np.sqrt(max(energies[right], np.float32(0.0)) * mine)
                score = line[right] / max(root, floor)
                score = min(max(score, np.float32(-1.0)), np.float32(1.0))
                line[right] = score if root > floor else np.float32(0.0)


@compiled
def _peak(values: FloatArray) -> tuple[int, int]:
    """The first of the highest values of a map."""
    best, row = np.float32(-np.inf), 0
    for i in range(values.shape[0]):
        line = np.float32(-np.inf)
        for value in values[i]:
            line = max(line, value)
        if line > best:
            best, row = line, i
    for col in range(values.shape[1]):
        if values[row, col] == best:
            return row, col
    return row, 0


@compiled
def highest(scores: FloatArray, exclusion: float) -> tuple[NDArray[np.int64], FloatArray]:
    """Row and column (n, 2) of the peak of each map, and the best score beyond a radius, (n,)."""
    count, rows, cols = scores.shape
    place, second = np.empty((count, 2), np.int64), np.empty(count, np.float32)
    reach = np.empty(rows, np.int64)  # columns to either side that are excluded, by row
    for apart in range(rows):
        across = exclusion * exclusion - apart * apart
        reach[apart] = int(np.sqrt(across)) if across >= 0 else -1
    for one in range(count):
        values = scores[one]
        row, col = _peak(values)
        other = np.float32(-1.0)
        for i in range(rows):
            beside = reach[abs(i - row)]
            for value in values[i, : max(0, col - beside) if beside >= 0 else cols]:
                other = max(other, value)
            if beside >= 0:
                for value in values[i, min(cols, col + beside + 1) :]:
                    other = max(other, value)
        place[one, 0], place[one, 1], second[one] = row, col, other
    return place, second


@compiled
def displaced_sums(
    level: FloatArray, down: NDArray[np.int64], right: NDArray[np.int64]
) -> FloatArray:
    """Sums of maps (n, s, s) displaced by (m, n) cells, 0 beyond a map: shape (m, s, s)."""
    side = level.shape[1]
    total = np.zeros((down.shape[0], side, side), np.float32)
    for way in range(down.shape[0]):
        for one in range(level.shape[0]):
            i, j = down[way, one], right[way, one]
            low, high = max(0, -j), min(side, side - j)
            if high <= low:
                continue
            for row in range(max(0, -i), min(side, side - i)):
                there = total[way, row, low:high]
                here = level[one, row + i, low + j : high + j]
                for col in range(high - low):
                    there[col] += here[col]
    return total


@compiled
def agreements(
    hypotheses: tuple[NDArray[np.complex128], NDArray[np.complex128]],
    points: tuple[NDArray[np.complex128], NDArray[np.complex128], Array],
    threshold: float,
    table: Array,
) -> Array:
    """What points weigh that agree with each similarity ``z -> factor z + shift``, summed.

    Parameters
    ----------
    hypotheses : (complex128 array (m,), complex128 array (m,))
        Factors and shifts.
    points : (complex128 array (n,), complex128 array (n,), float64 array (n,))
        Where from, where to, and what each counts for.
    threshold : float
        Distance from which on a point weighs nothing.
    table : float64 array
        Weights of distances from 0 to the threshold at equal steps.

    Returns
    -------
    float64 array, shape (m,)
    """
    factors, shifts = hypotheses
    source, target, weight = points
    result = np.zeros(len(factors), np.float64)
    steps = (len(table) - 1) / threshold
    for one in range(len(factors)):
        factor, shift = factors[one], shifts[one]
        total = 0.0
        for point in range(len(source)):
            apart = factor * source[point] + shift - target[point]
            square = apart.real * apart.real + apart.imag * apart.imag
            if square < threshold * threshold:
                place = np.sqrt(square) * steps
                low = min(int(place), len(table) - 2)
                rise = table[low + 1] - table[low]
                total += weight[point] * (table[low] + (place - low) * rise)
        result[one] = total
    return result
