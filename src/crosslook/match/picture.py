"""One grey image with its valid pixels, and how it is warped."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.errors import MatchError
from crosslook.match.thin_plate import Array
from crosslook.match.transform import Transform
from crosslook.types import FloatArray

_SPLINE_STEP = 16  # a thin plate is solved on this grid and interpolated between


@dataclass(frozen=True, eq=False)
class Picture:
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


def make_picture(
    values: FloatArray, valid: NDArray[np.bool_] | None = None, name: str = "image"
) -> Picture:
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
    middle = float(np.median(sample))
    stretched = (np.where(usable, values, middle).astype(np.float32) - low) / (high - low)
    return Picture(np.clip(stretched, 0.0, 1.0).astype(np.float32), usable)


def warp(picture: Picture, transform: Transform, shape: tuple[int, int]) -> Picture:
    """Bring a picture onto the grid that ``transform`` maps into (bilinear).

    Pixels whose source lies outside the picture, or touches an invalid pixel,
    are invalid.
    """
    values = warp_array(picture.values, transform, shape, cv2.INTER_LINEAR, replicate=True)
    valid = warp_array(picture.valid.astype(np.float32), transform, shape, cv2.INTER_LINEAR)
    return Picture(values, valid > 0.999)


def warp_array(
    values: FloatArray,
    transform: Transform,
    shape: tuple[int, int],
    interpolation: int,
    *,
    replicate: bool = False,
    outside: float = 0.0,
) -> FloatArray:
    """Warp a float32 image (H, W) onto a grid of ``shape``.

    ``interpolation`` is one of OpenCV's; beyond the image lies ``outside``, or
    with ``replicate`` the nearest edge value.
    """
    border = cv2.BORDER_REPLICATE if replicate else cv2.BORDER_CONSTANT
    size = shape[::-1]
    if transform.field is None:
        return np.asarray(
            cv2.warpPerspective(
                values,
                opencv_matrix(transform),
                size,
                flags=interpolation,
                borderMode=border,
                borderValue=outside,
            ),
            np.float32,
        )
    rows, cols = _source_positions(transform, shape)
    warped = cv2.remap(
        values, cols - 0.5, rows - 0.5, interpolation, borderMode=border, borderValue=outside
    )
    return np.asarray(warped, np.float32)


def opencv_matrix(transform: Transform) -> Array:
    """The 3 x 3 matrix in OpenCV's (x, y) order with pixel centres at whole numbers."""
    swap = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    to_centre = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    from_centre = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
    return np.asarray(from_centre @ swap @ transform.matrix @ swap @ to_centre, np.float64)


def _source_positions(
    transform: Transform, shape: tuple[int, int]
) -> tuple[FloatArray, FloatArray]:
    """Row and column of the source for every pixel centre of the target grid."""
    nodes = [np.arange(0, length + 2 * _SPLINE_STEP, _SPLINE_STEP) for length in shape]
    grid = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    coarse = transform.inverse(grid.astype(np.float64)).reshape(len(nodes[0]), len(nodes[1]), 2)
    rows = ((np.arange(shape[0]) + 0.5) / _SPLINE_STEP).astype(np.float32)
    cols = ((np.arange(shape[1]) + 0.5) / _SPLINE_STEP).astype(np.float32)
    at_cols, at_rows = np.meshgrid(cols, rows)
    fine = [
        cv2.remap(coarse[..., axis].astype(np.float32), at_cols, at_rows, cv2.INTER_LINEAR)
        for axis in (0, 1)
    ]
    return fine[0], fine[1]
