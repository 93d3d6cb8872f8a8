"""Loops behind :mod:`crosslook.match.parts`, compiled when they are first called."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslook.compiled import compiled
from crosslook.types import FloatArray


@compiled
def block_products(template: FloatArray, fixed: FloatArray, blocks: int) -> FloatArray:
    """Sums of a masked correlation by blocks of the template, at all shifts.

    Parameters
    ----------
    template : float32 array, shape (C + 2, h, w)
        Channels, their energy, and 1 where it is valid; zero elsewhere.
    fixed : float32 array, shape (C + 2, h + 2 reach, w + 2 reach)
        The same of the other image.
    blocks : int
        Along a side.

    Returns
    -------
    float32 array, shape (4, blocks, blocks, 2 reach + 1, 2 reach + 1)
        Products; energy of the fixed map where the template is valid; that of
        the template where the fixed map is; cells that both hold.
    """
    height, width = template.shape[1:]
    span = fixed.shape[1] - height + 1
    out = np.zeros((4, blocks, blocks, span, span), np.float32)
    sums = np.empty((4, span, width), np.float32)
    for block in range(blocks):
        first = (block * height + blocks - 1) // blocks
        last = ((block + 1) * height + blocks - 1) // blocks
        for down in range(span):
            sums[:] = 0.0
            for row in range(first, last):
                _add_row(sums[0], template, fixed, row, row + down)
                _add_energies(sums, template[-2:, row], fixed[-2:, row + down])
            for part in range(blocks):
                left = (part * width + blocks - 1) // blocks
                end = ((part + 1) * width + blocks - 1) // blocks
                for kind in range(4):
                    for right in range(span):
                        out[kind, block, part, down, right] = sums[kind, right, left:end].sum()
    return out


@compiled
def _add_row(total: FloatArray, one: FloatArray, other: FloatArray, row: int, there: int) -> None:
    """Add the products of a row under every shift along it, three channels at once."""
    channels, width = len(one) - 2, total.shape[1]
    whole = channels // 3 * 3
    for k in range(0, whole, 3):
        a, b, c = one[k, row], one[k + 1, row], one[k + 2, row]
        for right in range(len(total)):
            sums = total[right]
            x = other[k, there, right : right + width]
            y = other[k + 1, there, right : right + width]
            z = other[k + 2, there, right : right + width]
            for col in range(width):
                sums[col] += a[col] * x[col] + b[col] * y[col] + c[col] * z[col]
    for k in range(whole, channels):
        a = one[k, row]
        for right in range(len(total)):
            sums = total[right]
            x = other[k, there, right : right + width]
            for col in range(width):
                sums[col] += a[col] * x[col]


@compiled
def _add_energies(sums: FloatArray, one: FloatArray, other: FloatArray) -> None:
    """Add the energy under what is valid of a row, its own over what is known, and both masks."""
    width = sums.shape[2]
    own, valid = one[0], one[1]
    for right in range(sums.shape[1]):
        energy, known = other[0, right : right + width], other[1, right : right + width]
        under, over, both = sums[1, right], sums[2, right], sums[3, right]
        for col in range(width):
            under[col] += valid[col] * energy[col]
            over[col] += own[col] * known[col]
            both[col] += valid[col] * known[col]


@compiled
def part_information(
    moved: NDArray[np.int32],
    fixed: NDArray[np.int32],
    parts: NDArray[np.bool_],
    side: int,
    bins: int,
) -> FloatArray:
    """Mutual information of parts of an image with another one, at every second shift.

    Parameters
    ----------
    moved : int32 array, shape (h, w)
        Grey levels, 0 to ``bins - 1``; ``bins`` where invalid.
    fixed : int32 array, shape (h + 2 reach, w + 2 reach)
    parts : bool array, shape (K, side * side)
        Which of side x side blocks each part is made of.
    side, bins : int

    Returns
    -------
    float32 array, shape (2, K, reach + 1, reach + 1)
        Nats, and the pixels that they were counted over.
    """
    height, width = moved.shape
    span = (fixed.shape[0] - height) // 2 + 1
    out = np.zeros((2, len(parts), span, span), np.float32)
    table = np.zeros(height * width + 1, np.float32)  # n log n
    for n in range(2, len(table)):
        table[n] = n * np.log(n)
    # Of blocks and levels; the last level is of what is invalid, and counted in vain.
    wide = bins + 1
    first = np.empty((height, width), np.int32)
    for row in range(height):
        for col in range(width):
            block = row * side // height * side + col * side // width
            first[row, col] = (block * wide + moved[row, col]) * wide
    counts = np.empty(side * side * wide * wide, np.int32)
    for down in range(span):
        for right in range(span):
            counts[:] = 0
            for row in range(height):
                for col in range(width):
                    counts[first[row, col] + fixed[row + 2 * down, col + 2 * right]] += 1
            by_block = counts.reshape(side * side, wide, wide)
            for k in range(len(parts)):
                nats, total = _information(_joint(by_block, parts[k]), bins, table)
                out[0, k, down, right] = nats
                out[1, k, down, right] = total
    return out


@compiled
def _joint(by_block: NDArray[np.int32], part: NDArray[np.bool_]) -> NDArray[np.int32]:
    joint = np.zeros(by_block.shape[1:], np.int32)
    for block in range(len(by_block)):
        if part[block]:
            joint += by_block[block]
    return joint


@compiled
def _information(joint: NDArray[np.int32], bins: int, table: FloatArray) -> Any:
    """Mutual information of counts, nats, and how many they are."""
    across = np.zeros(bins, np.int32)
    total, terms = 0, 0.0
    for i in range(bins):
        along = 0
        for j in range(bins):
            along += joint[i, j]
            across[j] += joint[i, j]
            terms += table[joint[i, j]]
        total += along
        terms -= table[along]
    for j in range(bins):
        terms -= table[across[j]]
    return (terms + table[total]) / max(total, 1), total
