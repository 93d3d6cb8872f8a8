"""A smooth field of displacements through tie points: how smooth it is, and what it says where."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.types import Array, FloatArray

_MOST_POINTS = 300  # of a tile, in the choice of the smoothness
_LENGTHS = (0.75, 1.25, 2.0, 3.5)  # of the correlation of heights, in templates
_NOISES = (0.003, 0.02, 0.1, 0.5)  # variance of a tie point over that of the relief
_FOLDS = 5
_CAP_PX = 8.0  # an error beyond this is an outlier, whatever its size
_SOFT_PX = 1.5
_ROUNDS = 3
_SPARSE = 2 / 3  # templates between the points by which the smoothness is chosen
_KNOTS = 8  # along a length, at most
_NODES = 24  # along a length
_REACH = 5  # lengths beyond which a covariance is none: 0.002
_FEW = 500_000  # covariances that are computed one by one


@dataclass(frozen=True)
class Smoothness:
    """How a field follows tie points.

    Attributes
    ----------
    length : float
        Pixels over which displacements are alike.
    noise : float
        Variance of a tie point over that of the field; ``inf`` for no field at all.
    """

    length: float
    noise: float


FLAT = Smoothness(1.0, float("inf"))


@dataclass(frozen=True, eq=False)
class Component:
    """The part of a field along one axis: bumps at knots (m, 2) of some weights (m,)."""

    axis: Array
    smoothness: Smoothness
    knots: Array
    weights: FloatArray

    def __call__(self, points: Array) -> Array:
        """Displacement along the axis (n,) at positions (n, 2)."""
        from scipy.ndimage import map_coordinates

        length = self.smoothness.length
        if len(self.knots) * len(points) <= _FEW:
            return np.asarray(covariance(points, self.knots, length) @ self.weights, np.float64)
        spacing, reach = length / _NODES, _REACH * length
        first, last = self.knots.min(axis=0), self.knots.max(axis=0)
        low = np.maximum(np.minimum(points.min(axis=0), first), first - reach) - spacing
        high = np.minimum(np.maximum(points.max(axis=0), last), last + reach) + spacing
        shape = np.ceil((high - low) / spacing).astype(int) + 1
        nodes = _spread((self.knots - low) / spacing, self.weights, (int(shape[0]), int(shape[1])))
        steps = np.arange(-_REACH * _NODES, _REACH * _NODES + 1) / _NODES
        bump = _matern(np.hypot(steps[:, None], steps).astype(np.float32))
        summed = cv2.filter2D(nodes, cv2.CV_32F, bump, borderType=cv2.BORDER_CONSTANT)
        # Sharing a weight among nodes, and reading between nodes, blurs by h^2 / 12 each.
        summed -= cv2.Laplacian(summed, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE) / 6
        at = ((points - low) / spacing).T
        return np.asarray(map_coordinates(summed, at, np.float64, order=1, mode="constant"))


@dataclass(frozen=True, eq=False)
class Field:
    """Displacements along and across a direction, as a sum of bumps at knots.

    The mean of a Gaussian process with Matern 3/2 covariance (Rasmussen and
    Williams, "Gaussian processes for machine learning", 2006): as smooth as
    ground is, and back at zero, that is flat, away from all points. Many
    positions are interpolated between nodes a fraction of the length apart,
    where the bumps are added up by one convolution.

    Attributes
    ----------
    smoothness : (Smoothness, Smoothness)
        Along and across.
    components : tuple of Component
        Those that are not flat.
    """

    smoothness: tuple[Smoothness, Smoothness]
    components: tuple[Component, ...]

    def __call__(self, points: Array) -> Array:
        """Displacement (n, 2) in rows and columns at positions (n, 2)."""
        out = np.zeros((len(points), 2))
        for one in self.components:
            out += one(points)[:, None] * one.axis
        return out


def covariance(first: Array, second: Array, length: float) -> FloatArray:
    """Matern 3/2 between positions (n, 2) and (m, 2), 1 at distance 0, shape (n, m)."""
    from scipy.spatial.distance import cdist

    return _matern(cdist(first, second).astype(np.float32) / np.float32(length))


def _matern(distance: FloatArray) -> FloatArray:
    """Matern 3/2 at distances in lengths; overwrites them."""
    distance *= np.float32(np.sqrt(3.0))
    fade = np.exp(-distance)
    distance += 1.0
    distance *= fade
    return distance


def _spread(at: Array, weights: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Weights (m,) at positions (m, 2) in nodes, shared by the four nodes around each."""
    corner = np.floor(at).astype(np.int64)
    down, right = (at - corner).T
    total = np.zeros(shape[0] * shape[1])
    for row, part in ((0, 1.0 - down), (1, down)):
        for col, share in ((0, 1.0 - right), (1, right)):
            index = (corner[:, 0] + row) * shape[1] + corner[:, 1] + col
            total += np.bincount(index, weights * part * share, len(total))
    return total.reshape(shape).astype(np.float32)


def choose_smoothness(
    points: Array, values: Array, template: float
) -> tuple[Smoothness, Smoothness]:
    """The smoothness under which points in blocks that were left out are predicted best.

    The errors of a block that is left out follow from the fit to all points:
    with ``K`` the covariance and noise, they are ``(K^-1)_BB^-1 (K^-1 y)_B``.
    Templates that overlap err alike, so that a field would follow their errors:
    few of the points are looked at. Of many, tile by tile, since points far away
    say little of each other.

    Parameters
    ----------
    points : float64 array, shape (n, 2)
    values : float64 array, shape (n, 2)
        Displacements along either axis, pixels; each has a smoothness of its own.
    template : float
        Side of a template; blocks are a quarter larger, so that no template
        lies in both parts but at a block's rim.
    """
    one = _apart(points, _SPARSE * template)
    points, values = points[one], values[one]
    square = np.floor(points / (1.25 * template)).astype(int)
    fold = (square[:, 0] * 2 + square[:, 1] * 3) % _FOLDS
    tile, single = _tiles(points), values.astype(np.float32)
    sizes = [(length * template, noise) for length in _LENGTHS for noise in _NOISES]
    error = np.zeros((len(sizes), 2))
    for here in (np.flatnonzero(tile == number) for number in np.unique(tile)):
        here = here[np.argsort(fold[here], kind="stable")]
        ends = np.append(0, np.cumsum(np.bincount(fold[here])))
        blocks = [slice(a, b) for a, b in pairwise(ends) if a < b]
        for k, (length, noise) in enumerate(sizes):
            if k % len(_NOISES) == 0:
                whole = covariance(points[here], points[here], length)
            off = np.abs(_left_out(whole, noise, single[here], blocks))
            error[k] += np.minimum(off, _CAP_PX).sum(axis=0)
    flat = np.minimum(np.abs(values), _CAP_PX).sum(axis=0)
    along, across = (
        Smoothness(*sizes[k]) if error[k, axis] < flat[axis] else FLAT
        for axis, k in enumerate(error.argmin(axis=0))
    )
    return along, across


def _tiles(points: Array) -> NDArray[np.int64]:
    """In which tile (n,) each point lies, of so many that few hundred points lie in each."""
    count = int(np.ceil(np.sqrt(len(points) / _MOST_POINTS)))
    low, extent = points.min(axis=0, initial=np.inf), np.ptp(points, axis=0) + 1e-9
    row, col = np.floor((points - low) / extent * count).astype(np.int64).T
    return np.asarray(row * count + col, np.int64)


def _left_out(
    whole: FloatArray, noise: float, values: FloatArray, blocks: list[slice]
) -> FloatArray:
    """Errors (n, k) of each block of points as predicted from all others."""
    from scipy.linalg import lapack

    factor = _factor(whole, np.full(len(whole), noise, np.float32))
    weights, _ = lapack.spotrs(factor, values, lower=1)
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    parts = []
    for block in blocks:
        own, _ = lapack.spotrf(inverse[block, block], lower=1)
        parts.append(lapack.spotrs(own, weights[block], lower=1)[0])
    return np.concatenate(parts)


def _factor(covariances: FloatArray, noise: FloatArray) -> FloatArray:
    """Lower Cholesky factor of covariances (n, n) with noise (n,) on their diagonal."""
    from scipy.linalg import lapack

    system = covariances.copy()
    system.flat[:: len(system) + 1] += noise
    factor: FloatArray = lapack.spotrf(system.T, lower=1, clean=0, overwrite_a=1)[0]
    return factor


def fit_field(
    points: Array,
    displacement: Array,
    axes: Array,
    template: float,
    smoothness: tuple[Smoothness, Smoothness] | None = None,
) -> Field:
    """Fit a field through displacements (n, 2) at optical positions (n, 2).

    ``axes`` (2, 2) are unit vectors along the range and across it. Along them
    the smoothness is chosen apart: across the range there is often none but
    noise, and then no field.
    """
    parts = displacement @ axes.T
    if smoothness is None:
        smoothness = choose_smoothness(points, parts, template)
    components = tuple(
        Component(axis, smooth, *_fitted(points, part, smooth, template))
        for axis, part, smooth in zip(axes, parts.T, smoothness, strict=True)
        if np.isfinite(smooth.noise)
    )
    return Field(smoothness, components)


def _fitted(
    points: Array, values: Array, smooth: Smoothness, template: float
) -> tuple[Array, FloatArray]:
    """Knots (m, 2) and their weights (m,).

    Robustly: points far from the field count little (iteratively reweighted).
    """
    from scipy.linalg import lapack

    # A template gives the mean of what it covers: nothing finer is in the points.
    knot, count = _knots(points, max(smooth.length / _KNOTS, template / 2))
    knots = np.stack([np.bincount(knot, axis) / count for axis in points.T], axis=1)
    whole = covariance(knots, knots, smooth.length)
    near = covariance(points, knots, smooth.length) if len(knots) < len(points) else whole[knot]
    reliable = np.ones(len(points))
    weights = np.zeros(len(knots), np.float32)
    for _ in range(_ROUNDS):
        precision = np.bincount(knot, reliable)
        means = np.bincount(knot, reliable * values) / precision
        factor = _factor(whole, (smooth.noise / precision).astype(np.float32))
        weights = lapack.spotrs(factor, means.astype(np.float32), lower=1)[0].ravel()
        reliable = 1.0 / (1.0 + ((near @ weights - values) / _SOFT_PX) ** 2)
    return knots, weights


def _knots(points: Array, side: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The knot (n,) of every point, one for all in a square of a side, and their counts."""
    _, knot, count = np.unique(_cells(points, side), return_inverse=True, return_counts=True)
    return knot, count


def _apart(points: Array, side: float) -> NDArray[np.int64]:
    """One of the points in every square of a side: templates that overlap err alike."""
    return np.sort(np.unique(_cells(points, side), return_index=True)[1])


def _cells(points: Array, side: float) -> NDArray[np.int64]:
    """The square of a side in which each point (n, 2) lies, as one number."""
    cell = np.floor(points / side).astype(np.int64)
    cell -= cell.min(axis=0, initial=0)
    return np.asarray(cell[:, 0] * (cell[:, 1].max(initial=0) + 1) + cell[:, 1], np.int64)
