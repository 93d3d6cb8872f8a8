"""The search of an atlas for a query under all its poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def search_poses(
    atlas: Atlas, number: int, poses: Sequence[Pose], prior: Prior | None, count: int
) -> list[Found]:
    """Find the ``count`` best places of all poses together in a level of an atlas."""
    level = atlas.manifest.levels[number]
    extractor = open_extractor(level.spec)
    made = [make_template(pose, level, extractor) for pose in poses]
    inside = None if prior is None else prior.in_cells(level.cell)
    peaks = searcher(atlas, number).search([template for template, _ in made], count, inside)
    starts = [start for _, start in made]
    return [
        Found(
            p.template,
            p.score,
            (p.row - starts[p.template][0]) * float(level.cell),
            (p.col - starts[p.template][1]) * float(level.cell),
        )
        for p in peaks
    ]
