"""The file of a displacement on a lattice: a raster beside ``match.json`` that a GIS opens too."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from crosslook.errors import MatchError
from crosslook.types import Array, FloatArray

FIELD_FILE = "displacement.tif"
"""Two bands of float32: optical pixels along the rows, and along the columns."""

_BLOCK = 256


def digest_of_lattice(values: Array | FloatArray) -> str:
    """SHA-256 of displacements (h, w, 2) as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(values, "<f4").tobytes()).hexdigest()


def node_grid(optical: GeoBox, nodes: Array, shape: tuple[int, int]) -> GeoBox:
    """The grid whose pixel centres are the nodes; ``nodes`` (3, 3) takes optical pixels there."""
    back = np.linalg.inv(nodes)
    columns_first = back[np.ix_([1, 0, 2], [1, 0, 2])]
    # Pixel centres lie at +0.5, nodes at whole numbers.
    place = Affine(*columns_first[:2].ravel()) @ Affine.translation(-0.5, -0.5)
    return GeoBox(shape, optical.affine @ place, optical.crs)


def write_lattice(path: Path, values: Array | FloatArray, grid: GeoBox, verdict: str) -> None:
    """Write displacements (h, w, 2), whole or not at all.

    Parameters
    ----------
    path : Path
    values : float32 array, shape (h, w, 2)
    grid : GeoBox
        Of :func:`node_grid`.
    verdict : str
        For the tags, by which the file is known.
    """
    bands = np.moveaxis(np.asarray(values, np.float32), -1, 0)
    write_bands(path, bands, ("displacement along rows", "displacement along columns"),
                grid, {"VERDICT": verdict})  # fmt: skip


def write_bands(
    path: Path,
    bands: FloatArray,
    names: tuple[str, ...],
    grid: GeoBox,
    tags: dict[str, str],
) -> None:
    """Write named float32 bands (B, h, w) with NaN as no data; tagged as crosslook's."""
    import rasterio

    from crosslook.atomic import atomic_path
    from crosslook.geo.grid import file_crs, has_map
    from crosslook.geo.products.vrt import quiet
    from crosslook.geo.whole import whole_raster

    profile: dict[str, Any] = {
        "driver": "GTiff", "count": len(bands), "height": bands.shape[1],
        "width": bands.shape[2], "dtype": "float32", "nodata": float("nan"), "tiled": True,
        "blockxsize": _BLOCK, "blockysize": _BLOCK, "compress": "deflate", "predictor": 3,
        "bigtiff": "if_safer",
    }  # fmt: skip
    if has_map(grid):
        profile |= {"crs": file_crs(grid), "transform": grid.affine}
    with (
        atomic_path(path) as temporary,
        quiet(),
        whole_raster(temporary),
        rasterio.open(temporary, "w", **profile) as file,
    ):
        file.update_tags(ALIGNED_TO=tags.get("ALIGNED_TO", "the optical image"), **{
            key: text for key, text in tags.items() if key != "ALIGNED_TO"
        })  # fmt: skip
        for number, (band, name) in enumerate(zip(bands, names, strict=True), 1):
            file.write(band, number)
            file.set_band_description(number, name)


def read_lattice(path: Path, shape: tuple[int, ...], digest: str) -> FloatArray:
    """Displacements (h, w, 2) as :func:`write_lattice` wrote them.

    Raises
    ------
    MatchError
        If the file is missing, cannot be read, or holds other numbers.
    """
    import rasterio
    from rasterio.errors import RasterioError

    from crosslook.geo.products.vrt import quiet

    try:
        with quiet(), rasterio.open(path, driver="GTiff") as file:
            bands = file.read()
    except (RasterioError, OSError) as error:
        raise MatchError(
            f"{path} holds the displacement of this match and cannot be read: {error}. Keep it "
            "beside match.json, or run register again."
        ) from error
    values: FloatArray = np.ascontiguousarray(np.moveaxis(bands, 0, -1), np.float32)
    if values.shape != (*shape, 2) or digest_of_lattice(values) != digest:
        raise MatchError(
            f"{path} is not the displacement that match.json was written with. Put that file "
            "back, or run register again."
        )
    return values
