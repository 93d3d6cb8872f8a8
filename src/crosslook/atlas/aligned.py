"""``aligned.tif``: the SAR image on the optical grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.shutil import copy as copy_raster
from rasterio.transform import Affine

from crosslook.atlas.geo_image import GeoImage
from crosslook.atlas.result import MatchResult
from crosslook.atomic import atomic_path
from crosslook.errors import MatchError
from crosslook.match.picture import warp_array
from crosslook.match.transform import Transform

RESAMPLING = "bilinear"


def aligned_bands(
    sar: GeoImage, transform: Transform, shape: tuple[int, int]
) -> tuple[NDArray[Any], float]:
    """Resample all SAR bands onto the optical grid.

    Returns
    -------
    bands : array of the SAR image's own type, shape (B, H, W)
    nodata : float
        The value of pixels without data: the file's own, else NaN for floats
        and 0 for whole numbers.
    """
    kind = sar.bands.dtype
    floating = np.issubdtype(kind, np.floating)
    nodata = sar.nodata if sar.nodata is not None else (float("nan") if floating else 0.0)
    solid = warp_array(sar.valid.astype(np.float32), transform, shape, cv2.INTER_LINEAR)
    inside = solid > 0.999
    out = np.full((len(sar.bands), *shape), nodata, kind)
    for source, target in zip(sar.bands, out, strict=True):
        clean = np.where(sar.valid, source, 0).astype(np.float32)
        warped = warp_array(clean, transform, shape, cv2.INTER_LINEAR)
        if not floating:
            limits = np.iinfo(kind)
            # A dark pixel that rounds to the nodata value would vanish.
            lowest = limits.min + 1 if nodata == limits.min else limits.min
            warped = np.clip(np.rint(warped), lowest, limits.max)
        target[inside] = warped[inside].astype(kind)
    return out, nodata


def write_aligned(result: MatchResult, target: Path) -> None:
    """Write the SAR image on the grid of the optical one, as a COG.

    Raises
    ------
    MatchError
        If the result has no transform.
    """
    if result.transform is None:
        raise MatchError("there is no transform to align by; nothing was matched.")
    bands, nodata = aligned_bands(result.sar, result.transform, result.optical.shape)
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": bands.shape[0],
        "height": bands.shape[1],
        "width": bands.shape[2],
        "dtype": bands.dtype.name,
        "nodata": nodata,
    }
    reference = result.optical.reference
    if reference is not None:
        profile |= {"crs": reference.crs, "transform": Affine(*reference.affine)}
    with atomic_path(target) as path, MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(bands)
            file.update_tags(
                RESAMPLING=RESAMPLING,
                SOURCE=result.sar.name,
                ALIGNED_TO=result.optical.name,
                VERDICT=result.verdict,
            )
        with memory.open() as file, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            copy_raster(file, path, driver="COG", COMPRESS="DEFLATE", OVERVIEWS="AUTO")
