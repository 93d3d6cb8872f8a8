"""Candidates of a search, looked at again with finer features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crosslook.atlas.query import Pose, centred, on_cells
from crosslook.atlas.search_poses import Found
from crosslook.atlas.store import Atlas
from crosslook.errors import SettingError
from crosslook.extract.base import Extractor
from crosslook.match.channels import Channels, dense_channels
from crosslook.match.correlation import correlate, find_peaks
from crosslook.match.picture import Picture
from crosslook.match.transform import Transform, translation

REACH = 24.0
"""Pixels around a candidate that are searched."""

_LEAST_APART = 32.0
_MOST_SIDE = 512


@dataclass(frozen=True, eq=False)
class Candidate:
    """A place for the query.

    Attributes
    ----------
    coarse, fine : float
        Cosine of the search, and of the finer features.
    placed : Transform
        Pixels of the query's picture to atlas pixels.
    rotation, scale : float
        Of the pose.
    corner : (row, column)
        Of the pose's picture, atlas pixels.
    """

    coarse: float
    fine: float
    placed: Transform
    rotation: float
    scale: float
    corner: tuple[float, float]

    @property
    def total(self) -> float:
        """Both scores; the search sees wide context, the finer features detail."""
        return self.coarse + self.fine


class FineLevel:
    """Features that verify: a level of the atlas, or any extractor on its image."""

    def __init__(self, atlas: Atlas, spec: str, extractor: Extractor) -> None:
        self.atlas = atlas
        self.extractor = extractor
        try:
            self.level: int | None = atlas.level_number(spec)
            self.cell = atlas.manifest.levels[self.level].cell
        except SettingError:
            self.level = None
            self.cell = max(2, round(extractor.geometry(_MOST_SIDE, _MOST_SIDE).stride))

    def query(self, picture: Picture) -> Channels:
        """Features of (part of) a query."""
        return on_cells(dense_channels(picture, self.extractor), picture.shape, self.cell)

    def window(self, corner: tuple[int, int], shape: tuple[int, int]) -> Channels:
        """Features of a window of the atlas, both in cells."""
        if self.level is not None:
            return self.atlas.features(self.level, corner, shape)
        pixels = [tuple(n * self.cell for n in pair) for pair in (corner, shape)]
        image = self.atlas.image((pixels[0][0], pixels[0][1]), (pixels[1][0], pixels[1][1]))
        if not image.valid.any() or np.ptp(image.bands) == 0:
            return Channels(np.zeros((1, *shape), np.float32), np.zeros(shape, np.bool_), self.cell)
        picture = image.picture("optical")
        return on_cells(dense_channels(picture, self.extractor), picture.shape, self.cell)


def verify(fine: FineLevel, poses: Sequence[Pose], found: Sequence[Found]) -> list[Candidate]:
    """Score candidates with finer features within 24 pixels; best sum of both scores first.

    Parameters
    ----------
    fine : FineLevel
    poses : sequence of Pose
    found : sequence of Found

    Returns
    -------
    list of Candidate
        Of two that end up within 32 pixels the better one.
    """
    out: list[Candidate] = []
    for number in sorted({one.pose for one in found}):
        mine = [one for one in found if one.pose == number]
        out += _verify_pose(fine, poses[number], mine)
    kept: list[Candidate] = []
    for one in sorted(out, key=lambda c: -c.total):
        if all(_apart(one, other) > _LEAST_APART for other in kept):
            kept.append(one)
    return kept


def _verify_pose(fine: FineLevel, pose: Pose, found: Sequence[Found]) -> list[Candidate]:
    cell = fine.cell
    picture, cut = _middle(pose.picture, cell)
    template = centred(fine.query(picture))
    shape = template.shape[1:]
    reach = max(1, round(REACH / cell))
    starts = [
        (round((one.row + cut[0]) / cell) - reach, round((one.col + cut[1]) / cell) - reach)
        for one in found
    ]
    wide = (shape[0] + 2 * reach, shape[1] + 2 * reach)
    windows = np.zeros((len(found), len(template), *wide), np.float32)
    for window, start in zip(windows, starts, strict=True):
        values = fine.window(start, wide).values
        window[: len(values)] = values
    peaks = find_peaks(correlate(template[None], windows), 2.0)
    candidates = []
    for one, start, at, score in zip(found, starts, peaks.position, peaks.score, strict=True):
        corner = (np.array(start) + at) * cell - cut
        move = Transform(translation(float(corner[0]), float(corner[1])), "shift")
        candidates.append(
            Candidate(
                one.score,
                float(score),
                move.compose(pose.placed),
                pose.rotation,
                pose.scale,
                (float(corner[0]), float(corner[1])),
            )
        )
    return candidates


def _middle(picture: Picture, cell: int) -> tuple[Picture, tuple[int, int]]:
    """At most the middle 512 pixels of a picture, in whole cells from its corner."""
    starts = [max(0, (n - _MOST_SIDE) // 2) // cell * cell for n in picture.shape]
    rows, cols = (slice(s, s + _MOST_SIDE) for s in starts)
    return Picture(picture.values[rows, cols], picture.valid[rows, cols]), (starts[0], starts[1])


def _apart(one: Candidate, other: Candidate) -> float:
    return float(np.abs(np.subtract(one.corner, other.corner)).max())
