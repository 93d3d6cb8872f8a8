"""Features of several extractors on one grid, as dense correlation takes them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from crosslook.extract.base import Extractor, Geometry
from crosslook.types import FloatArray


class JoinedFeatures(Extractor):
    """The channels of several extractors, on the finest of their grids.

    Coarser maps are interpolated (bilinear). Each member counts alike in a
    correlation, however many channels it has: :attr:`weights` says by what a
    channel of standard deviation 1 is multiplied.

    Parameters
    ----------
    members : sequence of Extractor
    """

    def __init__(self, members: Sequence[Extractor]) -> None:
        super().__init__("+".join(one.spec for one in members), {})
        self.members = tuple(members)
        self.revision = "+".join(one.revision for one in members)
        self.weights: FloatArray = np.ones(0, np.float32)

    @property
    def key(self) -> dict[str, str]:
        """The keys of all members."""
        return {f"{at}:{n}": v for at, one in enumerate(self.members) for n, v in one.key.items()}

    def geometry(self, height: int, width: int) -> Geometry:
        """The image padded to whole cells of the finest member, at its own size."""
        finest = min((one.geometry(height, width) for one in self.members), key=lambda g: g.stride)
        cell = max(1, round(finest.stride))
        padded = tuple(-(-length // cell) * cell for length in (height, width))
        return Geometry((height, width), (padded[0], padded[1]), 1.0, float(cell))

    def _features(self, images: FloatArray) -> tuple[FloatArray, None]:
        height, width = images.shape[2:]
        cell = self.geometry(height, width).cell
        size = (round(width / cell), round(height / cell))
        maps = [one.extract(images) for one in self.members]
        parts = [_resampled(one.values, one.stride, cell, size) for one in maps]
        self.weights = np.concatenate(
            [np.full(part.shape[1], part.shape[1] ** -0.5, np.float32) for part in parts]
        )
        return np.concatenate(parts, axis=1), None

    def close(self) -> None:
        """Close all members."""
        for one in self.members:
            one.close()


def _resampled(values: FloatArray, stride: float, cell: float, size: tuple[int, int]) -> FloatArray:
    """Maps (n, C, h, w) in cells of ``cell`` instead of ``stride`` pixels; size is (cols, rows)."""
    if stride == cell and values.shape[2:] == size[::-1]:
        return values
    # The centre of cell i lies at (i + 0.5) * cell; OpenCV counts from the centre of the first.
    cols, rows = ((np.arange(n) + 0.5) * (cell / stride) - 0.5 for n in size)
    at = np.meshgrid(cols.astype(np.float32), rows.astype(np.float32))
    moved = [
        cv2.remap(channel, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for image in values
        for channel in image
    ]
    return np.stack(moved).reshape(*values.shape[:2], size[1], size[0])
