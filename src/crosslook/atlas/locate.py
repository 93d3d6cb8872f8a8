"""Find where on an atlas a SAR image lies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crosslook.atlas.frame import MARGIN, make_result, working_frame
from crosslook.atlas.geo_image import GeoImage, open_image
from crosslook.atlas.prior import make_prior, whole_sample
from crosslook.atlas.query import Query, make_poses, prepare_query
from crosslook.atlas.register import DEFAULT_EXTRACTOR, check_model
from crosslook.atlas.result import MatchResult, outline
from crosslook.atlas.search_poses import search_poses
from crosslook.atlas.store import Atlas, open_atlas
from crosslook.atlas.verify import Candidate, FineLevel, verify
from crosslook.errors import MatchError
from crosslook.extract.registry import open_extractor
from crosslook.match.align import align, stopwatch
from crosslook.match.tie_points import Pass
from crosslook.match.transform import Model, Transform, scaling, translation
from crosslook.match.verdict import judge

CANDIDATES = 50
# The place is known to a few pixels by now, so no pass looks far; small queries
# need templates closer together than register does.
PASSES = (
    Pass(template=128.0, radius=32.0, step=32.0, threshold=10.0),
    Pass(template=112.0, radius=16.0, step=32.0, threshold=6.0),
    Pass(template=96.0, radius=12.0, step=24.0, threshold=3.0),
)
_ALTERNATIVES = 4
_MOST_MARGIN = 9.0


def locate(
    query: str | Path | GeoImage,
    atlas: str | Path | Atlas,
    *,
    gsd: float | None = None,
    near: tuple[float, float] | None = None,
    radius_km: float | None = None,
    bbox: tuple[float, float, float, float] | None = None,
    rotation: float = 0.0,
    scale: float = 0.0,
    coarse: str | None = None,
    fine: str | None = None,
    model: Model = "similarity",
    out: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
) -> MatchResult:
    """Find where on an atlas a SAR image lies, and how sure that is.

    Four stages: correlation of calibrated features at all positions at once;
    the best 50 of them again with finer features; tie points, robust fit and
    refinement as in :func:`crosslook.atlas.register.register` at the best of
    those; a verdict from the evidence of all.

    Parameters
    ----------
    query : path or GeoImage
        Georeferenced (only its pixel size and orientation are used, its place
        only with ``radius_km`` alone), or a plain picture, north up, with ``gsd``.
    atlas : path, address or Atlas
        Open it once for many queries.
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
        Extractors of the search and of the verification; by default the two
        levels of the atlas. ``fine`` may be any extractor.
    model, out, force, seed
        As for :func:`crosslook.atlas.register.register`.

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
    check_model(model)
    lap = stopwatch()
    image = query if isinstance(query, GeoImage) else open_image(query)
    held = atlas if isinstance(atlas, Atlas) else open_atlas(atlas)
    levels = held.manifest.levels
    number = 0 if coarse is None else held.level_number(coarse)
    fine_spec = levels[-1].spec if fine is None else fine
    prior = make_prior(held, image, near, radius_km, bbox)
    where = whole_sample(held) if prior is None else prior.sample()
    asked = prepare_query(image, held, gsd, where)
    poses = make_poses(asked, rotation, scale)
    seconds = {"read": lap()}
    found = search_poses(held, number, poses, prior, CANDIDATES)
    seconds["search"] = lap()
    if not found:
        raise MatchError(
            f"nothing in atlas '{held.name}' can be compared with '{image.name}': too little of "
            "the prior holds data. Widen it, or see atlas info."
        )
    candidates = verify(FineLevel(held, fine_spec, open_extractor(fine_spec)), poses, found)
    seconds["verification"] = lap()
    settings: dict[str, Any] = {
        "atlas": held.name,
        "coarse": levels[number].spec,
        "fine": fine_spec,
        "gsd": gsd,
        "near": near,
        "radius_km": radius_km,
        "bbox": bbox,
        "rotation": rotation,
        "scale": scale,
        "model": model,
        "extractor": DEFAULT_EXTRACTOR,
        "seed": seed,
    }
    result = _match(held, asked, candidates, settings, seconds)
    if out is not None:
        result.write(out, force=force)
    return result


def _match(
    atlas: Atlas,
    query: Query,
    candidates: list[Candidate],
    settings: dict[str, Any],
    seconds: dict[str, float],
) -> MatchResult:
    """The last stages at the best candidate."""
    best = candidates[0]
    native = best.placed.compose(scaling(query.factor).inverse)
    corner, shape = _surroundings(native, query.image)
    window = atlas.image(corner, shape)
    move = Transform(translation(-corner[0], -corner[1]), "shift")
    frame = working_frame(query.image, window, move.compose(native))
    extractor = open_extractor(settings["extractor"])
    model, seed = settings["model"], settings["seed"]
    found = align(frame.sar, frame.optical, extractor, frame.start, model, PASSES, seed)
    second = candidates[1].total if len(candidates) > 1 else 0.0
    evidence = replace(
        found.evidence,
        search_score=best.total,
        search_margin=min(_MOST_MARGIN, best.total / max(second, 1e-3) - 1.0),
    )
    described = [_describe(atlas, query, one) for one in candidates[1 : 1 + _ALTERNATIVES]]
    settings = {**settings, "window": {"row": corner[0], "col": corner[1]}}
    return make_result(
        replace(found, evidence=evidence),
        frame,
        (query.image, window),
        settings,
        seconds,
        judge(evidence, "locate"),
        tuple(described),
    )


def _surroundings(placed: Transform, image: GeoImage) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel and shape of the part of the atlas that an image may cover."""
    ring = placed(outline(*image.shape))
    low = np.floor(ring.min(axis=0)).astype(int) - MARGIN
    high = np.ceil(ring.max(axis=0)).astype(int) + MARGIN
    return (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def _describe(atlas: Atlas, query: Query, one: Candidate) -> dict[str, Any]:
    middle = np.array([query.picture.shape], np.float64) / 2
    pixel = one.placed(middle)
    reference = atlas.grid.reference
    return {
        "fine": round(one.fine, 4),
        "coarse": round(one.coarse, 4),
        "rotation_degrees": one.rotation,
        "scale": one.scale,
        "atlas_pixel": [float(v) for v in pixel[0]],
        "map": [float(v) for v in reference.to_map(pixel)[0]],
        "lonlat": [float(v) for v in reference.to_lonlat(pixel)[0]],
    }
