"""Score maps and the vote over them, against plain formulations."""

from __future__ import annotations

import numpy as np
import pytest

from crosslook.match.channels import Channels
from crosslook.match.tie_points import ScoreMaps, Stage, hough_vote, score_maps
from crosslook.match.transform import similarity

CELLS = 48


def channels(rng: np.random.Generator, holes: bool = False) -> Channels:
    values = rng.normal(size=(3, CELLS, CELLS)).astype(np.float32)
    gaps = rng.random((CELLS, CELLS)) < 0.03 if holes else None
    valid = np.ones((CELLS, CELLS), np.bool_) if gaps is None else ~gaps
    return Channels(values * valid, valid, 2.0, gaps)


@pytest.mark.parametrize("holes", [False, True])
def test_few_and_many_templates_are_scored_alike(holes: bool) -> None:
    # Two that lie apart are transformed; many that overlap go one shift after another.
    rng = np.random.default_rng(0)
    warped, optical = channels(rng, holes), channels(rng)
    few = score_maps(warped, optical, Stage(16.0, 30.0, 200.0, 3.0))
    many = score_maps(warped, optical, Stage(16.0, 30.0, 8.0, 3.0))
    assert len(few.scores) == 4 < len(many.scores)
    for centre, scores in zip(few.centres, few.scores, strict=True):
        same = (many.centres == centre).all(axis=1)
        np.testing.assert_allclose(scores, many.scores[same][0], atol=1e-5)


def plain_sum(level: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """``sum_k level[k][s + displacement[k]]``; 0 beyond a map."""
    side = level.shape[1]
    padded = np.pad(level, ((0, 0), (side, side), (side, side)))
    total = np.zeros((side, side))
    for one, (down, right) in zip(padded, np.rint(displacement).astype(int), strict=True):
        top, left = np.clip((side + down, side + right), 0, 2 * side)
        total += one[top : top + side, left : left + side]
    return total


def test_the_vote_is_the_highest_of_all_displaced_sums() -> None:
    rng = np.random.default_rng(1)
    reach, stride, size = 5, 3.0, (240, 260)
    truth = similarity((6.0, -9.0), -1.5, 1.02, (120.0, 130.0))
    centres = rng.uniform(0, 240, (25, 2))
    place = np.rint((truth(centres) - centres) / stride).astype(int) + reach
    scores = rng.normal(0.0, 0.1, (25, 2 * reach + 1, 2 * reach + 1)).astype(np.float32)
    for one, (row, col) in zip(scores, place.clip(0, 2 * reach), strict=True):
        one[row, col] += 0.4
    maps = ScoreMaps(scores, centres, reach, stride, 8)
    level = scores - scores.mean(axis=(1, 2), keepdims=True)
    arms = centres - np.array(size) / 2
    best, expected = -np.inf, None
    for rotation in np.arange(-3.0, 3.5, 0.5):
        for scale in np.arange(0.97, 1.035, 0.01):
            moved = (similarity((0.0, 0.0), rotation, scale)(arms) - arms) / stride
            total = plain_sum(level, moved)
            if total.max() > best:
                best = total.max()
                row, col = np.unravel_index(total.argmax(), total.shape)
                shift = ((row - reach) * stride, (col - reach) * stride)
                expected = similarity(shift, rotation, scale, (120.0, 130.0))
    assert expected is not None
    np.testing.assert_allclose(hough_vote(maps, size).matrix, expected.matrix, atol=1e-9)
    np.testing.assert_allclose(expected(centres), truth(centres), atol=3.0)
    alone = hough_vote(maps, size, shift_only=True)
    np.testing.assert_allclose(alone.matrix[:2, :2], np.eye(2), atol=1e-12)
