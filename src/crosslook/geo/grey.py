"""One grey image with its valid pixels, ready for matching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslook.errors import MatchError
from crosslook.types import FloatArray


@dataclass(frozen=True, eq=False)
class GreyImage:
    """A grey image ready for matching.

    Attributes
    ----------
    values : float32 array, shape (H, W)
        0..1 after radiometry; finite everywhere, also where invalid.
    valid : bool array, shape (H, W)
        False outside the swath and where the source holds nodata.
    """

    values: FloatArray
    valid: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.values.shape[0]), int(self.values.shape[1])


def make_grey_image(
    values: FloatArray, valid: NDArray[np.bool_] | None = None, name: str = "image"
) -> GreyImage:
    """Stretch an image to 0..1 between its 1st and 99th percentile.

    Parameters
    ----------
    values : array, shape (H, W)
        Any real type; NaN counts as invalid. SAR should already be in a
        logarithm or a root, since gradients of linear amplitude follow speckle.
    valid : bool array, shape (H, W), optional
    name : str
        What the error calls the image.

    Raises
    ------
    MatchError
        If nothing is valid or the valid pixels are all equal.
    """
    finite = np.isfinite(values)
    usable = finite if valid is None else finite & valid
    if not usable.any():
        raise MatchError(
            f"the {name} holds no valid pixel: all of {values.shape[0]} x {values.shape[1]} are "
            "nodata. Give an image with data."
        )
    sample = values[usable][:: max(1, int(usable.sum()) // 500_000)]
    low, high = np.percentile(sample, (1.0, 99.0))
    if not high > low:
        low, high = float(sample.min()), float(sample.max())
    if not high > low:
        raise MatchError(
            f"the {name} is constant ({low:g} at every valid pixel): there is nothing to match. "
            "Check the file and the band."
        )
    median = float(np.median(sample))
    stretched = (np.where(usable, values, median).astype(np.float32) - low) / (high - low)
    return GreyImage(np.clip(stretched, 0.0, 1.0).astype(np.float32), usable)
