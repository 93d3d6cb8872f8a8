"""Files as practitioners have them, one function a kind: each writes the same ground.

A function takes a folder and returns the place that is opened, the amplitude
expected at each pixel of the image's own grid, and the pixels that must be
valid. Georeference is of 10 m in UTM unless the kind is about something else.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

SIDE = 192
CRS = "EPSG:32633"
PLACE = Affine(10, 0, 5e5, 0, -10, 5e6)
KINDS: dict[str, Callable[[Path], Kind]] = {}


@dataclass(frozen=True)
class Kind:
    """What was written and what must be read.

    Attributes
    ----------
    place : path or name that GDAL knows
    amplitude : float array (h, w), up to a factor and an offset
    valid : bool array (h, w)
    tolerance : float
        Of the correlation with the amplitude, below 1.
    """

    place: Path | str
    amplitude: np.ndarray
    valid: np.ndarray
    tolerance: float = 1e-3


def kind(make: Callable[[Path], Kind]) -> Callable[[Path], Kind]:
    KINDS[make.__name__] = make
    return make


def ground() -> np.ndarray:
    """Smooth structure with speckle, 1..255."""
    rng = np.random.default_rng(7)
    soft = cv2.GaussianBlur(rng.random((SIDE, SIDE)).astype(np.float32), (0, 0), 6)
    soft = (soft - soft.min()) / np.ptp(soft)
    noisy = np.clip(20 + 200 * soft + rng.normal(0, 8, soft.shape), 1, 255)
    whole: np.ndarray = noisy.astype(np.uint8)
    return whole


def save(path: Path, bands: np.ndarray, transform: Affine | None = PLACE, **more: Any) -> Path:
    """Write (h, w) or (bands, h, w) as GeoTIFF."""
    bands = bands if bands.ndim == 3 else bands[None]
    later = ("gcps", "rpcs", "mask", "scales", "offsets", "colormap", "descriptions")
    after = {name: more.pop(name, None) for name in later}
    crs = more.pop("crs", CRS)
    place = {} if transform is None else {"crs": crs, "transform": transform}
    profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1]}
    profile |= {"width": bands.shape[2], "dtype": bands.dtype.name, **place, **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write(bands)
            if after["gcps"]:
                file.gcps = (after["gcps"], rasterio.CRS.from_string(crs))
            if after["rpcs"]:
                file.rpcs = after["rpcs"]
            if after["scales"]:
                file.scales, file.offsets = after["scales"], after["offsets"]
            if after["colormap"]:
                file.write_colormap(1, after["colormap"])
            if after["mask"] is not None:
                file.write_mask(after["mask"])
            for number, text in enumerate(after["descriptions"] or (), 1):
                file.set_band_description(number, text)
    return path


def everywhere() -> np.ndarray:
    return np.ones((SIDE, SIDE), bool)


@kind
def whole_numbers(folder: Path) -> Kind:
    return Kind(save(folder / "a.tif", ground()), ground(), everywhere())


@kind
def geopackage(folder: Path) -> Kind:
    """A GeoPackage keeps tiles of colours: one band of grey comes back as three and an alpha."""
    path = save(folder / "a.gpkg", ground(), driver="GPKG", TILE_FORMAT="PNG")
    return Kind(path, ground(), everywhere())


@kind
def webp(folder: Path) -> Kind:
    """WebP without loss, which keeps three bands."""
    colours = np.stack([ground()] * 3)
    path = save(folder / "a.webp", colours, None, driver="WEBP", LOSSLESS=True)
    return Kind(path, ground(), everywhere())


@kind
def sixteen_bits(folder: Path) -> Kind:
    return Kind(save(folder / "a.tif", ground().astype(np.uint16) * 40), ground(), everywhere())


@kind
def power(folder: Path) -> Kind:
    return Kind(
        save(folder / "a.tif", (ground() / 255).astype(np.float32) ** 2), ground(), everywhere()
    )


@kind
def power_in_doubles(folder: Path) -> Kind:
    return Kind(save(folder / "a.tif", (ground() / 255.0) ** 2), ground(), everywhere())


@kind
def decibels(folder: Path) -> Kind:
    values = 20 * np.log10(ground().astype(np.float32) / 300)
    return Kind(save(folder / "a.tif", values), ground(), everywhere())


@kind
def decibels_of_nothing(folder: Path) -> Kind:
    """The logarithm of zero is -inf: 1 % of the pixels, filled."""
    holes = np.random.default_rng(1).random((SIDE, SIDE)) < 0.01
    values = 20 * np.log10(ground().astype(np.float32) / 300)
    values[holes] = -np.inf
    return Kind(save(folder / "a.tif", values), ground(), everywhere(), 0.02)


@kind
def sprinkled_nan(folder: Path) -> Kind:
    holes = np.random.default_rng(2).random((SIDE, SIDE)) < 0.01
    values = (ground() / 255).astype(np.float32) ** 2
    values[holes] = np.nan
    return Kind(save(folder / "a.tif", values, nodata=np.nan), ground(), everywhere(), 0.02)


@kind
def speckle_zeros(folder: Path) -> Kind:
    holes = np.random.default_rng(3).random((SIDE, SIDE)) < 0.005
    values = (ground() / 255).astype(np.float32) ** 2
    values[holes] = 0
    return Kind(save(folder / "a.tif", values), ground(), everywhere(), 0.02)


@kind
def declared_nodata(folder: Path) -> Kind:
    values, valid = ground().astype(np.int16), everywhere()
    valid[:40], valid[100:130, 100:130] = False, False
    values[~valid] = -32768
    return Kind(save(folder / "a.tif", values, nodata=-32768), ground(), valid)


@kind
def undeclared_fill(folder: Path) -> Kind:
    values, valid = (ground() / 255).astype(np.float32) ** 2, everywhere()
    valid[:40], valid[100:130, 100:130] = False, False
    values[~valid] = -9999
    return Kind(save(folder / "a.tif", values), ground(), valid)


@kind
def undeclared_fill_of_whole_numbers(folder: Path) -> Kind:
    values, valid = ground().astype(np.uint16) * 4, everywhere()
    valid[:, 150:] = False
    values[~valid] = 65535
    return Kind(save(folder / "a.tif", values), ground(), valid)


@kind
def outside_of_a_swath(folder: Path) -> Kind:
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    valid = (rows + 2 * cols > 150) & (rows - cols < 120)
    return Kind(save(folder / "a.tif", ground() * valid), ground(), valid)


@kind
def dark_water(folder: Path) -> Kind:
    """Zeros of whole numbers: a lake, and a harbour at the border, are data."""
    values = ground()
    values[80:120, 90:130] = 0
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    values[(np.hypot(rows - 20, cols) < 25) & (rows > 2)] = 0
    return Kind(save(folder / "a.tif", values), values, everywhere())


@kind
def a_mask_of_its_own(folder: Path) -> Kind:
    valid = everywhere()
    valid[120:] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = save(folder / "a.tif", ground(), mask=valid)
    return Kind(path, ground(), valid)


@kind
def a_transparent_band(folder: Path) -> Kind:
    valid = everywhere()
    valid[:, :50] = False
    bands = np.stack([ground(), ground(), ground(), valid.astype(np.uint8) * 255])
    path = save(folder / "a.tif", bands, photometric="RGB", alpha="YES")
    return Kind(path, ground(), valid)


@kind
def an_empty_first_band(folder: Path) -> Kind:
    values = (ground() / 255).astype(np.float32) ** 2
    bands = np.stack([np.full_like(values, np.nan), values])
    return Kind(save(folder / "a.tif", bands, nodata=np.nan), ground(), everywhere())


@kind
def complex_numbers(folder: Path) -> Kind:
    phase = np.random.default_rng(4).random((SIDE, SIDE)) * 2j * np.pi
    values = (ground() * np.exp(phase)).astype(np.complex64)
    return Kind(save(folder / "a.tif", values), ground(), everywhere())


@kind
def complex_whole_numbers(folder: Path) -> Kind:
    phase = np.random.default_rng(4).random((SIDE, SIDE)) * 2j * np.pi
    values = np.round(ground() * 10.0 * np.exp(phase)).astype(np.complex64)
    path = save(folder / "a.tif", values, dtype="complex_int16")
    return Kind(path, ground(), everywhere())


@kind
def scale_and_offset(folder: Path) -> Kind:
    """Decibels in whole numbers: stored times 0.01 less 60."""
    stored = np.round((20 * np.log10(ground() / 300.0) + 60) * 100).astype(np.uint16)
    path = save(folder / "a.tif", stored, scales=[0.01], offsets=[-60.0])
    return Kind(path, ground(), everywhere())


@kind
def palette(folder: Path) -> Kind:
    order = np.random.default_rng(5).permutation(256)
    colours = {k: (int(order[k]),) * 3 + (255,) for k in range(256)}
    stored = np.argsort(order)[ground()].astype(np.uint8)
    path = save(folder / "a.tif", stored, photometric="palette", colormap=colours)
    return Kind(path, ground(), everywhere())


@kind
def palette_with_nodata(folder: Path) -> Kind:
    colours = {k: (k, k, k, 255) for k in range(256)}
    values, valid = np.maximum(ground(), 2), everywhere()
    valid[:60, :80] = False
    values[~valid] = 1
    path = save(folder / "a.tif", values, photometric="palette", colormap=colours, nodata=1)
    return Kind(path, np.maximum(ground(), 2), valid)


@kind
def south_up(folder: Path) -> Kind:
    flipped = Affine(10, 0, 5e5, 0, 10, 5e6 - 10 * SIDE)
    return Kind(save(folder / "a.tif", ground()[::-1], flipped), ground()[::-1], everywhere())


@kind
def mirrored(folder: Path) -> Kind:
    flipped = Affine(-10, 0, 5e5 + 10 * SIDE, 0, -10, 5e6)
    return Kind(save(folder / "a.tif", ground()[:, ::-1], flipped), ground()[:, ::-1], everywhere())


@kind
def turned(folder: Path) -> Kind:
    return Kind(
        save(folder / "a.tif", ground(), PLACE * Affine.rotation(33)), ground(), everywhere()
    )


@kind
def control_points(folder: Path) -> Kind:
    at = np.linspace(0, SIDE, 4)
    points = [GroundControlPoint(r, c, *(PLACE * (c, r))) for r in at for c in at]
    path = save(folder / "a.tif", ground(), None, gcps=points)
    return Kind(path, ground(), everywhere(), 0.02)


@kind
def mirrored_control_points(folder: Path) -> Kind:
    """Rows from south to north, as an ascending pass has them: rectified it is north up."""
    at = np.linspace(0, SIDE, 4)
    points = [GroundControlPoint(SIDE - r, c, *(PLACE * (c, r))) for r in at for c in at]
    path = save(folder / "a.tif", ground()[::-1], None, gcps=points)
    return Kind(path, ground(), everywhere(), 0.02)


@kind
def complex_control_points(folder: Path) -> Kind:
    at = np.linspace(0, SIDE, 4)
    points = [GroundControlPoint(r, c, *(PLACE * (c, r))) for r in at for c in at]
    phase = np.random.default_rng(4).random((SIDE, SIDE)) * 2j * np.pi
    values = (ground() * np.exp(phase)).astype(np.complex64)
    path = save(folder / "a.tif", values, None, gcps=points)
    return Kind(path, ground(), everywhere(), 0.02)


@kind
def a_virtual_raster(folder: Path) -> Kind:
    from rasterio.shutil import copy

    save(folder / "part.tif", ground())
    copy(folder / "part.tif", folder / "a.vrt", driver="VRT")
    return Kind(folder / "a.vrt", ground(), everywhere())


@kind
def an_archive(folder: Path) -> Kind:
    save(folder / "a.tif", ground())
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.write(folder / "a.tif", "inside/a.tif")
    return Kind(f"/vsizip/{folder}/a.zip/inside/a.tif", ground(), everywhere())


@kind
def a_subdataset(folder: Path) -> Kind:
    path = save(folder / "two.tif", ground()[:64, :64])
    save(path, ground(), APPEND_SUBDATASET="YES")
    return Kind(f"GTIFF_DIR:2:{path}", ground(), everywhere())


@kind
def a_name_with_spaces_and_letters(folder: Path) -> Kind:
    inside = folder / "Döner – 北京 (1)"
    inside.mkdir()
    return Kind(save(inside / "a b&c.tif", ground()), ground(), everywhere())


@kind
def no_place_at_all(folder: Path) -> Kind:
    path = folder / "a.png"
    assert cv2.imwrite(str(path), ground())
    return Kind(path, ground(), everywhere())


@kind
def a_world_file(folder: Path) -> Kind:
    """A map without a CRS."""
    path = no_place_at_all(folder).place
    (folder / "a.pgw").write_text("10\n0\n0\n-10\n500005\n4999995\n")
    return Kind(path, ground(), everywhere())


@kind
def a_local_frame(folder: Path) -> Kind:
    path = save(folder / "a.tif", ground(), crs='LOCAL_CS["site",UNIT["metre",1]]')
    return Kind(path, ground(), everywhere())


@kind
def the_folder_of_a_sentinel_1_product(folder: Path) -> Kind:
    """Two polarisations with control points in degrees, as SAFE folders hold them."""
    from pyproj import Transformer

    inside = folder / "S1A_IW_GRDH.SAFE" / "measurement"
    inside.mkdir(parents=True)
    (inside.parent / "manifest.safe").write_text("<xfdu/>")
    degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    at = np.linspace(0, SIDE, 4)
    points = [
        # The product numbers the centres of pixels by whole numbers.
        GroundControlPoint(r - 0.5, c - 0.5, *degrees.transform(*(PLACE * (c, r))))
        for r in at
        for c in at
    ]
    for name in ("vh", "vv"):
        file = inside / f"s1a-iw-grd-{name}-20240101t000000-001.tiff"
        save(file, ground().astype(np.uint16) * 3, None, gcps=points, crs="EPSG:4326")
    return Kind(inside.parent, ground(), everywhere(), 0.02)
