"""Where and how rotated a SAR image lies in an optical one, over all positions and poses.

The whole SAR image is one template. It is brought under every rotation, scale
and flip requested, and correlated with the optical image at all positions by
FFT, counting only where both hold something. Coarse cells sort out the poses;
finer ones and mutual information at the same positions decide between those
that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from crosslook.extract.base import Extractor
from crosslook.extract.registry import open_extractor
from crosslook.geo.grey import GreyImage
from crosslook.match.cached_image import CachedImage, reduce_image
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.ncc import (
    cosines,
    fetch,
    forward,
    inverse,
    masked_planes,
    masked_products,
    place,
)
from crosslook.match.pair import ImagePair
from crosslook.match.settings import TransformModel
from crosslook.match.transform import (
    Transform,
    grid_points,
    mean_distance,
    shift_by,
    translation,
)
from crosslook.match.warp import sample_maps, warp
from crosslook.types import Array, FloatArray

_FEW = 6
_CLOSE_DEGREES = 2.0
_AROUND, _HERE, _FAR = 16, 2.0, 4.0  # cells
_UNREDUCED = 64
"""Side of a SAR image that is searched at its own resolution; reduced by 2 where 4 times that."""

_CELLS = 64
_LEAST_OVERLAP = 0.5
_BINS = 8
_WEIGHTS = (1.0, 1.0, 0.3)  # of fine cells, coarse cells, mutual information
_SCALE_POWER = 0.75  # 1 for noise alone; what is alike at large scales by chance asks for less
_ROUND = 16  # cells; so that poses of about one size share a spectrum
_HARMONICS, _AT_ONCE = 5, 16  # of orientations; poses that are correlated together
_TO_RIM = _FROM_CENTRE = translation(0.5, 0.5)  # of cells, and of those within a rim
_LATTICE, _EXACT = 3, 32  # cells between counts of mutual information; places counted besides
_SPARE = 2  # cells, so that scores of other cells can be read off between two of them
Span = tuple[int, int]


class Pose(NamedTuple):
    """Rotation in degrees, scale, and whether it is flipped."""

    rotation: float = 0.0
    scale: float = 1.0
    is_flipped: bool = False


@dataclass(frozen=True)
class PoseRange:
    """What a search tries beyond its start.

    Attributes
    ----------
    rotation : float
        Degrees to either side.
    scale : (lowest, highest)
        Factors.
    flip : bool
        Mirrored images too.
    shift : float or None
        Optical pixels; None for the whole of the optical image.
    rotation_step, scale_step : float
        Degrees, and relative.
    aspect : (lowest, highest)
        Factors of height over width of the SAR image, before it is turned.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    flip: bool = False
    shift: float | None = None
    rotation_step: float = 4.0
    scale_step: float = 0.0905
    aspect: tuple[float, float] = (1.0, 1.0)

    def aspects(self) -> list[float]:
        """Height over width of every anisotropic scaling."""
        return [float(v) for v in _factors(self.aspect, self.scale_step)]

    @property
    def count(self) -> int:
        """How many poses are tried."""
        return len(self.aspects()) * len(self.poses())

    def poses(self) -> list[Pose]:
        """Rotation, scale and flip of every pose."""
        scales = _factors(self.scale, self.scale_step)
        rotations = _rotations(self.rotation, self.rotation_step)
        flips = (False, True) if self.flip else (False,)
        return [Pose(float(r), float(s), f) for f in flips for r in rotations for s in scales]


def _factors(ends: tuple[float, float], step: float) -> Array:
    """Factors at even ratios from the lowest to the highest."""
    low, high = np.log(ends)
    count = int(np.ceil((high - low) / np.log1p(step) - 1e-9))
    logs = np.linspace(low, high, count + 1) if count else np.array([(low + high) / 2])
    return np.asarray(np.exp(logs), np.float64)


def _rotations(limit: float, step: float) -> Array:
    count = int(np.ceil(2 * limit / step - 1e-9))
    if limit >= 180.0:
        return np.asarray(np.arange(count) * (360.0 / count) - 180.0, np.float64)
    return np.asarray(np.linspace(-limit, limit, count + 1), np.float64) if count else np.zeros(1)


def scale_height(start: Transform, aspect: float, shape: tuple[int, int]) -> Transform:
    """A start whose SAR image is higher by ``aspect`` against its width, of the same area."""
    if aspect == 1.0:
        return start
    high = np.sqrt(aspect)
    centre = np.array(shape, np.float64) / 2
    matrix = np.diag([high, 1.0 / high, 1.0])
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre
    return start @ Transform(matrix, "affine")


@dataclass(frozen=True)
class Candidate:
    """A place and pose of the SAR image.

    Attributes
    ----------
    transform : Transform
        SAR pixels to optical pixels.
    score : float
        Height of its peak, in standard deviations of its score map.
    pose : Pose
        Beyond the start.
    """

    transform: Transform
    score: float
    pose: Pose


@dataclass(frozen=True)
class Peak:
    """Best place of a pose; ``corner`` of its warped image in reduced optical pixels."""

    pose: Pose
    score: float
    corner: tuple[float, float]


Spread = tuple[float, ...]
"""Standard deviation of each kind of full score."""


@dataclass(frozen=True, eq=False)
class FullScores:
    """The scores of a pose at all places: of fine cells, coarse cells, mutual information.

    Attributes
    ----------
    parts : tuple of float64 arrays, shape (h, w)
        Empty where no place is allowed.
    allowed : bool array, shape (h, w)
        Places where enough overlaps.
    origin : (int, int)
        The place of the first score, cells.
    """

    parts: tuple[Array, ...]
    allowed: NDArray[np.bool_]
    origin: Span

    def spread(self) -> Spread | None:
        """How far each kind of score spreads; None where no place is allowed."""
        if not self.parts:
            return None
        return tuple(max(float(one[self.allowed].std()), 1e-9) for one in self.parts)

    def total(self, spread: Spread | None) -> Array:
        """All kinds together, (h, w), each above its mean in standard deviations ``spread``."""
        total: Array = np.zeros(self.allowed.shape, np.float32)
        for one, factor, std in zip(self.parts, _WEIGHTS, spread or (), strict=False):
            total += factor * (one - one[self.allowed].mean()) / std
        return total


def search_poses(
    pair: ImagePair, poses: PoseRange, count: int = 3, *, finer: bool = False
) -> list[Candidate]:
    """Find the poses and places under which a SAR image fits an optical one best.

    Parameters
    ----------
    pair : ImagePair
        Its start is what rotation 0 and scale 1 mean, and, where ``poses``
        limits the shift, from where.
    poses : PoseRange
    count : int
        Most candidates.
    finer : bool
        Reduce the images about half as much, and sort out no pose by coarse cells:
        what shows in fine lines alone is found by this, and other things lost.
        Nothing is found where that would be the same search.

    Returns
    -------
    list of Candidate
        Best first, no two of them within a few pixels of each other; empty
        where nothing overlaps by half.
    """
    points = grid_points(*pair.sar.shape)
    candidates: list[Candidate] = []
    for aspect in poses.aspects():
        start = scale_height(pair.start, aspect, pair.sar.shape)
        search = PoseSearch(pair, start, poses, finer=finer)
        candidates += _search_aspect(search)
    out: list[Candidate] = []
    for one in sorted(candidates, key=lambda one: -one.score):
        if all(mean_distance(one.transform, o.transform, points) > search.apart for o in out):
            out.append(one)
    return out[:count]


def _search_aspect(search: PoseSearch) -> list[Candidate]:
    """The best poses of one anisotropic scaling, coarse to fine."""
    poses = search.poses.poses()
    count = len(poses)
    if search.finer and search.factor == search.usual and count <= _FEW:
        return []  # it would be the same search again
    if count > _FEW and not search.finer:
        coarse = search.coarse_scores(poses, 2)
        poses = [one.pose for one in best_of(coarse, _part(count, 8, 60))]
    most = _part(count, 16, 20)
    fine = best_of(search.coarse_scores(poses, 1), most)
    if search.poses.rotation_step > _CLOSE_DEGREES:
        fine = search.refine(fine)
    best = [one.pose for one in best_of(fine, most // 2)]
    full = _full_scores(search, best)
    return [search.candidate(one) for one in best_of(full, len(full))]


def _part(count: int, share: int, most: int) -> int:
    """How many poses are looked at more closely: one in so many, within limits."""
    return min(max(count // share, _FEW), most)


def _full_scores(search: PoseSearch, poses: list[Pose]) -> list[Peak]:
    """The best place of each pose by its full score.

    How far each kind of score spreads is measured on the first pose that has a
    place, for all: a flat map of a wrong one must not count for more.
    """
    waiting = iter(poses)
    for pose in waiting:
        scores = search.full_scores(pose)
        if (spread := scores.spread()) is not None:
            others = (search.full_peak(spread, other) for other in waiting)
            return [search.full_peak(spread, pose, scores), *others]
    return []


def best_of(peaks: list[Peak], count: int) -> list[Peak]:
    """The highest of them that have a place, best first."""
    finite = [one for one in peaks if np.isfinite(one.score)]
    return sorted(finite, key=lambda one: -one.score)[:count]


def whole_image(pair: ImagePair, transform: Transform) -> tuple[float, float]:
    """How far the whole image stands out at a match among the places around it.

    Returns
    -------
    (float, float)
        Its score at the match (the best within two cells) in standard deviations
        above the mean of all places up to sixteen cells away, and how far
        that is above the best place beyond four cells.
    """
    search = PoseSearch(pair, transform, PoseRange(), around=_AROUND)
    found = search.full_scores(Pose())
    rows, cols = (  # cells from the match
        np.arange(n) + first - corner / search.cell
        for n, first, corner in zip(
            found.allowed.shape, found.origin, search.corner(Pose()), strict=True
        )
    )
    near = np.ix_(np.abs(rows) <= _AROUND, np.abs(cols) <= _AROUND)
    scores, allowed = found.total(found.spread())[near], found.allowed[near]
    distance = np.hypot(rows[:, None], cols)[near]
    here, far = allowed & (distance <= _HERE), allowed & (distance > _FAR)
    if not here.any() or not far.any():
        return 0.0, 0.0
    level = (scores - scores[far].mean()) / max(float(scores[far].std()), 1e-9)
    best = float(level[here].max())
    return best, best - float(level[far].max())


class PoseSearch:
    """The reduced images of one search, and the scores of poses on them."""

    def __init__(
        self,
        pair: ImagePair,
        start: Transform,
        poses: PoseRange,
        *,
        finer: bool = False,
        around: int | None = None,
    ) -> None:
        sar, optical = pair.sar, pair.optical
        extent = float(np.ptp(start(grid_points(*sar.shape)), axis=0).max()) * 9 / 8
        self.finer, self.device = finer, pair.device
        reduced = float(np.sqrt(extent / _UNREDUCED))
        self.usual = max(1, round(reduced))
        self.factor = max(1, round(reduced / 2)) if finer else self.usual
        self.sar, self.start, self.poses = sar, start, poses
        self.around = around  # cells from the start that are looked at, of either axis
        self.optical = optical.reduced(self.factor)
        self.cell = int(np.clip(round(extent / self.factor / _CELLS), 2, 8))
        self.scale = start.local_scale(np.array(sar.shape, np.float64) / 2)
        self.apart = 3.0 * self.factor * self.cell
        self.flat = start.without_field.matrix
        self.centre = start(np.array(sar.shape, np.float64) / 2)  # what poses turn about

    def transform(self, pose: Pose) -> Transform:
        """SAR pixels to optical pixels, the centre where the start has it."""
        turn, mirror = self._turned(pose), self._mirrored(pose)
        model: TransformModel = "affine" if pose.is_flipped else "similarity"
        return Transform(turn, "similarity") @ self.start @ Transform(mirror, model)

    def _matrix(self, pose: Pose) -> Array:
        """The same without what of the start is no matrix."""
        return np.asarray(self._turned(pose) @ self.flat @ self._mirrored(pose), np.float64)

    def _turned(self, pose: Pose) -> Array:
        cosine, sine = (pose.scale * f(np.radians(pose.rotation)) for f in (np.cos, np.sin))
        linear = np.array([[cosine, sine], [-sine, cosine]])
        out = np.eye(3)
        out[:2, :2], out[:2, 2] = linear, self.centre - linear @ self.centre
        return out

    def _mirrored(self, pose: Pose) -> Array:
        out = np.eye(3)
        if pose.is_flipped:
            out[1, 1], out[1, 2] = -1.0, float(self.sar.shape[1])
        return out

    def coarse_scores(self, poses: Sequence[Pose], multiple: int) -> list[Peak]:
        """The best place of each pose by features that were extracted once, and then turned."""
        cell = self.cell * multiple
        # Those of about one size together, since their transforms are as long as the longest.
        order = sorted(range(len(poses)), key=lambda index: poses[index].scale)
        found: dict[int, Peak] = {}
        for first in range(0, len(order), _AT_ONCE):
            part = order[first : first + _AT_ONCE]
            found.update(zip(part, self._peaks([poses[i] for i in part], cell), strict=True))
        return [found[index] for index in range(len(poses))]

    def _peaks(self, poses: Sequence[Pose], cell: int) -> list[Peak]:
        """The best place of each of some poses, correlated together."""
        planes, corners = self.turned(poses, cell)
        spans = self._spans(planes[:, -1, ::-1, ::-1], cell, corners)
        scores, filled, origin = self._correlate(planes, self._harmonics(cell), cell, spans)
        out = []
        for pose, one, part, corner in zip(poses, scores, filled, corners, strict=True):
            allowed = self._allowed(part, origin, cell, corner)
            out.append(_peak(pose, one * _weight(part, pose), allowed, origin, cell))
        return out

    def refine(self, peaks: list[Peak]) -> list[Peak]:
        """The best of each pose and those a third of a step away in rotation, then in scale."""
        for rotate, grow in (self.poses.rotation_step / 3, 0.0), (0.0, self.poses.scale_step / 3):
            sides = [
                Pose(one.pose[0] + k * rotate, one.pose[1] * (1 + k * grow), one.pose[2])
                for one in peaks
                for k in (-1, 1)
            ]
            found = self.coarse_scores(sides, 1)
            groups = zip(peaks, found[::2], found[1::2], strict=True)
            peaks = [max(group, key=lambda one: one.score) for group in groups]
        return peaks

    def full_peak(self, spread: Spread, pose: Pose, scores: FullScores | None = None) -> Peak:
        """The best place of a pose by its full scores, which may be known."""
        scores = scores or self.full_scores(pose)
        return _peak(pose, scores.total(spread), scores.allowed, scores.origin, self.cell)

    def full_scores(self, pose: Pose) -> FullScores:
        """Gradients in two sizes of cells and mutual information, at all places of a pose."""
        image, corner = self.warped(pose)
        cell = self.cell
        fine = dense_channels(image, gradients(cell))
        spans = self._spans(fine.valid[None], cell, [corner])
        there, double = self._features(cell), self._features(2 * cell)
        scores, filled, origin = self._correlate(_half_turn(fine), there, cell, spans)
        allowed = self._allowed(filled, origin, cell, corner)
        if not allowed.any():
            return FullScores((), allowed, origin)
        weight = _weight(filled, pose)
        wide = dense_channels(image, gradients(2 * cell))
        halved = [(low // 2 - _SPARE, high // 2 + _SPARE) for low, high in spans]
        coarser, _, first = self._correlate(_half_turn(wide), double, 2 * cell, halved)
        coarser = _sampled(coarser, first, scores.shape, origin, 0.5)
        edges = scores * weight, coarser * weight
        best = FullScores(edges, allowed, origin)
        information = self._information(image, allowed, origin, best.total(best.spread()))
        return FullScores((*edges, information), allowed, origin)

    def candidate(self, peak: Peak) -> Candidate:
        """The transform that a peak stands for."""
        shift = (np.array(peak.corner) - self.corner(peak.pose)) * self.factor
        return Candidate(shift_by(*shift) @ self.transform(peak.pose), peak.score, peak.pose)

    def corner(self, pose: Pose) -> Array:
        """Where the corner of the image under a pose lies, reduced optical pixels."""
        return self._frame(pose, self.cell)[2]

    def _shrink(self, pose: Pose) -> int:
        """By how much the SAR image is reduced before it is brought under a pose."""
        return max(1, int(self.factor / (self.scale * pose.scale) + 0.3))

    def _frame(self, pose: Pose, cell: int) -> tuple[Array, tuple[int, int], Array]:
        """Map from the reduced SAR image, shape of its frame, and where its corner lies."""
        shrink = self._shrink(pose)
        height, width = self.sar.reduced(shrink).shape
        grow, reduce = np.diag([shrink, shrink, 1.0]), np.diag([1.0, 1.0, self.factor])
        onto = reduce @ self._matrix(pose) @ grow
        ends = np.array([[0, 0, height, height], [0, width, 0, width], [1, 1, 1, 1]], np.float64)
        ring = onto @ ends
        ring = ring[:2] / ring[2]
        low = np.floor(ring.min(axis=1))
        size = np.maximum(np.ceil(ring.max(axis=1)) - low, 4 * cell).astype(int)
        return translation(-low[0], -low[1]) @ onto, (int(size[0]), int(size[1])), low

    def warped(self, pose: Pose) -> tuple[GreyImage, Array]:
        """The SAR image under a pose on the reduced grid, and where its corner lies there."""
        onto, shape, corner = self._frame(pose, self.cell)
        placed = Transform(onto, "homography")
        return warp(self.sar.reduced(self._shrink(pose)), placed, shape), corner

    def turned(self, poses: Sequence[Pose], cell: int) -> tuple[FloatArray, list[Array]]:
        """Features of the SAR image under poses, and where the corner of each lies.

        The harmonics of a histogram of orientations turn as the image does.

        Returns
        -------
        (float32 array of shape (n, C + 2, h, w), list of float64 arrays of shape (2,))
            Features, energy and valid cells, turned by half a turn.
        """
        from crosslook.match.kernels_poses import turn_planes

        frames = [self._frame(pose, cell) for pose in poses]
        rows, cols = (max(1, *(shape[axis] // cell for _, shape, _ in frames)) for axis in (0, 1))
        out = np.empty((len(poses), _HARMONICS + 2, rows, cols), np.float32)
        reduce = np.diag([1.0, 1.0, cell])
        for pose, (onto, _, _), one in zip(poses, frames, out, strict=True):
            planes, stride = _planes(self.sar.reduced(self._shrink(pose)), cell)
            moved = reduce @ onto @ np.diag([stride, stride, 1.0])
            source = _TO_RIM @ np.linalg.inv(moved) @ _FROM_CENTRE
            turn_planes(planes, source, _mixing(onto), one)
        return out, [corner for _, _, corner in frames]

    def _spans(self, own: NDArray[Any], cell: int, corners: Sequence[Array]) -> list[Span]:
        """First and last position along either axis that may be allowed, and a few more.

        What lies beyond need not be computed: a transform that is too short
        for all positions spoils those alone. ``own`` (n, h, w) says where the cells of each
        of some images are valid.
        """
        fixed = self._features(cell)[-1]
        fewest, own = float(own.sum(axis=(1, 2)).min()), own.max(axis=0)
        least = (1 - 1e-3) * _LEAST_OVERLAP * min(fewest, float(fixed.sum()))
        out = []
        for axis in (0, 1):
            theirs, ours = fixed.sum(axis=1 - axis), own.sum(axis=1 - axis)
            first, last = (choose(one[axis] for one in corners) for choose in (min, max))
            low = _least_rows(theirs, ours[::-1], least) - len(ours)
            high = len(theirs) - _least_rows(theirs[::-1], ours, least)
            if self.poses.shift is not None:
                most = self.poses.shift / self.factor
                low = max(low, int(np.floor((first - most) / cell)))
                high = min(high, int(np.ceil((last + most) / cell)))
            if self.around is not None:
                low = max(low, int(np.floor(first / cell)) - self.around)
                high = min(high, int(np.ceil(last / cell)) + self.around)
            out.append((low - _SPARE, high + _SPARE))
        return out

    def _correlate(
        self, turned: FloatArray, fixed: FloatArray, cell: int, spans: Sequence[Span]
    ) -> tuple[Array, Array, Span]:
        """Scores at positions, how much of the template counts, and the first position.

        ``turned`` (..., C + 2, h, w) are masked planes, turned by half a turn: so a convolution
        is a correlation whose first position comes first.
        """
        size, cut, origin = _transform_of(fixed.shape[1:], turned.shape[-2:], spans)
        key = ("spectrum", cell, len(fixed), size, self.device)
        theirs = self.optical.cached(key, lambda: forward(place(fixed, self.device), size))
        joint = inverse(masked_products(theirs, forward(place(turned, self.device), size)), size)
        raw, energy, ours, overlap = np.moveaxis(fetch(joint[..., *cut]), -3, 0)
        whole = np.minimum(turned[..., -1, :, :].sum(axis=(-2, -1)), fixed[-1].sum())
        filled = overlap / np.maximum(whole, 1.0)[..., None, None]
        return cosines(raw, energy, ours), filled, origin

    def _features(self, cell: int) -> FloatArray:
        """Of the optical image, then their energy and where they are valid."""
        own = self.optical.channels(gradients(cell))
        return self.optical.cached(("masked", cell), lambda: masked_planes(own.values, own.valid))

    def _harmonics(self, cell: int) -> FloatArray:
        """The same of the harmonics of the orientations."""

        def computed() -> FloatArray:
            own = self.optical.channels(gradients(cell))
            values = np.einsum("bk,bhw->khw", _basis(len(own.values)), own.values)
            return masked_planes(values, own.valid)

        return self.optical.cached(("harmonics", cell), computed)

    def _information(
        self, image: GreyImage, allowed: NDArray[np.bool_], origin: Span, best: Array
    ) -> Array:
        """Mutual information at positions, times the overlap; float64, (h, w).

        Counted at every third position along both axes and read off in between, since it
        falls off over some cells; counted too where ``best`` is highest.
        """
        from crosslook.match.kernels_information import information_at

        fixed = _level_map(self.optical.reduced(self.cell))
        moving = _level_map(CachedImage.of(reduce_image(image, self.cell)))
        rows, cols = (np.arange(0, n + _LATTICE - 1, _LATTICE) for n in allowed.shape)
        lattice = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
        high = np.where(allowed, best, -np.inf).reshape(-1)
        exact = np.argpartition(high, -_EXACT)[-_EXACT:] if high.size > _EXACT else np.arange(0)
        places = np.stack(np.unravel_index(exact, allowed.shape), axis=-1)
        at = np.concatenate([lattice, places]) + np.array(origin)
        nats = information_at(fixed, moving, at, _BINS)
        coarse = nats[: len(lattice)].reshape(1, len(rows), len(cols))
        between = (np.arange(n) / _LATTICE for n in allowed.shape)
        out = np.asarray(sample_maps(coarse, between)[0], np.float64)
        out.reshape(-1)[exact] = nats[len(lattice) :]
        return out

    def _allowed(
        self, filled: Array, first: tuple[int, int], cell: int, corner: Array
    ) -> NDArray[np.bool_]:
        """Positions where enough overlaps and that lie within the shift."""
        allowed = filled >= _LEAST_OVERLAP
        if self.poses.shift is not None:
            rows, cols = (
                (np.arange(n) + f) * cell - c
                for n, f, c in zip(filled.shape, first, corner, strict=True)
            )
            allowed &= np.hypot(rows[:, None], cols) * self.factor <= self.poses.shift
        return np.asarray(allowed, np.bool_)


@lru_cache(maxsize=8)
def gradients(cell: int) -> Extractor:
    """The features that a search correlates, in cells of so many reduced pixels."""
    return open_extractor(f"hog:cell={cell},blur={0.5 if cell == 2 else 1.0}")


def _half_turn(channels: Channels) -> FloatArray:
    """Masked planes of features, turned by half a turn."""
    return masked_planes(channels.values, channels.valid)[:, ::-1, ::-1]


def _planes(image: CachedImage, cell: int) -> tuple[FloatArray, float]:
    """Harmonics of an image within a rim of zeros and where they are valid, and pixels per cell.

    The shape is (h + 2, w + 2, C + 1).
    """

    def computed() -> tuple[FloatArray, float]:
        own = image.channels(gradients(cell))
        values = np.einsum("bk,bhw->hwk", _basis(len(own.values)), own.values)
        planes = np.concatenate([values, own.valid[..., None]], axis=-1, dtype=np.float32)
        return np.pad(planes, ((1, 1), (1, 1), (0, 0))), own.stride

    return image.cached(("planes", cell), computed)


@lru_cache(maxsize=2)
def _basis(bins: int) -> FloatArray:
    """Mean, and cosine and sine once and twice over half a turn, of length 1; (bins, 5).

    What a histogram holds beyond is little, and least like that of the other sensor.
    """
    angle = np.arange(bins)[:, None] * 2.0 * np.pi / bins * np.arange(1, _HARMONICS // 2 + 1)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(bins, -1)
    basis = np.concatenate([np.ones((bins, 1)), waves], axis=1)
    return np.asarray(basis / np.linalg.norm(basis, axis=0), np.float32)


def _mixing(onto: Array) -> FloatArray:
    """Matrix (5, 5) that turns the harmonics of unsigned orientations as a map does."""
    linear = onto[:2, :2]
    # A mirror image is one whose columns run the other way, and then turned.
    side = -1.0 if np.linalg.det(linear) < 0 else 1.0
    # Columns run along angle 0, rows along 90 degrees.
    angle = 2.0 * np.arctan2(linear[0, 1], linear[1, 1])
    mixing = np.zeros((_HARMONICS, _HARMONICS), np.float32)
    mixing[0, 0] = 1.0
    for k in range(1, _HARMONICS // 2 + 1):
        cosine, sine = np.cos(k * angle), np.sin(k * angle)
        mixing[2 * k - 1 : 2 * k + 1, 2 * k - 1 : 2 * k + 1] = [
            [cosine, sine],
            [-side * sine, side * cosine],
        ]
    return mixing


def _peak(
    pose: Pose, scores: Array, allowed: NDArray[np.bool_], origin: tuple[int, int], cell: int
) -> Peak:
    """The highest of the allowed scores."""
    if not allowed.any():
        return Peak(pose, -np.inf, (0.0, 0.0))
    best = np.where(allowed, scores, -np.inf)
    row, col = np.unravel_index(int(best.argmax()), best.shape)
    place = (float(row + origin[0]) * cell, float(col + origin[1]) * cell)
    return Peak(pose, float(best[row, col]), place)


def _least_rows(theirs: Array, ours: Array, least: float) -> int:
    """Of two images that meet at a rim, how many rows must overlap to hold so many cells."""
    rows = max(int(np.searchsorted(np.cumsum(one), least)) for one in (theirs, ours))
    return min(rows + 1, len(theirs), len(ours))


def _transform_of(
    fixed: tuple[int, ...], moving: tuple[int, ...], spans: Sequence[Span]
) -> tuple[tuple[int, int], tuple[slice, slice], tuple[int, int]]:
    """Size of the transform that is right for all positions of the spans, and where they are."""
    from scipy import fft

    size, cut, origin = [], [], []
    for theirs, ours, (low, high) in zip(fixed, moving, spans, strict=True):
        first = min(max(low, 1 - ours), theirs - 1)
        last = max(min(high, theirs - 1), first)
        needed = max(theirs - first, last + ours)
        size.append(int(fft.next_fast_len(-(-needed // _ROUND) * _ROUND, real=True)))
        cut.append(slice(first + ours - 1, last + ours))
        origin.append(first)
    return (size[0], size[1]), (cut[0], cut[1]), (origin[0], origin[1])


def _level_map(image: CachedImage) -> NDArray[np.uint8]:
    """Equalised grey levels (H, W), one more where invalid."""

    def computed() -> NDArray[np.uint8]:
        level = np.round(image.levels(1.0, _BINS))
        return np.where(image.valid, level, np.float32(_BINS)).astype(np.uint8)

    return image.cached("level map", computed)


def _weight(filled: Array, pose: Pose) -> Array:
    """What a cosine counts for: chance gives large ones where few cells are compared."""
    return np.asarray(np.sqrt(np.clip(filled, 0.0, 1.0)) * pose.scale**_SCALE_POWER, np.float64)


def _sampled(
    scores: Array,
    first: tuple[int, int],
    shape: tuple[int, ...],
    origin: tuple[int, int],
    ratio: float,
) -> Array:
    """Scores of coarser cells at the positions of finer ones; ``ratio`` coarse per fine."""
    at = ((np.arange(n) + o) * ratio - f for n, o, f in zip(shape, origin, first, strict=True))
    return np.asarray(sample_maps(scores[None], at)[0], np.float64)
