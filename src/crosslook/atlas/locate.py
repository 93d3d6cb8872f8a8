"""Find where on an atlas a SAR image lies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crosslook import threads
from crosslook.atlas.query import (
    MOST_CELLS,
    Pose,
    Query,
    cut_poses,
    make_poses,
    make_prior,
    prepare_query,
    refinement_for,
    stages_for,
    with_projection,
)
from crosslook.atlas.search import (
    Candidate,
    OpenLevels,
    SearchRequest,
    score_surface,
    search_queries,
)
from crosslook.atlas.settings import LocateBatchSettings, LocateCall, LocateSettings
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.atlas.verify import FineLevel, verify
from crosslook.errors import CrosslookError, MatchError, SettingError, StoreError
from crosslook.geo.grid import is_placed, to_lonlat, to_map
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.raster import RasterArray
from crosslook.match.align import Alignment, Fitting, align
from crosslook.match.engine import Engine
from crosslook.match.files import check_out
from crosslook.match.matchers import Tools, features_of
from crosslook.match.matchers.template import TemplateMatcher
from crosslook.match.pair import read_pair
from crosslook.match.reason import likely_absence
from crosslook.match.register import Source, make_result
from crosslook.match.result import Failure, MatchResult, outline
from crosslook.match.settings import DEFAULT_EXTRACTOR, factors, shared_settings
from crosslook.match.starts import Start
from crosslook.match.transform import Transform, scaling, shift_by
from crosslook.match.workers import Results, alone_settings, by_workers
from crosslook.match.working_grid import MARGIN
from crosslook.options import after_two, record
from crosslook.progress import stage, timer, timings
from crosslook.storage import name_of
from crosslook.types import FloatArray, Window

CANDIDATES = 50
_MOST_TRIED = 3
_CLOSE = 1.35  # a candidate is matched too where the best one's score is less than this above
_ALTERNATIVES = 4
_MOST_MARGIN = 9.0
_MOST_POSES = 32  # searched for in one pass, over all its queries
_TOGETHER = 4  # queries that a worker is given at once
_LEAST_VALID = 0.5  # valid fraction of a part that is searched with


@after_two(LocateCall)
def locate(query: Source, atlas: str | Path | Atlas, settings: LocateCall) -> MatchResult:
    """Find where on an atlas a SAR image lies, and how sure that is.

    Four stages: correlation of calibrated features at all positions at once;
    the best 50 of them again with finer features, whole and in parts; tie
    points, robust fit and refinement as in
    :func:`crosslook.match.register.register` at the best of those, and, until
    one is a match, at up to two more that score nearly as high; a verdict from
    the evidence of all. A query larger than the atlas is searched for in
    parts; one of more than 64 cells a side too where the most detailed 64 lead
    to no match, since they may lie beyond the atlas (under up to 32 poses).

    Parameters
    ----------
    query : path, address, name that GDAL knows, array or opened image
        Georeferenced (only its pixel size and orientation are used, its place
        only with ``radius_km`` alone), or a plain image, north up, with ``gsd``.
    atlas : path, address or Atlas
        Open it once for many queries.
    settings : LocateCall
        Or its fields as keywords.

    Returns
    -------
    MatchResult
        Its optical image is the part of the atlas around the place that was
        chosen; ``window`` says which.

    Raises
    ------
    InputError, StoreError
        If query or atlas cannot be read, or the atlas was built with other weights.
    GridError, SettingError
        If the pixel size is not known, or an option is not allowed.
    MatchError
        If the query is constant, nodata, or does not fit, or the prior is empty.
    OutputError
        If ``out`` cannot be written, or holds files of other origin.
    """
    if settings.workers is not None or settings.engine == "ray":
        name = "--workers" if settings.workers is not None else "--engine ray"
        raise SettingError(f"{name} is of several queries; one was given.")
    check_out(settings)
    result = next(locate_all([query], atlas, settings))
    if isinstance(result, Failure):
        raise result.error
    if settings.out is not None:
        result.write(settings.out, force=settings.force, overwrite=settings.overwrite)
    return result


@after_two(LocateBatchSettings)
def locate_all(
    queries: Iterable[Source], atlas: str | Path | Atlas, settings: LocateBatchSettings
) -> Iterator[MatchResult | Failure]:
    """Locate many queries, as :func:`locate` does one, and yield what each gives, in order.

    Queries are searched for a few at a time, so an atlas too large to stay
    transformed in memory is read once for several of them. A query that
    cannot be read or matched gives a :class:`~crosslook.match.result.Failure`;
    the others go on. With ``workers`` each process takes a few queries at a time; a script that
    asks for that keeps its work under ``if __name__ == "__main__":``.

    Raises
    ------
    StoreError, InputError, SettingError
        If the atlas cannot be read or has no such level.
    """
    engine = Engine.of(settings)
    queries = list(queries) if isinstance(queries, Sequence) or not engine.is_here else queries
    is_batch = not isinstance(queries, list) or len(queries) > 1
    yield from locate_opened(queries, settings, LocateJob(atlas, settings, is_batch=is_batch))


def locate_opened(
    queries: Iterable[Source], settings: LocateBatchSettings, job: LocateJob
) -> Iterator[MatchResult | Failure]:
    """Locate many queries as :func:`locate_all` does, by what is open already."""
    engine = Engine.of(settings)
    if not job.is_batch or engine.is_here:
        yield from _stepwise(queries, job)
    elif queries := list(queries):
        job.tools.close()  # each worker opens its own
        yield from by_workers(_QueriesJob.of(queries, job.atlas.name, settings, engine), engine)


def _stepwise(queries: Iterable[Source], job: LocateJob) -> Iterator[MatchResult | Failure]:
    steps = _in_passes(iter(queries), job)
    return threads.stepwise(steps, job.settings.threads, in_pieces=True)


@dataclass(frozen=True, eq=False)
class _QueriesJob:
    """Queries for workers, a few at a time."""

    groups: Sequence[Sequence[Source]]
    atlas: str  # each worker opens it: what is computed of one stays in its process
    settings: LocateSettings

    @classmethod
    def of(
        cls, queries: Sequence[Source], atlas: str, settings: LocateBatchSettings, engine: Engine
    ) -> _QueriesJob:
        together = min(_TOGETHER, -(-len(queries) // engine.workers))
        groups = [queries[n : n + together] for n in range(0, len(queries), together)]
        return cls(groups, atlas, alone_settings(settings, engine))

    def __len__(self) -> int:
        return len(self.groups)

    def names(self, number: int) -> list[str]:
        return [_name(query) for query in self.groups[number]]

    def open(self) -> Callable[[int], Results]:
        job = LocateJob(self.atlas, self.settings, is_batch=True)
        return lambda number: list(_stepwise(self.groups[number], job))


def _in_passes(waiting: Iterator[Source], job: LocateJob) -> Iterator[MatchResult | Failure]:
    while prepared := _prepare(waiting, job):
        yield from _locate_pass(prepared, job)


class LocateJob:
    """What all queries of a call share, opened once.

    Parameters
    ----------
    place : path, address or Atlas
    settings : LocateSettings
    is_batch : bool
        Whether it is of many queries, of which some may tell their pixel size.
    """

    def __init__(
        self, place: str | Path | Atlas, settings: LocateSettings, *, is_batch: bool = False
    ) -> None:
        self.settings, self.is_batch = settings, is_batch
        self.atlas = atlas = place if isinstance(place, Atlas) else open_atlas(place)
        self.levels = OpenLevels(atlas, settings)
        self.fine = settings.fine or atlas.manifest.levels[-1].spec
        self.verifier = FineLevel(self.levels, self.fine)
        self.matching = shared_settings(settings)
        self.tools = Tools(self.matching)
        self.coarse = None if settings.coarse is None else atlas.level_number(settings.coarse)
        self.reading = Reading.parse(settings.reading())

    @property
    def key(self) -> list[object]:
        """What changes the results of all queries: atlas, settings and weights."""
        known = record(self.settings, LocateSettings) | {"weights": None}  # keys name them
        digest = hashlib.sha256(self.atlas.manifest.to_json().encode()).hexdigest()
        return [self.atlas.name, digest, known, str(self.verifier.extractor.key), *self.tools.key]

    def record(self, level: int) -> dict[str, Any]:
        """What ``match.json`` says of the settings, with what the defaults became."""
        return {
            "atlas": self.atlas.name,
            **record(self.settings, LocateSettings),
            "coarse": self.atlas.manifest.levels[level].spec,
            "fine": self.fine,
            "extractor": features_of(self.settings.matcher) or DEFAULT_EXTRACTOR,
        }


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A query read and scaled, to be searched for whole or in parts, and the seconds that took."""

    query: Query
    request: SearchRequest
    in_parts: bool = False
    seconds: float = 0.0


def _prepare(waiting: Iterator[Source], job: LocateJob) -> list[_Prepared | Failure]:
    """Prepare the queries of the next pass; empty where none is left."""
    prepared: list[_Prepared | Failure] = []
    poses = 0
    while poses < _MOST_POSES and (query := next(waiting, None)) is not None:
        try:
            with timings() as seconds, timer("read"):
                one = _prepare_one(query, job)
        except CrosslookError as error:
            prepared.append(Failure(_name(query), error))
            continue
        prepared.append(replace(one, seconds=seconds["read"]))
        poses += len(one.request.poses)
    return prepared


def _prepare_one(query: Source, job: LocateJob) -> _Prepared:
    stage("read")
    atlas, settings = job.atlas, job.settings
    image = open_image(query, "sar", job.reading)
    prior = make_prior(atlas, image, settings)
    where = atlas.sample() if prior is None else prior.sample()
    # Of many images some may tell their pixel size; --gsd is for the others.
    own = job.is_batch and is_placed(image.grid)
    prepared = prepare_query(image, atlas, None if own else settings.gsd, where)
    poses = make_poses(prepared, settings.rotation, settings.scale)
    larger = bool((poses[0].extent > np.array(atlas.grid.shape) + 0.5).any())
    if larger:
        poses = _parts(poses, job)
    return _Prepared(prepared, SearchRequest(poses, prior), in_parts=larger)


def _parts(poses: Sequence[Pose], job: LocateJob) -> list[Pose]:
    """Parts no larger than a template or the atlas."""
    number = 0 if job.coarse is None else job.coarse
    side = MOST_CELLS * job.atlas.manifest.levels[number].cell
    return cut_poses(poses, min(side, *job.atlas.grid.shape), _LEAST_VALID) or list(poses)


def _name(query: Source) -> str:
    if isinstance(query, ImageFile):
        return query.name
    return query.header.name if isinstance(query, RasterArray) else name_of(query)


def _locate_pass(
    prepared: list[_Prepared | Failure], job: LocateJob
) -> Iterator[MatchResult | Failure]:
    """Search for all queries of a pass at once, then match one by one."""
    good = [one for one in prepared if not isinstance(one, Failure)]
    stage("search")
    with timings() as seconds, timer("search"):
        places = iter(_places(job, good))
    searched = seconds["search"] / max(1, len(good))
    for one in prepared:
        if isinstance(one, Failure):
            yield one
            continue
        place = next(places)
        if isinstance(place, CrosslookError):
            yield Failure(one.query.image.name, place)
            continue
        stage("verification")
        try:
            with timings() as seconds:
                result = _explained(_matched(job, one, *place), one, job)
            seconds["read"] = seconds.get("read", 0.0) + one.seconds
            seconds["search"] = seconds.get("search", 0.0) + searched
            seconds["total"] = sum(seconds.values())
            yield replace(result, timings=seconds)
        except StoreError:
            raise  # of the atlas, so of all queries
        except CrosslookError as error:
            yield Failure(one.query.image.name, error)


def _places(
    job: LocateJob, prepared: Sequence[_Prepared]
) -> Sequence[tuple[int, list[Candidate]] | CrosslookError]:
    """Search for all at once; where one cannot be searched for, one by one."""
    try:
        return search_queries(job.levels, [one.request for one in prepared], CANDIDATES, job.coarse)
    except StoreError:
        raise  # of the atlas, so of all queries
    except CrosslookError as error:
        if len(prepared) == 1:
            return [error]
        return [place for one in prepared for place in _places(job, [one])]


def _matched(
    job: LocateJob, one: _Prepared, level: int, candidates: list[Candidate]
) -> MatchResult:
    """Match at what was found; where a part was searched with, and in vain, at what others find."""
    result = _match(job, one, level, candidates)
    seen, poses = MOST_CELLS * job.atlas.manifest.levels[level].cell, one.request.poses
    is_partly_seen = not one.in_parts and bool((poses[0].extent > seen).any())
    if result.verdict == "match" or len(poses) > _MOST_POSES or not is_partly_seen:
        return result
    with timer("search"):
        request = replace(one.request, poses=_parts(poses, job))
        level, candidates = search_queries(job.levels, [request], CANDIDATES, job.coarse or 0)[0]
    return _choose([result, _match(job, replace(one, request=request), level, candidates)])


def _explained(result: MatchResult, one: _Prepared, job: LocateJob) -> MatchResult:
    """A result that says where was searched, and of no match the likeliest cause."""
    result = replace(result, search="atlas", warnings=one.query.warnings)
    if result.verdict != "no match":
        return result
    settings = job.settings
    posed = settings.rotation > 0 and factors(settings.scale) != (1.0, 1.0)
    limited = one.request.prior is not None
    reason = likely_absence(one.query.grey_image, limited=limited, posed=posed)
    return replace(result, reason=reason)


def _match(job: LocateJob, one: _Prepared, level: int, candidates: list[Candidate]) -> MatchResult:
    """Verify, then match at the best and, unless that is a match, at those hardly worse."""
    if not candidates:
        raise MatchError(
            f"nothing in atlas '{job.atlas.name}' can be compared with "
            f"'{one.query.image.name}': too little of the prior holds data. "
            "Expand it, or see atlas info."
        )
    with timer("verification"):
        cell = job.atlas.manifest.levels[level].cell
        candidates = verify(job.verifier, one.request.poses, candidates, cell)
    tried: list[MatchResult] = []
    close = sum(other.total * _CLOSE >= candidates[0].total for other in candidates)
    for number in range(len(candidates)):
        if number >= min(close, _MOST_TRIED) and tried:
            break
        # A place on ground that cannot be matched, say of one colour, is no place.
        try:
            tried.append(_match_at(job, one.query, level, candidates, number))
        except MatchError:
            if number == len(candidates) - 1 and not tried:
                raise
            continue
        if tried[-1].verdict == "match":
            break
    return _choose(tried)


def _choose(tried: Sequence[MatchResult]) -> MatchResult:
    """The surest result; the first, of the best scores, where none is better than no match.

    Confidences that low say nothing of which place is the least wrong.
    """
    surest = max(tried, key=_certainty)
    return tried[0] if surest.verdict == "no match" else surest


def _certainty(result: MatchResult) -> tuple[bool, float]:
    """What places are ranked by: the confidence, else the agreement beyond chance."""
    is_fitted = not np.isnan(result.confidence)
    return not is_fitted, result.confidence if is_fitted else result.evidence.neg_log10_p


def _match_at(
    job: LocateJob, query: Query, level: int, candidates: list[Candidate], number: int
) -> MatchResult:
    """The last stages at one of the candidates; the others are its alternatives."""
    atlas = job.atlas
    one, others = candidates[number], candidates[:number] + candidates[number + 1 :]
    native = with_projection(one.placed @ scaling(query.factor).inverse, query, atlas)
    second = others[0].total if others else 0.0
    margin = min(_MOST_MARGIN, one.total / max(second, 1e-3) - 1.0)
    place = Start(native, "atlas", search_score=one.total, search_margin=margin)
    alternatives = tuple(_describe(atlas, query, other) for other in others[:_ALTERNATIVES])
    alignment, window = _aligned_at(job, query.image, place)
    result = make_result(alignment, job.record(level))
    return replace(result, alternatives=alternatives, window=window)


def _aligned_at(job: LocateJob, image: ImageFile, place: Start) -> tuple[Alignment, Window]:
    """The last stages where a start puts an image on the atlas, and the part of the atlas there."""
    atlas, settings = job.atlas, job.settings
    corner, shape = _surroundings(place.transform, image, atlas)
    part = atlas.image(corner, shape)
    placed = shift_by(-corner[0], -corner[1]) @ place.transform
    extractor, matcher = job.tools.opened
    pair = read_pair((image, part), placed, extractor, job.levels.device, framed=False)
    start = replace(place, transform=pair.start)
    if isinstance(matcher, TemplateMatcher):
        matcher = TemplateMatcher(job.matching, stages_for(pair.sar.shape))
    levels, fraction = refinement_for(pair.optical.shape)
    fitting = Fitting(
        settings.model,
        settings.seed,
        levels,
        fraction,
        is_fitted=matcher.is_fitted,
        is_refined=matcher.is_refined,
        gate=settings.gate,
    )
    alignment = align(pair, start, matcher.tie_points(pair, start), fitting)
    return alignment, Window(*corner, *shape)


def locate_from(
    query: Source, atlas: str | Path | Atlas, start: Transform, settings: LocateSettings
) -> MatchResult:
    """Match as the last stages of :func:`locate` do, where ``start`` puts the query.

    Nothing is searched, so the verdict is that of a registration.

    Parameters
    ----------
    start : Transform
        Pixels of the query to pixels of the atlas, good to 60 pixels: two or
        three tie points set by hand give one.
    """
    job = LocateJob(atlas, settings)
    stage("read")
    with threads.limited(settings.threads, in_pieces=True), timings() as seconds:
        image = open_image(query, "sar", job.reading)
        alignment, window = _aligned_at(job, image, Start(start))
    return replace(make_result(alignment, job.record(0), seconds), window=window)


def surface_of(
    query: Source, atlas: str | Path | Atlas, settings: LocateSettings, most: int = 256
) -> tuple[FloatArray, float]:
    """How well a query fits everywhere on an atlas: the scores that :func:`locate` searches.

    Returns
    -------
    scores : float32 array, shape (h, w)
        The best cosine, -1..1, of any pose with its centre in each square.
    side : float
        Atlas pixels along a side of a square; the first begins at pixel (0, 0).
    """
    job = LocateJob(atlas, settings)
    return score_surface(job.levels, _prepare_one(query, job).request, most, job.coarse)


def _surroundings(
    placed: Transform, image: ImageFile, atlas: Atlas
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel and shape of the part of the atlas that an image may cover."""
    ring = placed(outline(*image.shape))
    edge = np.array(atlas.grid.shape) + MARGIN
    low = np.clip(np.floor(ring.min(axis=0)).astype(int) - MARGIN, -MARGIN, edge - 1)
    high = np.clip(np.ceil(ring.max(axis=0)).astype(int) + MARGIN, low + 1, edge)
    return (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def _describe(atlas: Atlas, query: Query, one: Candidate) -> dict[str, Any]:
    centre = np.array([query.grey_image.shape], np.float64) / 2
    pixel = one.placed(centre)
    pixels = atlas.grid.pixels
    return {
        "fine": round(one.fine, 4),
        "coarse": round(one.coarse, 4),
        "parts": round(one.parts, 4),
        "rotation_degrees": one.pose.rotation,
        "scale": one.pose.scale,
        "atlas_pixel": [float(v) for v in pixel[0]],
        "map": [float(v) for v in to_map(pixels, pixel)[0]],
        "lonlat": [float(v) for v in to_lonlat(pixels, pixel)[0]],
    }
