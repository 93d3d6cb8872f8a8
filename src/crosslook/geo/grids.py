"""Whether the two grids of a pair are one, and how they are brought together."""

from __future__ import annotations

import rasterio
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform_bounds

from crosslook.errors import GridError, SettingError, did_you_mean
from crosslook.geo.raster import Grid, Raster, Source

RESAMPLINGS = ("nearest", "bilinear", "cubic", "average", "lanczos")


def onto_optical(sar: Raster, optical: Raster, resampling: str = "bilinear") -> Source:
    """Say how the SAR image is read on the grid of the optical one.

    Equal grids (corners within 0.01 px, same CRS) are read as they lie; so
    are two images without georeference and of equal size. Other grids are
    resampled window by window, without a copy on disk.

    Parameters
    ----------
    sar, optical : Raster
    resampling : str
        One of ``RESAMPLINGS``; ``average`` suits SAR of much finer pixels.

    Raises
    ------
    GridError
        If only one is georeferenced and the sizes differ, if neither is and
        the sizes differ, if a transform has no inverse, or if the two do not
        overlap; both grids are named.
    SettingError
        If the resampling is unknown.
    """
    if resampling not in RESAMPLINGS:
        raise SettingError(
            f"unknown resampling '{resampling}'; known are: {', '.join(RESAMPLINGS)}."
            + did_you_mean(resampling, RESAMPLINGS)
        )
    first, second = sar.grid, optical.grid
    if not (first.invertible and second.invertible):
        raise _refusal(sar, optical, "a transform has no inverse; write the georeference again")
    if first.crs is None or second.crs is None:
        if (first.height, first.width) != (second.height, second.width):
            raise _refusal(
                sar, optical, "without a georeference on both sides their sizes must be equal"
            )
        return Source(sar.path)
    if first.same_as(second):
        return Source(sar.path)
    if not overlap(first, second):
        raise _refusal(sar, optical, "they do not overlap; check which files belong together")
    return Source(sar.path, second, resampling)


def overlap(first: Grid, second: Grid) -> bool:
    """Whether the rectangles around two georeferenced grids share any ground.

    The bounds of ``first`` are taken into the CRS of ``second``; where that
    projection cannot hold them, they do not overlap.
    """
    try:
        with rasterio.Env():
            box = transform_bounds(first.crs, second.crs, *first.bounds)
    except (CRSError, RasterioError):
        return False
    other = second.bounds
    return bool(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3])


def _refusal(sar: Raster, optical: Raster, why: str) -> GridError:
    return GridError(
        f"the grids of a pair cannot be brought together: {sar.path} ({sar.grid}) and "
        f"{optical.path} ({optical.grid}): {why}."
    )
