"""Images brought onto the grid that a transform maps into."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from crosslook.geo.grey import GreyImage
from crosslook.geo.grid import rim
from crosslook.match.transform import ReliefField, Transform
from crosslook.types import Array, FloatArray, Window

_ALL, _LEAST_FRACTION = 0.999, 0.5
_OFF_NODES = 1e-6  # nodes over an image, from which a lattice is rotated against it


def warp(image: GreyImage, transform: Transform, shape: tuple[int, int]) -> GreyImage:
    """Bring an image onto the grid that ``transform`` maps into (bilinear).

    Pixels whose source lies outside the image, or touches an invalid pixel,
    are invalid; beside a thin gap, those of which the gap gives more than half.
    """
    values = warp_array(image.values, transform, shape, cv2.INTER_LINEAR, replicate=True)
    known = warp_array(image.known.astype(np.float32), transform, shape, cv2.INTER_LINEAR) > _ALL
    if image.gaps is None:
        return GreyImage(values, known)
    # Beside a gap a pixel takes part of its value from it.
    fraction = warp_array(image.valid.astype(np.float32), transform, shape, cv2.INTER_LINEAR)
    valid = known & (fraction >= _LEAST_FRACTION)
    return GreyImage(values, valid, known & ~valid)


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
    if transform.is_flat:
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
    rows, cols = source_positions(transform, shape)
    warped = cv2.remap(
        values, cols - 0.5, rows - 0.5, interpolation, borderMode=border, borderValue=outside
    )
    return np.asarray(warped, np.float32)


def covered_window(transform: Transform, source: GeoBox, shape: tuple[int, int]) -> Window:
    """Pixels of an image of ``shape`` that another grid covers; at least one, at its edge."""
    ring = transform(rim(source))
    low = np.clip(np.floor(ring.min(axis=0)), 0, np.array(shape) - 1)
    return Window.around(low, np.clip(ring.max(axis=0), low + 1, shape))


def opencv_matrix(transform: Transform) -> Array:
    """The 3 x 3 matrix in OpenCV's (x, y) order with pixel centres at whole numbers."""
    swap = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    to_centre = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    from_centre = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])
    return np.asarray(from_centre @ swap @ transform.matrix @ swap @ to_centre, np.float64)


def source_positions(transform: Transform, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Row and column of the source for every pixel centre of the target grid.

    They are mapped at nodes, and bilinear between them. Nodes are those of the displacement
    where the transform ends in one on a lattice, so that nothing is lost of it, and windows
    of one image agree where they meet.
    """
    nodes = _nodes(transform, shape)
    grid = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1)
    positions = transform.inverse(grid.reshape(-1, 2)).reshape(grid.shape)
    for axis, (at, length) in enumerate(zip(nodes, shape, strict=True)):
        positions = _between(positions, at, length, axis)
    rows, cols = np.moveaxis(positions, -1, 0).astype(np.float32)
    return rows, cols


def _nodes(transform: Transform, shape: tuple[int, int]) -> list[Array]:
    """Rows and columns of the target at which positions are mapped; they enclose it."""
    last = transform.maps[-1]
    if isinstance(last, ReliefField):
        to_nodes = last.frame @ np.linalg.inv(last.affine.matrix)
        scales, offsets = np.diag(to_nodes)[:2], to_nodes[:2, 2]
        across = np.abs(to_nodes[:2, :2] - np.diag(scales)).max()
        if across * max(shape) < _OFF_NODES and (scales > 0).all() and (scales <= 1).all():
            return [
                (np.arange(np.floor(offset), np.ceil(length * scale + offset) + 1) - offset) / scale
                for length, scale, offset in zip(shape, scales, offsets, strict=True)
            ]
    step = max(1, round(transform.spacing))
    return [np.arange(0.0, length + 2 * step, step) for length in shape]


def _between(values: Array, nodes: Array, length: int, axis: int) -> Array:
    """Values at nodes along an axis, linear between them, at the centres of ``length`` pixels."""
    at = (np.arange(length) + 0.5 - nodes[0]) / (nodes[1] - nodes[0])
    low = np.minimum(at.astype(np.intp), len(nodes) - 2)
    part = np.expand_dims(at - low, tuple(k for k in range(3) if k != axis))
    first = np.take(values, low, axis)
    return np.asarray(first + (np.take(values, low + 1, axis) - first) * part)


def sample_maps(
    maps: NDArray[Any], at: Iterable[NDArray[np.floating[Any]]], border: int = cv2.BORDER_REPLICATE
) -> FloatArray:
    """Maps (C, H, W), bilinear, at all of the rows (h,) and columns (w,) of ``at``.

    Returns
    -------
    float32 array, shape (C, h, w)
    """
    rows, cols = (positions.astype(np.float32) for positions in at)
    grid, single = np.meshgrid(cols, rows), (one.astype(np.float32) for one in maps)
    return np.stack([cv2.remap(m, *grid, cv2.INTER_LINEAR, borderMode=border) for m in single])
