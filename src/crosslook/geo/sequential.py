"""Images that can only be read from their beginning: decoded once, into tiles.

A PNG, a JPEG or a compressed TIFF of one strip has no way to its middle: each
window that lies before the last one costs all that comes before it once more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from crosslook.errors import RasterError

_FROM_THE_TOP = ("PNG", "JPEG", "GIF", "BIGGIF")
_CACHED_BYTES = 32 << 20  # what GDAL keeps anyway is decoded once anyway
_LARGE_BLOCK_BYTES = 4 << 20


def must_decode_whole(data: Any) -> bool:
    """Whether windows of an open raster in any order cost far more than one pass over it."""
    if not isinstance(data, rasterio.DatasetReader) or data.count == 0:
        return False
    kind = data.dtypes[0]
    number = 8 if kind.startswith(("complex_int", "cint")) else np.dtype(kind).itemsize
    if data.width * data.height * data.count * number <= _CACHED_BYTES:
        return False
    if data.driver in _FROM_THE_TOP:
        return True
    rows, cols = data.block_shapes[0]
    if rows * cols * number > _LARGE_BLOCK_BYTES:
        return data.compression is not None or data.driver != "GTiff"
    # GDAL shows one strip as lines, of which only the first has a place in the file.
    return (
        data.driver == "GTiff"
        and data.compression is not None
        and cols == data.width
        and data.height > rows
        and data.get_tag_item("BLOCK_OFFSET_0_1", "TIFF", bidx=1) is None
    )


def decode_whole(data: Any, name: str) -> Any:
    """Write an open raster as tiles into a file that has no name any more.

    Its numbers, nodata, mask, place and tags stay. The file takes as much of the folder for
    temporary files as the pixels take in memory.

    Raises
    ------
    RasterError
        If the raster is damaged, or the disk is full.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decoded.tif"
        try:
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                rasterio.shutil.copy(
                    data, path, driver="GTiff", strict=False, tiled=True, bigtiff="if_safer"
                )
            return rasterio.open(path)  # stays readable when its name is gone
        except (RasterioError, CPLE_BaseError) as error:  # what `copy` lets through is GDAL's own
            raise RasterError(
                f"{name} cannot be decoded to the end: {error.__cause__ or error}. The file is "
                f"damaged, or {tempfile.gettempdir()} has no room for its pixels."
            ) from error
