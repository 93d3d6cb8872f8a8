"""Register a SAR image on an optical image whose place is roughly known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from crosslook import threads
from crosslook.errors import CrosslookError, SettingError
from crosslook.extract.base import Extractor
from crosslook.geo.image import ImageFile, Reading, open_image
from crosslook.geo.mosaic_file import open_optical
from crosslook.geo.raster import RasterArray
from crosslook.match.align import Alignment, Fitting, align, nothing_found, surest
from crosslook.match.engine import Engine, engine_of
from crosslook.match.evidence import Evidence, error_bound, expected_error, read_values
from crosslook.match.files import check_out
from crosslook.match.matchers import Matcher, open_matcher, open_tools
from crosslook.match.reason import likely_cause
from crosslook.match.relief import heights_on, view_geometry
from crosslook.match.result import MatchResult
from crosslook.match.select import FLAT_MODELS, ModelRequest, select_model
from crosslook.match.settings import (
    BatchSettings,
    Model,
    RegisterCall,
    RegisterSettings,
    TransformModel,
)
from crosslook.match.sides import announced, check_sides
from crosslook.match.starts import SearchArea, Start, search_areas, start_of
from crosslook.match.transform import Transform
from crosslook.match.warped_file import RESAMPLING
from crosslook.match.working_grid import MARGIN, choose_grid
from crosslook.options import after_two, record
from crosslook.progress import stage, timer, timings
from crosslook.storage import Place

if TYPE_CHECKING:  # what knows sets of pairs is not needed for one
    from crosslook.match.scene.plan import ScenePlan

Source = Place | RasterArray | ImageFile
"""A path, an address, a product folder, an array or an opened image."""
Basemap = Source | Sequence[Place]
"""The same; also a folder of files, a collection of STAC items, or a list of places."""

_SHAPES = 25
"""What a free choice of unequal pixels and shear counts for, as poses that were tried."""
_BY_CHANCE = 1.0
"""What tie points (-log10 p) and mutual information (z) stay under where only chance agrees."""


@after_two(RegisterCall)
def register(sar_image: Source, optical_image: Basemap, settings: RegisterCall) -> MatchResult:
    """Find the transform that brings a SAR image onto an optical one.

    The georeferences say where to start, also in a frame of their own that both share (world
    files without CRS); without any, both images start at the same upper left corner with pixels
    of one size. Shifts up to 64 pixels of the working grid, rotations up to
    3 degrees and scales up to 3 per cent are followed from there. ``shift``, ``rotation``,
    ``scale``, ``aspect`` and ``flip`` search further (:mod:`crosslook.match.pose_search`), and
    finer where that finds no match; without any, a start that leads to no match is given up for
    a search over the whole overlap, 30 degrees to either side and a scale of 0.8 to 1.25,
    unless ``near_only`` forbids it. ``search`` of the result says which it was. The working
    grid is that of the optical image around the SAR footprint, coarser where the SAR image is,
    and reduced so that no side exceeds 2,048 pixels; errors are still given in optical pixels.
    What a similarity cannot follow, unequal pixels, shear, perspective and hills, is followed
    where that predicts tie points better (:mod:`crosslook.match.select`); ``geometry`` of the
    result has the comparison. Verdict and errors stay those of the similarity, on which they
    were fitted.

    Parameters
    ----------
    sar_image : path, address, product folder, array or opened image
    optical_image : the same, or several
        A folder, a list of places or a collection of STAC items are one basemap.
    settings : RegisterCall
        Or its fields as keywords.

    Returns
    -------
    MatchResult

    Raises
    ------
    SettingError
        If an option is unknown or not allowed.
    RasterError
        If a file cannot be read.
    GridError
        If one image has a georeference and the other has none, or in another frame.
    MatchError
        If the two do not overlap, overlap by less than 128 pixels, are
        constant or hold nothing but nodata.
    """
    check_out(settings)
    tools = open_tools(settings)
    found = _registered(sar_image, optical_image, None, settings, *tools)
    result = _on_scene(found, tools[1], settings)
    if settings.out is not None:
        with Engine.of(settings).resting(settings.threads):
            result.write(settings.out, force=settings.force, overwrite=settings.overwrite)
    return result


def plan_register(
    sar_image: Source, optical_image: Basemap, settings: RegisterSettings
) -> tuple[ScenePlan, bool]:
    """Say what :func:`register` would match in tiles, and whether it would; nothing is matched.

    The images are where their georeferences, or the points of the settings, put them.

    Raises
    ------
    SettingError
        As :func:`register` does, for options that do not go together.
    """
    is_refined = open_matcher(settings).is_refined
    plan, is_large = plan_of(sar_image, optical_image, settings)
    return plan, is_large and settings.in_tiles and is_refined


def plan_of(
    sar_image: Source, optical_image: Basemap, settings: RegisterSettings
) -> tuple[ScenePlan, bool]:
    """How a pair would be cut into tiles, and whether one working grid is too coarse for it."""
    from crosslook.match.scene.plan import plan_scene

    images = _opened(sar_image, optical_image, settings)
    placed = start_of(*images, settings.points)
    plan = plan_scene(images, placed, settings.spacing)
    working = choose_grid(*images, placed, MARGIN).factor
    return plan, settings.spacing is not None or working >= 2 * plan.factor


def _on_scene(found: MatchResult, matcher: Matcher, settings: RegisterSettings) -> MatchResult:
    """Match a pair larger than the working grid in tiles."""
    [result] = on_scenes([found], matcher, settings, [""])
    if isinstance(result, CrosslookError):
        raise result
    return result


def on_scenes(
    founds: Sequence[MatchResult],
    matcher: Matcher,
    settings: RegisterSettings,
    names: Sequence[str],
) -> Sequence[MatchResult | CrosslookError]:
    """Match pairs larger than the working grid in tiles; ``names`` are of those of a batch.

    What a matcher finds that is not refined stays as it is, and so does a model that tiles
    cannot follow.
    """
    from crosslook.match.scene.match import match_scenes

    if not founds or not matcher.is_refined or not settings.in_tiles:
        return founds
    if not isinstance(settings, BatchSettings):
        return match_scenes(founds, settings, [None] * len(founds))
    out = getattr(settings, "out", None)
    outs = [None if out is None else Path(out) / name for name in names]
    return match_scenes(founds, settings, outs, engine_of(settings, out))


def _registered(
    sar_image: Source,
    optical_image: Basemap,
    placed: Transform | None,
    settings: RegisterSettings,
    extractor: Extractor,
    matcher: Matcher,
) -> MatchResult:
    """Try one area after the other until one holds a match; the surest alignment is the result.

    ``placed`` puts the SAR image on the optical one, roughly; where it is None, the
    georeferences or the points of the settings do.
    """
    tried = []
    with threads.limited(settings.threads, in_pieces=True), timings() as seconds:
        images = _opened(sar_image, optical_image, settings)
        warned = announced(check_sides(*images))  # swapped, or one image on both sides
        placed = start_of(*images, settings.points) if placed is None else placed
        # Around where it is placed, then the whole overlap; or the range requested alone.
        for area in search_areas(images, placed, extractor, settings):
            found = align_in(area, matcher, settings)  # by a similarity, from start after start
            tried.append(with_model(found, area, matcher, settings))  # shear, hills and the like
            if tried[-1].is_match:
                break
    best = surest(tried)
    result = make_result(best, record(settings, RegisterSettings), seconds)
    reason = likely_cause(best, area.name) if result.verdict == "no match" else ""
    # The last area says how far the search went.
    return replace(result, search=area.name, reason=reason, warnings=warned)


def align_in(area: SearchArea, matcher: Matcher, settings: RegisterSettings) -> Alignment:
    """Try one start of an area after the other until one is a match.

    Returns
    -------
    Alignment
        The surest of them; without transform where there is no start.
    """
    # The verdict was fitted on the evidence of similarities, and holds for evidence
    # gathered in the same way alone. So any other model is chosen after it.
    fitting = _fitting(matcher, settings)
    tried = []
    for start in area.starts():  # as the image is placed, then the best poses of a search
        points = matcher.tie_points(area.pair, start)
        tried.append(align(area.pair, start, points, fitting))  # robust fit, refinement, verdict
        if tried[-1].is_match:
            break
    return surest(tried) if tried else nothing_found(area.pair)


def with_model(
    found: Alignment, area: SearchArea, matcher: Matcher, settings: RegisterSettings
) -> Alignment:
    """Follow what the similarity of an alignment cannot, as the settings ask for.

    The evidence stays that of the similarity. Only where that is no match, the
    image is warped as the selected model says and aligned again: unequal pixels
    or shear may be all that kept it from being one.
    """
    given = settings.model in ("shift", "similarity", "tps")
    if found.transform is None or given or not matcher.is_refined:
        return found
    if settings.model == "auto" and _is_hopeless(found.evidence):
        return found
    stage("model")
    with timer("model"):
        request = _request(found, area, settings)
        selection = select_model(found.pair, found.transform, request)
    selected = replace(found, selection=selection)
    if selection is None or selection.is_unchanged:
        return selected
    selected = replace(selected, transform=selection.transform, tie_points=selection.points)
    if found.is_match or settings.model == "relief":
        return selected
    warped = found.pair.warped(selection.transform)
    poses = max(int(found.evidence.poses), _SHAPES)
    start = Start(warped.start, area.name, is_posed=True, poses=poses)
    points = matcher.tie_points(warped, start)
    again = align(warped, start, points, replace(_fitting(matcher, settings), model="similarity"))
    if again.certainty > found.certainty:
        return replace(selected, evidence=again.evidence, verdict=again.verdict)
    return found


def _fitting(matcher: Matcher, settings: RegisterSettings) -> Fitting:
    """How the tie points of a matcher are fitted: by a similarity, unless a model is given.

    Where nothing follows the fit, a given affine map or homography is fitted at once.
    """
    if settings.model in ("relief", "field") and not matcher.is_refined:
        raise SettingError(
            f"--model {settings.model} follows the fit of '{settings.matcher}' by templates; "
            "give --refine."
        )
    direct = ("shift", "tps") if matcher.is_refined else get_args(Model)
    values = None if settings.verdict is None else read_values(settings.verdict, settings.matcher)
    return Fitting(
        cast("Model", settings.model) if settings.model in direct else "similarity",
        settings.seed,
        is_fitted=matcher.is_fitted or values is not None,
        is_refined=matcher.is_refined,
        gate=settings.gate,
        values=values,
    )


def _is_hopeless(evidence: Evidence) -> bool:
    """Whether neither tie points nor mutual information differ from chance.

    So it is with half of the wrong partners, and with none of the right ones that a
    further model makes a match.
    """
    return max(evidence.neg_log10_p, evidence.mi_z_score) < _BY_CHANCE


def _request(found: Alignment, area: SearchArea, settings: RegisterSettings) -> ModelRequest:
    """The models that the settings allow, and what is known of the ground."""
    # A search of poses may have mirrored the image: a shift is counted from what it found.
    reference = area.pair.start if area.as_placed else found.transform
    flat = FLAT_MODELS if area.as_placed else tuple(m for m in FLAT_MODELS if m != "shift")
    models: tuple[TransformModel, ...] = (*flat, "relief") if found.is_match else flat
    if settings.model not in ("auto", "field"):  # a field is one of the whole scene
        models = (cast("TransformModel", settings.model),)
    grid, heights = found.pair.grid, None
    if grid is None or reference is None:
        return ModelRequest(models, area.pair.start, seed=settings.seed)
    if settings.dem is not None and "relief" in models:
        heights = heights_on(grid, found.pair.optical.shape, settings)
    view = view_geometry(grid, settings)
    return ModelRequest(models, reference, view, heights, settings.seed)


def _opened(
    sar_image: Source, optical_image: Basemap, settings: RegisterSettings
) -> tuple[ImageFile, ImageFile]:
    """Both images with the masks that were given."""
    stage("read")
    with timer("open"):
        reading = Reading.parse(settings.reading())
        sar = open_image(sar_image, "sar", reading)
        optical = open_optical(optical_image, reading)
        if settings.mask is not None:
            sar = sar.masked(settings.mask)
        if settings.optical_mask is not None:
            optical = optical.masked(settings.optical_mask)
    return sar, optical


def make_result(
    found: Alignment, settings: dict[str, Any], seconds: Mapping[str, float] | None = None
) -> MatchResult:
    """Bring an alignment back to the pixels of both images.

    Raises
    ------
    ValueError
        If the images of the alignment come from no files.
    """
    grid = found.pair.grid
    if grid is None:
        raise ValueError("only images with a working grid have a result")
    # Where nothing is found, and of evidence whose errors were never measured, none is expected.
    known = found.verdict.label != "no match" and not np.isnan(found.verdict.confidence)
    evidence, pixel, values = found.evidence, grid.factor, found.verdict.values
    known &= values is None or values["error"] is not None
    return MatchResult(
        fitted=values,
        verdict=found.verdict.label,
        confidence=found.verdict.confidence,
        transform=None if found.transform is None else grid.to_native(found.transform),
        expected_error_px=round(expected_error(evidence, values) * pixel, 3) if known else None,
        error_bound_px=round(error_bound(evidence, values) * pixel, 3) if known else None,
        tie_points=grid.points_to_native(found.tie_points),
        evidence=evidence,
        sar=grid.sar,
        optical=grid.optical,
        timings={**seconds, "total": sum(seconds.values())} if seconds else {},
        settings={**settings, "resampling": RESAMPLING},
        working_pixel=pixel,
        geometry=None if found.selection is None else found.selection.to_dict(pixel),
        judged_as=found.verdict.search,
        left_out=found.pair.left_out,
        repeats=tuple(one.to_dict(pixel) for one in found.repeats),
    )


def register_with(
    sar_image: Source,
    optical_image: Basemap,
    settings: RegisterSettings,
    tools: tuple[Extractor, Matcher],
) -> MatchResult:
    """Register as :func:`register` does, by an extractor and a matcher that are open already.

    Parameters
    ----------
    tools : (Extractor, Matcher)
        As :func:`~crosslook.match.matchers.open_tools` gives them for these settings.
    """
    return _registered(sar_image, optical_image, None, settings, *tools)


def register_from(
    sar_image: Source, optical_image: Basemap, start: Transform, settings: RegisterSettings
) -> MatchResult:
    """Register as :func:`register` does, but begin where ``start`` puts the SAR image.

    Parameters
    ----------
    start : Transform
        SAR pixels to optical pixels, good to 60 pixels of the working grid: two
        or three tie points set by hand give one.
    """
    tools = open_tools(settings)
    found = _registered(sar_image, optical_image, start, settings, *tools)
    return _on_scene(found, tools[1], settings)
