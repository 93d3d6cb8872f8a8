"""Rasters brought under a transform and written, with all that their files say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.shutil import copy as copy_raster
from rasterio.windows import Window as FileWindow

from crosslook.atomic import atomic_path
from crosslook.geo.grid import file_crs, has_map, rim, shape_of, window_of
from crosslook.geo.image import ImageFile
from crosslook.geo.products.virtual import quiet
from crosslook.geo.raster import Labels, RasterFile, Source
from crosslook.match.transform import Transform, translation
from crosslook.match.warp import source_positions
from crosslook.types import FloatArray, Window

Resampling = Literal["nearest", "bilinear", "average"]
RESAMPLING: Resampling = "bilinear"
_TILE, _STEP = 256, 1024
_MUCH_LARGER = 4
_SOLID = 0.999
_SHRINKS = 1.5  # source pixels per pixel from which a mean is taken


@dataclass(frozen=True)
class Layer:
    """What is written: pixels as stored, and how they may be mixed.

    Attributes
    ----------
    source : ImageFile, RasterFile or RasterArray
        Read as stored; an image file knows what is no data by the one rule.
    nodata : float
        What stands for no data in what is written.
    resampling : str
        ``nearest`` for classes; ``average`` is ``bilinear`` that takes means
        where it shrinks.
    """

    source: ImageFile | Source
    nodata: float
    resampling: Resampling = RESAMPLING

    @property
    def raster(self) -> Source:
        """Where the numbers come from."""
        return self.source.source if isinstance(self.source, ImageFile) else self.source

    @property
    def labels(self) -> Labels | None:
        """Names and tags; None for an array."""
        return self.raster.labels if isinstance(self.raster, RasterFile) else None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return shape_of(self.raster.header.grid)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Numbers (B, h, w) of a window inside, and which are data."""
        if isinstance(self.source, ImageFile):
            return self.source.read_stored(window)
        return self.source.read_stored(window, tuple(range(1, self.raster.header.bands + 1)))


def nodata_of(dtype: str, declared: float | None) -> float:
    """The declared nodata, else NaN for floats and 0 for whole numbers."""
    if declared is not None:
        return declared
    return float("nan") if dtype.startswith("float") else 0.0


def write_aligned(
    target: Path, sar: ImageFile, optical: ImageFile, transform: Transform, verdict: str
) -> None:
    """Write all SAR bands on the pixels of the optical image, as a COG.

    It covers the optical image, or, where that is more than four times as
    large as what the SAR image covers, the whole pixels of the optical grid
    under the SAR image.
    """
    corner, shape = _covered(sar, optical, transform)
    layer = Layer(sar, nodata_of(sar.header.dtype, sar.nodata))
    place = window_of(optical.grid, corner, shape)
    tags = {"SOURCE": sar.name, "ALIGNED_TO": optical.name, "VERDICT": verdict}
    write_warped(
        target, layer, transform.shifted((0.0, 0.0), (-corner[0], -corner[1])), place, tags
    )


def write_warped(
    target: Path, layer: Layer, transform: Transform, place: GeoBox, tags: dict[str, str]
) -> None:
    """Write a layer on the pixels of a grid, as a COG.

    Numbers, scale, offset, band names, units, palette and tags are those of
    its file; ``tags`` are added. Memory holds a tile at a time.

    Parameters
    ----------
    target : path
    layer : Layer
    transform : Transform
        Its pixels to those of ``place``.
    place : GeoBox
    tags : dict of str to str
    """
    header, shape = layer.raster.header, shape_of(place)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": header.bands, "height": shape[0], "width": shape[1],
        "dtype": header.dtype, "nodata": layer.nodata, "tiled": True, "blockxsize": _TILE,
        "blockysize": _TILE, "compress": "deflate", "bigtiff": "if_safer",
    }  # fmt: skip
    if has_map(place):
        profile |= {"crs": file_crs(place), "transform": place.affine}
    factor = _reduction(layer, transform)
    overviews = "NEAREST" if layer.resampling == "nearest" else "AVERAGE"
    with atomic_path(target) as path, quiet():
        flat = path.with_suffix(".flat.tif")
        with rasterio.open(flat, "w", **profile) as file:
            _label(file, layer)
            for window in _tiles(shape, max(_TILE, _STEP // factor)):
                bands = _tile(layer, transform, window, factor)
                if bands is not None:
                    region = FileWindow(window.col, window.row, window.width, window.height)
                    file.write(bands, window=region)
            file.scales, file.offsets = header.scales, header.offsets
            file.update_tags(RESAMPLING=layer.resampling, **tags)
        try:
            copy_raster(
                flat, path, driver="COG", COMPRESS="DEFLATE", OVERVIEWS="AUTO",
                OVERVIEW_RESAMPLING=overviews,
            )  # fmt: skip
        finally:
            flat.unlink(missing_ok=True)


def _label(file: Any, layer: Layer) -> None:
    """Names, units, colours and tags of the source; before any pixel, as a palette must be."""
    labels = layer.labels
    if labels is None:
        return
    file.update_tags(**labels.tags)
    for number, tags in enumerate(labels.bands, 1):
        file.update_tags(number, **tags)
        if labels.descriptions[number - 1]:
            file.set_band_description(number, labels.descriptions[number - 1])
        if labels.units[number - 1]:
            file.set_band_unit(number, labels.units[number - 1])
    if labels.palette is not None:
        file.write_colormap(1, labels.palette)
    elif len(labels.colours) == file.count:
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


def _tile(layer: Layer, transform: Transform, window: Window, factor: int) -> NDArray[Any] | None:
    """All bands (B, h, w) of one tile in the layer's own type; None where it has no data."""
    here = Transform(translation(-window.row, -window.col), "shift").compose(transform)
    shape = (window.height, window.width)
    rows, cols = source_positions(here, shape)
    height, width = layer.shape
    # Blocks are those of the whole image, so that tiles meet without a seam.
    top, left = (max(0, (int(at.min()) // factor - 1) * factor) for at in (rows, cols))
    bottom = min(height, int(np.ceil(rows.max())) + factor + 1)
    right = min(width, int(np.ceil(cols.max())) + factor + 1)
    if bottom <= top or right <= left:
        return None
    stored, valid = layer.read(Window(top, left, bottom - top, right - left))
    at = (cols - np.float32(left), rows - np.float32(top))
    kind = np.dtype(layer.raster.header.dtype)
    out = np.full((len(stored), *shape), layer.nodata, kind)
    if layer.resampling == "nearest":
        _take_nearest(stored, valid, at, out)
        return out
    clean, solid = _means(stored, valid, factor)
    at = (at[0] / factor - np.float32(0.5), at[1] / factor - np.float32(0.5))
    cover = cv2.remap(solid, *at, cv2.INTER_LINEAR, borderValue=0.0)
    inside = cover > _SOLID
    for source, band in zip(clean, out, strict=True):
        warped = cv2.remap(source, *at, cv2.INTER_LINEAR, borderValue=0.0)
        warped = warped / np.maximum(cover, np.float32(_SOLID))  # nothing bleeds in at the rim
        if kind.kind in "ui":
            limits = np.iinfo(kind)
            # A dark pixel that rounds to the nodata value would vanish.
            lowest = limits.min + 1 if layer.nodata == limits.min else limits.min
            warped = np.clip(np.rint(warped), lowest, limits.max)
        band[inside] = warped[inside].astype(kind)
    return out


def _reduction(layer: Layer, transform: Transform) -> int:
    """Source pixels along a side that one pixel stands for, where means are wanted."""
    if layer.resampling != "average":
        return 1
    step = 1.0 / transform.local_scale(np.array(layer.shape, np.float64) / 2)
    return max(1, round(step)) if step >= _SHRINKS else 1


def _means(
    stored: NDArray[Any], valid: NDArray[np.bool_], factor: int
) -> tuple[FloatArray, FloatArray]:
    """Means (B, h, w) over the valid pixels of blocks, and 1 where half of a block is valid."""
    solid = valid.astype(np.float32)
    clean = np.where(valid, stored, 0).astype(np.float32)
    if factor == 1:
        return clean, solid
    rows, cols = (-(-n // factor) * factor for n in valid.shape)
    grow = ((0, rows - valid.shape[0]), (0, cols - valid.shape[1]))
    size = (cols // factor, rows // factor)
    cover = cv2.resize(np.pad(solid, grow), size, interpolation=cv2.INTER_AREA)
    means = [
        cv2.resize(np.pad(band, grow), size, interpolation=cv2.INTER_AREA)
        / np.maximum(cover, np.float32(1e-6))
        for band in clean
    ]
    return np.stack(means), np.asarray(cover >= 0.5, np.float32)


def _take_nearest(
    stored: NDArray[Any],
    valid: NDArray[np.bool_],
    at: tuple[FloatArray, FloatArray],
    out: NDArray[Any],
) -> None:
    """Put the number of the nearest pixel into ``out`` (B, h, w), so that classes stay classes."""
    cols, rows = (np.floor(part).astype(np.int64) for part in at)
    height, width = valid.shape
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    inside[inside] = valid[rows[inside], cols[inside]]
    out[:, inside] = stored[:, rows[inside], cols[inside]]
