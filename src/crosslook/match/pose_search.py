"""Where and how rotated a SAR image lies in an optical one, over all positions and poses.

The whole SAR image is one template. It is brought under every rotation, scale
and flip requested, and correlated with the optical image at all positions by
FFT, counting only where both hold something. Coarse cells sort out the poses,
finer ones and mutual information decide between those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from crosslook.extract.runtime import available_cores
from crosslook.match.pair import ImagePair
from crosslook.match.pose_range import Pose, PoseRange, scale_height
from crosslook.match.pose_scores import Candidate, FullScores, Peak, PoseSearch, best_of
from crosslook.match.transform import Transform, grid_points, mean_distance

_Item = TypeVar("_Item")
_Value = TypeVar("_Value")
_MOST_THREADS = 4  # each holds a pose's spectra; more of them wait for the interpreter
_MOST_FINE, _MOST_FULL = 60, 20
_CLOSE_DEGREES = 2.0
_AROUND, _HERE, _FAR = 16, 2.0, 4.0


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
    if search.finer and search.factor == search.usual and len(poses) <= _MOST_FINE:
        return []  # it would be the same search again
    if len(poses) > _MOST_FINE and not search.finer:
        coarse = _in_threads(lambda pose: search.coarse_score(pose, 2), poses)
        poses = [one.pose for one in best_of(coarse, _MOST_FINE)]
    fine = best_of(_in_threads(lambda pose: search.coarse_score(pose, 1), poses), _MOST_FULL)
    if search.poses.rotation_step > _CLOSE_DEGREES:
        fine = _in_threads(search.refine, fine)
    best = [one.pose for one in best_of(fine, _MOST_FULL // 2)]
    full = _full_scores(search, best)
    return [search.candidate(one) for one in best_of(full, len(full))]


def _full_scores(search: PoseSearch, poses: list[Pose]) -> list[Peak]:
    """The best place of each pose by its full score.

    How far each kind of score spreads is measured on the first pose that has a
    place, for all: a flat map of a wrong one must not count for more.
    """
    first: FullScores | None = None
    tried = 0
    while tried < len(poses) and (first is None or first.spread() is None):
        first = search.full_scores(poses[tried])
        tried += 1
    if first is None or (spread := first.spread()) is None:
        return []
    peak = search.full_score(poses[tried - 1], first, spread)
    others = _in_threads(
        lambda pose: search.full_score(pose, search.full_scores(pose), spread), poses[tried:]
    )
    return [peak, *others]


def _in_threads(work: Callable[[_Item], _Value], items: Sequence[_Item]) -> list[_Value]:
    """What each gives, in order: transforms and warps let other threads go on meanwhile."""
    with ThreadPoolExecutor(min(available_cores(), _MOST_THREADS)) as pool:
        return list(pool.map(work, items))


def whole_image(pair: ImagePair, transform: Transform) -> tuple[float, float]:
    """How far the whole image stands out at a match among the places around it.

    Returns
    -------
    (float, float)
        Its score at the match (the best within two cells) in standard deviations
        above the mean of all places up to sixteen cells away, and how far
        that is above the best place beyond four cells.
    """
    search = PoseSearch(pair, transform, PoseRange())
    scores, allowed, rows, cols = search.score_window(Pose(), _AROUND)
    distance = np.hypot(rows[:, None], cols)
    here, far = allowed & (distance <= _HERE), allowed & (distance > _FAR)
    if not here.any() or not far.any():
        return 0.0, 0.0
    level = (scores - scores[far].mean()) / max(float(scores[far].std()), 1e-9)
    best = float(level[here].max())
    return best, best - float(level[far].max())
