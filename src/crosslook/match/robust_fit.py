"""Fit a transform to tie points of which many are wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from crosslook.errors import MatchError
from crosslook.match.settings import Model
from crosslook.match.tie_points import TiePoints
from crosslook.match.transform import ThinPlate, Transform, translation
from crosslook.types import Array


def fit_exact(source: Array, target: Array, model: Model) -> Transform:
    """Least squares over all points, none taken for an outlier; no spline."""
    from crosslook.match.kernels_fit import least_squares

    points = _points(source, target, None)
    if model == "homography":
        return Transform(_homography(points, points.weight), model)
    return Transform(least_squares(_KINDS.index(model), *points), model)


def as_complex(points: Array) -> NDArray[np.complex128]:
    """Columns as real, rows as imaginary part, so that a similarity is a product."""
    return np.asarray(points[:, 1] + 1j * points[:, 0], np.complex128)


def similarity_matrix(factor: complex, shift: complex) -> Array:
    """The matrix of ``z -> factor z + shift``, shape (3, 3)."""
    matrix = np.eye(3)
    matrix[:2] = [[factor.real, factor.imag, shift.imag], [-factor.imag, factor.real, shift.real]]
    return matrix


_KINDS = ("shift", "similarity", "affine")  # as the kernels number them
MINIMUM = {"shift": 1, "similarity": 2, "affine": 3, "homography": 4, "tps": 6}
_HYPOTHESES = 2000
_MANY_POINTS = 1500  # of which not all pairs are written down
_POLISH_ROUNDS = 10
_MAJORITY = 0.7  # of the points
_TABLE = 1025  # distances whose weights are tabled
_SPLINE_SMOOTHING = 0.02


@dataclass(frozen=True, eq=False)
class Fit:
    """A transform and the points that agree with it.

    Attributes
    ----------
    transform : Transform
    inlier : bool array, shape (n,)
        Points within the threshold of the fit.
    matrix : float64 array, shape (3, 3)
        Of the transform, before a spline and before what was put ahead of it.
    residual : float
        Root mean square distance of the inliers, in target pixels.
    consensus : float
        Consensus score: the weights of all points times their marginalised weights, summed.
    """

    transform: Transform
    inlier: NDArray[np.bool_]
    matrix: Array
    residual: float
    consensus: float


def fit_robust(
    source: Array,
    target: Array,
    model: Model,
    threshold: float = 3.0,
    weight: Array | None = None,
    seed: int = 0,
) -> Fit | None:
    """Fit ``model`` so that ``source`` goes to ``target``, whatever the outliers.

    Consensus is marginalised over the noise level up to ``threshold`` and the
    winner polished by iteratively reweighted least squares, as MAGSAC++ does
    (Barath et al., "MAGSAC++, a fast, reliable and accurate robust estimator",
    CVPR 2020). What most points agree with around their median displacement is
    taken at once. Else shift and similarity are fitted here, over seeded hypotheses;
    affine and homography start from OpenCV's ``USAC_MAGSAC``; the spline takes
    the inliers of a homography-free affine fit.

    Parameters
    ----------
    source, target : float64 array, shape (n, 2)
        Row and column, pixels.
    model : str
        One of :data:`crosslook.match.transform.MODELS`.
    threshold : float
        Largest distance of an inlier, in target pixels.
    weight : float64 array, shape (n,), optional
        Of each point; 1 by default.
    seed : int
        Of the hypotheses.

    Returns
    -------
    Fit or None
        None when there are fewer points, or fewer inliers, than the model
        needs, or no sane transform among them.
    """
    from crosslook.match.kernels_fit import distances

    if len(source) < MINIMUM[model]:
        return None
    points = _points(source, target, weight)
    base: Model = "affine" if model == "tps" else model
    loose = threshold * 2.0 if model == "tps" else threshold
    majority = _of_majority(base, points, loose)
    start = _hypothesis(base, points, loose, seed) if majority is None else majority
    if start is None or not _is_sane(start):
        return None
    matrix = _polish(start, base, points, loose)
    distance = distances(matrix, points.source, points.target)
    inlier = distance <= loose
    if int(inlier.sum()) < MINIMUM[model] or not _is_sane(matrix):
        return None
    transform = Transform(matrix, base)
    if model == "tps":
        transform = _spline(matrix, source, target, inlier)
        distance = np.linalg.norm(transform(source) - target, axis=1)
    consensus = float((magsac_weight(distance, loose) * points.weight).sum())
    residual = float(np.sqrt((distance[inlier] ** 2).mean()))
    return Fit(transform, inlier, matrix, residual, consensus)


def fit_around(fit: Fit, placed: Array, points: TiePoints, threshold: float) -> Array | None:
    """The matrix (3, 3) that some of the points of a fit ask for, near that of all of them.

    Parameters
    ----------
    fit : Fit
        By :func:`fit_tie_points`.
    placed : float64 array, shape (n, 2)
        Where its start puts the SAR positions of the points.
    points : TiePoints
        All are used.
    threshold : float

    Returns
    -------
    float64 array or None
        None where fewer of them agree than the model needs.
    """
    from crosslook.match.kernels_fit import distances

    model = fit.transform.model
    if len(points) < MINIMUM[model]:
        return None
    part = _points(placed, points.optical, points.weight)
    matrix = _polish(fit.matrix, model, part, threshold)
    agree = distances(matrix, part.source, part.target) <= threshold
    return matrix if int(agree.sum()) >= MINIMUM[model] and _is_sane(matrix) else None


def _spline(matrix: Array, source: Array, target: Array, inlier: NDArray[np.bool_]) -> Transform:
    """The thin plate through the inliers, or the affine map where the plate would fold."""
    plate = ThinPlate.fit(source[inlier], target[inlier], _SPLINE_SMOOTHING)
    try:
        plate.inverse(target)
    except MatchError:
        return Transform(matrix, "tps")
    return Transform(plate, "tps")


def fit_tie_points(
    points: TiePoints, start: Transform, model: Model, threshold: float, seed: int = 0
) -> Fit | None:
    """Fit a model from where ``start`` puts the SAR image to the optical one, by tie points.

    Points that are not marked as inliers are left out.

    Returns
    -------
    Fit or None
        Its transform maps SAR to optical pixels; ``inlier`` is of all points.
    """
    used = points.inlier
    placed = start(points.sar[used])  # the model holds on the optical grid, whatever the SAR one
    fit = fit_robust(placed, points.optical[used], model, threshold, points.weight[used], seed)
    if fit is None:
        return None
    inlier = np.zeros(len(points), np.bool_)
    inlier[used] = fit.inlier
    return replace(fit, transform=fit.transform @ start, inlier=inlier)


def magsac_weight(distance: Array, threshold: float) -> Array:
    """Weight of a residual, marginalised over noise levels up to the threshold.

    For two-dimensional residuals with the noise standard deviation uniform in
    ``0..threshold / 3.03`` (the 0.99 quantile of the Rayleigh law), the
    marginal density is proportional to the upper incomplete gamma function
    ``G(1/2, d^2 / 2 s^2)``, that is the complementary error function, less its
    value at the threshold.
    """
    from scipy.special import erfc

    largest = threshold / 3.03
    tail = erfc(threshold / (np.sqrt(2.0) * largest))
    value = (erfc(distance / (np.sqrt(2.0) * largest)) - tail) / (1.0 - tail)
    return np.asarray(np.maximum(value, 0.0), np.float64)


class _Points(NamedTuple):
    """Positions (n, 2) in both images, and what each counts for, (n,)."""

    source: Array
    target: Array
    weight: Array


def _points(source: Array, target: Array, weight: Array | None) -> _Points:
    """As compiled loops take them."""
    own = np.ones(len(source)) if weight is None else weight
    return _Points(*(np.ascontiguousarray(one, np.float64) for one in (source, target, own)))


def _of_majority(model: str, points: _Points, threshold: float) -> Array | None:
    """What most points agree with, around their median displacement; None where it is not most.

    No other fit can have so many, so none is looked for.
    """
    from crosslook.match.kernels_fit import distances

    start = translation(*np.median(points.target - points.source, axis=0))
    matrix = _polish(start, model, points, threshold)
    agree = distances(matrix, points.source, points.target) <= threshold
    return matrix if agree.mean() >= _MAJORITY and _is_sane(matrix) else None


def _hypothesis(model: str, points: _Points, threshold: float, seed: int) -> Array | None:
    """A matrix (3, 3) near the one that most points agree with; None where there is none."""
    source, target, _ = points
    if model == "similarity":
        return _similarity_hypothesis(points, threshold, seed)
    if model == "shift":
        offsets = target - source
        distance = np.linalg.norm(offsets[:, None] - offsets[None], axis=2)
        return translation(*offsets[_most_agreed(distance, points, threshold)])
    if model == "affine":
        matrix, _ = cv2.estimateAffine2D(
            source, target, method=cv2.USAC_MAGSAC, ransacReprojThreshold=threshold, maxIters=5000
        )
        return None if matrix is None else np.vstack([matrix, [0.0, 0.0, 1.0]])
    matrix, _ = cv2.findHomography(source, target, cv2.USAC_MAGSAC, threshold, maxIters=5000)
    return None if matrix is None else np.asarray(matrix, np.float64)


def _similarity_hypothesis(points: _Points, threshold: float, seed: int) -> Array | None:
    """The best of seeded pairs of points, each pair one hypothesis."""
    from crosslook.match.kernels_ncc import agreements

    a, b = as_complex(points.source), as_complex(points.target)
    rng = np.random.default_rng(seed)
    if len(a) > _MANY_POINTS:
        first, second = rng.integers(0, len(a), (2, 4 * _HYPOTHESES))
    else:
        first, second = np.triu_indices(len(a), 1)
    far = np.abs(a[first] - a[second]) > 0.1 * np.abs(a - a.mean()).max()
    first, second = first[far], second[far]
    if len(first) == 0:
        return None
    if len(first) > _HYPOTHESES:
        chosen = rng.choice(len(first), _HYPOTHESES, replace=False)
        first, second = first[chosen], second[chosen]
    factor = (b[first] - b[second]) / (a[first] - a[second])
    shift = b[first] - factor * a[first]
    table = magsac_weight(np.linspace(0.0, threshold, _TABLE), threshold)
    weight = np.asarray(points.weight, np.float64)
    best = int(agreements((factor, shift), (a, b, weight), threshold, table).argmax())
    return similarity_matrix(factor[best], shift[best])


def _most_agreed(distance: Array, points: _Points, threshold: float) -> int:
    """The hypothesis of most consensus, of distances (hypotheses, n)."""
    return int((magsac_weight(distance, threshold) * points.weight).sum(axis=1).argmax())


def _polish(matrix: Array, model: str, points: _Points, threshold: float) -> Array:
    from crosslook.match.kernels_fit import polished

    start = np.array(matrix, np.float64)  # a loop takes what may be written
    if model == "homography":
        return _polished_homography(start, points, threshold)
    rounds = threshold, _POLISH_ROUNDS
    found = polished(start, _KINDS.index(model), (*points,), MINIMUM[model], rounds)
    return np.asarray(found, np.float64)


def _polished_homography(matrix: Array, points: _Points, threshold: float) -> Array:
    """As the compiled loop does it; eigenvectors take long to compile."""
    from crosslook.match.kernels_fit import STILL_PX, distances

    before = np.full(len(points.source), np.inf)
    for _ in range(_POLISH_ROUNDS):
        distance = distances(matrix, points.source, points.target)
        weight = magsac_weight(distance, threshold) * points.weight
        moved = float(np.abs(distance - before).max(initial=0.0))
        if np.count_nonzero(weight > 0.0) < MINIMUM["homography"] or moved < STILL_PX:
            return matrix
        before, matrix = distance, _homography(points, weight)
    return matrix


def _homography(points: _Points, weight: Array) -> Array:
    """Direct linear transform in centred coordinates (Hartley 1997), by normal equations."""
    source, target, _ = points
    centre, scale = source.mean(axis=0), float(source.std()) or 1.0
    own = np.column_stack([(source - centre) / scale, np.ones(len(source))])
    to, none = (target - centre) / scale, np.zeros_like(own)
    design = np.concatenate(
        [np.hstack([own, none, -to[:, :1] * own]), np.hstack([none, own, -to[:, 1:] * own])]
    )
    normal = (design * np.tile(weight, 2)[:, None]).T @ design
    solution = np.linalg.eigh(normal)[1][:, 0].reshape(3, 3)
    frame, back = np.diag([1.0 / scale, 1.0 / scale, 1.0]), np.diag([scale, scale, 1.0])
    frame[:2, 2], back[:2, 2] = -centre / scale, centre
    matrix = back @ solution @ frame
    with np.errstate(divide="ignore", invalid="ignore"):  # what is not finite is refused later
        return np.asarray(matrix / matrix[2, 2], np.float64)


def _is_sane(matrix: Array) -> bool:
    """Neither mirrored nor squeezed beyond what two images of one place can be."""
    if not np.isfinite(matrix).all():
        return False
    a, b, c, d = matrix[:2, :2].ravel().tolist()
    area, squares = a * d - b * c, a * a + b * b + c * c + d * d
    # The singular values, of whose squares the sum is known and of which the product.
    largest = np.sqrt((squares + np.sqrt(max(squares**2 - 4.0 * area**2, 0.0))) / 2.0)
    return bool(area > 0.0 and largest < 8.0 and area / largest > 0.125)
