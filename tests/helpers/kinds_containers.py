"""Files of many arrays, as NISAR, OPERA and EOPF deliver them, each with the same ground.

Made after the public specifications, with the libraries that write such files.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from pyproj import CRS as ProjCRS
from pyproj import Transformer

from tests.helpers.kinds import CRS, PLACE, SIDE, Kind, everywhere, ground, kind

_EDGE = 6  # columns that a product leaves without data
_B_STEP = 40  # metres, of NISAR's frequency B


def speckled(amplitude: np.ndarray) -> np.ndarray:
    """Complex numbers of this amplitude, of any phase."""
    phase = np.random.default_rng(4).random(amplitude.shape) * 2j * np.pi
    whole: np.ndarray = (amplitude * np.exp(phase)).astype(np.complex64)
    return whole


def axes(side: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres of pixels, x and y, from the corner of the ground on, north first."""
    count = np.arange(side) + 0.5
    return PLACE.c + step * count, PLACE.f - step * count


def write_grid(
    group: h5py.Group,
    layers: dict[str, np.ndarray],
    step: float,
    names: tuple[str, str] = ("xCoordinates", "yCoordinates"),
) -> None:
    """Write layers with axes and a projection beside them, as NISAR and OPERA do."""
    side = len(next(iter(layers.values())))
    for name, values, word in zip(names, axes(side, step), ("x", "y"), strict=True):
        axis = group.create_dataset(name, data=values)
        axis.attrs["standard_name"] = np.bytes_(f"projection_{word}_coordinate")
        axis.make_scale(name)
    projection = group.create_dataset("projection", data=np.int32(ProjCRS(CRS).to_epsg()))
    projection.attrs["epsg_code"] = ProjCRS(CRS).to_epsg()
    projection.attrs["spatial_ref"] = np.bytes_(ProjCRS(CRS).to_wkt("WKT1_GDAL"))
    for name, values in layers.items():
        layer = group.create_dataset(name, data=values, chunks=(48, 48), compression="gzip")
        layer.attrs["grid_mapping"] = np.bytes_("projection")
        for dimension, axis_name in enumerate(reversed(names)):
            layer.dims[dimension].attach_scale(group[axis_name])


def nisar(path: Path, product: str, layers: dict[str, np.ndarray], radar: str = "LSAR") -> Path:
    """Write a product of two frequencies: A as given, B of every fourth pixel."""
    with h5py.File(path, "w") as file:
        file.attrs["mission_name"] = "NISAR"
        top = f"science/{radar}/{product}/grids"
        extra = {"mask": np.ones((SIDE, SIDE), np.uint8)}
        write_grid(file.create_group(f"{top}/frequencyA"), {**layers, **extra}, PLACE.a)
        coarse = {name: values[2::4, 2::4] for name, values in layers.items()}
        write_grid(file.create_group(f"{top}/frequencyB"), coarse, _B_STEP)
    return path


def inside() -> np.ndarray:
    """All but the columns at the edge."""
    valid = everywhere()
    valid[:, :_EDGE] = False
    return valid


@kind
def nisar_gcov(folder: Path) -> Kind:
    """Power of two polarisations, and a complex term between them."""
    power = (ground() / 255).astype(np.float32) ** 2
    power[~inside()] = np.nan
    layers: dict[str, np.ndarray] = {"HVHV": power / 4, "HHHH": power, "HHHV": speckled(power)}
    return Kind(nisar(folder / "NISAR_L2_GCOV.h5", "GCOV", layers), ground(), inside())


@kind
def nisar_gslc(folder: Path) -> Kind:
    """Complex amplitude; the fill is NaN in both parts."""
    values = speckled(ground().astype(np.float32))
    values[~inside()] = complex(np.nan, np.nan)
    layers = {"HH": values, "HV": values}
    return Kind(nisar(folder / "NISAR_L2_GSLC.h5", "GSLC", layers), ground(), inside())


@kind
def one_layer_of_nisar_by_name(folder: Path) -> Kind:
    values = speckled(ground().astype(np.float32))
    path = nisar(folder / "gslc.h5", "GSLC", {"VV": values}, "SSAR")
    place = f'HDF5:"{path}"://science/SSAR/GSLC/grids/frequencyA/VV'
    return Kind(place, ground(), everywhere())


@kind
def opera_cslc(folder: Path) -> Kind:
    path = folder / "OPERA_L2_CSLC-S1.h5"
    with h5py.File(path, "w") as file:
        values = speckled(ground().astype(np.float32))
        group = file.create_group("data")
        write_grid(group, {"VV": values}, PLACE.a, ("x_coordinates", "y_coordinates"))
        group["azimuth_carrier_phase"] = np.zeros((SIDE, SIDE), np.float32)
    return Kind(path, ground(), everywhere())


def add_array(
    group: Any, name: str, values: np.ndarray, dimensions: tuple[str, ...], **more: Any
) -> Any:
    """Write an array with the names of its axes, as version 2 or 3 of Zarr keeps them."""
    attributes = more.pop("attributes", {})
    chunks = more.pop("chunks", values.shape)
    old = group.metadata.zarr_format == 2
    names = {} if old else {"dimension_names": dimensions}
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks, **names, **more
    )
    array[...] = values
    array.attrs.update({**attributes, **({"_ARRAY_DIMENSIONS": dimensions} if old else {})})
    return array


def hierarchy(path: Path, version: int, attributes: dict[str, Any] | None = None) -> Any:
    root: Any = zarr.open_group(str(path), mode="w", zarr_format=version)
    root.attrs.update(attributes or {})
    return root


def consolidate(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # version 3 has no word for it yet
        zarr.consolidate_metadata(str(path))
    return path


def as_power() -> np.ndarray:
    """The amplitude of pixels that are taken for power, as fractions are."""
    root: np.ndarray = np.sqrt(ground().astype(np.float64)) * 16
    return root


def reflectance(amplitude: np.ndarray) -> np.ndarray:
    """Numbers of Sentinel-2 that mean this times 0.0001 less 0.1."""
    stored: np.ndarray = (amplitude.astype(np.uint16) * 20 + 1000).astype(np.uint16)
    return stored


def add_bands(root: Any, where: dict[str, Any], **more: Any) -> None:
    """Write the reflectance of EOPF's Sentinel-2: two resolutions, scaled, with axes."""
    for step, names in ((10, ("b02", "b03", "b04", "b08")), (20, ("b02", "b05"))):
        group = root.create_group(f"measurements/reflectance/r{step}m")
        values = reflectance(ground())[:: step // 10, :: step // 10]
        for name, axis in zip(("x", "y"), axes(len(values), step), strict=True):
            add_array(group, name, axis, (name,))
        means = {"scale_factor": 1e-4, "add_offset": -0.1, **where}
        for name in names:
            add_array(group, name, values, ("y", "x"), attributes=means, fill_value=0, **more)
    mask = root.create_group("quality/mask/r10m")
    add_array(mask, "b02", np.zeros((SIDE, SIDE), np.uint8), ("y", "x"))


@kind
def eopf_sentinel_2(folder: Path) -> Kind:
    root = hierarchy(folder / "S2B.zarr", 2, {"other_metadata": {"horizontal_CRS_code": CRS}})
    add_bands(root, {"proj:epsg": ProjCRS(CRS).to_epsg()}, chunks=(96, 96))
    return Kind(consolidate(folder / "S2B.zarr"), as_power(), everywhere())


@kind
def eopf_sentinel_2_in_version_3(folder: Path) -> Kind:
    root = hierarchy(folder / "S2B.zarr", 3, {"other_metadata": {"horizontal_CRS_code": CRS}})
    add_bands(root, {}, chunks=(96, 96))
    return Kind(consolidate(folder / "S2B.zarr"), as_power(), everywhere())


@kind
def eopf_sentinel_2_in_an_archive(folder: Path) -> Kind:
    made = Path(eopf_sentinel_2(folder).place)
    return Kind(archived(made, folder / "S2B.zarr.zip", "S2B.zarr/"), as_power(), everywhere())


def archived(store: Path, archive: Path, start: str = "") -> Path:
    """Put a store into a ZIP file, uncompressed, as such are made."""
    with zipfile.ZipFile(archive, "w") as file:
        for at, _, names in os.walk(store):
            for name in names:
                inner = (Path(at) / name).relative_to(store).as_posix()
                file.write(Path(at) / name, start + inner)
    return archive


def add_lattice(group: Any, lines: np.ndarray, pixels: np.ndarray, *, written: bool) -> None:
    """Write control points of centres of pixels, with their lines and pixels or by the axes."""
    degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    cols, rows = np.meshgrid(pixels, lines)
    x, y = PLACE * (cols + 0.5, rows + 0.5)
    lon, lat = degrees.transform(x, y)
    dimensions = ("azimuth_time", "ground_range")
    for name, values in (("latitude", lat), ("longitude", lon), ("height", np.zeros_like(lat))):
        add_array(group, name, values, dimensions)
    if written:
        add_array(group, "line", lines.astype(np.int64), dimensions[:1])
        add_array(group, "pixel", pixels.astype(np.int64), dimensions[1:])
    else:
        add_array(group, "azimuth_time", TIME + SECOND * lines.astype(np.int64), dimensions[:1])
        add_array(group, "ground_range", 10.0 * pixels, dimensions[1:])


TIME, SECOND = 1_700_000_000_000_000_000, 1_500_000  # nanoseconds, of the first line and a step


def sentinel_1(folder: Path, *, written: bool) -> Path:
    path = folder / "S1A_IW_GRDH.zarr"
    root = hierarchy(path, 2)
    at = np.array([0, 60, 125, SIDE - 1])
    for name, factor in (("VH", 2), ("VV", 3)):
        product = root.create_group(f"S01SIWGRD_20240101T000000_0025_A000_S000_ABCD_{name}")
        measured = product.create_group("measurements")
        dimensions = ("azimuth_time", "ground_range")
        values = ground().astype(np.uint16) * factor
        add_array(measured, "grd", values, dimensions, chunks=(96, 96), fill_value=0)
        add_array(measured, "azimuth_time", TIME + SECOND * np.arange(SIDE), dimensions[:1])
        add_array(measured, "ground_range", 10.0 * np.arange(SIDE), dimensions[1:])
        add_lattice(product.create_group("conditions/gcp"), at, at, written=written)
    return consolidate(path)


@kind
def eopf_sentinel_1(folder: Path) -> Kind:
    return Kind(sentinel_1(folder, written=True), ground(), everywhere(), 0.02)


@kind
def eopf_sentinel_1_placed_by_its_axes(folder: Path) -> Kind:
    return Kind(sentinel_1(folder, written=False), ground(), everywhere(), 0.02)


@kind
def geozarr(folder: Path) -> Kind:
    """Conventions of 2025: attributes of the group, levels of resolution, no axes."""
    path = folder / "image.zarr"
    root = hierarchy(path, 3, {"proj:code": CRS})
    for level, step in enumerate((1, 2)):
        values = ground().astype(np.float32)[::step, ::step]
        affine = [10.0 * step, 0, PLACE.c, 0, -10.0 * step, PLACE.f]
        where = {"spatial:transform": affine, "spatial:shape": values.shape}
        group = root.create_group(str(level))
        group.attrs.update(where)
        add_array(group, "amplitude", values / 255, ("y", "x"), chunks=(48, 48))
    return Kind(path, as_power(), everywhere())


@kind
def a_sharded_array(folder: Path) -> Kind:
    """No GDAL up to 3.12 reads it."""
    root = hierarchy(folder / "image.zarr", 3)
    add_array(root, "spatial_ref", np.array(0), (), attributes={"crs_wkt": ProjCRS(CRS).to_wkt()})
    for name, axis in zip(("x", "y"), axes(SIDE, 10), strict=True):
        add_array(root, name, axis, (name,))
    mapped = {"grid_mapping": "spatial_ref"}
    values = ground().astype(np.uint16)
    add_array(root, "vv", values, ("y", "x"), chunks=(32, 32), shards=(96, 96), attributes=mapped)
    return Kind(folder / "image.zarr", ground(), everywhere())
