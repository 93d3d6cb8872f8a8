"""Block means of the image: the baseline that any feature must beat."""

from __future__ import annotations

from typing import ClassVar

from crosslook.extract.base import Extractor, Geometry, pad_to_multiple
from crosslook.extract.spec import Option
from crosslook.types import FloatArray


class Raw(Extractor):
    """Mean of every block of ``cell`` x ``cell`` pixels, per channel."""

    OPTIONS: ClassVar[dict[str, Option]] = {
        "cell": Option(16, "side of a block in pixels", low=1, high=512),
    }

    def geometry(self, height: int, width: int) -> Geometry:
        """Whole blocks; the last ones are padded by edge values."""
        return pad_to_multiple(height, width, int(self.options["cell"]))

    def reach(self) -> int:
        """Pixels around a cell that its features depend on: none."""
        return 0

    def _features(self, images: FloatArray) -> tuple[FloatArray, None]:
        return block_means(images, int(self.options["cell"])), None


def block_means(images: FloatArray, cell: int) -> FloatArray:
    """Mean of whole blocks: (..., H, W) to (..., H / cell, W / cell)."""
    *front, height, width = images.shape
    blocks = images.reshape(*front, height // cell, cell, width // cell, cell)
    means: FloatArray = blocks.mean(axis=(-3, -1))
    return means
