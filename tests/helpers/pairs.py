"""Small pairs on disk for the tests of the pipeline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

SIZE = 128


def texture(seed: int, size: int = SIZE) -> np.ndarray:
    """A smooth random image in 0..1, with edges."""
    import cv2

    noise = np.random.default_rng(seed).random((size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4.0)
    low, high = np.quantile(smooth, [0.02, 0.98])
    scaled: np.ndarray = np.clip((smooth - low) / (high - low), 0.0, 1.0)
    return scaled


def write_raster(
    path: Path,
    data: np.ndarray,
    *,
    crs: str | None = "EPSG:32633",
    east: float = 5e5,
    **profile: object,
) -> None:
    """Write bands (n, H, W); 10 m pixels with the origin at ``east``, 5000000."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "driver": "GTiff",
        "count": data.shape[0],
        "height": data.shape[1],
        "width": data.shape[2],
        "dtype": data.dtype.name,
        **({"crs": crs, "transform": from_origin(east, 5e6, 10, 10)} if crs else {}),
        **profile,
    }
    with rasterio.open(path, "w", **settings) as file:
        file.write(data)


def east_of(scene: int, size: int = SIZE) -> float:
    """Where a scene begins: beside the one before, since the same place would be one ground."""
    return 5e5 + 20 * size * scene


def write_pairs(folder: Path, scenes: int = 5, size: int = SIZE) -> Path:
    """Write aligned pairs: the optical image darkens where the SAR brightens."""
    for scene in range(scenes):
        ground = texture(scene, size)
        speckle = np.random.default_rng(100 + scene).gamma(4, 1 / 4, ground.shape)
        sar = np.clip(ground * speckle * 120, 1, 255).astype(np.uint8)
        optical = np.stack([(1 - ground) * 200 + 20] * 3).astype(np.uint8)
        east = east_of(scene, size)
        write_raster(folder / "sar" / f"scene{scene}.tif", sar[None], east=east)
        write_raster(folder / "optical" / f"scene{scene}.tif", optical, east=east)
    return folder
