"""Candidates of a search, scored again with finer features, whole and in parts.

Relief moves hills along the range of a side-looking radar, so a right place
fits part by part where the whole does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.atlas.query import Pose, centred, on_cells
from crosslook.atlas.search import Candidate, OpenLevels
from crosslook.extract.registry import open_model
from crosslook.geo.grey import GreyImage
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.ncc import FAINT, box_sums, correlate, cosines, find_peaks
from crosslook.types import Array, FloatArray

PARTS = 4
"""Parts along a side."""

PLAY = 2
"""Cells by which each part may lie beside the others."""

REACH = 24.0
"""Pixels around a candidate that are searched."""

_NEAR = 1.5  # cells of the search: what it found best lies hardly farther from the finer best
_LEAST_CELLS = 8
_LEAST_APART = 32.0
_IN_PARTS = 16
_MOST_SIDE = 512
_MOST_SHIFTS = 16  # along an axis; beyond, transforms take less time


class FineLevel:
    """Features that verify: a level of the atlas, or any extractor on its image."""

    def __init__(self, levels: OpenLevels, spec: str) -> None:
        self.atlas, self.device = levels.atlas, levels.device
        self.level = self.atlas.find_level(spec)
        if self.level is None:
            self.extractor = open_model(spec, levels.options)
            stride = self.extractor.geometry(_MOST_SIDE, _MOST_SIDE).stride
            self.cell = max(2, round(stride))
        else:
            self.extractor = levels[self.level]
            self.cell = self.atlas.manifest.levels[self.level].cell

    def query(self, grey: GreyImage) -> Channels:
        """Features of (part of) a query."""
        return on_cells(dense_channels(grey, self.extractor), grey.shape, self.cell)

    def window(self, corner: tuple[int, int], shape: tuple[int, int]) -> Channels:
        """Features of a window of the atlas, both in cells."""
        if self.level is not None:
            return self.atlas.features(self.level, corner, shape)
        pixels = [tuple(n * self.cell for n in pair) for pair in (corner, shape)]
        image = self.atlas.image((pixels[0][0], pixels[0][1]), (pixels[1][0], pixels[1][1])).read()
        if not image.valid.any() or np.ptp(image.values[:, image.valid]) == 0:
            return Channels(np.zeros((1, *shape), np.float32), np.zeros(shape, np.bool_), self.cell)
        return self.query(image.grey_image("optical"))


def verify(
    fine: FineLevel, poses: Sequence[Pose], candidates: Sequence[Candidate], cell: int
) -> list[Candidate]:
    """Score candidates with finer features within 24 pixels; best sum of all scores first.

    The best 16 are scored in parts too; the others are dropped.

    Parameters
    ----------
    fine : FineLevel
    poses : sequence of Pose
    candidates : sequence of Candidate
        Of the search.
    cell : int
        Pixels a side of the cells that were searched.

    Returns
    -------
    list of Candidate
        Each at the best place near it; of two within 32 pixels the better one.
    """
    views = {number: _View(fine, poses[number]) for number in {one.number for one in candidates}}
    near = max(2, round(_NEAR * cell / fine.cell))
    scored = [one for number, view in views.items() for one in view.score(number, candidates, near)]
    best: list[Candidate] = []
    for one in sorted(scored, key=_rank):
        apart = [np.abs(np.subtract(one.centre, other.centre)).max() for other in best]
        if all(distance > _LEAST_APART for distance in apart):
            best.append(one)
            if len(best) == _IN_PARTS:
                break
    whole = [one for number, view in views.items() for one in view.score_parts(number, best)]
    return sorted(whole, key=_rank)


def _rank(one: Candidate) -> tuple[float, int, tuple[float, float]]:
    return -one.total, one.number, one.corner


class _View:
    """A query under one pose, as the finer features see it."""

    def __init__(self, fine: FineLevel, pose: Pose) -> None:
        self.fine = fine
        grey, self.cut = _central_part(pose.grey_image, fine.cell)
        self.template = centred(fine.query(grey))
        self.reach = max(1, round(REACH / fine.cell))

    def score(self, number: int, candidates: Sequence[Candidate], near: int) -> list[Candidate]:
        """Those of the pose ``number``, each moved to the best place near it.

        Within ``near`` cells first; where the best of these lies on the rim, within all.
        """
        mine = [one for one in candidates if one.number == number]
        placed, on_rim = self._placed(mine, min(near, self.reach))
        if near < self.reach and on_rim.any():
            far = np.flatnonzero(on_rim)
            for n, one in zip(
                far, self._placed([mine[n] for n in far], self.reach)[0], strict=True
            ):
                placed[n] = one
        return placed

    def _placed(
        self, candidates: Sequence[Candidate], reach: int
    ) -> tuple[list[Candidate], NDArray[np.bool_]]:
        """Candidates at the best place within some cells, and which of these lie on the rim."""
        windows, starts = self._windows([one.corner for one in candidates], reach)
        scores = whole_scores(self.template, windows, self.fine.device)
        peaks = find_peaks(scores, 2.0)
        corners = (np.array(starts) + peaks.position) * self.fine.cell - self.cut
        placed = [
            replace(one, corner=(float(row), float(col)), fine=float(score))
            for one, (row, col), score in zip(candidates, corners, peaks.score, strict=True)
        ]
        return placed, peaks.border

    def score_parts(self, number: int, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those of the pose ``number``, with the score of their parts."""
        mine = [one for one in candidates if one.number == number]
        if not mine:
            return []
        windows, _ = self._windows([one.corner for one in mine], self.reach)
        scores = part_scores(self.template, windows, self.fine.device)
        return [replace(one, parts=float(s)) for one, s in zip(mine, scores, strict=True)]

    def _windows(
        self, corners: Sequence[tuple[float, float]], reach: int
    ) -> tuple[FloatArray, list[tuple[int, int]]]:
        """Features (n, C, h, w) around corners of the pose's image, and their first cells."""
        cell = self.fine.cell
        starts = [
            (round((row + self.cut[0]) / cell) - reach, round((col + self.cut[1]) / cell) - reach)
            for row, col in corners
        ]
        height, width = self.template.shape[1:]
        wide = (height + 2 * reach, width + 2 * reach)
        windows = np.zeros((len(corners), len(self.template), *wide), np.float32)
        for window, start in zip(windows, starts, strict=True):
            values = self.fine.window(start, wide).values
            window[: len(values)] = values
        return windows, starts


def _central_part(image: GreyImage, cell: int) -> tuple[GreyImage, tuple[int, int]]:
    """At most the central 512 pixels of an image, in whole cells from its corner."""
    starts = [max(0, (n - _MOST_SIDE) // 2) // cell * cell for n in image.shape]
    rows, cols = (slice(s, s + _MOST_SIDE) for s in starts)
    return GreyImage(image.values[rows, cols], image.valid[rows, cols]), (starts[0], starts[1])


def whole_scores(template: FloatArray, windows: FloatArray, device: str = "cpu") -> FloatArray:
    """Score a template at every place of each window.

    Parameters
    ----------
    template : float32 array, shape (C, h, w)
    windows : float32 array, shape (n, C, h + 2 r, w + 2 r)
    device : str
        Where it is computed.

    Returns
    -------
    float32 array, shape (n, 2 r + 1, 2 r + 1)
        -1..1.
    """
    height, width = template.shape[1:]
    if not _is_direct(template, windows, device):
        return correlate(template[None], windows, device=device)
    return _scores_of_parts(template, windows, np.array([0, height]), np.array([0, width]))[:, 0, 0]


def _is_direct(template: FloatArray, windows: FloatArray, device: str) -> bool:
    """Whether products under each shift take less time than transforms do."""
    return device == "cpu" and windows.shape[2] - template.shape[1] <= _MOST_SHIFTS


def _scores_of_parts(
    template: FloatArray, windows: FloatArray, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> FloatArray:
    """Scores (n, rows, columns, s, t) of the parts between edges, under every shift."""
    from crosslook.match.kernels_parts import part_products

    products = np.stack([part_products(template, window, rows, cols) for window in windows])
    own = np.einsum("chw,chw->hw", template, template)
    energy = np.einsum("nchw,nchw->nhw", windows, windows).astype(np.float64)
    down, along = products.shape[3:]
    scores = np.empty_like(products)
    for i, j in np.ndindex(products.shape[1:3]):
        (top, bottom), (left, right) = rows[i : i + 2], cols[j : j + 2]
        around = energy[:, top : bottom + down - 1, left : right + along - 1]
        under = box_sums(around, bottom - top, right - left)
        mine = own[top:bottom, left:right].sum(dtype=np.float64)
        scores[:, i, j] = cosines(products[:, i, j], under, mine, FAINT)
    return np.asarray(np.clip(scores, -1.0, 1.0), np.float32)


def part_scores(template: FloatArray, windows: FloatArray, device: str = "cpu") -> Array:
    """Score a template in each window with its parts free to move.

    The template is cut into 4 x 4 parts, each correlated over all offsets of
    the window. A part gives every offset the best score within two cells of it;
    the sum over parts, weighted by the root of their energy, is highest at the
    place (deformable parts: Felzenszwalb et al., PAMI 2010).

    Parameters
    ----------
    template : float32 array, shape (C, h, w)
    windows : float32 array, shape (n, C, h + 2 r, w + 2 r)
    device : str
        Where it is computed.

    Returns
    -------
    float64 array, shape (n,)
        -1..1.
    """
    height, width = template.shape[1:]
    count = max(1, min(PARTS, height // _LEAST_CELLS, width // _LEAST_CELLS))
    rows, cols = (np.arange(count + 1) * (length // count) for length in (height, width))
    if _is_direct(template, windows, device):
        maps = _scores_of_parts(template, windows, rows, cols)
    else:
        maps = _transformed_parts(template, windows, rows, cols, device)
    near = np.ones((2 * PLAY + 1, 2 * PLAY + 1), np.uint8)
    total = np.zeros((len(windows), *maps.shape[3:]))
    energy = 0.0
    for i, j in np.ndindex(maps.shape[1:3]):
        part = template[:, rows[i] : rows[i + 1], cols[j] : cols[j + 1]]
        weight = float(np.sqrt((part.astype(np.float64) ** 2).sum()))
        total += weight * np.stack([cv2.dilate(one, near) for one in maps[:, i, j]])
        energy += weight
    return np.asarray(total.reshape(len(windows), -1).max(axis=1) / max(energy, 1e-12))


def _transformed_parts(
    template: FloatArray,
    windows: FloatArray,
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    device: str,
) -> FloatArray:
    """As :func:`_scores_of_parts`, by Fourier transforms."""
    spare = windows.shape[2] - template.shape[1], windows.shape[3] - template.shape[2]
    shape = (len(windows), len(rows) - 1, len(cols) - 1, spare[0] + 1, spare[1] + 1)
    scores = np.empty(shape, np.float32)
    for i, j in np.ndindex(shape[1:3]):
        (top, bottom), (left, right) = rows[i : i + 2], cols[j : j + 2]
        part = np.ascontiguousarray(template[None, :, top:bottom, left:right])
        area = windows[:, :, top : bottom + spare[0], left : right + spare[1]]
        scores[:, i, j] = correlate(part, np.ascontiguousarray(area), device=device)
    return scores
