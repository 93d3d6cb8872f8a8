"""The search of an atlas for queries under all their poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crosslook.atlas.peaks import Peak
from crosslook.atlas.prior import Prior
from crosslook.atlas.query import Pose, make_template
from crosslook.atlas.search import searcher
from crosslook.atlas.store import Atlas
from crosslook.extract.registry import open_extractor


@dataclass(frozen=True)
class Found:
    """A peak of the search.

    Attributes
    ----------
    pose : int
        Number of the pose.
    score : float
        Cosine over all channels, -1..1.
    row, col : float
        Atlas pixel at which the picture of the pose begins.
    """

    pose: int
    score: float
    row: float
    col: float


@dataclass(frozen=True)
class Asked:
    """One query under all its poses, and where its middle may lie."""

    poses: Sequence[Pose]
    prior: Prior | None


def search_poses(
    atlas: Atlas, number: int, asked: Sequence[Asked], count: int, device: str = "auto"
) -> list[list[Found]]:
    """Find the ``count`` best places of each query in a level of an atlas, in one pass."""
    level = atlas.manifest.levels[number]
    extractor = open_extractor(level.spec)
    made = [[make_template(pose, level, extractor) for pose in one.poses] for one in asked]
    groups = [[template for template, _ in group] for group in made]
    insides = [None if one.prior is None else one.prior.in_cells(level.cell) for one in asked]
    peaks = searcher(atlas, number, device).search_groups(groups, count, insides)
    return [
        [_found(peak, group[peak.template][1], level.cell) for peak in found]
        for group, found in zip(made, peaks, strict=True)
    ]


def _found(peak: Peak, start: tuple[int, int], cell: int) -> Found:
    return Found(
        peak.template,
        peak.score,
        (peak.row - start[0]) * float(cell),
        (peak.col - start[1]) * float(cell),
    )
