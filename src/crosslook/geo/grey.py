"""One grey image with its valid pixels, ready for matching."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from crosslook.errors import MatchError
from crosslook.geo.valid import fill_from_neighbours
from crosslook.types import FloatArray, Mask

_THIN = 24


@dataclass(frozen=True, eq=False)
class GreyImage:
    """A grey image ready for matching.

    Attributes
    ----------
    values : float32 array, shape (H, W)
        0..1 after radiometry; finite everywhere, also where invalid.
    valid : bool array, shape (H, W)
        False outside the swath and where the source holds nodata.
    gaps : bool array, shape (H, W), or None
        Invalid pixels of thin gaps (stripes, seams), over which the values are
        interpolated: what is computed beside them needs no margin. None where
        there are none.
    """

    values: FloatArray
    valid: Mask
    gaps: Mask | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.values.shape[0]), int(self.values.shape[1])

    @property
    def known(self) -> Mask:
        """Pixels that are valid or lie in a thin gap, shape (H, W)."""
        return self.valid if self.gaps is None else self.valid | self.gaps


def over_gaps(values: FloatArray, valid: Mask) -> GreyImage:
    """The image with thin gaps found, and its values interpolated over them, in place.

    A gap is thin where no square of 24 pixels fits into it: stripes, as of
    Landsat 7 since 2003, lines of missing columns, seams between tiles. What
    is wider, or lies at the border, stays a hole with whatever it holds.
    """
    if valid.all() or not valid.any():
        return GreyImage(values, valid)
    side = _THIN + 1
    # What is invalid at the border goes on beyond it.
    lost = cv2.copyMakeBorder((~valid).astype(np.uint8), *(side,) * 4, cv2.BORDER_REPLICATE)
    wide = cv2.morphologyEx(lost, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    thin = ~valid & (wide[side:-side, side:-side] == 0)
    gaps = fill_from_neighbours(values[None], valid, thin)
    return GreyImage(values, valid, gaps if gaps.any() else None)


def make_grey_image(
    values: FloatArray, valid: Mask | None = None, name: str = "image"
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
            f"the {name} is constant, one value at every valid pixel: there is nothing to match. "
            "Check the file and the band."
        )
    median = float(np.median(sample))
    stretched = (np.where(usable, values, median).astype(np.float32) - low) / (high - low)
    return over_gaps(np.clip(stretched, 0.0, 1.0).astype(np.float32), usable)
