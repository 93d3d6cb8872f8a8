"""Where matching begins: a list of starts, tried in order until one is a match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosslook.errors import GridError
from crosslook.extract.base import Extractor
from crosslook.geo.grid import frame_name, has_map, is_placed, is_unnamed, mean_metres, shares_frame
from crosslook.geo.image import ImageFile
from crosslook.match.ncc import correlation_device
from crosslook.match.pair import ImagePair, read_pair
from crosslook.match.placement import placement, start_by_points
from crosslook.match.pose_search import PoseRange, search_poses
from crosslook.match.settings import RegisterSettings, Search, factors
from crosslook.match.transform import Transform
from crosslook.match.working_grid import MARGIN, widest_margin
from crosslook.progress import stage, timer

NEIGHBOURHOOD = PoseRange(3.0, (0.97, 1.03), shift=64.0, rotation_step=1.5, scale_step=0.031)
"""Poses tried around a start that leads nowhere by templates."""

EXPANDED = PoseRange(rotation=30.0, scale=(0.8, 1.25))
"""What is searched over the whole overlap where the start leads nowhere."""

_FOLLOWED_DEGREES, _FOLLOWED_SCALE = 3.0, 1.03


@dataclass(frozen=True, eq=False)
class Start:
    """Where matching begins.

    Attributes
    ----------
    transform : Transform
        SAR to optical pixels of the working grid.
    name : str
        ``initial``, ``expanded``, ``requested`` or ``atlas``: what led to it.
    is_posed : bool
        Whether a search of all poses found it. It is then good to 20 pixels,
        else to 60.
    poses : int
        Rotations, scales and flips that were searched; 1 where none was.
    search_score, search_margin : float
        Of the search over an atlas; 0 without one
        (:class:`~crosslook.match.evidence.Evidence`).
    """

    transform: Transform
    name: Search = "initial"
    is_posed: bool = False
    poses: int = 1
    search_score: float = 0.0
    search_margin: float = 0.0


@dataclass(frozen=True, eq=False)
class SearchArea:
    """A part of the optical image, and the starts that are tried there.

    Attributes
    ----------
    name : str
        ``initial``, ``expanded`` or ``requested``.
    pair : ImagePair
        The SAR image and this part of the optical one.
    poses : PoseRange
        What is searched beyond the start of the pair.
    count : int
        Poses that are started from, best first.
    as_placed : bool
        Whether the start of the pair is tried before any pose. It is what the
        shift of a model is counted from, then.
    is_refined : bool
        Whether the poses are searched once more at twice the resolution where
        none of the first ones leads to a match.
    """

    name: Search
    pair: ImagePair
    poses: PoseRange
    count: int = 2
    as_placed: bool = False
    is_refined: bool = False

    def starts(self) -> Iterator[Start]:
        """The starts in order; poses are searched for when the first of them is needed."""
        if self.as_placed:
            yield Start(self.pair.start, self.name)
        for searches, finer in enumerate((False, True) if self.is_refined else (False,), 1):
            stage("pose search")
            with timer("pose search"):
                found = search_poses(self.pair, self.poses, self.count, finer=finer)
            for one in found:
                yield Start(one.transform, self.name, True, searches * self.poses.count)


def neighbourhood(pair: ImagePair) -> SearchArea:
    """The start of a pair, then the best pose close to it.

    Templates find what is beside its place here and there, as over relief;
    the image as one template finds what no part of it shows.
    """
    return SearchArea("initial", pair, NEIGHBOURHOOD, count=1, as_placed=True)


def search_areas(
    images: tuple[ImageFile, ImageFile],
    placed: Transform,
    extractor: Extractor,
    settings: RegisterSettings,
) -> Iterator[SearchArea]:
    """Where a SAR image is searched for, each area read when it is needed.

    The range requested, if there is one; else the neighbourhood of where the
    image is placed, then, unless ``near_only`` forbids it, the whole overlap.

    Parameters
    ----------
    images : (ImageFile, ImageFile)
        SAR and optical.
    placed : Transform
        SAR pixels to optical pixels, as :func:`start_of` says.
    """
    device = correlation_device(settings.device)
    if settings.is_wide:
        shift = _in_pixels(images, placed, settings.shift)
        margin = MARGIN if shift is None else MARGIN + int(np.ceil(shift))
        pair = read_pair(images, placed, extractor, device, margin)
        reach = None if shift is None or pair.grid is None else shift / pair.grid.factor
        low, high = factors(settings.scale)
        poses = PoseRange(  # never less than is followed without a request
            max(settings.rotation, _FOLLOWED_DEGREES),
            (min(low, 1 / _FOLLOWED_SCALE), max(high, _FOLLOWED_SCALE)),
            settings.flip,
            reach,
            aspect=factors(settings.aspect),
        )
        yield SearchArea("requested", pair, poses, is_refined=True)
        return
    yield neighbourhood(read_pair(images, placed, extractor, device))
    if not settings.near_only:
        pair = read_pair(images, placed, extractor, device, widest_margin(images[0], placed))
        yield SearchArea("expanded", pair, EXPANDED)


def start_of(sar: ImageFile, optical: ImageFile, points: Path | None) -> Transform:
    """SAR pixels to optical pixels: by the points given, else by the georeferences.

    Two images without CRS that both have a map, as world files give, are taken to lie in one
    frame; where one has none at all, both begin at the same upper left corner.

    Raises
    ------
    GridError
        If how the frames of the two lie is not known.
    InputError
        If the points give no map.
    """
    if points is not None:
        return start_by_points(points, sar.grid, optical.grid)
    grids = sar.grid, optical.grid
    one_plain = not all(map(has_map, grids)) and not any(map(is_placed, grids))
    if shares_frame(*grids) or one_plain:
        return placement(*grids)
    for image, other in ((sar, optical), (optical, sar)):
        if is_unnamed(image.grid) and has_map(other.grid):
            raise GridError(
                f"'{image.name}' has a map (as of a world file) but no CRS, '{other.name}' lies in "
                f"{frame_name(other.grid)}: where to start is not known. Give the CRS of "
                f"'{image.name}' with --crs, as EPSG:32611, or points that both show (--points)."
            )
    if all(map(has_map, grids)):
        raise GridError(
            f"'{sar.name}' lies in {frame_name(sar.grid)} and '{optical.name}' in "
            f"{frame_name(optical.grid)}: no way from one to the other is known. Give both in "
            "one CRS, or points that both show (--points)."
        )
    has, lacks = (sar, optical) if is_placed(sar.grid) else (optical, sar)
    said = "; ".join(lacks.source.header.notes)
    why = f" ({said})" if said else ""
    raise GridError(
        f"'{has.name}' has a CRS, '{lacks.name}' has none{why}: "
        "where to start is not known. Give two georeferenced images, or two plain ones that begin "
        "at the same corner, or points that both show (--points)."
    )


def _in_pixels(
    images: tuple[ImageFile, ImageFile], placed: Transform, shift: float | None
) -> float | None:
    """A shift in optical pixels; it is given in metres where the images have a place."""
    sar, optical = images
    if shift is None or not is_placed(optical.grid):
        return shift
    return shift / mean_metres(optical.grid, placed(np.array([sar.shape], np.float64) / 2))
