"""Small rasters that tests write."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

UTM = "EPSG:32633"


def write(path: Path, data: np.ndarray, crs: str | None = UTM, **profile: object) -> Path:
    """Write (bands, h, w) with 10 m pixels from (500000, 5000000); no CRS, no place."""
    georeference = {"crs": crs, "transform": from_origin(5e5, 5e6, 10, 10)} if crs else {}
    shape = {"count": data.shape[0], "height": data.shape[1], "width": data.shape[2]}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", dtype=data.dtype.name, **{**shape, **georeference, **profile}
        ) as file:
            file.write(data)
    return path


def ramp(dtype: str, bands: int = 2) -> np.ndarray:
    return np.arange(bands * 30 * 40).reshape(bands, 30, 40).astype(dtype)
