"""The search of an atlas for queries under all their poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crosslook.atlas.peaks import Peak
from crosslook.atlas.prior import Prior
from crosslook.atlas.query import Pose, make_template
from crosslook.atlas.ready_blocks import MOST_CELLS
from crosslook.atlas.search import searcher
from crosslook.atlas.store import Atlas
from crosslook.extract.registry import open_extractor
from crosslook.extract.spec import parse_spec

_APART = 32.0  # pixels


@dataclass(frozen=True)
class Found:
    """A peak of the search.

    Attributes
    ----------
    pose : int
        Number of the pose.
    score : float
        Cosine in the principal channels of the level, -1..1.
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


def finest_level(atlas: Atlas, one: Asked, device: str = "auto") -> int:
    """Number of the finest level that a query can be searched in at little cost.

    Half the cell finds more, at four times the positions. So a level of the
    same extractor as the first is taken when its transforms stay in memory
    between queries and the whole query fits in a template; a query under many
    poses is searched in the first.
    """
    levels = atlas.manifest.levels
    if len(one.poses) == 1:
        side = max(one.poses[0].picture.shape)
        for number in range(len(levels) - 1, 0, -1):
            alike = parse_spec(levels[number].spec).name == parse_spec(levels[0].spec).name
            finer = alike and levels[number].cell < levels[0].cell
            fits = side <= MOST_CELLS * levels[number].cell
            if finer and fits and searcher(atlas, number, device).ready.keeps:
                return number
    return 0


def search_poses(
    atlas: Atlas,
    asked: Sequence[Asked],
    count: int,
    level: int | None = None,
    device: str = "auto",
) -> list[tuple[int, list[Found]]]:
    """Find the best places of each query, all of one level in one pass.

    Parameters
    ----------
    atlas : Atlas
    asked : sequence of Asked
    count : int
        Places wanted of each.
    level : int, optional
        Number of the level that is searched; by default :func:`finest_level`.
    device : str

    Returns
    -------
    list of (int, list of Found)
        Level and places of each query, best first.
    """
    numbers = [finest_level(atlas, one, device) if level is None else level for one in asked]
    places: dict[int, list[Found]] = {}
    for number in sorted(set(numbers)):
        mine = [n for n, other in enumerate(numbers) if other == number]
        found = _search_level(atlas, number, [asked[n] for n in mine], count, device)
        places.update(zip(mine, found, strict=True))
    return [(number, places[n]) for n, number in enumerate(numbers)]


def _search_level(
    atlas: Atlas, number: int, asked: Sequence[Asked], count: int, device: str
) -> list[list[Found]]:
    level = atlas.manifest.levels[number]
    extractor = open_extractor(level.spec)
    made = [[make_template(pose, level, extractor) for pose in one.poses] for one in asked]
    groups = [[template for template, _ in group] for group in made]
    insides = [None if one.prior is None else one.prior.in_cells(level.cell) for one in asked]
    apart = max(4, round(_APART / level.cell))
    peaks = searcher(atlas, number, device).search_groups(groups, count, insides, apart)
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
