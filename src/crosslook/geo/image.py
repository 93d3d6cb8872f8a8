"""A whole raster in memory with its place on the map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from crosslook.errors import RasterError
from crosslook.geo.picture import Picture, make_picture
from crosslook.geo.position import Georeference
from crosslook.geo.raster import reason
from crosslook.storage import for_gdal
from crosslook.types import FloatArray, Modality

_HOLE = 5  # zeros count as nodata only in areas of at least this many pixels a side


@dataclass(frozen=True, eq=False)
class GeoImage:
    """Bands, valid pixels and georeference of one image.

    Attributes
    ----------
    bands : array, shape (B, H, W)
        As stored.
    valid : bool array, shape (H, W)
    reference : Georeference or None
        None for a plain picture.
    nodata : float or None
        As the file says.
    name : str
        What messages and outputs call it.
    """

    bands: NDArray[Any]
    valid: NDArray[np.bool_]
    reference: Georeference | None
    nodata: float | None
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.bands.shape[1]), int(self.bands.shape[2])

    def grey(self, modality: Modality) -> FloatArray:
        """One band to match by, shape (H, W).

        Optical: the mean of the first three bands. SAR: the first band, its
        heavy tail drawn in: values with negatives are taken for decibels and
        returned as they are, whole numbers for amplitude (their square root),
        other numbers for intensity (their fourth root).
        """
        if modality == "optical":
            return np.asarray(self.bands[:3].mean(axis=0, dtype=np.float32), np.float32)
        band = np.nan_to_num(self.bands[0].astype(np.float32))
        if band[self.valid].min(initial=0.0) < 0:
            return np.asarray(band, np.float32)
        power = 0.5 if np.issubdtype(self.bands.dtype, np.integer) else 0.25
        return np.asarray(np.maximum(band, 0.0) ** power, np.float32)

    def picture(self, modality: Modality) -> Picture:
        """The image as matching takes it.

        Raises
        ------
        MatchError
            If it is all nodata or constant.
        """
        label = "SAR image" if modality == "sar" else "optical image"
        return make_picture(self.grey(modality), self.valid, f"{label} '{self.name}'")


def open_image(path: str | Path) -> GeoImage:
    """Read a GeoTIFF, COG, VRT, PNG or JPEG whole.

    Nodata are: what the file declares, its mask or alpha band, NaN, and areas
    of zeros at least five pixels wide in all bands (outside a swath).

    Raises
    ------
    RasterError
        If the file is missing, damaged or has more than one subdataset only.
    """
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            name, options = for_gdal(path)
            with rasterio.Env(**options), rasterio.open(name) as file:
                bands, masks = file.read(), file.dataset_mask() > 0
                reference = _reference(file)
                nodata = None if file.nodata is None else float(file.nodata)
                if file.count in (2, 4) and file.colorinterp[-1].name == "alpha":
                    bands = bands[:-1]
    except RasterioIOError as error:
        raise RasterError(
            f"'{path}' cannot be read: {reason(error)}. "
            "A readable GeoTIFF, COG, VRT, PNG or JPEG is needed."
        ) from error
    return GeoImage(bands, masks & valid_pixels(bands), reference, nodata, Path(path).name)


def valid_pixels(bands: NDArray[Any]) -> NDArray[np.bool_]:
    """False at NaN and in areas of zeros at least five pixels wide."""
    finite = np.isfinite(bands).all(axis=0)
    zeros = (bands == 0).all(axis=0).astype(np.uint8)
    if not zeros.any():
        return np.asarray(finite, np.bool_)
    padded = cv2.copyMakeBorder(zeros, _HOLE, _HOLE, _HOLE, _HOLE, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((_HOLE, _HOLE), np.uint8))
    return np.asarray(finite & (opened[_HOLE:-_HOLE, _HOLE:-_HOLE] == 0), np.bool_)


def _reference(file: Any) -> Georeference | None:
    if file.crs is None or file.transform.is_identity:
        return None
    epsg = file.crs.to_authority()
    crs = ":".join(epsg) if epsg else file.crs.to_wkt()
    a, b, c, d, e, f = tuple(file.transform)[:6]
    return Georeference(crs, (a, b, c, d, e, f))
