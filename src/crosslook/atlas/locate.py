"""Find where on an atlas a SAR image lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from crosslook.atlas.prior import make_prior, whole_sample
from crosslook.atlas.query import Query, make_poses, passes_for, prepare_query, refinement_for
from crosslook.atlas.search import Asked, search_poses
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.atlas.verify import Candidate, FineLevel, verify
from crosslook.errors import MatchError
from crosslook.extract.registry import open_extractor
from crosslook.geo.grid import to_lonlat, to_map
from crosslook.geo.image import ImageFile, open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.align import align
from crosslook.match.judge import judge
from crosslook.match.register import (
    DEFAULT_EXTRACTOR,
    MARGIN,
    check_model,
    make_result,
    working_frame,
)
from crosslook.match.result import MatchResult, outline
from crosslook.match.transform import Model, Transform, scaling, translation
from crosslook.progress import Timer
from crosslook.storage import Place


class LocateOptions(TypedDict, total=False):
    """Keyword options of :func:`crosslook.atlas.locate.locate`."""

    gsd: float | None
    near: tuple[float, float] | None
    radius_km: float | None
    bbox: tuple[float, float, float, float] | None
    rotation: float
    scale: float
    coarse: str | None
    fine: str | None
    model: Model
    device: str
    seed: int


@dataclass(frozen=True)
class LocateSettings:
    """The same options with their defaults.

    Attributes
    ----------
    gsd : float, optional
        Metres on the ground per pixel of a query without georeference.
    near, radius_km, bbox
        Where it may lie: (longitude, latitude) and kilometres, or (west,
        south, east, north); positions of the middle of the query.
    rotation, scale : float
        Ranges tried beyond what the query tells: degrees to either side, and
        relative (0.1 is 10 per cent). Turns within 2 degrees and 2 per cent are
        found without.
    coarse, fine : str, optional
        Extractors of the search and of the verification: a level of the atlas,
        by default as :func:`crosslook.atlas.search.finest_level` says,
        and any extractor, by default the last level.
    model, seed
        As for :func:`crosslook.match.register.register`.
    device : str
        Of the search: ``cpu``, ``cuda``, or ``auto``, a GPU where there is one.

    Raises
    ------
    SettingError
        If the model is unknown; the other options are checked where they are used.
    """

    gsd: float | None = None
    near: tuple[float, float] | None = None
    radius_km: float | None = None
    bbox: tuple[float, float, float, float] | None = None
    rotation: float = 0.0
    scale: float = 0.0
    coarse: str | None = None
    fine: str | None = None
    model: Model = "similarity"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        check_model(self.model)

    def told(self, atlas: str, coarse: str, fine: str) -> dict[str, Any]:
        """What ``match.json`` says of them, with the specs that were used."""
        own = {name: value for name, value in asdict(self).items() if name != "device"}
        used = {"coarse": coarse, "fine": fine, "extractor": DEFAULT_EXTRACTOR}
        return {"atlas": atlas, **own, **used}


CANDIDATES = 50
_MOST_TRIED = 3
_CLOSE = 1.35  # a candidate is matched too where the best one's score is less than this above
_ALTERNATIVES = 4
_MOST_MARGIN = 9.0
_MOST_POSES = 32  # searched for in one pass, over all its queries


def locate(
    query: Place | RasterArray | ImageFile,
    atlas: str | Path | Atlas,
    *,
    out: str | Path | None = None,
    force: bool = False,
    **options: Unpack[LocateOptions],
) -> MatchResult:
    """Find where on an atlas a SAR image lies, and how sure that is.

    Four stages: correlation of calibrated features at all positions at once;
    the best 50 of them again with finer features, whole and in parts; tie
    points, robust fit and refinement as in
    :func:`crosslook.match.register.register` at the best of those, and, until
    one is a match, at up to two more that score nearly as high; a verdict from
    the evidence of all.

    Parameters
    ----------
    query : path or ImageFile
        Georeferenced (only its pixel size and orientation are used, its place
        only with ``radius_km`` alone), or a plain picture, north up, with ``gsd``.
    atlas : path, address or Atlas
        Open it once for many queries.
    out, force
        As for :func:`crosslook.match.register.register`.
    **options
        The fields of :class:`~crosslook.atlas.locate.LocateSettings`:
        ``gsd``, ``near``, ``radius_km``, ``bbox``, ``rotation``, ``scale``,
        ``coarse``, ``fine``, ``model``, ``device``, ``seed``.

    Returns
    -------
    MatchResult
        Its optical image is the part of the atlas around the place found;
        ``settings["window"]`` says which.

    Raises
    ------
    InputError, StoreError
        If query or atlas cannot be read.
    GridError, SettingError
        If the pixel size is not known, or an option is not allowed.
    MatchError
        If the query is constant, nodata, or does not fit, or the prior is empty.
    """
    result = next(locate_all([query], atlas, **options))
    if out is not None:
        result.write(out, force=force)
    return result


def locate_all(
    queries: Iterable[Place | RasterArray | ImageFile],
    atlas: str | Path | Atlas,
    **options: Unpack[LocateOptions],
) -> Iterator[MatchResult]:
    """Locate many queries, as :func:`locate` does one, and yield each result.

    Queries are searched for a few at a time, so an atlas too large to be kept
    transformed in memory is read once for several of them.

    Raises
    ------
    CrosslookError
        As for :func:`locate`, at the query that is at fault.
    """
    settings = LocateSettings(**options)
    held = atlas if isinstance(atlas, Atlas) else open_atlas(atlas)
    levels = held.manifest.levels
    chosen = None if settings.coarse is None else held.level_number(settings.coarse)
    fine = levels[-1].spec if settings.fine is None else settings.fine
    verifier = FineLevel(held, fine, open_extractor(fine))
    waiting = iter(queries)
    lap = Timer().lap
    while asked := _ask(waiting, held, settings):
        share = 1.0 / len(asked)  # of the time that the queries of one pass took together
        read = lap() * share
        places = search_poses(held, [one for _, one in asked], CANDIDATES, chosen, settings.device)
        searched = lap() * share
        for (query, one), (number, found) in zip(asked, places, strict=True):
            lap()
            told = settings.told(held.name, levels[number].spec, fine)
            if not found:
                raise _nothing(held, query)
            candidates = verify(verifier, one.poses, found)
            seconds = {"read": read, "search": searched, "verification": lap()}
            yield _match(held, query, candidates, told, seconds)
        lap()


def _ask(
    waiting: Iterator[Place | RasterArray | ImageFile], atlas: Atlas, settings: LocateSettings
) -> list[tuple[Query, Asked]]:
    """Prepare the queries of the next pass."""
    asked: list[tuple[Query, Asked]] = []
    while sum(len(one.poses) for _, one in asked) < _MOST_POSES:
        query = next(waiting, None)
        if query is None:
            break
        image = open_image(query, "sar")
        prior = make_prior(atlas, image, settings.near, settings.radius_km, settings.bbox)
        where = whole_sample(atlas) if prior is None else prior.sample()
        prepared = prepare_query(image, atlas, settings.gsd, where)
        poses = make_poses(prepared, settings.rotation, settings.scale)
        asked.append((prepared, Asked(poses, prior)))
    return asked


def _nothing(atlas: Atlas, query: Query) -> MatchError:
    return MatchError(
        f"nothing in atlas '{atlas.name}' can be compared with '{query.image.name}': too little "
        "of the prior holds data. Widen it, or see atlas info."
    )


def _match(
    atlas: Atlas,
    query: Query,
    candidates: list[Candidate],
    settings: dict[str, Any],
    seconds: dict[str, float],
) -> MatchResult:
    """The last stages, at the best candidate and, unless that is a match, at those hardly worse."""
    tried = [_match_at(atlas, query, candidates, 0, settings, seconds)]
    close = sum(one.total * _CLOSE >= candidates[0].total for one in candidates)
    for number in range(1, min(close, _MOST_TRIED)):
        if tried[-1].verdict == "match":
            break
        # A rival on ground that cannot be matched, say of one colour, is no rival.
        with suppress(MatchError):
            tried.append(_match_at(atlas, query, candidates, number, settings, seconds))
    best = _choose(tried)
    timings = dict(best.timings)
    for other in tried:
        if other is not best:
            for name in set(other.timings) - set(seconds) - {"total"}:
                timings[name] = timings.get(name, 0.0) + other.timings[name]
    timings["total"] = sum(value for name, value in timings.items() if name != "total")
    return replace(best, timings=timings)


def _choose(tried: Sequence[MatchResult]) -> MatchResult:
    """The surest result; the first, of the best scores, where none is better than no match.

    Confidences that low say nothing of which place is the least wrong.
    """
    surest = max(tried, key=lambda result: result.confidence)
    return tried[0] if surest.verdict == "no match" else surest


def _match_at(
    atlas: Atlas,
    query: Query,
    candidates: list[Candidate],
    number: int,
    settings: dict[str, Any],
    seconds: dict[str, float],
) -> MatchResult:
    one, others = candidates[number], candidates[:number] + candidates[number + 1 :]
    native = one.placed.compose(scaling(query.factor).inverse)
    corner, shape = _surroundings(native, query.image)
    window = atlas.image(corner, shape)
    move = Transform(translation(-corner[0], -corner[1]), "shift")
    frame = working_frame(query.image, window, move.compose(native))
    extractor = open_extractor(settings["extractor"])
    found = align(
        frame.sar,
        frame.optical,
        extractor,
        frame.start,
        settings["model"],
        passes_for(frame.sar.shape),
        settings["seed"],
        *refinement_for(frame.optical.shape),
    )
    second = others[0].total if others else 0.0
    evidence = replace(
        found.evidence,
        search_score=one.total,
        search_margin=min(_MOST_MARGIN, one.total / max(second, 1e-3) - 1.0),
    )
    described = [_describe(atlas, query, other) for other in others[:_ALTERNATIVES]]
    return make_result(
        replace(found, evidence=evidence),
        frame,
        (query.image, window),
        {**settings, "window": {"row": corner[0], "col": corner[1]}},
        seconds,
        judge(evidence, "locate"),
        tuple(described),
    )


def _surroundings(placed: Transform, image: ImageFile) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel and shape of the part of the atlas that an image may cover."""
    ring = placed(outline(*image.shape))
    low = np.floor(ring.min(axis=0)).astype(int) - MARGIN
    high = np.ceil(ring.max(axis=0)).astype(int) + MARGIN
    return (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def _describe(atlas: Atlas, query: Query, one: Candidate) -> dict[str, Any]:
    middle = np.array([query.picture.shape], np.float64) / 2
    pixel = one.placed(middle)
    pixels = atlas.grid.pixels
    return {
        "fine": round(one.fine, 4),
        "coarse": round(one.coarse, 4),
        "parts": round(one.parts, 4),
        "rotation_degrees": one.rotation,
        "scale": one.scale,
        "atlas_pixel": [float(v) for v in pixel[0]],
        "map": [float(v) for v in to_map(pixels, pixel)[0]],
        "lonlat": [float(v) for v in to_lonlat(pixels, pixel)[0]],
    }
