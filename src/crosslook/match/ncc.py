"""Normalised correlation of multi-channel templates by FFT."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from crosslook.types import Array, FloatArray

_WORKERS = 2


@dataclass(frozen=True, eq=False)
class Peaks:
    """Best position of each of ``n`` score maps.

    Attributes
    ----------
    position : float64 array, shape (n, 2)
        Row and column of the peak in cells of the map, sub-cell.
    score : float64 array, shape (n,)
        Height of the peak.
    ratio : float64 array, shape (n,)
        Peak over the best score outside its neighbourhood, at least 1 and at
        most 10.
    border : bool array, shape (n,)
        True where the peak lies on the rim of the map, so that the true one
        may lie outside.
    """

    position: Array
    score: Array
    ratio: Array
    border: NDArray[np.bool_]


def correlate(templates: FloatArray, searches: FloatArray) -> FloatArray:
    """Correlate every template with its own search area, at all offsets.

    The score is the cosine of the angle between the template and the part of
    the search area under it, over all channels and cells: the correlation by
    FFT, divided by the root of the energy of both (Lewis, "Fast normalized
    cross-correlation", 1995).

    Parameters
    ----------
    templates : float32 array, shape (n, C, th, tw)
        Zero where invalid.
    searches : float32 array, shape (n, C, sh, sw)
        At least as large as the templates.

    Returns
    -------
    float32 array, shape (n, sh - th + 1, sw - tw + 1)
        -1..1; 0 where a template or the area under it holds nothing.
    """
    height, width = templates.shape[2:]
    rows, cols = searches.shape[2] - height + 1, searches.shape[3] - width + 1
    size = [fft.next_fast_len(length, real=True) for length in searches.shape[2:]]
    spectrum = fft.rfft2(searches, size, workers=_WORKERS)
    spectrum *= np.conj(fft.rfft2(templates, size, workers=_WORKERS))
    raw = fft.irfft2(spectrum.sum(axis=1), size, workers=_WORKERS)[:, :rows, :cols]
    under = box_sums(_energies(searches), height, width)
    return _normalised(raw, under, _energies(templates).sum(axis=(1, 2)))


def correlate_masked(
    templates: FloatArray,
    known: FloatArray,
    searches: FloatArray,
    there: FloatArray,
) -> FloatArray:
    """The same of templates and search areas with gaps, which are no part of either.

    The energy of each is that of the cells which the other one knows (Padfield,
    "Masked object registration in the Fourier domain", 2012), and scores are
    multiplied by the root of the fraction of cells that both know: chance gives
    higher ones where fewer are compared. So gaps that lie alike in both attract nothing.

    Parameters
    ----------
    templates, searches
        As of :func:`correlate`; zero in gaps.
    known : float32 array, shape (n, th, tw)
        1, and 0 in gaps.
    there : float32 array, shape (n, sh, sw)
        The same of the search areas.
    """
    height, width = templates.shape[2:]
    rows, cols = searches.shape[2] - height + 1, searches.shape[3] - width + 1
    size = [fft.next_fast_len(length, real=True) for length in searches.shape[2:]]

    def correlated(own: FloatArray, other: FloatArray) -> Array:
        spectrum = fft.rfft2(other, size, workers=_WORKERS)
        spectrum *= np.conj(fft.rfft2(own, size, workers=_WORKERS))
        whole = fft.irfft2(spectrum.sum(axis=1), size, workers=_WORKERS)
        return np.asarray(whole[:, :rows, :cols], np.float64)

    raw = correlated(templates, searches)
    energies = [_energies(maps).astype(np.float32)[:, None] for maps in (templates, searches)]
    under = correlated(known[:, None], energies[1])
    own = correlated(energies[0], there[:, None])
    common = correlated(known[:, None], there[:, None]) / (height * width)
    energy = np.sqrt(np.maximum(under, 0.0) * np.maximum(own, 0.0))
    floor = 1e-3 * max(float(energy.max(initial=0.0)), 1e-30)
    scores = raw / np.maximum(energy, floor) * np.sqrt(np.clip(common, 0.0, 1.0))
    return np.asarray(np.clip(scores, -1.0, 1.0), np.float32)


def correlate_shifts(
    image: FloatArray, search: FloatArray, corners: NDArray[np.int64], side: int
) -> FloatArray:
    """Correlate many templates of one image, one small shift of the whole image after another.

    The same scores as :func:`correlate` of each template with what lies around
    it. Templates that overlap share their products, so that for few shifts
    this takes a fraction of the time.

    Parameters
    ----------
    image : float32 array, shape (C, h, w)
        Zero where invalid.
    search : float32 array, shape (C, h + 2 reach, w + 2 reach)
        The other image, ``reach`` cells wider on every side.
    corners : int64 array, shape (n, 2)
        Upper left cells of the templates.
    side : int
        Cells of a template along a side.

    Returns
    -------
    float32 array, shape (n, 2 reach + 1, 2 reach + 1)
    """
    channels, height, width = image.shape
    wide = search.shape[2]
    span = wide - width + 1
    # Rows of both are equally long, so that a shift is one offset into a flat array.
    flat = np.pad(image, ((0, 0), (0, 0), (0, span - 1))).reshape(channels, -1)
    other = np.pad(search.reshape(channels, -1), ((0, 0), (0, span)))
    product = np.empty(height * wide, np.float32)
    raw = np.empty((len(corners), span, span))
    for down in range(span):
        for right in range(span):
            first = down * wide + right
            part = other[:, first : first + height * wide]
            np.einsum("cn,cn->n", flat, part, out=product)
            raw[:, down, right] = _boxes(product.reshape(height, wide), corners, side)
    own = _boxes(_energies(image[None])[0], corners, side)
    boxes = box_sums(_energies(search[None]), side, side)[0]
    shifts = np.arange(span)
    rows, cols = (corners[:, axis, None] + shifts for axis in (0, 1))
    return _normalised(raw, boxes[rows[:, :, None], cols[:, None, :]], own)


def _boxes(values: FloatArray | Array, corners: NDArray[np.int64], side: int) -> Array:
    """Sums over the boxes (n,) of a map (h, w) that have the given corners."""
    total = cv2.integral(values)
    (top, left), (low, right) = corners.T, corners.T + side
    result: Array = total[low, right] - total[top, right] - total[low, left] + total[top, left]
    return result


def _normalised(raw: Array, under: Array, own: Array) -> FloatArray:
    """Products (n, h, w) over the root of the energies; 0 where there is next to none."""
    energy = np.sqrt(np.maximum(under, 0.0) * own[:, None, None])
    floor = 1e-6 * max(float(energy.max(initial=0.0)), 1e-30)
    scores = np.where(energy > floor, raw / np.maximum(energy, floor), 0.0)
    return np.clip(scores, -1.0, 1.0).astype(np.float32)


def _energies(maps: FloatArray) -> Array:
    """Sum of squares over the channels of maps (n, C, H, W)."""
    return np.asarray(np.einsum("nchw,nchw->nhw", maps, maps), np.float64)


def box_sums(values: Array, height: int, width: int) -> Array:
    """Sums over every ``height`` x ``width`` box of maps (n, H, W)."""
    total = np.pad(values.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    result: Array = (
        total[:, height:, width:]
        - total[:, :-height, width:]
        - total[:, height:, :-width]
        + total[:, :-height, :-width]
    )
    return result


def find_peaks(scores: FloatArray, exclusion: float) -> Peaks:
    """Find the peak of each map to a fraction of a cell, and how it stands out.

    A parabola through the peak and its neighbours along either axis gives the
    fraction; ``exclusion`` is the radius in cells around the peak in which no
    second peak is looked for.
    """
    count, rows, cols = scores.shape
    best = scores.reshape(count, -1).argmax(axis=1)
    row, col = np.divmod(best, cols)
    top = scores[np.arange(count), row, col].astype(np.float64)
    border = (row == 0) | (col == 0) | (row == rows - 1) | (col == cols - 1)
    inner_row, inner_col = row.clip(1, max(1, rows - 2)), col.clip(1, max(1, cols - 2))
    position = np.column_stack([row, col]).astype(np.float64)
    if rows >= 3 and cols >= 3:
        each = np.arange(count)
        down = [scores[each, inner_row + d, col] for d in (-1, 0, 1)]
        along = [scores[each, row, inner_col + d] for d in (-1, 0, 1)]
        fraction = np.column_stack([_vertex(*down), _vertex(*along)])
        position += np.where(border[:, None], 0.0, fraction)
    distance = np.hypot(
        np.arange(rows)[None, :, None] - row[:, None, None],
        np.arange(cols)[None, None, :] - col[:, None, None],
    )
    outside = np.where(distance > exclusion, scores, -1.0).reshape(count, -1).max(axis=1)
    ratio = np.clip(top / np.maximum(outside, 1e-3), 1.0, 10.0)
    return Peaks(position, top, ratio, border)


def _vertex(before: FloatArray, at: FloatArray, after: FloatArray) -> Array:
    """Offset of the top of the parabola through three equidistant values."""
    bend = (before + after - 2.0 * at).astype(np.float64)
    slope = (before - after).astype(np.float64)
    offset = np.where(bend < -1e-9, 0.5 * slope / np.minimum(bend, -1e-9), 0.0)
    return np.asarray(offset.clip(-0.5, 0.5), np.float64)
