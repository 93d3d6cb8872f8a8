"""Simulated scenes in the layouts of real products, for the pages on how to read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint

import crosslook

CRS = "EPSG:32633"
PLACE = Affine(10, 0, 4e5, 0, -10, 5.2e6)


def scene(size: int = 512, **options: Any) -> Any:
    """Make the pair that all pages show, its SAR image a few pixels off."""
    return crosslook.make_pair(size, 21, shift=(5.0, -7.0), **options)


def save(path: str | Path, bands: np.ndarray, place: Affine | None = PLACE, **more: Any) -> Path:
    """Write (H, W) or (bands, H, W) as GeoTIFF, control points instead of a map on request."""
    target, bands = Path(path), bands if bands.ndim == 3 else bands[None]
    target.parent.mkdir(parents=True, exist_ok=True)
    points, names = more.pop("gcps", None), more.pop("names", ())
    where = {} if place is None else {"crs": more.pop("crs", CRS), "transform": place}
    shape = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    with rasterio.open(
        target,
        "w",
        driver=more.pop("driver", "GTiff"),
        dtype=bands.dtype.name,
        **shape,
        **where,
        **more,
    ) as file:
        file.write(bands)
        if points:
            file.gcps = points
        for number, name in enumerate(names, 1):
            file.set_band_description(number, name)
    return target


def basemap(path: str | Path = "basemap.tif") -> Path:
    """Write the optical image of the scene."""
    return save(path, scene().optical)


def ground_range(folder: str | Path) -> Path:
    """Write a folder as a Sentinel-1 GRD product: 16 bits, placed by a lattice of points."""
    amplitude = np.sqrt(scene().sar)
    pixels = np.clip(amplitude / np.quantile(amplitude, 0.999) * 900, 1, 65535).astype(np.uint16)
    side = pixels.shape[0]
    steps = np.linspace(0, side, 6)
    # A descending pass, as it is recorded: the first line lies north, not quite east-west.
    placed = PLACE @ Affine.rotation(-9, (side / 2, side / 2))
    points = [GroundControlPoint(r, c, *(placed @ (c, r))) for r in steps for c in steps]
    rotated = np.zeros_like(pixels)
    back = ~PLACE @ placed
    rows, cols = np.indices(pixels.shape) + 0.5
    to = back @ (cols, rows)
    inside = (to[0] >= 0) & (to[0] < side) & (to[1] >= 0) & (to[1] < side)
    rotated[inside] = pixels[to[1][inside].astype(int), to[0][inside].astype(int)]
    for polarisation, gain in (("vv", 1.0), ("vh", 0.4)):
        name = f"s1a-iw-grd-{polarisation}-20260101t000000-20260101t000025-000000-000000-001.tiff"
        gained = (rotated * gain).astype(np.uint16)
        save(
            Path(folder, "measurement", name),
            gained,
            None,
            gcps=(points, rasterio.CRS.from_string(CRS)),
        )
    Path(folder, "manifest.safe").write_text("<xfdu/>", encoding="utf-8")
    return Path(folder)


def snap(stem: str, **bands: np.ndarray) -> Path:
    """Write a product of SNAP: a description, and a folder of one ENVI image a band."""
    for name, values in bands.items():
        save(Path(f"{stem}.data", f"{name}.img"), values, driver="ENVI")
    target = Path(f"{stem}.dim")
    target.write_text(f'<Dimap_Document name="{target}"/>', encoding="utf-8")
    return target


def _axes(side: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres of pixels of this size, x from the west and y from the north."""
    count = np.arange(side) + 0.5
    return PLACE.c + step * count, PLACE.f - step * count


def nisar(path: str | Path) -> Path:
    """Write a NISAR GCOV product: power of HH and HV, 20 m in frequency A and 40 m in B."""
    import h5py

    with h5py.File(path, "w") as file:
        for frequency, step in (("A", 20), ("B", 40)):
            group = file.create_group(f"science/LSAR/GCOV/grids/frequency{frequency}")
            cell = step // 10
            side = scene().sar.shape[-1] // cell
            power = scene().sar.reshape(side, cell, side, cell).mean(axis=(1, 3))
            power = power.astype(np.float32)
            power[:, : 400 // step] = np.nan
            for name, axis in zip(("xCoordinates", "yCoordinates"), _axes(side, step), strict=True):
                group[name] = axis
            group["projection"] = np.int32(32633)
            group["projection"].attrs["epsg_code"] = 32633
            for name, gain in (("HHHH", 1.0), ("HVHV", 0.3)):
                group.create_dataset(name, data=power * gain, compression="gzip")
    return Path(path)


def eopf(path: str | Path) -> Path:
    """Write a Sentinel-2 product as EOPF keeps it in Zarr: 10 m, reflectance scaled."""
    import zarr

    root: Any = zarr.open_group(str(path), mode="w", zarr_format=2)
    root.attrs["other_metadata"] = {"horizontal_CRS_code": CRS}
    group = root.create_group("measurements/reflectance/r10m")
    names = {"blue": "b02", "green": "b03", "red": "b04", "nir": "b08"}
    for colour, values in bands_of(scene().optical).items():
        stored = (values + 1000).astype(np.uint16)
        array = group.create_array(
            names[colour], shape=stored.shape, dtype="uint16", chunks=(256, 256), fill_value=0
        )
        array[:] = stored
        array.attrs.update(
            {"proj:epsg": 32633, "scale_factor": 1e-4, "add_offset": -0.1}
            | {"_ARRAY_DIMENSIONS": ["y", "x"]}
        )
    for name, values in zip(("x", "y"), _axes(scene().optical.shape[-1], 10), strict=True):
        axis = group.create_array(name, shape=values.shape, dtype="float64", chunks=values.shape)
        axis[:] = values
        axis.attrs["_ARRAY_DIMENSIONS"] = [name]
    zarr.consolidate_metadata(str(path))
    return Path(path)


def bands_of(optical: np.ndarray) -> dict[str, np.ndarray]:
    """Reflectance times 10,000 of blue, green, red and, from green, a near infrared."""
    red, green, blue = (band.astype(np.float32) * 11 + 200 for band in optical)
    return {"blue": blue, "green": green, "red": red, "nir": 0.6 * green + 900}


def item(folder: str | Path) -> Path:
    """Write a STAC item whose assets lie beside it."""
    assets = {}
    for name, values in bands_of(scene().optical).items():
        save(Path(folder, f"{name}.tif"), values.astype(np.uint16))
        assets[name] = {
            "href": f"{name}.tif",
            "type": "image/tiff; application=geotiff",
            "eo:bands": [{"name": name, "common_name": name}],
        }
    content = {"type": "Feature", "stac_version": "1.0.0", "id": "simulated", "assets": assets}
    target = Path(folder, "item.json")
    target.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return target
