"""Register a SAR image on an optical image whose place is roughly known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crosslook.atlas.frame import make_result, working_frame
from crosslook.atlas.geo_image import GeoImage, open_image
from crosslook.atlas.result import MatchResult, placement
from crosslook.errors import GridError, SettingError, did_you_mean
from crosslook.extract.registry import open_extractor
from crosslook.match.align import align, stopwatch
from crosslook.match.transform import MODELS, Model, Transform
from crosslook.match.verdict import judge

DEFAULT_EXTRACTOR = "hog:cell=3,blur=1"


def register(
    sar: str | Path | GeoImage,
    optical: str | Path | GeoImage,
    *,
    model: Model = "similarity",
    extractor: str = DEFAULT_EXTRACTOR,
    out: str | Path | None = None,
    force: bool = False,
    seed: int = 0,
) -> MatchResult:
    """Find the transform that brings a SAR image onto an optical one.

    The georeferences say where to start; without any, both images start at
    the same upper left corner with pixels of one size. Shifts up to 64
    pixels of the working grid, turns up to 3 degrees and scales up to 3 per
    cent are captured. The working grid is that of the optical image around
    the SAR footprint, coarser where the SAR image is, and reduced so that no
    side exceeds 2,048 pixels; errors are still told in optical pixels.

    Parameters
    ----------
    sar, optical : path or GeoImage
    model : str
        ``shift``, ``similarity``, ``affine``, ``homography`` or ``tps``.
    extractor : str
        Spec of the features that are correlated.
    out : path, optional
        Folder for the files of :func:`crosslook.atlas.outputs.write_match`.
    force : bool
        Write ``aligned.tif`` and the pictures without a match too.
    seed : int
        Of the robust fit.

    Returns
    -------
    MatchResult

    Raises
    ------
    SettingError
        If the model is unknown.
    RasterError
        If a file cannot be read.
    GridError
        If one image has a georeference and the other has none.
    MatchError
        If the two do not overlap, overlap by less than 128 pixels, are
        constant or hold nothing but nodata.
    """
    check_model(model)
    lap = stopwatch()
    sar_image = sar if isinstance(sar, GeoImage) else open_image(sar)
    optical_image = optical if isinstance(optical, GeoImage) else open_image(optical)
    placed = _placed(sar_image, optical_image, spline=model == "tps")
    frame = working_frame(sar_image, optical_image, placed)
    read = lap()
    opened = open_extractor(extractor)
    found = align(frame.sar, frame.optical, opened, frame.start, model, seed=seed)
    settings: dict[str, Any] = {"model": model, "extractor": extractor, "seed": seed}
    verdict = judge(found.evidence)
    images = (sar_image, optical_image)
    result = make_result(found, frame, images, settings, {"read": read}, verdict)
    if out is not None:
        result.write(out, force=force)
    return result


def check_model(model: str) -> None:
    """Refuse a model that does not exist."""
    if model not in MODELS:
        raise SettingError(
            f"unknown model '{model}'; one of {', '.join(MODELS)} is needed."
            + did_you_mean(model, MODELS)
        )


def _placed(sar: GeoImage, optical: GeoImage, *, spline: bool) -> Transform:
    if (sar.reference is None) != (optical.reference is None):
        has, lacks = (optical, sar) if sar.reference is None else (sar, optical)
        raise GridError(
            f"'{has.name}' has a CRS, '{lacks.name}' has none: where to start is not known. "
            "Give two georeferenced images, or two plain ones that begin at the same corner."
        )
    return placement(sar.reference, optical.reference, sar.shape, affine=spline)
