"""Rasters brought under a transform and written, with all that their files say of them.

What a file declares to be no data is no data in what is written. Where it
declares nothing, nothing of it becomes no data: what lies outside its
footprint is NaN in floats and complex floats, and told by an internal mask in
whole numbers, which have no number to spare.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as FileWindow

from crosslook.atomic import atomic_path
from crosslook.geo.grid import file_crs, has_map, rim, shape_of, window_of
from crosslook.geo.image import ImageFile
from crosslook.geo.products.vrt import quiet
from crosslook.geo.stored import StoredPixels, numpy_type, stored_pixels
from crosslook.match.resampled import Layer, Resampling, resample
from crosslook.match.transform import Transform
from crosslook.types import Window

RESAMPLING: Resampling = "bilinear"
_TILE, _STEP = 256, 1024
_MUCH_LARGER = 4
_COLOURS_OF = ("uint8", "uint16")  # types that a GeoTIFF has a palette for


def make_layer(pixels: StoredPixels, resampling: tuple[Resampling, ...]) -> Layer:
    """A layer whose outside is what its file declares to be no data, else NaN or, masked, 0."""
    if pixels.nodata is not None and pixels.mark == "nodata":
        outside = pixels.nodata
    else:
        outside = 0.0 if _is_whole(pixels) or pixels.mark == "alpha" else float("nan")
    return Layer(pixels, resampling, outside)


def _is_whole(pixels: StoredPixels) -> bool:
    return pixels.dtype == "complex_int16" or numpy_type(pixels.dtype).kind in "iu"


def _nodata_of(pixels: StoredPixels) -> float | None:
    """What is declared in the file that is written; NaN where floats declare nothing."""
    if pixels.mark is None and not _is_whole(pixels):
        return float("nan")
    return pixels.nodata


def _is_masked(pixels: StoredPixels) -> bool:
    """Whether a mask says what is no data, as in the source or for want of a number."""
    return pixels.mark == "mask" or (pixels.mark is None and _is_whole(pixels))


def write_aligned(
    target: Path, sar: ImageFile, optical: ImageFile, transform: Transform, verdict: str
) -> None:
    """Write all SAR bands on the pixels of the optical image, as a COG.

    Of complex pixels the amplitude, of a palette the colours. It covers the
    optical image, or, where that is more than four times as large as what the
    SAR image covers, the whole pixels of the optical grid under the SAR image.
    """
    corner, shape = _covered(sar, optical, transform)
    pixels = stored_pixels(sar.source, shown=True)
    layer = make_layer(pixels, (RESAMPLING,) * pixels.bands)
    place = window_of(optical.grid, Window(*corner, *shape))
    tags = {"SOURCE": sar.name, "ALIGNED_TO": optical.name, "VERDICT": verdict}
    write_warped(
        target, layer, transform.shifted((0.0, 0.0), (-corner[0], -corner[1])), place, tags
    )


def write_warped(
    target: Path, layer: Layer, transform: Transform, place: GeoBox, tags: dict[str, str]
) -> None:
    """Write a layer on the pixels of a grid, as a COG.

    Numbers, no data, scale, offset, band names, units, palette and tags are
    those of its file; ``tags`` are added. Memory holds a tile at a time.

    Parameters
    ----------
    target : path
    layer : Layer
    transform : Transform
        Its pixels to those of ``place``.
    place : GeoBox
    tags : dict of str to str
    """
    pixels, shape = layer.pixels, shape_of(place)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": pixels.bands, "height": shape[0], "width": shape[1],
        "dtype": pixels.dtype, "nodata": _nodata_of(pixels), "tiled": True, "blockxsize": _TILE,
        "blockysize": _TILE, "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    if has_map(place):
        profile |= {"crs": file_crs(place), "transform": place.affine}
    overviews = "NEAREST" if "nearest" in layer.resampling else "AVERAGE"
    step = max(_TILE, int(_STEP // max(1.0, layer.shrinks(transform))))
    with atomic_path(target) as path, quiet(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"):
        flat = path.with_suffix(".flat.tif")
        with rasterio.open(flat, "w", **profile) as file:
            _label(file, pixels)
            for window in _tiles(shape, step):
                numbers, data = resample(layer, transform, window)
                region = FileWindow(window.col, window.row, window.width, window.height)
                file.write(numbers, window=region)
                if _is_masked(pixels):
                    file.write_mask(data, window=region)
            file.scales, file.offsets = pixels.scales, pixels.offsets
            file.update_tags(RESAMPLING=",".join(dict.fromkeys(layer.resampling)), **tags)
        try:
            copy_raster(
                flat, path, driver="COG", COMPRESS="DEFLATE", OVERVIEWS="AUTO",
                OVERVIEW_RESAMPLING=overviews,
            )  # fmt: skip
        finally:
            flat.unlink(missing_ok=True)


def _label(file: Any, pixels: StoredPixels) -> None:
    """Names, units, colours and tags of the source; before any pixel, as a palette must be."""
    labels = pixels.labels
    if labels is None:
        return
    file.update_tags(**labels.tags)
    for number, tags in enumerate(labels.bands, 1):
        file.update_tags(number, **tags)
        if text := labels.descriptions[number - 1]:
            file.set_band_description(number, text)
        if unit := labels.units[number - 1]:
            file.set_band_unit(number, unit)
    if labels.palette is not None and pixels.dtype in _COLOURS_OF:
        file.write_colormap(1, labels.palette)
    elif ColorInterp.palette not in labels.colours and len(labels.colours) == file.count:
        file.colorinterp = labels.colours


def _covered(
    sar: ImageFile, optical: ImageFile, transform: Transform
) -> tuple[tuple[int, int], tuple[int, int]]:
    """First pixel and shape of the part of the optical image that is written."""
    ring = transform(rim(sar.grid))
    low = np.clip(np.floor(ring.min(axis=0)), 0, np.array(optical.shape) - 1).astype(int)
    high = np.clip(np.ceil(ring.max(axis=0)), low + 1, optical.shape).astype(int)
    if np.prod(high - low) * _MUCH_LARGER >= np.prod(optical.shape):
        return (0, 0), optical.shape
    return (int(low[0]), int(low[1])), (int(high[0] - low[0]), int(high[1] - low[1]))


def _tiles(shape: tuple[int, int], step: int) -> Iterator[Window]:
    for row in range(0, shape[0], step):
        for col in range(0, shape[1], step):
            yield Window(row, col, min(step, shape[0] - row), min(step, shape[1] - col))
