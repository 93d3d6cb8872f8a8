"""Where and how turned a SAR image lies in an optical one, over all positions and poses.

The whole SAR image is one template. It is brought under every rotation, scale
and flip asked for, and correlated with the optical image at all positions by
FFT, counting only where both hold something. Coarse cells sort out the poses,
finer ones and mutual information decide between those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from crosslook.extract.runtime import available_cores
from crosslook.geo.grey import GreyImage
from crosslook.match.pose_range import PoseRange, stretched
from crosslook.match.pose_scores import Peak, PoseCandidate, PoseSearch, best_of
from crosslook.match.transform import Transform, grid_points, mean_distance

_Item = TypeVar("_Item")
_MOST_THREADS = 4  # each holds a pose's spectra; more of them wait for the interpreter
_MOST_FINE, _MOST_FULL = 60, 20
_CLOSE_DEGREES = 2.0


def search_poses(
    sar: GreyImage,
    optical: GreyImage,
    start: Transform,
    wanted: PoseRange,
    count: int = 3,
    *,
    finer: bool = False,
) -> list[PoseCandidate]:
    """Find the poses and places under which a SAR image fits an optical one best.

    Parameters
    ----------
    sar, optical : GreyImage
    start : Transform
        SAR to optical pixels: what rotation 0 and scale 1 mean, and, where
        ``wanted`` limits the shift, from where.
    wanted : PoseRange
    count : int
        Candidates wanted.
    finer : bool
        Reduce the images about half as much, and sort out no pose by coarse cells:
        what shows in fine lines alone is found by this, and other things lost.
        Nothing is found where that would be the same search.

    Returns
    -------
    list of PoseCandidate
        Best first, no two of them within a few pixels of each other; empty
        where nothing overlaps by half.
    """
    points = grid_points(*sar.shape)
    candidates: list[PoseCandidate] = []
    for aspect in wanted.aspects():
        search = PoseSearch(sar, optical, stretched(start, aspect, sar.shape), wanted, finer=finer)
        candidates += _search_stretch(search)
    out: list[PoseCandidate] = []
    for one in sorted(candidates, key=lambda one: -one.score):
        if all(mean_distance(one.transform, o.transform, points) > search.apart for o in out):
            out.append(one)
    return out[:count]


def _search_stretch(search: PoseSearch) -> list[PoseCandidate]:
    """The best poses of one stretch, coarse to fine."""
    poses = search.wanted.poses()
    if search.finer and search.factor == search.usual and len(poses) <= _MOST_FINE:
        return []  # it would be the same search again
    if len(poses) > _MOST_FINE and not search.finer:
        glanced = _in_threads(lambda pose: search.glance(pose, 2), poses)
        poses = [one.pose for one in best_of(glanced, _MOST_FINE)]
    fine = best_of(_in_threads(lambda pose: search.glance(pose, 1), poses), _MOST_FULL)
    if search.wanted.rotation_step > _CLOSE_DEGREES:
        fine = _in_threads(search.sharpen, fine)
    left = [one.pose for one in best_of(fine, _MOST_FULL // 2)]
    full = []
    while left and not search.knows_spread:  # of the first pose that has a place, for all
        full.append(search.look(left.pop(0)))
    full += _in_threads(search.look, left)
    return [search.candidate(one) for one in best_of(full, len(full))]


def _in_threads(work: Callable[[_Item], Peak], items: Sequence[_Item]) -> list[Peak]:
    """What each gives, in order: transforms and warps let other threads go on meanwhile."""
    with ThreadPoolExecutor(min(available_cores(), _MOST_THREADS)) as pool:
        return list(pool.map(work, items))


def whole_image(sar: GreyImage, optical: GreyImage, transform: Transform) -> tuple[float, float]:
    """How far the whole image stands out at a match among the places around it.

    Returns
    -------
    (float, float)
        Its score at the match (the best within two cells) in standard deviations
        above the mean of all places up to sixteen cells away, and how far
        that is above the best place beyond four cells.
    """
    search = PoseSearch(sar, optical, transform, PoseRange())
    scores, allowed, rows, cols = search.around((0.0, 1.0, False), _AROUND)
    distance = np.hypot(rows[:, None], cols)
    here, far = allowed & (distance <= _HERE), allowed & (distance > _FAR)
    if not here.any() or not far.any():
        return 0.0, 0.0
    level = (scores - scores[far].mean()) / max(float(scores[far].std()), 1e-9)
    best = float(level[here].max())
    return best, best - float(level[far].max())


_AROUND, _HERE, _FAR = 16, 2.0, 4.0
