"""What matchers of plain images have in common: placing, tiles, and the way back."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from crosslook.geo.grey import GreyImage
from crosslook.match.matchers.base import Matcher
from crosslook.match.pair import ImagePair
from crosslook.match.starts import Start
from crosslook.match.tie_points import TiePoints, no_tie_points
from crosslook.match.tiling import without_duplicates
from crosslook.match.warp import warp
from crosslook.types import Array, FloatArray, Mask, Window

_ROOM = 64  # pixels around the SAR image in which its partner points may lie
_LEAST_TILE = 32  # pixels; smaller tiles hold nothing to match
_SAME_PX = 1.0


@dataclass(frozen=True, eq=False)
class Correspondences:
    """What a matcher finds in two images.

    Attributes
    ----------
    sar, optical : float64 array, shape (n, 2)
        Row and column, centres at +0.5.
    score : float64 array, shape (n,)
        The higher the surer.
    """

    sar: Array
    optical: Array
    score: Array

    @classmethod
    def from_xy(cls, sar: Array, optical: Array, score: Array | None = None) -> Correspondences:
        """From columns and rows (n, 2) whose centres are whole numbers, as OpenCV counts them."""
        here, there = (np.asarray(xy, np.float64).reshape(-1, 2)[:, ::-1] + 0.5
                       for xy in (sar, optical))  # fmt: skip
        known = np.ones(len(here)) if score is None else np.asarray(score, np.float64).ravel()
        return cls(here, there, known)


class ImageMatcher(Matcher):
    """Matches two grey images; a subclass writes :meth:`_match` for one pair of tiles.

    The SAR image is brought onto the optical grid by the start, so that what the
    georeferences or a search know is known to every matcher. The part that both
    show is reduced where it is larger than the tiling allows, and cut into tiles,
    both images alike. What is found in them is brought back to the pixels of both
    images; of what neighbouring tiles found twice one remains, and nothing that
    lies on invalid pixels.
    """

    IS_REFINED: ClassVar[bool] = False

    def _tie_points(self, pair: ImagePair, start: Start) -> TiePoints:
        moved = warp(pair.sar, start.transform, pair.optical.shape)
        part = _shared_part(moved, pair.optical)
        if min(part.shape) < _LEAST_TILE:
            return no_tie_points()
        images = [image.values[part.slices] for image in (moved, pair.optical)]
        found = self._in_tiles(images[0], images[1])
        corner = np.array(part.corner, np.float64)
        here, there = found.sar + corner, found.optical + corner
        known = _is_valid(moved.valid, here) & _is_valid(pair.optical.valid, there)
        sar = start.transform.inverse(here[known])
        return TiePoints.of(sar, there[known], found.score[known])

    def _in_tiles(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        """All correspondences of two images of one shape, each once."""
        tiling = self.settings.tiling
        factor = tiling.factor((sar.shape[0], sar.shape[1]))
        small = [_resized(image, factor) for image in (sar, optical)]
        ratio = np.array(sar.shape, np.float64) / small[0].shape
        found: list[Correspondences] = []
        for tile in tiling.windows((small[0].shape[0], small[0].shape[1])):
            cut = [np.ascontiguousarray(image[tile.slices]) for image in small]
            if min(float(np.ptp(image)) for image in cut) == 0.0:
                continue  # one value alone: nothing to match
            one, corner = self._match(cut[0], cut[1]), np.array(tile.corner, np.float64)
            here, there = ((points + corner) * ratio for points in (one.sar, one.optical))
            found.append(Correspondences(here, there, one.score))
        if not found:
            return Correspondences(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
        names = ("sar", "optical", "score")
        every = [np.concatenate([getattr(one, name) for one in found]) for name in names]
        kept = without_duplicates(every[0], every[1], every[2], _SAME_PX * max(1.0, 1.0 / factor))
        return Correspondences(*(values[kept] for values in every))

    @abstractmethod
    def _match(self, sar: FloatArray, optical: FloatArray) -> Correspondences:
        """Match two images of values 0..1 and one shape (H, W), roughly in place."""


def _shared_part(moved: GreyImage, optical: GreyImage) -> Window:
    """The pixels of the optical image that the SAR image covers, and some around."""
    rows, cols = (np.flatnonzero(moved.known.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return Window(0, 0, 0, 0)
    box = Window(int(rows[0]), int(cols[0]), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
    return box.pad(_ROOM).clip(optical.shape)


def _resized(image: FloatArray, factor: float) -> FloatArray:
    if factor == 1.0:
        return image
    height, width = (max(1, round(length * factor)) for length in image.shape)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _is_valid(valid: Mask, points: Array) -> Mask:
    """Whether positions (n, 2) lie on valid pixels of an image."""
    at = np.floor(points).astype(np.int64)
    inside = ((at >= 0) & (at < valid.shape)).all(axis=1)
    known = np.zeros(len(points), np.bool_)
    known[inside] = valid[tuple(at[inside].T)]
    return known
